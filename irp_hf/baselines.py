"""Direct translators, to compare with: fitted on both sides at once, one for every ordered pair of encoders.

All are affine and pure float64 torch. They need both owners' vectors in one place; no inverse of ours does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from irp_hf.errors import InputError

RIDGES = tuple(10.0 ** (e / 2) for e in range(-16, 5))  # λ, in units of the source's mean variance times k


@dataclass(frozen=True)
class DirectMap:
    """An affine map between raw spaces, `(n, d_X) -> (n, d_Y)`."""

    weight: Tensor
    """Shape (d_X, d_Y)."""
    source_mean: Tensor
    """Shape (d_X,)."""
    target_mean: Tensor
    """Shape (d_Y,)."""

    def __call__(self, x: Tensor) -> Tensor:
        """Vectors `(n, d_Y)` of the target space for raw `x (n, d_X)`."""
        return (x.to(self.weight) - self.source_mean) @ self.weight + self.target_mean


def procrustes(source: Tensor, target: Tensor) -> DirectMap:
    """Rotate `source (k, d_X)` onto `target (k, d_Y)`, both centred; scale by the Frobenius norms.

    Where the widths differ the rotation is semi-orthogonal: the corner of the orthogonal one between
    zero-padded sides (arXiv 2311.00664). Raises `InputError` for sides of unequal length.
    """
    sides = _Centred(source, target)
    left, _, right = torch.linalg.svd(sides.source.T @ sides.target, full_matrices=False)
    norm = torch.linalg.matrix_norm
    scale = norm(sides.target) / (float(norm(sides.source)) or 1.0)
    return sides.map(scale * (left @ right))


def least_squares(source: Tensor, target: Tensor) -> DirectMap:
    """Affine least squares from `source (k, d_X)` to `target (k, d_Y)`, of minimum norm where k ≤ d_X.

    Raises `InputError` for sides of unequal length.
    """
    sides = _Centred(source, target)
    return sides.map(torch.linalg.pinv(sides.source) @ sides.target)


def ridge(source: Tensor, target: Tensor) -> DirectMap:
    """Affine ridge regression from `source (k, d_X)` to `target (k, d_Y)`, its λ by leave-one-out.

    Raises `InputError` for sides of unequal length.
    """
    path = RidgePath(source, target)
    return path.fit(path.best_ridge())


class RidgePath:
    """Ridge regression with a free intercept, for every λ from one eigendecomposition of the centred source.

    With centred rows `X = U S Vᵀ` the hat matrix is `1/k + U S²/(S² + λ) Uᵀ`. The 1/k, the leverage of the
    intercept, keeps leave-one-out honest: a centred row is minus the sum of the others, so that without it,
    and with as many dimensions as rows, a tiny λ looks perfect.
    """

    def __init__(self, source: Tensor, target: Tensor) -> None:
        self.sides = _Centred(source, target)
        x = self.sides.source
        k, d = x.shape
        values, vectors = torch.linalg.eigh(x.T @ x if d <= k else x @ x.T)
        floor = values[-1] * max(k, d) * torch.finfo(x.dtype).eps
        kept = values > floor  # what is left out, the constant vector among it, no ridge can fit
        self.values = values[kept]
        self.left = x @ vectors[:, kept] / self.values.sqrt() if d <= k else vectors[:, kept]
        self.unit = float(x.square().sum() / d) or 1.0
        """The source's mean variance times k: λ = 1 shrinks an average direction by half."""
        self.spectral = self.left.T @ self.sides.target
        self.unreached = self.sides.target - self.left @ self.spectral

    def best_ridge(self, ridges: Sequence[float] = RIDGES) -> float:
        """The λ, in units of `unit`, of least squared leave-one-out error."""
        return min(ridges, key=lambda ridge: float(self._errors(ridge).square().sum()))

    def leave_one_out(self, ridge: float) -> Tensor:
        """Each target `(k, d_Y)` as the other pairs, mean and all, predict it."""
        return self.sides.target + self.sides.target_mean - self._errors(ridge)

    def fit(self, ridge: float) -> DirectMap:
        """The map at this λ."""
        shrunk = self.spectral / (self.values + ridge * self.unit)[:, None]
        return self.sides.map(self.sides.source.T @ (self.left @ shrunk))

    def _errors(self, ridge: float) -> Tensor:
        kept = ridge * self.unit / (self.values + ridge * self.unit)
        residual = self.unreached + self.left @ (kept[:, None] * self.spectral)
        squares = self.left.square()
        unreached = (1 - 1 / len(residual) - squares.sum(1)).clamp(min=0)
        errors: Tensor = residual / (unreached + squares @ kept)[:, None]
        return errors


class _Centred:
    """Both sides in float64, centred."""

    def __init__(self, source: Tensor, target: Tensor) -> None:
        if source.shape[0] != target.shape[0] or source.shape[0] < 2:
            raise InputError(
                f"The source has {source.shape[0]} vectors and the target {target.shape[0]}, but parallel "
                "anchors are at least two pairs. Pass both encodings of the same items, in the same order."
            )
        self.source, self.target = source.double(), target.double()
        self.source_mean, self.target_mean = self.source.mean(0), self.target.mean(0)
        self.source, self.target = self.source - self.source_mean, self.target - self.target_mean

    def map(self, weight: Tensor) -> DirectMap:
        return DirectMap(weight, self.source_mean, self.target_mean)
