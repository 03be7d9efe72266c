"""Whether anchors can describe a space, and whether two sides hold the same."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from irp_hf.configuration_irp import AnchoredSpaceConfig
from irp_hf.errors import AnchorMismatchError, InputError
from irp_hf.maths.projection import statistics

SMALLEST = 1e-15  # mean scale: the square of a row's norm must stay far inside float32


def check_anchors(anchors: Tensor, name: str = "the embeddings") -> None:
    """Raise `InputError` where `anchors (k, d)` cannot describe a space: fewer than two rows, all alike, or tiny."""
    if len(anchors) < 2:
        raise InputError(
            f"There is 1 anchor in {name}; at least 2 are wanted. Some hundred to a few thousand work well."
        )
    spread = (anchors - anchors[0]).abs().max()
    if spread <= 1e-6 * anchors.abs().max():
        raise InputError(
            f"All {len(anchors)} anchors in {name} are the same vector; different ones are wanted. "
            "Check what the encoder was given."
        )
    scale = float(statistics(anchors.double()).scale)
    if scale < SMALLEST:
        raise InputError(
            f"The anchors in {name} have a mean scale of {scale:.3g}; at least {SMALLEST:g} is wanted. "
            "Multiply them by a constant."
        )


class AnchorsOf(NamedTuple):
    """Which anchors a side holds, as far as it is known."""

    side: str
    num_anchors: int
    fingerprint: str | None = None

    @classmethod
    def space(cls, side: str, config: AnchoredSpaceConfig) -> AnchorsOf:
        """Those of a space of this configuration."""
        return cls(side, config.num_anchors, config.anchor_fingerprint)

    def __str__(self) -> str:
        known = f"{self.fingerprint[:8]}…" if self.fingerprint else "without fingerprint"
        return f"{self.side} {known} ({self.num_anchors} items)"


def refuse_other_anchors(one: AnchorsOf, other: AnchorsOf) -> None:
    """Raise `AnchorMismatchError` where two sides are known to hold different anchors."""
    differ = one.fingerprint and other.fingerprint and one.fingerprint != other.fingerprint
    if differ or one.num_anchors != other.num_anchors:
        raise AnchorMismatchError(
            f"Anchor sets differ: {one}, {other}. Both spaces must encode the same items in the same order; encode one of them "
            "again with the anchor set of the other."
        )
