"""The folded map at work: centre, one or two products, one row norm, one shift; in chunks, from and to any array."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irp_hf.maths.confidence import Confidence
from irp_hf.maths.inverses.base import Folded, LinearMap
from irp_hf.maths.projection import Statistics, centre, unit_rows

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

    def translate(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Vectors `(n, d_Y)` of the target space for `x (n, d_X)`, written into `out` if it is given."""
        rows = centre(x, self.source_mean, self.source_lift)
        if not isinstance(self.folded, LinearMap):  # a linear map's row norm takes the input's norm away as well
            rows = unit_rows(rows)
        directions = self.folded(rows)
        norms = torch.linalg.vector_norm(directions, dim=1, keepdim=True)
        scale = self.target.scale / norms.clamp(min=TINY)
        return torch.addcmul(self.target.mean, directions, scale, out=out)

    def expected_cosine(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Expected cosine `(n,)` of the translations of `x (n, d_X)` with the true vectors, written into `out` if given."""
        rows = unit_rows(centre(x, self.source_mean, self.source_lift))
        expected = self.confidence(rows, torch.linalg.vector_norm(self.folded(rows), dim=1))
        return expected if out is None else out.copy_(expected)
