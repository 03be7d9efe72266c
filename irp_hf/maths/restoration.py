"""Scale restoration per principal direction of the target.

A regression shrinks what is hard to predict: such directions come out too short, and heads and neighbours suffer. With
`w_j` the variance of the target's anchors along its principal direction j and `v_j` that of their out-of-fold
translations, direction j is stretched by `(w_j / v_j)^(q/2)`. q = 0 is the paper, which restores one number, the mean
scale; q = 1 restores the whole spectrum.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from irp_hf.maths.pairs import others
from irp_hf.maths.projection import unit_rows

LARGEST = 1e4  # of w_j / v_j: a direction that cannot be predicted at all is not blown up
Spectrum = tuple[Tensor, Tensor]
"""Variance `(d,)` along each principal direction, and the directions `(d, d)`."""


def spectrum_of(target: Tensor) -> Spectrum:
    """The principal directions of unit rows `target (k, d)`, about the origin."""
    variance, directions = torch.linalg.eigh(target.T @ target / len(target))
    return variance, directions


class Restoration:
    """The stretch of every principal direction, for any q from one decomposition."""

    directions: Tensor
    ratio: Tensor

    def __init__(self, translated: Tensor, target: Tensor, spectrum: Spectrum | None = None) -> None:
        """Compare out-of-fold `translated (k, d)` with `target (k, d)`, both unit rows.

        The row norm that follows makes the overall scale irrelevant. `spectrum` is the target's, where it is known.
        """
        d = target.shape[1]
        variance, self.directions = spectrum or spectrum_of(target)
        translated_variance = (translated @ self.directions).square().mean(0)
        ratio = variance / translated_variance.clamp(min=torch.finfo(target.dtype).tiny)
        known = variance > variance[-1] * d * torch.finfo(target.dtype).eps
        self.ratio = torch.where(known, ratio.clamp(1 / LARGEST, LARGEST), 1.0)

    def matrix(self, restoration: float) -> Tensor:
        """The symmetric `(d, d)` matrix that multiplies translations by `(w_j / v_j)^(q/2)`."""
        return (self.directions * self.ratio.pow(restoration / 2)) @ self.directions.T


class FoldRestoration:
    """Restoration of out-of-fold translations by what the other folds tell: no row scales itself."""

    def __init__(self, target: Tensor, folds: list[Tensor]) -> None:
        """Decompose unit rows `target (k, d)` once per fold, for all translations that will be compared with them."""
        self.target, self.folds = target, folds
        self.rest = [others(fold, len(target)) for fold in folds]
        self.spectra = [spectrum_of(target[rest]) for rest in self.rest]

    def restore(self, translated: Tensor, restorations: Sequence[float]) -> list[Tensor]:
        """`translated (k, d)` restored, for each q."""
        restored = [torch.empty_like(translated) for _ in restorations]
        for fold, rest, spectrum in zip(self.folds, self.rest, self.spectra, strict=True):
            restoration = Restoration(unit_rows(translated[rest]), self.target[rest], spectrum)
            for rows, q in zip(restored, restorations, strict=True):
                rows[fold] = translated[fold] @ restoration.matrix(q)
        return restored
