"""Pseudo-pairs: unpaired rows of the source, each with the mean of the rows of the target that match it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from irp_hf.maths.projection import unit_rows
from irp_hf.maths.unpaired.csls import matched, mean_of
from irp_hf.maths.unpaired.matching import Matcher

ROWS = 3000  # of the source
COUNT = 10  # rows of the target whose mean is a counterpart


class PseudoPairs(NamedTuple):
    """What a rotation makes of unpaired rows."""

    target: Tensor
    """Unit rows `(n, d_Y)` for the first n rows of the source."""
    sure: Tensor
    """The mean CSLS `(n,)` of what was matched."""

    @classmethod
    def of(cls, matcher: Matcher, rotation: Tensor, target: Tensor) -> PseudoPairs:
        """By a `rotation (r, q)` in the matcher's coordinates, of unit rows `target (m, d_Y)`."""
        low = unit_rows(matcher.source.low[:ROWS] @ rotation)
        numbers, scores = matched(low, matcher.target.low, COUNT)
        return cls(mean_of(target, numbers), scores.mean(1))
