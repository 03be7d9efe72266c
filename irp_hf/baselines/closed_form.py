"""Closed-form translators to compare with: all but the relative decoder are fitted on both sides at once, anew for each pair.

Pure float64 torch. Direct translators need both owners' vectors in one place; no inverse of ours does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from irp_hf.arithmetic import own_arithmetic
from irp_hf.data.arrays import Rows, as_matrix, check_same_rows
from irp_hf.data.chunks import refuse_overflow
from irp_hf.maths.groups import group_rows
from irp_hf.maths.leaving_out import leave_one_out
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import Statistics, normalize, relative_projection

RIDGES = tuple(10.0 ** (e / 2) for e in range(-16, 5))  # λ, in units of the source's mean variance times k


class Baseline(ABC):
    """A fitted translator with the face of an `IRPAdapter`: `translate`."""

    source_size: int

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Vectors `(n, d_Y)` of the target space for raw `x (n, d_X)`, unchecked, in the dtype of the fit."""

    @own_arithmetic()
    def translate(self, x: Any) -> Any:
        """Vectors of the target space `(n, d_Y)` for `x (n, d_X)`, in its kind and dtype, as `IRPAdapter.translate` does.

        Raises `InputError` for a wrong shape, width or dtype, for NaN or infinity, and for results beyond float16.
        """
        rows = Rows(x, width=self.source_size, least=0)
        translated = self(rows.whole())
        refuse_overflow(rows, translated, translated.new_zeros(()))
        return rows.wrap(translated.to(rows.device, rows.dtype))


@dataclass(frozen=True)
class DirectMap(Baseline):
    """An affine map between raw spaces, `(n, d_X) -> (n, d_Y)`."""

    weight: Tensor
    """Shape (d_X, d_Y)."""
    source_mean: Tensor
    """Shape (d_X,)."""
    target_mean: Tensor
    """Shape (d_Y,)."""
    settings: str = ""
    """The hyper-parameters that were chosen for it, as text."""

    @property
    def source_size(self) -> int:  # type: ignore[override]
        """The width d_X."""
        return len(self.source_mean)

    def __call__(self, x: Tensor) -> Tensor:
        """Vectors `(n, d_Y)` of the target space for raw `x (n, d_X)`."""
        return (x.to(self.weight) - self.source_mean) @ self.weight + self.target_mean


@own_arithmetic()
def procrustes(source: Tensor, target: Tensor) -> DirectMap:
    """Rotate `source (k, d_X)` onto `target (k, d_Y)`, both centred; scale by the Frobenius norms.

    Where the widths differ the rotation is semi-orthogonal: the corner of the orthogonal one between
    zero-padded sides (arXiv 2311.00664). Raises `InputError` for sides of unequal length.
    """
    sides = Centred(source, target)
    left, _, right = torch.linalg.svd(sides.source.T @ sides.target, full_matrices=False)
    norm = torch.linalg.matrix_norm
    scale = norm(sides.target) / (float(norm(sides.source)) or 1.0)
    return sides.map(scale * (left @ right))


@own_arithmetic()
def least_squares(source: Tensor, target: Tensor) -> DirectMap:
    """Affine least squares from `source (k, d_X)` to `target (k, d_Y)`, of minimum norm where k ≤ d_X.

    Raises `InputError` for sides of unequal length.
    """
    sides = Centred(source, target)
    return sides.map(torch.linalg.pinv(sides.source) @ sides.target)


@own_arithmetic()
def orthogonalized_least_squares(source: Tensor, target: Tensor) -> DirectMap:
    """Least squares between sides of unit variance per dimension, its singular values set to 1 (arXiv 2311.00664, `l-ortho`).

    Raises `InputError` for sides of unequal length.
    """
    sides = Centred(source, target)
    source_deviation, target_deviation = deviation(sides.source), deviation(sides.target)
    solution = torch.linalg.pinv(sides.source / source_deviation) @ (sides.target / target_deviation)
    left, _, right = torch.linalg.svd(solution, full_matrices=False)
    return sides.map((left / source_deviation[:, None]) @ (right * target_deviation))


