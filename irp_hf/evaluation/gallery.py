"""Rows of an index that exist already: what cannot be searched is refused, what the target's encoder hardly gave is told."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from irp_hf.data.arrays import Rows
from irp_hf.errors import InputError, refusal
from irp_hf.evaluation.doubts import Doubt
from irp_hf.evaluation.printed import number
from irp_hf.maths.copies import COPY
from irp_hf.maths.inverses.kernel import KernelInverse
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.pools import SMALLEST
from irp_hf.maths.projection import unit_rows
from irp_hf.maths.typicality import learn_typicality

BLOCK = 8192  # rows at a time
LOOKED_AT = 512  # rows that tell how like the anchors all are
STRANGE, MANY = 0.1, 0.2  # a typicality that few rows of any domain have, and the share of such rows that is told
LANDMARKS = 1000  # anchors whose nearness tells it
UNLIKE = 0.5  # of the anchors' own typicality: another domain has more
SURE = 200  # so many anchors tell that twice as surely


def open_gallery(gallery: Any, width: int, source_width: int | None = None) -> Rows:
    """The rows `(n, width)` of an index, opened and read through once; the source's, of `source_width`, are no such.

    Raises `InputError` for what is no matrix of `width` with finite numbers and at least 12 rows; with the row's number for a
    row that is zero, or one number throughout, which no encoder gives and no angle can be taken with; and where all rows
    have one direction, so that none is nearer than another.
    """
    rows = Rows(gallery, "gallery", width, None if source_width is None else ("source", source_width))
    if rows.num_rows < SMALLEST:
        expected = f"at least {SMALLEST} rows"
        raise refusal("gallery", expected, f"{rows.num_rows}", "Give rows of the index, or leave gallery out.")
    rows.check_finite(BLOCK)
    first, alike = unit_rows(rows[0:1].double()), True
    for part, block in rows.chunks(BLOCK):
        _refuse_constant(block, part.start)
        apart = torch.linalg.vector_norm(unit_rows(block.double()) - first, dim=1)
        alike = alike and bool((apart <= COPY).all())
    if alike:
        got = f"{rows.num_rows:,} with the direction of row 0"
        raise refusal("gallery", "rows that differ", got, "Give rows of the index, or leave gallery out.")
    return rows


def unlike_anchors(pairs: Pairs, rows: Rows, seed: int) -> list[Doubt]:
    """Whether `rows`, or a part of them, lie where the target of `pairs` has no anchors, as those of another encoder do.

    Angles alone are looked at, as a search does: rows may have been scaled to unit length.
    """
    target = unit_rows(pairs.target)
    side = Pairs(target, target, pairs.labels)
    landmarks = side.source_rows[:LANDMARKS]
    typicality, own = learn_typicality(side, 0.0, landmarks, KernelInverse.gamma)
    picked = some_rows(rows.num_rows, seed)
    found = unit_rows(rows.take(picked).to(target))
    mean = side.source_stats.mean
    each = typicality(found, mean, (unit_rows(found - mean) @ landmarks.T).amax(1))
    theirs, usual = float(each.mean()), float(own.mean())
    strange, ordinary = float((each < STRANGE).double().mean()), float((own < STRANGE).double().mean())
    if theirs < usual * UNLIKE * min(1.0, 2 * len(pairs.labels.unique()) / SURE):
        which, told = (
            "The gallery's rows lie",
            f"their typicality is {number(theirs)} on average, and that of the anchors {number(usual)}",
        )
    elif strange - ordinary >= MANY:
        row = int(picked[(each < STRANGE).cpu()][0])
        which = f"About {strange:.0%} of the gallery's rows, row {row:,} for one, lie"
        told = f"their typicality is below {STRANGE:g}, which {ordinary:.0%} of the anchors have"
    else:
        return []
    words = (
        f"{which} where the target's anchors do not: {told}, each held out (1 is like them, 0 like noise or another encoder). "
        "What is said of an index holds only for vectors of the target's encoder: check that it gave these."
    )
    return [Doubt("gallery", words)]


def _refuse_constant(block: Tensor, first_row: int) -> None:
    """Raise `InputError` for a row of `block (b, d)`, which begins at `first_row`, that has the same number throughout."""
    low, high = block.aminmax(dim=1)
    constant = (low == high) & ((block.shape[1] > 1) | (low == 0))
    if bool(constant.any()):
        raise _constant(first_row + int(constant.nonzero()[0]), float(low[constant][0]))


def _constant(row: int, value: float) -> InputError:
    what = "a row of zeros" if not value else f"{value:g} in each place"
    return refusal(f"Row {row} of gallery", "a vector of the target", what, "Drop that row, or encode it again.")


def some_rows(num_rows: int, seed: int) -> Tensor:
    """The numbers of some rows, at random and ascending `(n,)`; of few all."""
    draws = torch.Generator("cpu").manual_seed(seed)
    return torch.randperm(num_rows, generator=draws, dtype=torch.int64, device="cpu")[:LOOKED_AT].sort().values
