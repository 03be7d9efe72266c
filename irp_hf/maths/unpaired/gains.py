"""What held-out pairs gain by unpaired rows, pair by pair, and whether these are made use of.

A pair that is hard to translate is so with unpaired rows and without: the difference of both tells more than either mean. Its
sign decides. Two standard errors are more than ten pairs can prove, and nothing speaks for the pairs alone as such.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from irp_hf.maths.chance import group_means
from irp_hf.maths.identification import identified_among
from irp_hf.maths.metrics import Labels, cosines, neighbors_among
from irp_hf.maths.objectives import Score, objective_score
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.request import Objective
from irp_hf.maths.selection import Choice

SURE = 2.0  # standard errors
POOL = 4000  # unpaired rows of the target that are searched


class Gain(NamedTuple):
    """The mean of differences, and its standard error."""

    mean: float
    error: float

    @classmethod
    def of(cls, one: Tensor, other: Tensor, labels: Tensor) -> Gain:
        """What `one (k,)` is above the `other (k,)`; rows of one of the groups `labels (k,)` count as one."""
        gained = group_means((one - other)[:, None], labels)[:, 0]
        return cls(float(gained.mean()), float(gained.std()) / math.sqrt(len(gained)))

    @property
    def is_sure(self) -> bool:
        """Whether it is no chance which of both is ahead."""
        return abs(self.mean) > SURE * self.error


class Gains(NamedTuple):
    """What unpaired rows bring to held-out pairs."""

    objective: Gain
    """By what was asked for; neighbours, and the item itself, are sought among unpaired rows."""
    cosine: Gain

    @property
    def deciding(self) -> Gain:
        """The objective's where that is sure; else the cosine's, which tells most of each pair."""
        return self.objective if self.objective.is_sure else self.cosine

    @property
    def are_used(self) -> bool:
        """Whether unpaired rows are made use of: where they help in the mean."""
        return self.deciding.mean > 0


def gains(
    backed: Choice, alone: Choice, pairs: Pairs, rows: Tensor, objective: Objective, labels: Labels | None
) -> Gains:
    """Those of a choice that was `backed` by unpaired rows over the one by the pairs `alone`, both out of fold.

    Among a few pairs nearly all neighbours are found, and each item: they are sought among unpaired `rows (m, d_Y)` of the
    target.
    """

    def gain(score: Score) -> Gain:
        return Gain.of(score(backed.fold_translated), score(alone.fold_translated), pairs.labels)

    by_cosine = gain(lambda translated: cosines(translated, pairs.target))
    searched = rows[:POOL]
    if objective == "neighbors":
        return Gains(gain(lambda translated: neighbors_among(translated, pairs.target, searched)), by_cosine)
    if objective == "retrieval":
        return Gains(gain(lambda translated: identified_among(translated, pairs.target, searched)), by_cosine)
    return Gains(gain(objective_score(objective, pairs, labels)), by_cosine)
