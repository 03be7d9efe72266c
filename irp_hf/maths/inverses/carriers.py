"""Kernel ridge regression of a few columns on some landmarks, at any λ by one Cholesky factor: for λ far above rounding.

With features `Φ = K_km L⁻ᵀ`, `L Lᵀ = K_mm`, `Φ Φᵀ` stands for K, and `G = I - Φ (ΦᵀΦ + λI)⁻¹ Φᵀ` gives leave-one-out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.inverses.kernel import similarities
from irp_hf.maths.leaving_out import leave_one_out

MANY = 256  # rows
JITTER = 1e-10  # times a row's similarity with itself, over all rows: added to K_mm, which is singular where a kernel is flat


class Carriers:
    """The regression of `wanted (k, c)` on some of the rows' similarities."""

    def __init__(self, cosines: Tensor, own: Tensor, gamma: float, wanted: Tensor, groups: Sequence[Tensor]) -> None:
        """`cosines (k, m)` of the rows with the carriers, `own (m, m)` of these with each other.

        `groups`, row numbers `(n, m)` of n groups of m rows each, are left out together.
        """
        similar = similarities(own, gamma)
        similar.diagonal().add_(JITTER * float(similar.trace()))
        self.factor = torch.linalg.cholesky(similar)
        self.features = _from_right(self.factor, similarities(cosines, gamma))
        self.inner, self.projected = self.features.T @ self.features, self.features.T @ wanted
        self.wanted, self.groups = wanted, groups

    def leave_one_out(self, ridge: float) -> Tensor:
        """`wanted (k, c)`, each row as the rows outside of its group predict it."""
        many = len(self.features) > MANY  # then single precision is enough to compare, far above rounding as λ is
        dtype = working_dtype(torch.float32, self.features.device) if many else self.features.dtype
        factor, features, wanted = (one.to(dtype) for one in (self._factor(ridge), self.features, self.wanted))
        root = _from_right(factor, features)
        residual = wanted - root @ (root.T @ wanted)
        diagonal = 1 - root.square().sum(1)

        def between(rows: Tensor) -> Tensor:
            return torch.eye(rows.shape[-1], dtype=root.dtype, device=root.device) - root[rows] @ root[rows].mT

        return leave_one_out(wanted, residual, diagonal, self.groups, between, root.shape[1]).to(self.wanted.dtype)

    def coefficients(self, ridge: float) -> Tensor:
        """Of the carriers, shape (m, c)."""
        solved = torch.cholesky_solve(self.projected, self._factor(ridge))
        coefficients: Tensor = torch.linalg.solve_triangular(self.factor.T, solved, upper=True)
        return coefficients

    def _factor(self, ridge: float) -> Tensor:
        shifted = self.inner.clone()
        shifted.diagonal().add_(ridge)
        factor: Tensor = torch.linalg.cholesky(shifted)
        return factor


def _from_right(factor: Tensor, rows: Tensor) -> Tensor:
    """`rows L⁻ᵀ (k, m)` of a `factor (m, m)`, L, and `rows (k, m)`: it takes half as long as `L⁻¹` from the left of columns."""
    solved: Tensor = torch.linalg.solve_triangular(factor.T, rows, upper=True, left=False)
    return solved
