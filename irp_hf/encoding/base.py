"""What an encoder is, and how any is opened: a folder, an id, a loaded model, a function.

Every kind comes down to an `Encoder`: one batch in, one matrix out, and a record of who does it. A new kind
is one more file that makes one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from irp_hf.checks import quoted
from irp_hf.errors import InputError

MODALITIES = ("text", "image", "audio")


@dataclass(frozen=True)
class Options:
    """What the caller of `encode` asked for; None where nothing."""

    pooling: str | None = None
    prompt: str | None = None
    normalize: bool | None = None
    device: str | torch.device | None = None
    dtype: str | torch.dtype | None = None
    revision: str | None = None
    token: str | bool | None = field(default=None, repr=False)
    at: str | None = None
    """"head": the vector that a classifier's head reads."""
    modality: str | None = None
    """"text", "image" or "audio": the side of a two-tower model; what a function takes."""
    processor: Any = None
    """Tokenizer, image processor or feature extractor of a transformers model that is loaded already."""
    device_map: str | dict[str, Any] | None = None
    """How Accelerate spreads a model over devices: "auto", or the devices of its parts by name."""
    trust_remote_code: bool = False
    """Whether code that the repository brings may run."""

    def __post_init__(self) -> None:
        if isinstance(self.dtype, str) and not isinstance(getattr(torch, self.dtype, None), torch.dtype):
            raise InputError(f"dtype is {self.dtype!r}; a dtype of torch is wanted. Pass 'float16' or another.")
        if self.device is not None and self.device_map is not None:
            raise InputError(
                f"device is {str(self.device)!r} and device_map is {self.device_map!r}; one of them is wanted. Leave one out."
            )
        if self.at not in (None, "head"):
            raise InputError(
                f"at is {self.at!r}; 'head' or None is wanted. Leave it out for the encoder's own vectors."
            )
        if self.modality not in (None, *MODALITIES):
            raise InputError(
                f"modality is {self.modality!r}; one of {quoted(MODALITIES)} is wanted. Leave it out where there is one."
            )


@dataclass(frozen=True)
class Encoder:
    """An encoder that is ready to run."""

    embed: Callable[[list[Any]], Any]
    """From a batch of items to `(n, d)`, of any floating dtype and on any device.

    Items are strings, PIL pictures in RGB, or float32 mono waveforms `(t,)` in numpy, as `modality` says.
    """
    record: dict[str, Any]
    """Who encodes and how: what the other side must do alike."""
    modality: str | None = "text"
    """"text", "image" or "audio"; None: whatever the function takes."""
    module: torch.nn.Module | None = None
    """What `.to(device)` moves, and `embed` follows; None for a function."""
    sampling_rate: int | None = None
    """Of audio, in Hz."""

    @property
    def name(self) -> str:
        """The name in its record."""
        return str(self.record["id"])


def make_record(
    name: str, commit: str | None, dtype: torch.dtype | None, options: Options, modality: str | None = None
) -> dict[str, Any]:
    """Who encodes and how, as it goes into a configuration; the modality where it is not plain text."""
    record = dict(
        id=name,
        revision=commit,
        pooling=options.pooling,
        prompt=options.prompt or None,
        normalize=bool(options.normalize),
        dtype=None if dtype is None else str(dtype).removeprefix("torch."),
    )
    more = {"modality": None if modality == "text" else modality, "at": options.at}
    return record | {key: value for key, value in more.items() if value}
