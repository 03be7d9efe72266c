"""Rows that are in reverse within every so many: neighbours that were swapped, batches that were filled from their end.

Both sides go together in that order far more than as they stand, which a sum over rows tells of every size at once; a held-out
regression then says how well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from irp_hf.maths.alignment import BETTER, LAG_WIDTH, LEAST_ROWS, NEAR, STANDS_OUT, UNRELATED
from irp_hf.maths.projection import unit_rows
from irp_hf.maths.shuffling import held_out

LARGEST = 512  # rows of a batch; a reversed run that is longer is found as one
CLEARLY = 2.0  # times as strongly as they stand, at any small shift or in reverse both sides must go together


@dataclass(frozen=True)
class Batches:
    """The source of each row fits the target that stands in reverse within its batch."""

    size: int
    """Rows of a batch, from row 0 on; 2: neighbours were swapped."""
    own: float
    """Mean cosine about the mean with the targets as they stand, held out."""
    found: float
    """The same with those that fit."""


def reversed_batches(x: Tensor, y: Tensor) -> Batches | None:
    """The batches in which the rows of one side are in reverse, by the `coordinates` `x (k, p)` and `y (k, q)` of both."""
    k = len(x)
    if k < LEAST_ROWS:
        return None
    rows, width = torch.arange(k, device=x.device), min(LAG_WIDTH, max(2, k // 10))
    white = [torch.linalg.qr(side[:, :width] - side[:, :width].mean(0)).Q for side in (x, y)]
    degrees = white[0].shape[1] * white[1].shape[1]

    def strength(order: Tensor) -> float:
        """How strongly both sides go together, in standard deviations of what unrelated ones have."""
        power = float((white[0].T @ white[1][order]).square().sum()) * k
        beyond: float = (power - degrees) / math.sqrt(2 * degrees)
        return beyond

    others = [rows.flip(0), *(rows.roll(step) for step in range(-NEAR, NEAR + 1))]
    usual = max(map(strength, others))
    sizes = range(2, min(LARGEST, k // 2) + 1)
    strengths = [strength(_within(rows, size)) for size in sizes]
    best = max(range(len(sizes)), key=strengths.__getitem__)
    if strengths[best] < max(STANDS_OUT, CLEARLY * usual):
        return None
    own, found = (
        float((held_out(x, y[order]) * unit_rows(y[order])).sum(1).mean())
        for order in (rows, _within(rows, sizes[best]))
    )
    if found < UNRELATED or found - own < BETTER * found:
        return None
    return Batches(sizes[best], own, found)


def _within(rows: Tensor, size: int) -> Tensor:
    """The row `(k,)` that stands where each would if every batch of that size, and what is left, were turned."""
    first = rows // size * size
    last = (first + size).clamp(max=len(rows)) - 1
    return first + last - rows
