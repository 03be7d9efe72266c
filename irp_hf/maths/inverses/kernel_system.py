"""The kernel inverse over all anchors at one ridge, by a Cholesky factor: a fifth of the price of a decomposition."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from irp_hf.maths.inverses.base import KernelMap
from irp_hf.maths.inverses.kernel import INTERCEPT, KernelInverse, Solved, similarities
from irp_hf.maths.inverses.solving import inverse_with_ridge
from irp_hf.maths.leaving_out import FoldsLeftOut, leave_one_out


class KernelSystem(Solved):
    """`Solved` by `(K + λI)⁻¹`, which is all that leave-one-out and leave-fold-out ask for."""

    def __init__(
        self, rows: Tensor, cosines: Tensor, inverse: KernelInverse, target: Tensor, groups: Sequence[Tensor] = ()
    ) -> None:
        """Unit `rows (k, d_X)` with their `cosines (k, k)`, and `target (k, d_Y)`.

        `groups`, row numbers `(n, m)` of n groups of m rows each, are left out together.
        """
        self.rows, self.cosines, self.gamma = rows, cosines, inverse.gamma
        self.target, self.groups = target, groups
        self.inverse = inverse_with_ridge(similarities(cosines, inverse.gamma), inverse.ridge)
        self.coefficients = self.inverse @ target

    def fold(self) -> KernelMap:
        """As `Solved` has it; so the others."""
        return KernelMap(self.rows, self.coefficients, INTERCEPT * self.coefficients.sum(0), self.gamma)

    def leave_one_out(self) -> Tensor:
        """Of each row by the others."""
        return left_out(self.inverse, self.target, self.groups, self.coefficients)

    def leave_fold_out(self, folds: Sequence[Tensor]) -> Tensor:
        """Of each fold by the others."""
        return self.folds_left_out(folds)()

    def folds_left_out(self, folds: Sequence[Tensor]) -> FoldsLeftOut:
        """As `Solved` has it."""
        return FoldsLeftOut(self.target, self.coefficients, folds, partial(between, self.inverse))


def left_out(inverse: Tensor, target: Tensor, groups: Sequence[Tensor], solved: Tensor | None = None) -> Tensor:
    """`target (k, d)`, each row as the rows outside of its group predict it, by `inverse (k, k)`, `(K + λI)⁻¹`."""
    solved = inverse @ target if solved is None else solved
    return leave_one_out(target, solved, inverse.diagonal(), groups, partial(between, inverse), 1)


def between(matrix: Tensor, rows: Tensor) -> Tensor:
    """`matrix (k, k)` between `rows (..., m)`, shape (..., m, m)."""
    return matrix[rows[..., :, None], rows[..., None, :]]
