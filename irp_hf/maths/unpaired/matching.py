"""A rotation between two spaces from rows that nobody paired: matched, rotated, and matched again.

The rows of a random part of either side are compared along the singular directions of the last cross-covariance, each weighted
by a power of its singular value, by which directions that both sides share count most; the counterparts found give the next
cross-covariance. The power falls from loop to loop, until all directions count alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from irp_hf.maths.projection import unit_rows
from irp_hf.maths.unpaired.csls import NEAREST, coincidence, counterparts
from irp_hf.maths.unpaired.side import Side

SUBSET = 2000  # rows of either side that are matched at once
ROUNDING = 1e-14  # of the largest square of a singular value
PAIR_WEIGHT = 0.1  # of all pairs together, beside that of all matched rows


@dataclass(frozen=True)
class Schedule:
    """One loop."""

    steps: int
    first: float
    """Power of the singular values in the first step; it falls evenly."""
    last: float
    count: int = NEAREST
    """Rows whose mean is a counterpart."""


COARSE, FINE = Schedule(30, 1.0, 0.5), Schedule(30, 0.5, 0.0)


class Matcher:
    """Two sides, and some pairs of rows of these, all in reduced coordinates."""

    def __init__(
        self, source: Side, target: Side, pairs: tuple[Tensor, Tensor] | None, seed: int, subset: int = SUBSET
    ) -> None:
        """`pairs` are unit rows `(k, r)` and `(k, q)`, row i of both of one item; None where nobody knows any."""
        self.source, self.target, self.pairs, self.subset = source, target, pairs, subset
        self._generator = torch.Generator("cpu").manual_seed(seed)

    def some(self, side: Side, subset: int | None = None) -> Tensor:
        """Reduced rows `(n, r)` of a side, drawn at random."""
        drawn = torch.randperm(len(side), generator=self._generator, dtype=torch.int64, device="cpu")
        drawn = drawn[: subset or self.subset]
        return side.low[drawn.to(side.low.device)]

    def moment(self, x: Tensor, y: Tensor, there: Tensor, back: Tensor) -> Tensor:
        """The cross-covariance `(r, q)`, but for its scale, of rows and their counterparts, and of the pairs."""
        moment = x.T @ there + back.T @ y
        if self.pairs is None:
            return moment
        source, target = self.pairs
        return moment + PAIR_WEIGHT * (len(x) + len(y)) / len(source) * source.T @ target

    def start(self, source: Tensor, target: Tensor, weight: float, count: int = NEAREST) -> Tensor:
        """A first rotation `(r, q)` by unit rows `(k, r)` and `(k, q)` that belong together.

        Rows match that are alike in how near they are to each of these, which have so much `weight` of their own.
        """
        x, y = self.some(self.source), self.some(self.target)
        left, right = _standardised(x @ source.T), _standardised(y @ target.T)
        there, back = counterparts(left @ right.T, x, y, count)
        moment = x.T @ there + back.T @ y
        return polar(moment + weight * (len(x) + len(y)) / len(source) * source.T @ target)

    def by_pairs(self) -> Tensor:
        """The rotation `(r, q)` that begins with the pairs."""
        source, target = cast(tuple[Tensor, Tensor], self.pairs)
        return self.loop(self.loop(self.start(source, target, weight=1.0), COARSE, self.subset // 2), FINE)

    def best_of(self, rotations: Sequence[Tensor]) -> Tensor:
        """The one of the `rotations (r, q)` by which both clouds coincide best, refined once more."""
        return self.loop(max(rotations, key=self.coincidence), FINE)

    def loop(self, rotation: Tensor, schedule: Schedule, subset: int | None = None) -> Tensor:
        """The next rotation `(r, q)`; where only the coarse is sought, a smaller subset is enough."""
        left, right = rotation, None
        for step in range(schedule.steps):
            x, y = self.some(self.source, subset), self.some(self.target, subset)
            seen = y if right is None else unit_rows(y @ right)
            there, back = counterparts(unit_rows(x @ left) @ seen.T, x, y, schedule.count)
            u, values, v = singular(self.moment(x, y, there, back))
            power = schedule.first + (schedule.last - schedule.first) * step / (schedule.steps - 1)
            weights = (values / values[0]) ** power
            left, right = (u * weights).to(x), (v * weights).to(x)
        return (u @ v.T).to(x)

    def coincidence(self, rotation: Tensor) -> float:
        """How well both clouds coincide."""
        some = slice(self.subset)
        return coincidence(unit_rows(self.source.low[some] @ rotation), self.target.low[some])


def singular(moment: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U `(r, p)`, the singular values `(p,)`, falling, and V `(q, p)` of `moment (r, q)`, by the smaller of its two squares."""
    moment = moment.double()
    wide = moment.shape[1] > moment.shape[0]
    squares, vectors = torch.linalg.eigh(moment @ moment.T if wide else moment.T @ moment)
    squares, vectors = squares.flip(0), vectors.flip(1)
    values = squares.clamp(min=squares[0] * ROUNDING).sqrt()
    others = (moment.T if wide else moment) @ vectors / values
    return (vectors, values, others) if wide else (others, values, vectors)


def polar(moment: Tensor) -> Tensor:
    """The nearest matrix `(r, q)` with orthonormal rows or columns."""
    u, _, v = singular(moment)
    return (u @ v.T).to(moment)


def _standardised(similar: Tensor) -> Tensor:
    """Similarities `(n, k)` with k pairs, each about its mean and by its deviation over the rows, at unit length."""
    return unit_rows((similar - similar.mean(0)) / similar.std(0).clamp(min=1e-12))
