"""What held-out pairs gain by unpaired rows, pair by pair, and whether these are made use of.

A pair that is hard to translate is so with unpaired rows and without: the difference of both tells more than either mean. One
figure is not enough. What draws all translations to where most rows lie raises their cosines, and tells items apart no more:
heads, neighbours and known items are then the worse. So none of the cosine, of how surely items are told apart, and of the
neighbours may fall on the mean. Nor may all of them together rise by no more than chance brings: as with the ridge of a lasso
or the size of a tree, the simpler of two fits stands within one standard error of the other (Breiman et al. 1984, section
3.4.3). Two are more than ten pairs can prove.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from irp_hf.maths.chance import group_means
from irp_hf.maths.climbing import SAMPLE
from irp_hf.maths.folds import gathered
from irp_hf.maths.identification import identified
from irp_hf.maths.metrics import Labels, cosines, neighbors_among
from irp_hf.maths.objectives import Score, depth_of, objective_score
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.request import DEPTH, Objective
from irp_hf.maths.selection import Choice

SURE = 2.0  # standard errors
CLEAR = 1.0  # likewise, of three figures on the mean
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

    @property
    def errors(self) -> float:
        """The mean in standard errors."""
        if self.error:
            return self.mean / self.error
        return math.copysign(math.inf, self.mean) if self.mean else 0.0


class Gains(NamedTuple):
    """What unpaired rows bring to held-out pairs."""

    cosine: Gain
    retrieval: Gain
    """How surely the pair's own target is told from those of the others."""
    neighbors: Gain
    """Among the targets of the others and unpaired rows."""
    asked: tuple[Objective, Gain] | None = None
    """By what was asked for, where that is not the cosine."""

    @property
    def falling(self) -> tuple[Objective, Gain] | None:
        """What speaks most against unpaired rows; None where nothing falls on the mean."""
        every: list[tuple[Objective, Gain]] = [
            ("cosine", self.cosine),
            ("retrieval", self.retrieval),
            ("neighbors", self.neighbors),
        ]
        worst = min(every, key=lambda one: one[1].errors)
        return worst if worst[1].mean < 0 else None

    @property
    def errors(self) -> float:
        """What all three gain, in standard errors, on the mean of those that differ at all: where all is found, none does."""
        moved = [gain.errors for gain in (self.cosine, self.retrieval, self.neighbors) if gain.errors]
        return sum(moved) / max(len(moved), 1)

    @property
    def are_used(self) -> bool:
        """Whether unpaired rows are made use of.

        Where nothing falls on the mean and the whole rises clearly; what was asked for overrules this, where it is sure.
        """
        if self.asked is not None and self.asked[1].is_sure:
            return self.asked[1].mean > 0
        return self.falling is None and self.cosine.mean > 0 and self.errors > CLEAR


def gains(
    backed: Tensor,
    alone: Tensor,
    pairs: Pairs,
    rows: Tensor,
    objective: Objective,
    labels: Labels | None,
    depth: int = DEPTH,
) -> Gains:
    """Those of translations `(k, d_Y)` that were `backed` by unpaired rows over those by the pairs `alone`, both left out.

    Among a few pairs nearly all neighbours are found: they are sought among unpaired `rows (m, d_Y)` of the target, too. Items
    are told from those of the pairs only: unpaired rows of another domain would be told from them by anything. `depth` is how
    many candidates recall has, of enough rows.
    """

    def gain(score: Score) -> Gain:
        return Gain.of(score(backed), score(alone), pairs.labels)

    def found_by(objective: Objective) -> Gain:
        among, labels = rows[:POOL], pairs.labels
        candidates = depth_of(objective, depth, len(among))
        return gain(
            lambda translated: neighbors_among(translated, pairs.target, among, groups=labels, depth=candidates)
        )

    every = [torch.arange(len(pairs), dtype=torch.int64, device=pairs.target.device)]
    found = Gains(
        gain(lambda translated: cosines(translated, pairs.target)),
        gain(lambda translated: identified(translated, pairs.target, every, pairs.shared)),
        found_by("neighbors"),
    )
    if objective == "agreement":
        return found._replace(asked=(objective, gain(objective_score(objective, pairs, labels))))
    if objective == "recall":
        return found._replace(asked=(objective, found_by(objective)))
    return found if objective == "cosine" else found._replace(asked=(objective, getattr(found, objective)))


def left_out(choice: Choice, pairs: Pairs, folds: Sequence[Tensor]) -> Tensor:
    """What the settings of a choice by pairs alone give for each of the `folds`, fitted to the others, `(k, d_Y)`.

    Fitted anew, about the mean of the others: about that of all pairs, those that are left lie opposite to what is held out,
    and ten pairs would look far worse than they are. Of many the mean is what it is, and what is known already will do.
    """
    if len(pairs) > SAMPLE:
        return choice.fold_translated
    again = replace(choice, solved=None)
    return gathered(folds, [again.translator(pairs.without(fold))(pairs.source[fold]) for fold in folds])
