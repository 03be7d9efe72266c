"""Expected cosine of a translation to the vector that the target encoder would have given.

Two things tell how well a vector is translated: the norm of the inverse's output, which a regression shrinks where it knows
little, and how well its neighbours among the anchors were translated out of fold. The latter is a kernel regression of
those cosines: one more column for a kernel inverse. Both are combined by least squares on the anchors, out of fold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from irp_hf.maths.inverses.base import KernelMap
from irp_hf.maths.inverses.kernel import KernelInverse, KernelPath
from irp_hf.maths.metrics import cosines
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import relative_projection
from irp_hf.maths.selection import Choice
from irp_hf.maths.tuning import climb

NUM_LANDMARKS = 1000  # for inverses that have no kernel of their own
RIDGES = tuple(10.0 ** (e / 2) for e in range(-6, 7))


@dataclass(frozen=True)
class Confidence:
    """A calibrated kernel regression of the cosines, from unit rows and the norm of the inverse's output."""

    landmarks: Tensor
    """Unit rows, shape (m, d_X); lifted (m, d_X + 1)."""
    coefficients: Tensor
    """Shape (m,)."""
    gamma: float
    bias: Tensor
    """Shape ()."""
    norm_slope: Tensor
    """Shape ()."""

    def __call__(self, rows: Tensor, norms: Tensor) -> Tensor:
        """Expected cosine `(n,)` of unit `rows (n, d_X)` whose translation had `norms (n,)` before the row norm."""
        return self.of_similarities(relative_projection(rows, self.landmarks, self.gamma), norms)

    def of_similarities(self, similar: Tensor, norms: Tensor) -> Tensor:
        """The same `(n,)` of rows whose similarities with the landmarks are `similar (n, m)`."""
        nearby = similar @ self.coefficients
        return (self.bias + self.norm_slope * norms + nearby).clamp(-1, 1)


def calibrate(choice: Choice, pairs: Pairs) -> tuple[Confidence, Tensor]:
    """The confidence of a choice, and its out-of-fold values `(k,)` on the pairs themselves."""
    path = _path(choice, pairs)
    true = cosines(choice.translated, pairs.target)
    wanted = (true - true.mean())[:, None]

    def negative_error(ridge: float) -> float:
        return -float((path.leave_one_out(wanted, ridge) - wanted).square().mean())

    ridge = next(iter(climb(negative_error, RIDGES, RIDGES.index(1.0))))
    nearby = path.leave_one_out(wanted, ridge)[:, 0]
    norms = torch.linalg.vector_norm(choice.directions, dim=1)
    features = torch.stack([torch.ones_like(true), norms, nearby], dim=1)
    bias, slope, weight = torch.linalg.lstsq(features, true[:, None], driver="gelsd").solution[:, 0]

    column = path.fold(wanted, ridge)
    confidence = Confidence(
        landmarks=path.landmarks,
        coefficients=weight * column.coefficients[:, 0],
        gamma=path.gamma,
        bias=bias + weight * column.intercept[0],
        norm_slope=slope,
    )
    return confidence, (features @ torch.stack([bias, slope, weight])).clamp(-1, 1)


def _path(choice: Choice, pairs: Pairs) -> KernelPath:
    """The kernel whose neighbours tell the confidence: that of the map, where it has one, so that it is computed once."""
    if choice.path is not None:
        return choice.path
    rows = pairs.lifted(choice.inverse.lift)
    if choice.inverse.folds_to is KernelMap:
        folded = cast(KernelMap, choice.fold(pairs))
        return KernelPath(rows, folded.landmarks, folded.gamma, pairs.copies)
    return KernelInverse(num_landmarks=NUM_LANDMARKS).path(rows, pairs.copies)
