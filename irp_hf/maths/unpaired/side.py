"""One space as its unpaired rows tell it: where its middle is, and in which directions it spreads most."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from irp_hf.maths.pairs import others
from irp_hf.maths.projection import unit_rows

DIMENSIONS = 192  # leading principal directions: what lies beyond them tells no counterpart, and costs time


@dataclass(frozen=True)
class Side:
    """The unit rows of a space in its leading principal directions."""

    axes: Tensor
    """Orthonormal, shape (d, r)."""
    low: Tensor
    """The rows in them, at unit length again, shape (n, r)."""
    spread: float
    """In how many directions the rows spread about their mean: (tr C)² / tr C² of their covariance C."""

    @classmethod
    def of(cls, rows: Tensor, dimensions: int = DIMENSIONS) -> Side:
        """Of centred unit `rows (n, d)`."""
        moment = (rows.T @ rows).double()
        vectors: Tensor = torch.linalg.eigh(moment).eigenvectors[:, -min(dimensions, len(rows) - 1, rows.shape[1]) :]
        axes = vectors.to(rows.dtype)
        return cls(axes, unit_rows(rows @ axes), _participation(moment / len(rows), rows.double().mean(0)))

    def without(self, numbers: Tensor) -> Side:
        """The same, seen as before, without the rows of these numbers `(k,)`."""
        return replace(self, low=self.low[others(numbers, len(self.low))])

    def enter(self, rows: Tensor) -> Tensor:
        """Unit `rows (k, d)` likewise, shape (k, r)."""
        return unit_rows(rows @ self.axes)

    def __len__(self) -> int:
        return len(self.low)


def _participation(moment: Tensor, mean: Tensor) -> float:
    """By the mean square `(d, d)` of rows, and their `mean (d,)`."""
    covariance = moment - torch.outer(mean, mean)
    return float(covariance.trace().square() / covariance.square().sum().clamp(min=torch.finfo(moment.dtype).tiny))
