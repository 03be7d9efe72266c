"""Items of a background: those of many that are worth encoding, and their vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from irp_hf.data.columns import check_request
from irp_hf.data.listed import in_order
from irp_hf.disk.blocks import check_out
from irp_hf.encoding.base import Encoder
from irp_hf.encoding.batches import encode
from irp_hf.errors import InputError, refusal
from irp_hf.maths.unpaired.background import LEAST, MOST
from irp_hf.models.background import drawn

BATCH = 32  # items, where nothing else is asked for


@dataclass(frozen=True)
class BackgroundItems:
    """Items that are going to be encoded."""

    items: Sequence[Any]
    numbers: Tensor
    """Which of those that were given they are, shape (n,)."""
    given: int
    """How many were given."""
    run: Mapping[str, Any]
    """What `encode` is asked for, besides how the encoder is opened."""

    @classmethod
    def of(cls, items: Any, run: Mapping[str, Any]) -> BackgroundItems:
        """Of the background of a space whose anchors are encoded by such a `run`; of many items a sample, always the same.

        Raises `InputError` for what is no list of items, for too few, and for files that cannot be written.
        """
        listed = in_order(items, "background")
        check_request(listed, run.get("batch_size", BATCH))
        if len(listed) < LEAST:
            advice = "Give other items, a thousand or more, or no background at all."
            raise refusal("background", f"at least {LEAST} items that are no anchors", f"{len(listed)}", advice)
        run = dict(run)
        if run.get("out") is not None:
            run["out"] = _beside(check_out(run["out"]))
            check_out(run["out"])
        numbers = torch.arange(len(listed), dtype=torch.int64, device="cpu")
        some = listed
        if len(listed) > MOST:
            numbers = drawn(len(listed), seed=0).sort().values
            some = Some(listed, numbers.tolist())
        return cls(some, numbers, len(listed), run)

    def encoded(self, encoder: Encoder) -> Tensor:
        """Their vectors `(n, d)`; an error says that no anchor is meant."""
        try:
            return encode(encoder, self.items, **self.run)[0]
        except InputError as error:
            some = (
                f", a sample of {len(self.items):,} of its {self.given:,} items" if len(self.items) < self.given else ""
            )
            raise type(error)(f"background{some}: {error}") from error


class Some(Sequence[Any]):
    """Items of these numbers, each looked up when it is asked for."""

    def __init__(self, items: Sequence[Any], numbers: Sequence[int]) -> None:
        self._items, self._numbers = items, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, where: Any) -> Any:
        found = self._numbers[where]
        return Some(self._items, found) if isinstance(where, slice) else self._items[found]

    def __iter__(self) -> Iterator[Any]:
        return (self._items[number] for number in self._numbers)


def _beside(out: Path) -> Path:
    return out.with_name(f"{out.stem}.background{out.suffix}")
