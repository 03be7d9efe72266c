"""Sums over pairs that can be added up: all that a fit on any number of them needs to know."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import cast

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.inverses.kernel import INTERCEPT
from irp_hf.maths.many.plan import Plan
from irp_hf.maths.many.system import LandmarkSystem
from irp_hf.maths.projection import normalize, relative_projection

ROWS = 2048  # summed in the precision of their products; the sums of such parts are added in double
COLUMNS = 1024  # of a product with itself, of which one half is enough


@dataclass
class Moments:
    """Sums over some pairs, in double precision."""

    count: Tensor
    """Of pairs, shape ()."""
    lengths: Tensor
    """Of the targets' distances from the mean, shape ()."""
    source: Tensor
    """`XᵀX (d_X, d_X)` of unit rows at the lift."""
    target: Tensor
    """`YᵀY (d_Y, d_Y)` of unit rows."""
    both: Tensor
    """`XᵀY (d_X, d_Y)`."""
    targets: Tensor
    """Of the targets' unit rows, shape (d_Y,)."""
    second: Tensor
    """`CᵀC (m, m)` of similarities with the landmarks less the usual ones; the upper half."""
    cross: Tensor
    """`CᵀY (m, d_Y)`."""
    similar: Tensor
    """Of `C`, shape (m,)."""

    @classmethod
    def none(cls, m: int, source: int, target: int, device: torch.device) -> Moments:
        """Of no pairs."""
        shapes = ((), (), (source, source), (target, target), (source, target), (target,), (m, m), (m, target), (m,))
        return cls(*(torch.zeros(shape, dtype=torch.float64, device=device) for shape in shapes))

    def tensors(self) -> list[Tensor]:
        """All sums, in the order of the fields."""
        return [getattr(self, field.name) for field in fields(self)]

    def __add__(self, other: Moments) -> Moments:
        return Moments(*(mine + theirs for mine, theirs in zip(self.tensors(), other.tensors(), strict=True)))


class Sums:
    """Sums over the pairs that judge, and over all others. Those of disjoint parts add up to those of the whole."""

    def __init__(self, plan: Plan, rest: Moments | None = None, held: Moments | None = None) -> None:
        """Of no pairs yet."""
        m, width = len(plan.landmarks), plan.landmarks.shape[1]
        size = m, width, plan.judges.target.shape[1], plan.landmarks.device
        self.plan = plan
        self.rest = Moments.none(*size) if rest is None else rest
        self.held = Moments.none(*size) if held is None else held
        self._single = working_dtype(torch.float32, plan.landmarks.device)
        self._landmarks = plan.landmarks.to(self._single)
        self._usual = None if plan.usual is None else plan.usual.to(self._single)

    def __add__(self, other: Sums) -> Sums:
        """Those over the pairs of both; the plan must be the same."""
        return Sums(self.plan, self.rest + other.rest, self.held + other.held)

    def parts(self) -> tuple[Moments, Moments]:
        """Those over all pairs that do not judge, and over those that do."""
        return self.rest, self.held

    def add(self, source: Tensor, target: Tensor) -> None:
        """Add these pairs, `source (n, d_X)` and `target (n, d_Y)`, as they are."""
        for x, y in zip(source.split(ROWS), target.split(ROWS), strict=True):
            x, y = x.double(), y.double()
            held = self.plan.held(x, y)
            for sums, which in ((self.rest, ~held), (self.held, held)):
                if which.all():
                    self._add(sums, x, y)
                elif which.any():
                    self._add(sums, x[which], y[which])

    def _add(self, sums: Moments, x: Tensor, y: Tensor) -> None:
        judges = self.plan.judges
        rows, true = normalize(x, judges.source_stats, self.plan.lift), normalize(y, judges.target_stats)
        sums.count += len(x)
        sums.lengths += torch.linalg.vector_norm(y - judges.target_stats.mean, dim=1).sum()
        sums.targets += true.sum(0)
        single, few = rows.to(self._single), true.to(self._single)
        if "whitened" in self.plan.request.methods:
            sums.source.addmm_(rows.T, rows)
            sums.target.addmm_(true.T, true)
            sums.both.addmm_(rows.T, true)
        if self._usual is None:
            return
        similar = relative_projection(single, self._landmarks, self.plan.gamma).sub_(self._usual)
        sums.similar += similar.sum(0, dtype=torch.float64)
        sums.cross += similar.T @ few
        for start in range(0, similar.shape[1], COLUMNS):
            stop = start + COLUMNS
            sums.second[start:stop, start:] += similar[:, start:stop].T @ similar[:, start:]

    def system(self, own: Tensor, held: bool) -> LandmarkSystem:
        """The regression on landmarks, of which `own (m, m)` is K: without the judges, or with them (`held`)."""
        parts, offset = self.parts() if held else (self.rest,), cast(Tensor, self.plan.usual) + INTERCEPT
        second, cross = torch.zeros_like(self.rest.second), torch.zeros_like(self.rest.cross)
        for sums in parts:
            second += sums.second
            cross += sums.cross + torch.outer(offset, sums.targets)
            # (C + 1 oᵀ)ᵀ (C + 1 oᵀ), of which C is what was summed and o what it was taken less of
            second.addr_(sums.similar + sums.count * offset, offset).addr_(offset, sums.similar)
        mirror(second)
        return LandmarkSystem(second, cross, own)


def mirror(upper: Tensor) -> None:
    """Make the symmetric matrix `(m, m)` of its upper half, in its place."""
    for start in range(0, len(upper), COLUMNS):
        stop = start + COLUMNS
        upper[stop:, start:stop] = upper[start:stop, stop:].T
        block = upper[start:stop, start:stop].triu()
        upper[start:stop, start:stop] = block + block.triu(1).T
