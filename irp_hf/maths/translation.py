"""The folded map at work: centre, one or two products, one row norm, one shift; in chunks, from and to any array."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irp_hf.maths.confidence import Confidence
from irp_hf.maths.inverses.base import Folded, KernelMap
from irp_hf.maths.projection import Statistics, centre, relative_projection, unit_rows
from irp_hf.maths.typicality import nearest_of, nearest_without_lift

TINY = 1e-20  # a direction of norm 0 gives the target's mean


@dataclass(frozen=True)
class Translation:
    """All that a translation needs, in one dtype on one device."""

    folded: Folded
    confidence: Confidence
    source_mean: Tensor
    source_lift: Tensor | None
    """What rows are lifted by, shape (); None keeps angles alone."""
    target: Statistics

    @property
    def dtype(self) -> torch.dtype:
        """Of all its tensors."""
        return self.source_mean.dtype

    @property
    def device(self) -> torch.device:
        """Where all of them lie."""
        return self.source_mean.device

    def tensors(self) -> list[Tensor]:
        """Those that `translate` needs, as they are."""
        lift = [] if self.source_lift is None else [self.source_lift]
        landmarks = [self.folded.landmarks] if isinstance(self.folded, KernelMap) else []
        return [self.source_mean, *lift, *landmarks, *self.folded.tensors().values(), *self.target]

    def translate(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Vectors `(n, d_Y)` of the target space for `x (n, d_X)`, written into `out` if it is given."""
        return self._at_scale(self.folded.of_centred(centre(x, self.source_mean, self.source_lift)), out)

    def of_one(self, x: Tensor) -> Tensor | None:
        """What `translate` gives of a single row `x (1, d_X)`, bit for bit; None where its direction is too short to count.

        Its length is looked at, instead of put between bounds, which takes longer.
        """
        directions = self.folded.of_centred(centre(x, self.source_mean, self.source_lift))
        norms = torch.linalg.vector_norm(directions, dim=1, keepdim=True)
        if norms.item() < TINY:
            return None
        return torch.addcmul(self.target.mean, directions, self.target.scale / norms)

    def expected_cosine(self, x: Tensor, out: Tensor | None = None, error: Tensor | None = None) -> Tensor:
        """Expected cosine `(n,)` of the translations of `x (n, d_X)` with the true vectors, written into `out` if given.

        With an `error ()` that cosines are rarely below, the bound that it gives.
        """
        _, _, expected = self._both(x)
        if error is not None:
            expected = (expected + error).clamp(-1, 1)
        return expected if out is None else out.copy_(expected)

    def with_confidence(self, x: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What `translate` and `expected_cosine` give, bit for bit, at little more than the price of one of them."""
        centred, directions, expected = self._both(x)
        if not isinstance(self.folded, KernelMap):
            directions = self.folded(centred)
        return self._at_scale(directions, out), expected

    def typicality(self, x: Tensor) -> Tensor | None:
        """How like the source's anchors each of `x (n, d_X)` is, 0 to 1, shape (n,); None of adapters that do not know it."""
        if self.confidence.typicality is None:
            return None
        _, nearest = self._similar(unit_rows(centre(x, self.source_mean, self.source_lift)))
        return self.confidence.typicality(x, self.source_mean, nearest)

    def _both(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Centred rows, the directions of their unit rows, and expected cosines. A kernel serves both: it is computed once."""
        centred = centre(x, self.source_mean, self.source_lift)
        rows = unit_rows(centred)
        similar, nearest = self._similar(rows)
        folded = self.folded
        directions = folded.of_similarities(similar, rows) if isinstance(folded, KernelMap) else folded(rows)
        norms, typical = torch.linalg.vector_norm(directions, dim=1), self._typicality(x, nearest)
        return centred, directions, self.confidence.of_similarities(similar, norms, typical)

    def _similar(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Similarities `(n, m)` of unit rows with the landmarks, and cosines `(n,)` with the nearest of these."""
        landmarks, gamma = self.confidence.landmarks, self.confidence.gamma
        if (stretch := self.confidence.stretch) is None:
            similar = relative_projection(rows, landmarks, gamma)
            return similar, nearest_of(similar, gamma)
        products = (gamma * rows) @ landmarks.T
        nearest = nearest_without_lift(products, gamma, rows, landmarks, stretch)
        return products.sub_(gamma).exp_(), nearest

    def _typicality(self, x: Tensor, nearest: Tensor) -> Tensor | float:
        """How like the anchors each of `x (n, d_X)` is, shape (n,); 1 of adapters that were saved without knowing it."""
        typicality = self.confidence.typicality
        if typicality is None:
            return 1.0
        return typicality(x, self.source_mean, nearest)

    def _at_scale(self, directions: Tensor, out: Tensor | None) -> Tensor:
        """Directions `(n, d_Y)` at the target's mean scale and about its mean."""
        norms, least = torch.linalg.vector_norm(directions, dim=1, keepdim=True), TINY
        if (
            directions.requires_grad
        ):  # a gradient divides by squares, which are lost of short directions: they are lengthened
            norms = norms.detach().clamp(min=TINY)
            power = norms.frexp().mantissa / norms
            directions, least = directions * power, TINY * power
            norms = torch.linalg.vector_norm(directions, dim=1, keepdim=True)
        return torch.addcmul(self.target.mean, directions, self.target.scale / norms.clamp(min=least), out=out)
