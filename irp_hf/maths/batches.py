"""Rows that are in reverse within every so many: neighbours that were swapped, batches that were filled from their end.

Both sides go together in that order far more than as they stand, which a sum over rows tells of every size at once; a held-out
regression then says how well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.alignment import BETTER, LAG_WIDTH, LEAST_ROWS, NEAR, STANDS_OUT, UNRELATED
from irp_hf.maths.projection import unit_rows
from irp_hf.maths.shuffling import held_out

LARGEST = 512  # rows of a batch; a reversed run that is longer is found as one
BLOCK = 2**19  # numbers that are compared at once
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

    left, right = (side.to(working_dtype(torch.float32, side.device)) for side in white)  # to compare asks for no more

    def strengths(orders: Tensor) -> Tensor:
        """How strongly both sides go together in each of `orders (o, k)`, in deviations of what unrelated ones have, `(o,)`."""
        parts = orders.split(max(1, BLOCK // right.numel()))
        power = torch.cat([(left.T @ right[part]).square().sum((1, 2)) for part in parts]) * k
        beyond: Tensor = (power - degrees) / math.sqrt(2 * degrees)
        return beyond

    others = torch.stack([rows.flip(0), *(rows.roll(step) for step in range(-NEAR, NEAR + 1))])
    sizes = torch.arange(2, min(LARGEST, k // 2) + 1, device=x.device)
    found_of = strengths(_within(rows, sizes[:, None]))
    best = int(found_of.argmax())
    if float(found_of[best]) < max(STANDS_OUT, CLEARLY * float(strengths(others).max())):
        return None
    size = int(sizes[best])
    own, found = (
        float((held_out(x, y[order]) * unit_rows(y[order])).sum(1).mean()) for order in (rows, _within(rows, size))
    )
    if found < UNRELATED or found - own < BETTER * found:
        return None
    return Batches(size, own, found)


def _within(rows: Tensor, size: int | Tensor) -> Tensor:
    """The row `(k,)` that stands where each would if every batch of that size, and what is left, were turned.

    Of sizes `(s, 1)` as many, `(s, k)`.
    """
    first = rows // size * size
    last = (first + size).clamp(max=len(rows)) - 1
    return first + last - rows
