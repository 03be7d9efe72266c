"""The whitened inverse: both sides share the whitening of their own anchors, by a balance b.

b = 0 is the paper's inverse with a ridge in place of pruning, b = 1 is ridge regression, and b = ½ the Parseval frame
(arXiv 2507.17835), whose condition number is 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irp_hf.maths.inverses.base import LESS_SMOOTH, Inverse, LinearMap
from irp_hf.maths.inverses.hyperparameters import hyperparameter, lift
from irp_hf.maths.inverses.solving import is_exact, solved_with_ridge
from irp_hf.maths.projection import inner_products, relative_projection

NOISE = 1e-12  # variances below this share of the largest are the rounding of float32 anchors, not directions


@dataclass(frozen=True)
class WhitenedInverse(Inverse):
    """`rows C_X^(-b) source.T`, then `target C_Y^(-(1-b)) / k`, with `C = A.T A / k + ridge * tr / d * I`."""

    title = "whitened"
    folds_to = LinearMap
    blends = True
    lower = LESS_SMOOTH

    balance: float = hyperparameter(
        0.5, "b", "the share of the whitening that the source takes", most=1, grid=(0.0, 0.25, 0.5, 0.75, 1.0)
    )
    ridge: float = hyperparameter(
        1e-2,
        "λ",
        "how much it smooths, in units of the mean variance per dimension",
        most=1e6,
        grid=tuple(10.0**e for e in range(-12, 3)),
    )
    lift: float = lift()

    def relative(self, rows: Tensor, source: Tensor) -> Tensor:
        """Cosines `(n, k)` in the source's partly whitened space."""
        return relative_projection(rows @ Spectrum.of(source).power(-self.balance, self.ridge), source)

    def absolute(self, coordinates: Tensor, target: Tensor) -> Tensor:
        """`coordinates (n, k)` to directions `(n, d_Y)`, by the rest of the whitening."""
        whiten = Spectrum.of(target).power(self.balance - 1, self.ridge)
        return coordinates @ (target @ whiten) / target.shape[0]

    def fold(self, source: Tensor, target: Tensor, cosines: Tensor | None = None) -> LinearMap:
        """One `(d_X, d_Y)` matrix; the `cosines (k, k)` of the source's rows may be known."""
        if self.balance == 1 and (weight := _regression(source, target, self.ridge, cosines)) is not None:
            return LinearMap(weight)
        path = WhitenedPath.of(source, target)
        return LinearMap(path.directions(path.source.vectors, self.balance, self.ridge))


def _regression(source: Tensor, target: Tensor, ridge: float, cosines: Tensor | None) -> Tensor | None:
    """Ridge regression `(d_X, d_Y)` by a Cholesky factor of what is smaller, rows or columns; None where that is not exact."""
    width, wide = source.shape[1], source.shape[1] > len(source)
    inner = cosines if wide and cosines is not None else inner_products(source if wide else source.T)
    shift = ridge * float(inner.diagonal().sum()) / width
    if not is_exact(shift, inner):
        return None
    solved = solved_with_ridge(inner, shift, target if wide else source.T @ target)
    return source.T @ solved if wide else solved


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues `(r,)` and eigenvectors `(d, r)` of one side's second moment `A.T A / k`; r = min(k, d)."""

    values: Tensor
    vectors: Tensor
    mean: float
    """Of all d eigenvalues, those that are 0 for want of anchors included: the unit of the ridge."""

    @classmethod
    def of(cls, anchors: Tensor, inner: Tensor | None = None) -> Spectrum:
        """Decompose the second moment of unit `anchors (k, d)`, or the Gram matrix where that is smaller.

        `inner` is that matrix, not divided by k, where it is known.
        """
        k, d = anchors.shape
        mean = float(anchors.square().sum() / (k * d))
        inner = (anchors.T @ anchors if d <= k else anchors @ anchors.T) if inner is None else inner
        values, vectors = torch.linalg.eigh(inner / k)
        values = values.clamp(min=0)
        if d > k:
            kept = values > values[-1] * _floor(d, values)
            values, vectors = values[kept], anchors.T @ (vectors[:, kept] / (k * values[kept]).sqrt())
        return cls(values, vectors, mean)

    @classmethod
    def of_products(cls, inner: Tensor, width: int) -> Spectrum:
        """By the products `inner (k, k)` of k rows of that width with each other alone.

        `vectors (k, r)` then take a row's products with these rows, and not the row itself, to its coordinates.
        """
        values, vectors = torch.linalg.eigh(inner)
        kept = values > values[-1] * _floor(max(width, len(inner)), values)
        values, vectors = values[kept], vectors[:, kept]
        mean = float(inner.diagonal().sum()) / (len(inner) * width)
        return cls(values / len(inner), vectors / values.sqrt(), mean)

    @classmethod
    def of_moment(cls, moment: Tensor) -> Spectrum:
        """Decompose a second moment `(d, d)` itself."""
        values, vectors = torch.linalg.eigh(moment)
        return cls(values.clamp(min=0), vectors, float(moment.trace()) / len(moment))

    def factors(self, exponent: float, ridge: float) -> Tensor:
        """Eigenvalues `(r,)` of `C^exponent`; directions that no anchor has give 0, as a pseudo-inverse."""
        lifted = self.values + ridge * self.mean
        floor = self.values[-1:] * _floor(len(self.vectors), lifted)  # of none where all anchors are one
        return torch.where(self.values > floor, lifted, torch.inf if exponent < 0 else 1.0).pow(exponent)

    def power(self, exponent: float, ridge: float) -> Tensor:
        """The matrix `C^exponent (d, d)` on the span of the anchors: whatever it meets lies there, or is projected there."""
        return (self.vectors * self.factors(exponent, ridge)) @ self.vectors.T


def _floor(width: int, values: Tensor) -> float:
    """The share of the largest variance below which a direction is rounding."""
    return max(NOISE, width * torch.finfo(values.dtype).eps)


class WhitenedPath:
    """Every (b, λ) from one pair of decompositions: what changes between them is diagonal."""

    def __init__(self, source: Spectrum, target: Spectrum, core: Tensor) -> None:
        """`core (r_X, r_Y)` is the cross moment of both sides in their eigenbases."""
        self.source, self.target, self.core = source, target, core

    @classmethod
    def of(cls, source: Tensor, target: Tensor) -> WhitenedPath:
        """From unit rows `source (k, d_X)` and `target (k, d_Y)`."""
        spectra = Spectrum.of(source), Spectrum.of(target)
        left, right = (rows @ spectrum.vectors for rows, spectrum in zip((source, target), spectra, strict=True))
        return cls(*spectra, left.T @ right / len(source))

    def rotate_source(self, rows: Tensor) -> Tensor:
        """`rows (n, d_X)` in the source's eigenbasis."""
        return rows @ self.source.vectors

    def directions(self, rotated: Tensor, balance: float, ridge: float) -> Tensor:
        """Directions `(n, d_Y)` of rows in the source's eigenbasis."""
        return self.coordinates(rotated, balance, ridge) @ self.target.vectors.T

    def coordinates(self, rotated: Tensor, balance: float, ridge: float) -> Tensor:
        """The same in the target's eigenbasis, shape (n, r_Y)."""
        left = self.source.factors(-balance, ridge)[:, None] * self.core
        coordinates: Tensor = (rotated @ left) * self.target.factors(balance - 1, ridge)
        return coordinates
