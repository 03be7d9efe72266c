"""The whitened inverse without each fold in turn, from sums over all rows: nothing is summed anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor

from irp_hf.maths.inverses.whitened import Spectrum, WhitenedPath
from irp_hf.maths.leaving_out import leave_folds_out
from irp_hf.maths.pairs import others


def paths_without(source: Tensor, target: Tensor, folds: Sequence[Tensor]) -> Iterator[WhitenedPath]:
    """The path over all unit rows `source (k, d_X)` and `target (k, d_Y)` but those of each fold (row numbers)."""
    sides, cross = (_Inner(source), _Inner(target)), source.T @ target
    for fold in folds:
        rest = others(fold, len(source))
        left, right = (Spectrum.of(side.rows[rest], side.without(fold, rest)) for side in sides)
        rest_cross = (cross - source[fold].T @ target[fold]) / len(rest)
        yield WhitenedPath(left, right, left.vectors.T @ rest_cross @ right.vectors)


class _Inner:
    """Inner products of unit `rows (k, d)`, of columns or of rows, whichever are fewer."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    @cached_property
    def of_columns(self) -> Tensor:
        return self.rows.T @ self.rows

    @cached_property
    def of_rows(self) -> Tensor:
        return self.rows @ self.rows.T

    def without(self, fold: Tensor, rest: Tensor) -> Tensor:
        """Those of the rows `rest`, which are all but `fold`."""
        if self.rows.shape[1] <= len(rest):
            return self.of_columns - self.rows[fold].T @ self.rows[fold]
        return self.of_rows[rest[:, None], rest]


class RidgePath:
    """The whitened inverse at balance 1, ridge regression, for every λ and all folds from one decomposition.

    With `U S Uᵀ` the second moment of the rows among themselves, it predicts its own targets as `H y`, `H = U S/(S + λ) Uᵀ`.
    """

    def __init__(self, rows: Tensor, folds: Sequence[Tensor]) -> None:
        """Unit `rows (k, d_X)` of the source."""
        k, d = rows.shape
        self.folds = folds
        inner = rows.T @ rows if d <= k else rows @ rows.T
        self.mean = float(inner.diagonal().sum()) / (k * d)
        values, vectors = torch.linalg.eigh(inner / k)
        kept = values > values[-1] * max(k, d) * torch.finfo(values.dtype).eps
        self.values, vectors = values[kept], vectors[:, kept]
        self.left = rows @ (vectors / (k * self.values).sqrt()) if d <= k else vectors

    def spectral(self, target: Tensor) -> Tensor:
        """`target (k, d_Y)` in the basis of the decomposition: shared by every λ."""
        spectral: Tensor = self.left.T @ target
        return spectral

    def leave_fold_out(self, target: Tensor, ridge: float, spectral: Tensor | None = None) -> Tensor:
        """Directions `(k, d_Y)`, each fold from the others."""
        # The ridge grows with the rows that are fitted on: without a fold it is so much less.
        share = self.values / (self.values + ridge * self.mean * (1 - 1 / len(self.folds)))
        spectral = self.spectral(target) if spectral is None else spectral
        residual = target - self.left @ (share[:, None] * spectral)

        def blocks(rows: Tensor) -> Tensor:
            left = self.left[rows]
            own = torch.eye(len(rows), dtype=left.dtype, device=left.device)
            block: Tensor = own - (left * share) @ left.T
            return block

        return leave_folds_out(target, residual, self.folds, blocks)
