"""Items of a background: those of many that are worth encoding, and their vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from irp_hf.data.columns import check_request
from irp_hf.data.items import check_item, upright_picture
from irp_hf.data.listed import in_order
from irp_hf.data.pictures import OneByOne, PictureColumn
from irp_hf.disk.blocks import check_out
from irp_hf.encoding.base import Encoder
from irp_hf.encoding.batches import encode
from irp_hf.errors import InputError, kind_of, refusal
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
    def of(cls, items: Any, texts: bool, run: Mapping[str, Any]) -> BackgroundItems:
        """Of the background of a space whose anchors, `texts` or pictures, are encoded by such a `run`.

        Of many items it is a sample, always the same. Raises `InputError` for what is no list of items, for too few, for such
        as could be no anchors beside these, and for files that cannot be written.
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
            some = _chosen(listed, numbers.tolist())
        _refuse_no_anchors(listed, numbers.tolist(), texts)
        return cls(some if texts else _opened(some, numbers.tolist()), numbers, len(listed), run)

    def encoded(self, encoder: Encoder) -> Tensor:
        """Their vectors `(n, d)`; an error says that no anchor is meant."""
        try:
            return encode(encoder, self.items, **self.run)[0]
        except InputError as error:
            some = (
                f", a sample of {len(self.items):,} of its {self.given:,} items" if len(self.items) < self.given else ""
            )
            raise type(error)(f"background{some}: {error}") from error


def _refuse_no_anchors(items: Sequence[Any], numbers: Sequence[int], texts: bool) -> None:
    """Raise `InputError` for one of these numbers that `AnchorSet` would refuse beside such anchors; no picture is opened."""
    stored = items.stored if isinstance(items, PictureColumn) else items
    some = stored if len(numbers) == len(stored) else _chosen(stored, numbers)
    for number, item in zip(numbers, some, strict=True):
        place = f"Row {number} of background"
        check_item(item, place)
        if isinstance(item, str) != texts:
            expected = f"a {'text' if texts else 'picture'}, as the anchors are"
            advice = "Give items of the same kind as those of the view that is encoded."
            raise refusal(place, expected, kind_of(item), advice)


def _chosen(items: Sequence[Any], numbers: Sequence[int]) -> Sequence[Any]:
    """Items of these numbers, each looked up when it is asked for."""
    return OneByOne(lambda place: items[numbers[place]], range(len(numbers)))


def _opened(items: Sequence[Any], numbers: Sequence[int]) -> Sequence[Any]:
    """Pictures as an anchor set gives its own, each opened when it is asked for."""
    return OneByOne(lambda place: upright_picture(items[place], f"Row {numbers[place]}"), range(len(items)))


def _beside(out: Path) -> Path:
    return out.with_name(f"{out.stem}.background{out.suffix}")
