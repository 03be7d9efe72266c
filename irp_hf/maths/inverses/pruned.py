"""The paper's inverse: the pseudo-inverse of pruned anchors, averaged over anchor subspaces (arXiv 2406.15057)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irp_hf.maths.inverses.base import Inverse, LinearMap
from irp_hf.maths.inverses.hyperparameters import hyperparameter
from irp_hf.maths.projection import relative_projection
from irp_hf.maths.pruning import farthest_points, prefix


@dataclass(frozen=True)
class PrunedInverse(Inverse):
    """Cosines with the anchors, inverted by the mean over ω prunings of `pinv(target.T)`."""

    title = "pruned (paper)"
    folds_to = LinearMap
    lower = "the others were tried on fewer folds, so that their figures are rougher"
    restores = False  # it stays the paper's

    pruning_threshold: float = hyperparameter(
        0.7,
        "δ",
        "pruning stops once the farthest remaining anchor is nearer than this, under `1 - |cos|`",
        most=1,
        grid=(0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9),
    )
    num_subspaces: int = hyperparameter(
        8, "ω", "how many prunings, from different starts, are averaged", least=1, most=10_000, whole=True
    )
    seed: int = 0

    def path(self, target: Tensor) -> PrunedPath:
        """The prunings of the target's anchors `(k, d_Y)`: only the inverse needs conditioning."""
        return PrunedPath(target, self.num_subspaces, self.seed, until=self.pruning_threshold or 1.0)

    def condition_numbers(self, target: Tensor) -> list[float]:
        """Condition number of each anchor subspace, largest over smallest non-zero singular value."""
        return [condition_number(target[kept]) for kept in self.path(target).subspaces(self.pruning_threshold)]

    def relative(self, rows: Tensor, source: Tensor) -> Tensor:
        """Cosines `(n, k)` of `rows (n, d_X)` with the source's anchors `(k, d_X)`."""
        return relative_projection(rows, source)

    def absolute(self, coordinates: Tensor, target: Tensor) -> Tensor:
        """`coordinates (n, k)` to directions `(n, d_Y)`: the mean of the reconstructions in each subspace."""
        return coordinates @ self.inverse(target)

    def inverse(self, target: Tensor) -> Tensor:
        """Mean over the prunings of `pinv(target[kept].T)`, zero where an anchor was pruned: shape (k, d_Y)."""
        return self.path(target).inverse(self.pruning_threshold)

    def fold(self, source: Tensor, target: Tensor) -> LinearMap:
        """One `(d_X, d_Y)` matrix for all subspaces: between the two normalisations everything is linear."""
        return LinearMap(source.T @ self.inverse(target))


class PrunedPath:
    """Every δ ≥ `until` from one farthest-point walk per subspace."""

    def __init__(self, target: Tensor, num_subspaces: int, seed: int, until: float) -> None:
        self.target = target
        self.walks = farthest_points(target, num_subspaces, seed, until=until)

    def subspaces(self, pruning_threshold: float) -> list[Tensor]:
        """Row numbers of each pruning; δ = 0 keeps all anchors, and one subspace then says it all."""
        if pruning_threshold == 0:
            return [torch.arange(len(self.target), dtype=torch.int64, device=self.target.device)]
        return [prefix(order, apart, pruning_threshold) for order, apart in zip(*self.walks, strict=True)]

    def inverse(self, pruning_threshold: float) -> Tensor:
        """Mean over the prunings of `pinv(target[kept].T)`, shape (k, d_Y)."""
        subspaces = self.subspaces(pruning_threshold)
        inverse = torch.zeros_like(self.target)
        for kept in subspaces:
            inverse[kept] += pseudo_inverse(self.target[kept])
        return inverse / len(subspaces)


WELL_CONDITIONED = 1e-6  # of a Cholesky diagonal: up to there, float32 anchors lose more by rounding than by the Gram
NOISE = 1e-6  # singular values below this share of the largest are the rounding of float32 anchors, not directions


def pseudo_inverse(anchors: Tensor) -> Tensor:
    """`pinv(anchors.T)`, shape (m, d): by a Cholesky factor where that is exact, by eigenvalues where it is not."""
    m, d = anchors.shape
    gram = anchors @ anchors.T if m <= d else anchors.T @ anchors
    factor, failed = torch.linalg.cholesky_ex(gram)
    diagonal = factor.diagonal()
    if failed or diagonal.min() < WELL_CONDITIONED * diagonal.max():
        return _by_eigenvalues(anchors, gram)
    inverse: Tensor = torch.cholesky_solve(anchors if m <= d else anchors.T, factor)
    return inverse if m <= d else inverse.T


def _by_eigenvalues(anchors: Tensor, gram: Tensor) -> Tensor:
    """The same from the spectrum of the smaller Gram matrix, without directions that are noise; half the price of an SVD."""
    values, vectors = torch.linalg.eigh(gram)
    kept = values > NOISE**2 * values[-1]
    solved = vectors[:, kept] / values[kept] @ vectors[:, kept].T
    inverse: Tensor = solved @ anchors if len(gram) == len(anchors) else anchors @ solved
    return inverse


def condition_number(anchors: Tensor) -> float:
    """Largest over smallest non-zero singular value of `anchors (m, d)`."""
    values = torch.linalg.svdvals(anchors)
    return float(values[0] / values[values > NOISE * values[0]][-1])
