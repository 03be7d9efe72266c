"""Kernel ridge regression on landmarks, from sums over any number of rows."""

from __future__ import annotations

import torch
from torch import Tensor

# Of the mean diagonal: what rounding may take from the least eigenvalue.
SHIFTS = (0.0, *(10.0**e for e in range(-15, 1)))


class LandmarkSystem:
    """`(FᵀF + λK) α = FᵀY` of features `F (n, m)`, K the landmarks' own: one Cholesky factor a λ."""

    def __init__(self, second: Tensor, cross: Tensor, own: Tensor) -> None:
        """`second (m, m)`, FᵀF, `cross (m, d_Y)`, FᵀY, and `own (m, m)`, K."""
        self.second, self.cross, self.own = second, cross, own

    def solve(self, ridge: float) -> Tensor:
        """Coefficients `(m, d_Y)` at this λ."""
        mean = float(self.second.diagonal().mean())
        for shift in SHIFTS:
            shifted = torch.add(self.second, self.own, alpha=ridge)
            shifted.diagonal().add_(shift * mean)
            failed = torch.empty((), dtype=torch.int32, device=shifted.device)
            factor, by_columns = shifted.mT, shifted.mT  # as LAPACK has it: in place, for m² numbers may be many
            torch.linalg.cholesky_ex(by_columns, out=(factor, failed))
            if not failed:
                half = torch.linalg.solve_triangular(factor, self.cross, upper=False)
                found: Tensor = torch.linalg.solve_triangular(factor.mT, half, upper=True)
                return found
        raise ArithmeticError(
            "no shift makes the sums positive definite"
        )  # of NaN, which is refused where rows are read
