"""What pairs and pseudo-pairs tell together, as weighted sums: a pseudo-pair counts as some share of a pair."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from irp_hf.maths.inverses.base import KernelMap
from irp_hf.maths.inverses.kernel import INTERCEPT
from irp_hf.maths.inverses.whitened import Spectrum, WhitenedPath
from irp_hf.maths.many.system import LandmarkSystem
from irp_hf.maths.projection import relative_projection
from irp_hf.maths.rigid import damped


class Part:
    """Pairs and pseudo-pairs that a fit may see, all as unit rows about the same means."""

    def __init__(self, rows: Tensor, true: Tensor, unpaired: Tensor, matched: Tensor) -> None:
        """Pairs `rows (k, d_X)` and `true (k, d_Y)`; `unpaired (n, d_X)` with their counterparts `matched (n, d_Y)`."""
        self.rows, self.true, self.unpaired, self.matched = rows, true, unpaired, matched
        self._paths: dict[float, WhitenedPath] = {}

    @cached_property
    def cross(self) -> tuple[Tensor, Tensor]:
        """Σ x yᵀ `(d_X, d_Y)` over the pairs, and over the pseudo-pairs."""
        return self.rows.T @ self.true, (self.unpaired.T @ self.matched).double()

    @cached_property
    def seconds(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Σ x xᵀ likewise, and Σ y yᵀ."""
        source = self.rows.T @ self.rows, (self.unpaired.T @ self.unpaired).double()
        return source, (self.true.T @ self.true, (self.matched.T @ self.matched).double())

    def rotation(self, weight: float) -> Tensor:
        """The damped rotation `(d_X, d_Y)`."""
        return damped(_weighted(self.cross, weight))

    def path(self, weight: float) -> WhitenedPath:
        """Every balance and λ; that of the last weight is kept."""
        if weight not in self._paths:
            self._paths = {weight: self._path(weight)}
        return self._paths[weight]

    def _path(self, weight: float) -> WhitenedPath:
        count = len(self.rows) + weight * len(self.unpaired)
        source, target = (Spectrum.of_moment(_weighted(second, weight) / count) for second in self.seconds)
        both = _weighted(self.cross, weight) / count
        return WhitenedPath(source, target, source.vectors.T @ both @ target.vectors)


def _weighted(sums: tuple[Tensor, Tensor], weight: float) -> Tensor:
    pairs, pseudo = sums
    return pairs + weight * pseudo


class KernelSums:
    """Sums of similarities with some landmarks, of all pairs and of the same unpaired rows, at one γ."""

    def __init__(self, rows: Tensor, unpaired: Tensor, landmarks: Tensor, gamma: float) -> None:
        """Unit `rows (k, d_X)`, `unpaired (n, d_X)` and `landmarks (m, d_X)`."""
        self.landmarks, self.gamma = landmarks, gamma
        self.of_pairs = self.similar(rows)
        self.of_unpaired = self.similar(unpaired)
        self.own = self.similar(landmarks).double()
        self.second = (self.of_unpaired.T @ self.of_unpaired).double()

    def similar(self, rows: Tensor) -> Tensor:
        """Of unit `rows (n, d_X)` with the landmarks, shape (n, m)."""
        return relative_projection(rows, self.landmarks.to(rows), self.gamma).add_(INTERCEPT)

    def system(self, part: Part, kept: Tensor, weight: float) -> LandmarkSystem:
        """The regression over a `part` whose pairs are the `kept (j,)` of all."""
        similar = self.of_pairs[kept]
        second = torch.add(similar.T @ similar, self.second, alpha=weight)
        cross = similar.T @ part.true + weight * (self.of_unpaired.T @ part.matched).double()
        return LandmarkSystem(second, cross, self.own)

    def map(self, coefficients: Tensor) -> KernelMap:
        """The map of `coefficients (m, d_Y)`."""
        return KernelMap(self.landmarks, coefficients, INTERCEPT * coefficients.sum(0), self.gamma)
