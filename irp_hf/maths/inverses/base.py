"""What all inverses share: two independent halves, and the fold of both into what translation needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from irp_hf.maths.projection import Statistics, centre, denormalize, normalize, relative_projection


class Inverse(Protocol):
    """An inverse relative projection with its hyper-parameters. All rows and anchors are unit rows."""

    @property
    def lift(self) -> float:
        """At what lift the source's rows and anchors are to be normalised before they come here; 0 keeps angles alone."""

    def relative(self, rows: Tensor, source: Tensor) -> Tensor:
        """Source half: coordinates `(n, k)` of `rows (n, d_X)`, from the source's anchors `(k, d_X)` alone."""

    def absolute(self, coordinates: Tensor, target: Tensor) -> Tensor:
        """Target half: directions `(n, d_Y)` of `coordinates (n, k)`, from the target's anchors `(k, d_Y)` alone."""

    def fold(self, source: Tensor, target: Tensor) -> Folded:
        """Both halves at once, in float64: equal to `absolute(relative(rows))`, at the cost of one small map."""


@dataclass(frozen=True)
class LinearMap:
    """Unit rows `(n, d_X)` to directions `(n, d_Y)` by one matrix."""

    weight: Tensor
    """Shape (d_X, d_Y)."""

    def __call__(self, rows: Tensor) -> Tensor:
        """Directions `(n, d_Y)` of unit `rows (n, d_X)`."""
        return rows @ self.weight

    def then(self, matrix: Tensor) -> LinearMap:
        """This map followed by `matrix (d_Y, d_Y)`."""
        return LinearMap(self.weight @ matrix)


@dataclass(frozen=True)
class KernelMap:
    """Unit rows `(n, d_X)` to directions `(n, d_Y)` by their radial similarity with landmarks."""

    landmarks: Tensor
    """Unit rows, shape (m, d_X)."""
    coefficients: Tensor
    """Shape (m, d_Y)."""
    intercept: Tensor
    """Shape (d_Y,)."""
    gamma: float

    def __call__(self, rows: Tensor) -> Tensor:
        """Directions `(n, d_Y)` of unit `rows (n, d_X)`."""
        return torch.addmm(self.intercept, relative_projection(rows, self.landmarks, self.gamma), self.coefficients)

    def then(self, matrix: Tensor) -> KernelMap:
        """This map followed by `matrix (d_Y, d_Y)`."""
        return KernelMap(self.landmarks, self.coefficients @ matrix, self.intercept @ matrix, self.gamma)


Folded = LinearMap | KernelMap
Translator = Callable[[Tensor], Tensor]  # raw (n, d_X) to raw (n, d_Y)


def translator(folded: Folded, source: Statistics, target: Statistics, lift: float = 0.0) -> Translator:
    """A folded inverse between raw spaces."""
    if isinstance(folded, LinearMap):  # its row norm takes the input's norm away as well
        height = lift * source.scale if lift else None
        return lambda x: denormalize(folded(centre(x, source.mean, height)), target)
    return lambda x: denormalize(folded(normalize(x, source, lift)), target)