@own_arithmetic()
def ridge(source: Tensor, target: Tensor) -> DirectMap:
    """Affine ridge regression from `source (k, d_X)` to `target (k, d_Y)`, its λ by leave-one-out.

    Copies of an item are left out together.

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
        self.sides = Centred(source, target)
        self.copies = group_rows(self.sides.source, self.sides.target).copies
        """Row numbers of items that were given more than once, which are left out together."""
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
        """Each target `(k, d_Y)` as the pairs of other items, mean and all, predict it."""
        return self.sides.target + self.sides.target_mean - self._errors(ridge)

    def fit(self, ridge: float) -> DirectMap:
        """The map at this λ."""
        shrunk = self.spectral / (self.values + ridge * self.unit)[:, None]
        return self.sides.map(self.sides.source.T @ (self.left @ shrunk), f"λ={ridge:.3g}")

    def _errors(self, ridge: float) -> Tensor:
        kept = ridge * self.unit / (self.values + ridge * self.unit)
        residual = self.unreached + self.left @ (kept[:, None] * self.spectral)
        squares, shrunk, share = self.left.square(), 1 - kept, 1 / len(residual)
        unreached = (1 - share - squares.sum(1)).clamp(min=0)

        def blocks(rows: Tensor) -> Tensor:
            left = self.left[rows]
            one = torch.eye(rows.shape[-1], dtype=left.dtype, device=left.device)
            block: Tensor = one - share - (left * shrunk) @ left.mT
            return block

        zero, rank = torch.zeros_like(residual), len(self.values)
        return -leave_one_out(zero, residual, unreached + squares @ kept, self.copies, blocks, rank)


@dataclass(frozen=True)
class RelativeDecoder(Baseline):
    """Cosines with the anchors, read by a decoder that knows the target alone (Moschella et al., arXiv 2209.15430).

    The decoder, a ridge regression, is trained on the target's own cosines; the source's cosines are then put in their place.
    """

    anchors: Tensor
    """The source's, as unit rows, shape (k, d_X)."""
    source: Statistics
    target_anchors: Tensor
    """Shape (k, d_Y)."""
    target: Statistics
    decoder: DirectMap
    """From cosines `(n, k)` to the target's vectors `(n, d_Y)`."""

    @property
    def source_size(self) -> int:  # type: ignore[override]
        """The width d_X."""
        return self.anchors.shape[1]

    def __call__(self, x: Tensor) -> Tensor:
        """Vectors `(n, d_Y)` of the target space for raw `x (n, d_X)`."""
        return self.decoder(self.relative(x))

    def relative(self, x: Tensor) -> Tensor:
        """Cosines `(n, k)` of the source's vectors `x (n, d_X)` with its anchors."""
        return relative_projection(normalize(x.to(self.anchors), self.source), self.anchors)

    def relative_target(self, y: Tensor) -> Tensor:
        """Cosines `(n, k)` of the target's vectors `y (n, d_Y)` with its anchors, as a head of their own reads them."""
        return relative_projection(normalize(y.to(self.anchors), self.target), self.target_anchors)


@own_arithmetic()
def relative_decoder(source: Tensor, target: Tensor) -> RelativeDecoder:
    """Read the source's cosines with its anchors `(k, d_X)` by a decoder of the target's with its own `(k, d_Y)`.

    Raises `InputError` for sides of unequal length.
    """
    pairs = Pairs(*parallel(source, target))
    decoder = ridge(relative_projection(pairs.target_rows, pairs.target_rows), pairs.target)
    return RelativeDecoder(pairs.source_rows, pairs.source_stats, pairs.target_rows, pairs.target_stats, decoder)


def parallel(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both sides, arrays of any kind, in float64; raises `InputError` where they are of unequal length."""
    source, target = as_matrix(source, "source anchors"), as_matrix(target, "target anchors")
    check_same_rows("Parallel anchors", source, target, "Pass both encodings of the same items, in the same order.")
    return source.double(), target.double()


class Centred:
    """Both sides in float64, centred; raises `InputError` where they are of unequal length."""

    def __init__(self, source: Tensor, target: Tensor) -> None:
        self.source, self.target = parallel(source, target)
        self.source_mean, self.target_mean = self.source.mean(0), self.target.mean(0)
        self.source, self.target = self.source - self.source_mean, self.target - self.target_mean

    def map(self, weight: Tensor, settings: str = "") -> DirectMap:
        """The affine map of this weight `(d_X, d_Y)`, whatever the means."""
        return DirectMap(weight, self.source_mean, self.target_mean, settings)


def deviation(centred: Tensor) -> Tensor:
    """Standard deviation `(d,)` of each dimension of `centred (k, d)`; 1 where it is constant."""
    spread = centred.square().mean(0).sqrt()
    return torch.where(spread > 0, spread, torch.ones_like(spread))
