"""Chance that one thread draws from generators of its own, so that the random state of the process is not touched."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor
from torch.overrides import TorchFunctionMode

DRAWN = frozenset({torch.normal, torch.rand, torch.randint, torch.randn, torch.randperm})
DRAWN_OF = frozenset(
    {torch.bernoulli, torch.multinomial, torch.poisson, Tensor.bernoulli, Tensor.bernoulli_, Tensor.cauchy_}
    | {Tensor.exponential_, Tensor.geometric_, Tensor.log_normal_, Tensor.multinomial, Tensor.normal_, Tensor.random_}
    | {Tensor.uniform_}
)
LIKE = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}


class OwnChance(TorchFunctionMode):
    """Within it, what this thread draws by torch comes from `seed` alone; other threads, and what follows, notice nothing.

    What takes no generator (dropout, say) draws as ever.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed, self._generators = seed, dict[torch.device, Generator]()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call `func` of torch, with a generator where it draws and has none."""
        named = dict(kwargs or {})
        if named.get("generator") is None:
            if func in LIKE:
                like: Tensor = args[0] if args else named.pop("input")
                named.pop("memory_format", None)
                func, args = LIKE[func], (like.shape,)
                named = {"dtype": like.dtype, "device": like.device} | {k: v for k, v in named.items() if v is not None}
            if func in DRAWN_OF or (func is torch.normal and args and isinstance(args[0], Tensor)):
                given = args[0] if args else named["input"]
                named["generator"] = self._generator(given.device)
            elif func in DRAWN:
                device = named.get("device")
                named["generator"] = self._generator(torch.get_default_device() if device is None else device)
        return func(*args, **named)

    def _generator(self, device: Any) -> Generator | None:
        device = torch.device(device)
        if device.type == "meta":
            return None
        if device not in self._generators:
            self._generators[device] = Generator(device).manual_seed(self.seed)
        return self._generators[device]
