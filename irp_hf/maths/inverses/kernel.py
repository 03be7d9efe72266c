"""The kernel inverse: relative projection under a radial similarity, inverted by kernel ridge regression.

With K the similarities of the source's anchors with each other, the inverse is `κ(x, A) (K + λI)⁻¹ Â_Y`, the mean of a
Gaussian process. Only K depends on the source and only Â_Y on the target, so the halves stay independent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from irp_hf.maths.inverses.base import LESS_SMOOTH, Folded, Inverse, KernelMap
from irp_hf.maths.inverses.hyperparameters import hyperparameter, lift
from irp_hf.maths.inverses.solving import solved_with_ridge
from irp_hf.maths.leaving_out import leave_folds_out, leave_one_out
from irp_hf.maths.projection import relative_projection
from irp_hf.maths.pruning import landmarks

INTERCEPT = 1.0  # added to the kernel: a lightly penalised intercept. Centring K instead leaks in leave-one-out
SMALLEST = 1e-10  # eigenvalues below this share of the largest are rounding


@dataclass(frozen=True)
class KernelInverse(Inverse):
    """`(κ(rows, landmarks) + 1)`, solved over all anchors with ridge λ, then the target's anchors themselves."""

    title = "kernel"
    folds_to = KernelMap
    blends = True
    held_out = "leave-one-out"
    lower = LESS_SMOOTH

    gamma: float = hyperparameter(
        2.0,
        "γ",
        "how local the similarity `exp(γ(cos - 1))` is; γ → 0 is linear",
        most=1e3,
        open=True,
        grid=tuple(2.0**e for e in range(-4, 7)),
    )
    ridge: float = hyperparameter(
        1e-2,
        "λ",
        "how much it smooths, in units of the similarity of equal directions",
        least=1e-12,
        most=1e6,
        grid=tuple(10.0 ** (e / 2) for e in range(-14, 5)),
    )
    num_landmarks: int | None = hyperparameter(
        None,
        "m",
        "how many anchors, those farthest apart, carry the map; by default all; of more than 6,000 pairs 4,000, at random",
        least=1,
        most=2**31,
        whole=True,
    )
    seed: int = 0
    lift: float = lift()

    def takes_all(self, source: Tensor) -> bool:
        """Whether all of the source's anchors `(k, d_X)` are landmarks."""
        return self.num_landmarks is None or self.num_landmarks >= len(source)

    def landmarks(self, source: Tensor) -> Tensor:
        """The landmarks `(m, d_X)` among the source's anchors `(k, d_X)`."""
        if self.num_landmarks is None or self.takes_all(source):
            return source
        return source[landmarks(source, self.num_landmarks, self.seed)]

    def path(self, source: Tensor, copies: Sequence[Tensor] = ()) -> KernelPath:
        """The decomposition that serves every ridge; `copies` as `KernelPath` takes them."""
        return KernelPath(source, self.landmarks(source), self.gamma, copies)

    def relative(self, rows: Tensor, source: Tensor) -> Tensor:
        """Coordinates `(n, k)`: kernel weights of every anchor, from the source's anchors alone."""
        path = self.path(source)
        return (relative_projection(rows, path.landmarks, self.gamma) + INTERCEPT) @ path.solve(self.ridge)

    def absolute(self, coordinates: Tensor, target: Tensor) -> Tensor:
        """`coordinates (n, k)` to directions `(n, d_Y)`: the target's anchors, weighted."""
        return coordinates @ target

    def fold(self, source: Tensor, target: Tensor) -> KernelMap:
        """Landmarks `(m, d_X)` and coefficients `(m, d_Y)`."""
        if not self.takes_all(source):
            return self.path(source).fold(target, self.ridge)
        coefficients = solved_with_ridge(similarities(source @ source.T, self.gamma), self.ridge, target)
        return KernelMap(source, coefficients, INTERCEPT * coefficients.sum(0), self.gamma)


def similarities(cosines: Tensor, gamma: float) -> Tensor:
    """K of rows with these `cosines (n, n)`: their radial similarity, and the constant."""
    return ((cosines - 1) * gamma).exp_().add_(INTERCEPT)


