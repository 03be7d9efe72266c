"""Scale restoration per principal direction of the target.

A regression shrinks what is hard to predict: such directions come out too short, and heads and neighbours suffer. With
`w_j` the variance of the target's anchors along its principal direction j and `v_j` that of their out-of-fold
translations, direction j is stretched by `(w_j / v_j)^(q/2)`. q = 0 is the paper, which restores one number, the mean
scale; q = 1 restores the whole spectrum. Where there are many directions, the leading ones have a stretch each, and the rest
share one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.pairs import others
from irp_hf.maths.projection import unit_rows

LARGEST = 1e4  # of w_j / v_j: a direction that cannot be predicted at all is not blown up
LEADING = 96  # directions with a stretch of their own: more change cosines and neighbours by less than .001
FEW = 384  # directions: of so many each has its own
ROUNDS = 1  # of subspace iteration, on twice as many directions as are kept


@dataclass(frozen=True)
class Stretch:
    """Multiplies rows `(n, d)` along directions of their own, and the rest by one number: symmetric, and linear."""

    directions: Tensor
    """Orthonormal, shape (d, r)."""
    factors: Tensor
    """Of each direction, shape (r,)."""
    rest: Tensor
    """Of all that is orthogonal to them, shape ()."""

    @classmethod
    def none(cls, rows: Tensor) -> Stretch:
        """That of `rows (n, d)` which leaves them as they are."""
        return cls(rows.new_zeros(rows.shape[1], 0), rows.new_zeros(0), rows.new_ones(()))

    def __call__(self, rows: Tensor) -> Tensor:
        """Stretched `rows (n, d)`."""
        along = (rows @ self.directions) * (self.factors - self.rest)
        return torch.addmm(self.rest * rows, along, self.directions.T)


def leading_directions(target: Tensor) -> Tensor:
    """The leading principal directions `(d, r)` of unit rows `target (k, d)` about the origin: all of few, 96 of many."""
    d = target.shape[1]
    if d <= FEW:
        directions: Tensor = torch.linalg.eigh(target.T @ target).eigenvectors
        return directions
    generator = torch.Generator("cpu").manual_seed(0)
    rows = target.to(working_dtype(torch.float32, target.device))  # which directions they are is all that is asked
    basis = torch.randn(d, 2 * LEADING, generator=generator, dtype=rows.dtype, device="cpu").to(rows.device)
    for _ in range(ROUNDS):
        basis = torch.linalg.qr(rows.T @ (rows @ basis)).Q
    coordinates = rows @ basis
    rotation: Tensor = torch.linalg.eigh(coordinates.T @ coordinates).eigenvectors
    return (basis @ rotation[:, -LEADING:]).to(target.dtype)


class Spectrum(NamedTuple):
    """How the target's unit rows spread."""

    directions: Tensor
    """The leading principal ones, shape (d, r)."""
    variances: Tensor
    """Along each, and of all the rest, shape (r + 1,)."""


def spectrum_of(target: Tensor) -> Spectrum:
    """That of unit rows `target (k, d)` about the origin."""
    directions = leading_directions(target)
    return Spectrum(directions, _variances(target, directions))


class Restoration:
    """The stretch of every principal direction, for any q from one comparison."""

    def __init__(self, translated: Tensor, spectrum: Spectrum) -> None:
        """Compare out-of-fold unit rows `translated (k, d)` with the spectrum of what they should be.

        The row norm that follows makes the overall scale irrelevant.
        """
        self.directions, wanted = spectrum
        given = _variances(translated, self.directions)
        ratio = wanted / given.clamp(min=torch.finfo(given.dtype).tiny)
        known = wanted > wanted.max() * translated.shape[1] * torch.finfo(given.dtype).eps
        self.ratio = torch.where(known, ratio.clamp(1 / LARGEST, LARGEST), 1.0)

    def stretch(self, restoration: float) -> Stretch:
        """Multiplies translations by `(w_j / v_j)^(q/2)`."""
        factors = self.ratio.pow(restoration / 2)
        return Stretch(self.directions, factors[:-1], factors[-1])


def _variances(rows: Tensor, directions: Tensor) -> Tensor:
    """Mean squares `(r + 1,)` of unit `rows (k, d)` along `directions (d, r)`, and of all the rest."""
    along = (rows @ directions).square().mean(0)
    rest = rows.square().sum(1).mean() - along.sum()
    if directions.shape[0] == directions.shape[1]:  # nothing is left but rounding
        rest = torch.zeros_like(rest)
    return torch.cat([along, rest[None].clamp(min=0)])


class FoldRestoration:
    """Restoration of out-of-fold translations by what the other folds tell: no row scales itself."""

    def __init__(self, target: Tensor, folds: list[Tensor]) -> None:
        """The spectrum of unit rows `target (k, d)` once per fold, for all translations to be compared with it."""
        self.folds = folds
        self.rest = [others(fold, len(target)) for fold in folds]
        self.spectra = [spectrum_of(target[rest]) for rest in self.rest]

    def restore(self, translated: Tensor, restorations: Sequence[float]) -> list[Tensor]:
        """`translated (k, d)` restored, for each q; 0 leaves it as it is, and asks for no folds."""
        restored = [torch.empty_like(translated) if q else translated for q in restorations]
        for fold, rest, spectrum in zip(self.folds, self.rest, self.spectra, strict=True):
            restoration = Restoration(unit_rows(translated[rest]), spectrum)
            for rows, q in zip(restored, restorations, strict=True):
                if q:
                    rows[fold] = restoration.stretch(q)(translated[fold])
        return restored
