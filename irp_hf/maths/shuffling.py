"""A block of rows whose targets came in another order: there a row fits its own target no better than that of any other.

A change of subject is not one: rows that belong together still tell of each other when they are fitted alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from irp_hf.maths.alignment import NUM_FOLDS, regression_on, with_ridge
from irp_hf.maths.projection import unit_rows

LEAST_ROWS = 60  # of a table
LEAST_BLOCK = 20  # rows that are worth a word
NOTHING = 3.0  # standard deviations of chance that a block stays below
CLEAR = 5.0  # the same, that blocks as long elsewhere are above
ROUNDS = 4
EDGE = 0.05  # of a block, at either end, where it may be a few rows off


@dataclass(frozen=True)
class Block:
    """Rows `first` to `stop - 1`, which fit their own targets as chance would have it."""

    first: int
    stop: int
    own: float
    """Mean cosine about the mean with their own targets."""
    elsewhere: float
    """The same of the other rows."""


def shuffled_block(x: Tensor, y: Tensor) -> Block | None:
    """The block of rows that are in another order, by the `coordinates` `x (k, p)` and `y (k, q)` of both sides.

    Elsewhere every block as long must fit clearly, so that of weak fits and of short blocks nothing is said.
    """
    k = len(x)
    if k < LEAST_ROWS:
        return None
    true, predicted = unit_rows(y), held_out(x, y)
    own = (predicted * true).sum(1)
    first, stop = _unlike_the_others(own - predicted @ true.mean(0))
    if min(stop - first, k - stop + first) < LEAST_BLOCK:
        return None

    def least(start: int, end: int) -> tuple[float, float]:
        """How far above chance its rows fit by what all rows tell, and by what they tell alone."""
        edge = round(EDGE * (end - start))
        rows = slice(start + edge, end - edge)
        return above_chance(predicted[rows], true[rows]), above_chance(held_out(x[rows], y[rows]), true[rows])

    if max(least(first, stop)) > NOTHING or any(min(least(*other)) < CLEAR for other in _others(k, first, stop)):
        return None
    outside = torch.cat([own[:first], own[stop:]])
    return Block(first, stop, float(own[first:stop].mean()), float(outside.mean()))


def _unlike_the_others(gains: Tensor) -> tuple[int, int]:
    """The rows, as first and one after the last, whose `gains (k,)` have likeliest the mean 0 while all others have another.

    The likelihood ratio of normal gains of one spread is a sum over rows, of which the largest run is sought.
    """
    outside = torch.ones_like(gains, dtype=torch.bool)
    first, stop = 0, 0
    for _ in range(ROUNDS):
        mean = float(gains[outside].mean())
        spread = float(gains[outside].var()) if int(outside.sum()) > 1 else 0.0
        if mean <= 0 or spread <= 0:
            return 0, 0
        sums = torch.cat([gains.new_zeros(1), ((mean / 2 - gains) * mean / spread).cumsum(0)])
        ending = sums - sums.cummin(0).values
        stop = int(ending.argmax())
        first = int(sums[: stop + 1].argmin())
        before, outside = outside, torch.ones_like(outside)
        outside[first:stop] = False
        if torch.equal(before, outside) or not bool(outside.any()):
            break
    return first, stop


def _others(k: int, first: int, stop: int) -> list[tuple[int, int]]:
    """Blocks as long on both sides of one, side by side, or the longer side where none is."""
    length = min(stop - first, max(first, k - stop))
    starts = [*range(first - length, -1, -length), *range(stop, k - length + 1, length)]
    return [(start, start + length) for start in starts]


def held_out(x: Tensor, y: Tensor) -> Tensor:
    """Unit predictions `(k, q)` of all rows of `y (k, q)` by ridge regression on `x (k, p)`, each fitted on other parts."""
    true, (inputs, ridges) = unit_rows(y), regression_on(x)
    second, cross = inputs.T @ inputs, inputs.T @ true
    parts: dict[float, list[Tensor]] = {ridge: [] for ridge in ridges}
    for fold in torch.arange(len(x), device=x.device).tensor_split(min(NUM_FOLDS, len(x))):
        rows = inputs[fold]
        inner, core = second - rows.T @ rows, cross - rows.T @ true[fold]
        for ridge, predicted in parts.items():
            predicted.append(rows @ with_ridge(inner, ridge, core))
    return max((unit_rows(torch.cat(rows)) for rows in parts.values()), key=lambda rows: float((rows * true).sum()))


def above_chance(predicted: Tensor, true: Tensor) -> float:
    """The mean cosine of unit rows `predicted (n, q)` and `true (n, q)`, in standard deviations above that of any order."""
    n = len(true)
    left, right = (rows - rows.mean(0) for rows in (predicted, true))
    deviation = math.sqrt(float(((left.T @ left) * (right.T @ right)).sum()) / (n * n * (n - 1)))
    gain = float((left * right).sum(1).mean())
    return gain / deviation if deviation > 0 else 0.0
