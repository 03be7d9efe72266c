"""The climb to the best hyper-parameters, and what a search for them finds."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeVar

from torch import Tensor

from irp_hf.maths.inverses.base import Inverse
from irp_hf.maths.inverses.hyperparameters import hyperparameters_of
from irp_hf.maths.inverses.kernel import Solved
from irp_hf.maths.metrics import cosines

FLAT = 1e-3  # the least share of what is missing to a cosine of 1 that a step must gain
NEARLY = 2e-2  # the same: so much is given up for less smoothing
SAMPLE = 500  # anchors: so many choose what moves little with their number, and 250 would choose otherwise
Point = TypeVar("Point", bound=Hashable)


class Trial(NamedTuple):
    """An inverse that was tried."""

    inverse: Inverse
    cosine: float
    """Mean cosine of out-of-fold directions with the true ones."""


class Candidate(NamedTuple):
    """A trial among which the objective chooses."""

    inverse: Inverse
    cosine: float
    directions: Tensor
    """The inverse's output for every pair, out of fold, shape (k, d_Y)."""
    true: Tensor
    """The unit rows `(k, d_Y)` that it should be, centred as the fit that made the output centred."""
    solved: Solved | None = None
    """The solution behind a kernel, or behind sums, for what comes after: it is most of the work."""


class TuningResult(NamedTuple):
    """What the tuning of one inverse found."""

    candidates: list[Candidate]
    others: list[Trial]


def grid_of(inverse: type[Inverse], name: str) -> tuple[float, ...]:
    """What is tried of the hyper-parameter of that name, rising."""
    return hyperparameters_of(inverse)[name].grid


def climb(evaluate: Callable[[Point], float], grid: Sequence[Point], start: int) -> dict[Point, float]:
    """Hill-climb a one-dimensional `grid` from index `start`: all points tried with their values, at most 1, best first.

    Where the way up is flat it stops, so that the plain middle of the grid wins over an extreme end that gains nothing.
    """
    tried = {grid[start]: evaluate(grid[start])}
    best = start
    for step in (1, -1):
        while 0 <= best + step < len(grid):
            point = grid[best + step]
            if point not in tried:
                tried[point] = evaluate(point)
            if tried[point] - tried[grid[best]] <= FLAT * (1 - tried[grid[best]]):
                break
            best += step
    return with_first(grid[best], tried)


def less_smooth(
    tried: dict[float, float], evaluate: Callable[[float], float], grid: Sequence[float], steps: int
) -> dict[float, float]:
    """What was tried of a rising `grid` of ridges, first one that smooths less than the best and is nearly as good.

    Heads and neighbours like that, whom a mean of cosines does not ask. It is fewer by `steps` at most. Where a point of the
    grid costs too much, the first is between it and the one before, where about as much is given up as is allowed: a hair's
    breadth more or less of it shall not decide over a whole step.
    """
    best, top = next(iter(tried.items()))
    index, least = grid.index(best), top - NEARLY * (1 - top)
    for ridge in reversed(grid[max(index - steps, 0) : index]):
        tried[ridge] = tried[ridge] if ridge in tried else evaluate(ridge)
        if tried[ridge] < least:
            best = _between(ridge, best, (least - tried[ridge]) / (tried[best] - tried[ridge]))
            tried[best] = tried[best] if best in tried else evaluate(best)
            break
        best = ridge
    return with_first(best, tried)


def _between(low: float, high: float, share: float) -> float:
    """From `low` to `high` by a `share` of the way, in logarithms; few digits are as good as all, and outlast rounding.

    Near their best cosines are concave in log λ: on the straight line between two of them none is promised that is not there.
    """
    return float(f"{low * (high / low) ** share:.2g}")


def with_first(point: Point, tried: dict[Point, float]) -> dict[Point, float]:
    """`tried` with this point first and the others best first."""
    return {point: tried.pop(point), **dict(sorted(tried.items(), key=lambda item: item[1], reverse=True))}


def mean_cosine(directions: Tensor, true: Tensor) -> float:
    """Mean cosine of `directions (n, d_Y)` with the unit rows `true (n, d_Y)`: angles alone, whatever the mean."""
    return float(cosines(directions, true).mean())
