"""Unpaired rows as users hand them in: looked at, sampled, and without what would tell a fit what it is judged by."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from irp_hf.data.arrays import Rows
from irp_hf.errors import refusal
from irp_hf.maths.unpaired.background import LEAST, MOST, distinct_from
from irp_hf.models.many import check_sampled

NAMES = ("source_background", "target_background")


def read_background(
    source: Any, target: Any, anchors: tuple[Tensor, Tensor], seed: int
) -> tuple[Tensor, Tensor] | None:
    """Unpaired rows of both sides, `(n, d_X)` and `(m, d_Y)`, beside `anchors (k, d_X)` and `(k, d_Y)`; None where none came.

    Of many rows a seeded sample; none of them is there twice, and none is an anchor. Raises `InputError` for rows of one side
    alone, for such as cannot be rows of that side, and where too few are left.
    """
    given = source, target
    if all(rows is None for rows in given):
        return None
    for rows, name, other in zip(given, NAMES, NAMES[::-1], strict=True):
        if rows is None:
            advice = f"Give {name}, unpaired rows of that side, too, or leave both out."
            raise refusal(name, f"rows, since there are some in {other}", "None", advice)
    widths = [side.shape[1] for side in anchors]
    read = [
        Rows(rows, name, width, other, advice="Encode them with the encoder of the anchors of that side.")
        for rows, name, width, other in zip(
            given, NAMES, widths, (("target", widths[1]), ("source", widths[0])), strict=True
        )
    ]
    sides = zip(read, anchors, (seed, seed + 1), strict=True)
    first, second = (_usable(rows, side, draw) for rows, side, draw in sides)
    return first, second


def _usable(rows: Rows, anchors: Tensor, seed: int) -> Tensor:
    sample = drawn_rows(rows, seed)[0].to(anchors.device)
    kept = sample[distinct_from(sample, anchors)]
    if len(kept) < LEAST:
        got = f"{len(kept):,} of {rows.num_rows:,} rows, the others being copies of these or of anchors"
        advice = "Give rows of other items, a thousand or more, or leave both backgrounds out."
        raise refusal(rows.name, f"at least {LEAST} different rows that are no anchors", got, advice)
    return kept


def drawn_rows(rows: Rows, seed: int) -> tuple[Tensor, Tensor]:
    """All rows in a seeded order, or of more than `MOST` so many of them, `(n, d)`, and their numbers `(n,)`.

    Raises `InputError` where a value is not finite.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    drawn = torch.randperm(rows.num_rows, generator=generator, dtype=torch.int64, device="cpu")[:MOST]
    return check_sampled(rows.take(drawn), rows, drawn).float(), drawn
