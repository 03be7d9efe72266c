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
from functools import cached_property
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
        return (self.rest * rows).addmm_(along, self.directions.T)


def subspace_of(target: Tensor) -> Tensor | None:
    """An orthonormal basis `(d, 192)` of where the leading directions of unit rows `target (k, d)` lie; None of few dimensions.

    All of these are leading.
    """
    d = target.shape[1]
    if d <= FEW:
        return None
    generator = torch.Generator("cpu").manual_seed(0)
    rows = target.to(working_dtype(torch.float32, target.device))  # which directions they are is all that is asked
    basis = torch.randn(d, 2 * LEADING, generator=generator, dtype=rows.dtype, device="cpu").to(rows.device)
    for _ in range(ROUNDS):
        basis = torch.linalg.qr(rows.T @ (rows @ basis)).Q
    return basis


class Seen(NamedTuple):
    """Unit rows as a subspace shows them."""

    along: Tensor
    """Their coordinates in it, shape (n, p)."""
    squares: Tensor
    """Of their lengths, shape (n,)."""

    @classmethod
    def of(cls, rows: Tensor, basis: Tensor | None) -> Seen:
        """`rows (n, d)` by the `basis (d, p)`, or as they are."""
        return cls(rows if basis is None else rows.to(basis.dtype) @ basis, rows.square().sum(1))

    def among(self, rows: Tensor) -> Seen:
        """Those of these numbers `(m,)`."""
        return Seen(self.along[rows], self.squares[rows])

    def variances(self, axes: Tensor) -> Tensor:
        """Mean squares `(r + 1,)` along `axes (p, r)` of the subspace, and of all the rest."""
        along = (self.along @ axes).to(self.squares.dtype).square().mean(0)
        return torch.cat([along, (self.squares.mean() - along.sum())[None].clamp(min=0)])


class Spectrum(NamedTuple):
    """How the target's unit rows spread."""

    axes: Tensor
    """The leading principal directions, in coordinates of the subspace, shape (p, r)."""
    variances: Tensor
    """Along each, and of all the rest, shape (r + 1,)."""

    @classmethod
    def of(cls, target: Seen, whole: bool) -> Spectrum:
        """That of the target's rows about the origin; the subspace may be the `whole` space."""
        axes: Tensor = torch.linalg.eigh(target.along.T @ target.along).eigenvectors
        axes = axes if whole else axes[:, -LEADING:]
        variances = target.variances(axes)
        if whole:  # nothing is left but rounding
            variances[-1] = 0
        return cls(axes, variances)

    def ratio(self, translated: Seen, width: int) -> Tensor:
        """`w_j / v_j (r + 1,)` of out-of-fold unit rows so wide; 1 along what no anchor has.

        The row norm that follows makes the overall scale irrelevant.
        """
        wanted, given = self.variances, translated.variances(self.axes)
        ratio = wanted / given.clamp(min=torch.finfo(given.dtype).tiny)
        known = wanted > wanted.max() * width * torch.finfo(given.dtype).eps
        return torch.where(known, ratio.clamp(1 / LARGEST, LARGEST), 1.0)


class Restoration:
    """Restoration of out-of-fold translations by what a target's anchors tell.

    One subspace of the target serves all of it, in which the principal directions are found anew for each fold.
    """

    def __init__(self, target: Tensor, folds: Sequence[Tensor]) -> None:
        """The spectrum of unit rows `target (k, d)` once per fold, for all translations to be compared with it."""
        self.width, self.folds = target.shape[1], folds
        self.basis = subspace_of(target)
        self.target = Seen.of(target, self.basis)
        self.rest = [others(fold, len(target)) for fold in folds]
        self.spectra = [self._spectrum(self.target.among(rest)) for rest in self.rest]

    @cached_property
    def spectrum(self) -> Spectrum:
        """That of all rows."""
        return self._spectrum(self.target)

    def of(self, translated: Tensor) -> Restored:
        """That of out-of-fold `translated (k, d)`."""
        return Restored(self, translated)

    def directions(self, spectrum: Spectrum) -> Tensor:
        """The principal directions `(d, r)` themselves."""
        axes = spectrum.axes if self.basis is None else self.basis @ spectrum.axes
        return axes.to(self.target.squares.dtype)

    def _spectrum(self, target: Seen) -> Spectrum:
        return Spectrum.of(target, self.basis is None)


class Restored:
    """Out-of-fold translations beside their target, for any q from one comparison."""

    def __init__(self, restoration: Restoration, translated: Tensor) -> None:
        """Compare `translated (k, d)`, of any lengths, with what they should be."""
        self.by, self.translated = restoration, translated
        self.seen = Seen.of(unit_rows(translated), restoration.basis)

    def rows(self, restorations: Sequence[float]) -> list[Tensor]:
        """The rows restored by what the other folds tell, for each q: none scales itself. 0 leaves them as they are."""
        restored = [torch.empty_like(self.translated) if q else self.translated for q in restorations]
        for fold, rest, spectrum in zip(self.by.folds, self.by.rest, self.by.spectra, strict=True):
            ratio, directions = spectrum.ratio(self.seen.among(rest), self.by.width), self.by.directions(spectrum)
            for rows, q in zip(restored, restorations, strict=True):
                if q:
                    rows[fold] = _stretch(directions, ratio, q)(self.translated[fold])
        return restored

    def stretch(self, restoration: float) -> Stretch:
        """That of all rows: multiplies translations by `(w_j / v_j)^(q/2)`."""
        spectrum = self.by.spectrum
        return _stretch(self.by.directions(spectrum), spectrum.ratio(self.seen, self.by.width), restoration)


def _stretch(directions: Tensor, ratio: Tensor, restoration: float) -> Stretch:
    factors = ratio.pow(restoration / 2)
    return Stretch(directions, factors[:-1], factors[-1])
