"""What building a model may take, by what its files hold: a configuration of a few bytes can ask for any number of layers."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from irp_hf.checkpoints.repository import Repository
from irp_hf.checkpoints.shards import weight_files
from irp_hf.errors import refusal

NAMES = (
    *("arange", "empty", "empty_strided", "eye", "full", "linspace", "logspace", "ones", "rand", "randint", "randn"),
    *("randperm", "zeros", "tril_indices", "triu_indices", "hann_window", "hamming_window"),
    *("empty_like", "full_like", "ones_like", "rand_like", "randn_like", "zeros_like"),
)
MAKERS = frozenset(getattr(torch, name) for name in NAMES)  # of new tensors
SPARE = 1 << 28  # numbers besides the weights: masks and tables of positions, and weights that the files need not hold
NUMBERS_PER_BYTE = 4  # of weights packed to four bits, twice
# The largest mixtures of experts have some ten thousand tensors, small models a few hundred.
MOST_TENSORS, TENSORS, BYTES_PER_TENSOR = 100_000, 5_000, 10_000


class Budget(TorchFunctionMode):
    """Within it this thread makes no more tensors than a model of so many bytes of weights can need.

    What lies on "meta" has no memory and is only counted. With None for the bytes, all weights should lie there. Raises
    `InputError`, before memory is taken.
    """

    def __init__(self, name: str, weight_bytes: int | None) -> None:
        super().__init__()
        self.name, self.weight_bytes = name, weight_bytes or 0
        self.numbers, self.tensors = SPARE + NUMBERS_PER_BYTE * self.weight_bytes, MOST_TENSORS
        if weight_bytes is not None:
            self.tensors = min(MOST_TENSORS, TENSORS + weight_bytes // BYTES_PER_TENSOR)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call `func` of torch, where it may be called."""
        named = dict(kwargs or {})
        if func in MAKERS:
            self.tensors -= 1
            self.numbers -= _numbers(func, args, named)
            if self.tensors < 0 or self.numbers < 0:
                held = f"{self.weight_bytes:,} bytes of weights"
                got = f"a configuration that asks for more than {'tensors' if self.tensors < 0 else 'numbers'} of these"
                advice = "Give it the configuration that it was saved with."
                raise refusal(self.name, f"a model that {held} can fill", got, advice)
        return func(*args, **named)


def _numbers(func: Any, args: tuple[Any, ...], named: dict[str, Any]) -> int:
    """How many numbers the new tensor has in memory; none on "meta"."""
    device = named.get("device", getattr(args[0], "device", None) if args else None)
    if device is not None and torch.device(device).type == "meta":
        return 0
    shape_only = {name: value for name, value in named.items() if name not in ("generator", "pin_memory", "out")}
    try:
        return int(func(*args, **{**shape_only, "device": "meta"}).numel())
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        return 0  # it says so itself


def budget_of(repository: Repository, token: str | bool | None, folders: tuple[str, ...] = ("",)) -> Budget:
    """What may be built of the weights in these folders of a repository, which are fetched.

    Raises `InputError` where they are said to lie elsewhere, and `HubError`.
    """
    names = [name for folder in folders for name in weight_files(repository, token, folder)]
    files = (repository.file(name, token) for name in names)
    return Budget(repository.name, sum(file.stat().st_size for file in files if file is not None))