class KernelPath:
    """Kernel ridge regression on landmarks for every λ from one symmetric eigendecomposition.

    With features `Φ = K_km K_mm^(-1/2)`, `Φ = U S Vᵀ`: with all anchors as landmarks, U and S² are K's eigenvectors and
    eigenvalues.
    """

    values: Tensor
    left: Tensor
    right: Tensor

    def __init__(self, source: Tensor, landmarks: Tensor, gamma: float, copies: Sequence[Tensor] = ()) -> None:
        """`copies`, row numbers `(n, m)` of n groups of m rows each, are left out together by `leave_one_out`."""
        self.landmarks, self.gamma, self.copies = landmarks, gamma, copies
        self.complete = landmarks is source
        values, vectors = torch.linalg.eigh(relative_projection(landmarks, landmarks, gamma) + INTERCEPT)
        if self.complete:
            self.values, self.left = values.clamp(min=0), vectors
            self.right = vectors
            return
        kept = values > values[-1] * SMALLEST
        whiten = vectors[:, kept] / values[kept].sqrt()
        features = (relative_projection(source, landmarks, gamma) + INTERCEPT) @ whiten
        values, vectors = torch.linalg.eigh(features.T @ features)
        kept = values > values[-1] * SMALLEST
        self.values = values[kept]
        self.left = features @ (vectors[:, kept] / self.values.sqrt())
        self.right = whiten @ vectors[:, kept] * self.values.sqrt()

    def solve(self, ridge: float) -> Tensor:
        """`(m, k)`: from targets at the anchors to coefficients at the landmarks."""
        return (self.right / (self.values + ridge)) @ self.left.T

    def fold(self, target: Tensor, ridge: float) -> KernelMap:
        """The map for `target (k, d_Y)`."""
        coefficients = (self.right / (self.values + ridge)) @ (self.left.T @ target)
        return KernelMap(self.landmarks, coefficients, INTERCEPT * coefficients.sum(0), self.gamma)

    def at(self, ridge: float, target: Tensor) -> SolvedPath:
        """The solution for one λ and `target (k, d_Y)`."""
        return SolvedPath(self, ridge, target)

    def spectral(self, target: Tensor) -> Tensor:
        """`target (k, d_Y)` in the basis of the decomposition, shape (r, d_Y): shared by every λ."""
        return self.left.T @ target

    def leave_one_out(self, target: Tensor, ridge: float, spectral: Tensor | None = None) -> Tensor:
        """Directions `(k, d_Y)`, each predicted from the other anchors: `y - (G y) / diag G`, `G = λ(K + λI)⁻¹`.

        Rows of one group are predicted from those outside of it.
        """
        spectral = self.spectral(target) if spectral is None else spectral
        residual, kept = self._residual(target, ridge, spectral)
        diagonal = self.left.square() @ kept
        if not self.complete:
            diagonal += 1 - self.left.square().sum(1)
        blocks = partial(self._blocks, kept=kept)
        return leave_one_out(target, residual, diagonal, self.copies, blocks, len(kept))

    def leave_fold_out(self, target: Tensor, ridge: float, folds: Sequence[Tensor]) -> Tensor:
        """Directions `(k, d_Y)`, each fold (row numbers) predicted from the others: `y_F - G_FF⁻¹ (G y)_F`."""
        residual, kept = self._residual(target, ridge, self.spectral(target))
        return leave_folds_out(target, residual, folds, partial(self._blocks, kept=kept))

    def _blocks(self, rows: Tensor, kept: Tensor) -> Tensor:
        """`G (..., m, m)` between these `rows (..., m)`; `kept (r,)` are its eigenvalues."""
        left = self.left[rows]
        block = (left * kept) @ left.mT
        if not self.complete:
            block += torch.eye(rows.shape[-1], dtype=left.dtype, device=left.device) - left @ left.mT
        return block

    def _residual(self, target: Tensor, ridge: float, spectral: Tensor) -> tuple[Tensor, Tensor]:
        """`G y (k, d_Y)` and the eigenvalues `(r,)` of G."""
        kept = ridge / (self.values + ridge)
        residual = self.left @ (kept[:, None] * spectral)
        if not self.complete:  # what the landmarks cannot express stays, whatever the ridge
            residual += target - self.left @ spectral
        return residual, kept


class Solved(ABC):
    """An inverse over all anchors, solved for its λ and its targets `(k, d_Y)`: a kernel, or any from sums over many pairs."""

    cosines: Tensor | None = None
    """Those of the anchors with the landmarks `(k, m)`, where they are known."""

    @abstractmethod
    def fold(self) -> Folded:
        """The map."""

    @abstractmethod
    def leave_one_out(self) -> Tensor:
        """Directions `(k, d_Y)`, each from the other anchors, or from those outside of its group."""

    @abstractmethod
    def leave_fold_out(self, folds: Sequence[Tensor]) -> Tensor:
        """Directions `(k, d_Y)`, each fold (row numbers) from the others."""

    def folds_left_out(self, folds: Sequence[Tensor]) -> Callable[[], Tensor]:
        """The same, to be asked for later; it may keep less than the solution itself."""
        return partial(self.leave_fold_out, folds)


class SolvedOnce(Solved):
    """A map whose rows were held out while it was made, by folds of its own: nothing is left out anew."""

    def __init__(self, folded: Folded, directions: Tensor) -> None:
        """`directions (k, d_Y)` are those of the rows, held out."""
        self.folded, self.directions = folded, directions

    def fold(self) -> Folded:
        """As `Solved` has it; so the others."""
        return self.folded

    def leave_one_out(self) -> Tensor:
        """As they were held out."""
        return self.directions

    def leave_fold_out(self, folds: Sequence[Tensor]) -> Tensor:
        """Likewise."""
        return self.directions


class SolvedPath(Solved):
    """`Solved` by a decomposition."""

    def __init__(self, path: KernelPath, ridge: float, target: Tensor) -> None:
        """For this λ, and `target (k, d_Y)`."""
        self.path, self.ridge, self.target = path, ridge, target

    def fold(self) -> KernelMap:
        """As `Solved` has it; so the others."""
        return self.path.fold(self.target, self.ridge)

    def leave_one_out(self) -> Tensor:
        """Of each row by the others."""
        return self.path.leave_one_out(self.target, self.ridge)

    def leave_fold_out(self, folds: Sequence[Tensor]) -> Tensor:
        """Of each fold by the others."""
        return self.path.leave_fold_out(self.target, self.ridge, folds)
