"""The rigid inverse: nothing but a rotation of the source's unit rows onto the target's. It needs the anchors of both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Never

from torch import Tensor

from irp_hf.errors import refusal
from irp_hf.maths.inverses.base import Inverse, LinearMap
from irp_hf.maths.rigid import rotation


@dataclass(frozen=True)
class RigidInverse(Inverse):
    """`rows M (MᵀM + ε²I)^(-1/2)`, with `M = source.T target`: orthogonal Procrustes, damped where it is noise."""

    title = "rigid"
    folds_to = LinearMap
    independent = False
    held_out = "three folds, of which each is rotated as the others tell"

    def relative(self, rows: Tensor, source: Tensor) -> Never:
        """There is no such half; raises `InputError`."""
        raise _no_half()

    def absolute(self, coordinates: Tensor, target: Tensor) -> Never:
        """Likewise."""
        raise _no_half()

    def fold(self, source: Tensor, target: Tensor) -> LinearMap:
        """The rotation `(d_X, d_Y)`."""
        return LinearMap(rotation(source, target))


def _no_half() -> Exception:
    advice = "Choose 'kernel' or 'whitened'."
    return refusal("method", "one whose halves need the anchors of their own side alone", "'rigid'", advice)
