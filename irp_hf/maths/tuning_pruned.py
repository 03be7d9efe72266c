"""The pruning threshold of the paper's inverse, by K folds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from irp_hf.maths.climbing import SAMPLE, Candidate, Trial, TuningResult, grid_of, mean_cosine
from irp_hf.maths.folds import FEW_FOLDS, Folds
from irp_hf.maths.inverses.pruned import PrunedInverse, PrunedPath
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.request import Given, Objective
from irp_hf.maths.tuning_kernel import sampled

THRESHOLDS = grid_of(PrunedInverse, "pruning_threshold")
TWO_FOLDS = 2
ROUGHLY = (0.8,), 2  # thresholds and subspaces that tell how far behind it is: the best come up to .1 nearer


def tune_pruned(
    pairs: Pairs,
    given: Given,
    lift: float | None = None,
    objective: Objective = "cosine",
) -> TuningResult:
    """δ over the whole grid, for it can have two tops (few anchors, or many more than d_Y): its two best are candidates.

    The grid is scored on a few folds, since near-singular subspaces are slow to invert.
    """
    thresholds = THRESHOLDS if given.pruning_threshold is None else (given.pruning_threshold,)
    whole = PrunedFolds(Folds(pairs, given.seed), given)
    if len(pairs) <= SAMPLE or len(thresholds) == 1:
        scores = whole.cosines(thresholds, TWO_FOLDS)
    else:
        scores = _of_many(pairs, whole, given)
    ranked = sorted(scores, key=scores.__getitem__, reverse=True)
    count = 1 if len(pairs) > SAMPLE and objective == "cosine" else 2
    trials = [Trial(whole.inverse(threshold), scores[threshold]) for threshold in ranked[count:]]
    return TuningResult([whole.candidate(threshold) for threshold in ranked[:count]], trials)


def _of_many(pairs: Pairs, whole: PrunedFolds, given: Given) -> dict[float, float]:
    """The mean cosines of a few δ on a few folds of many pairs: the two best of a sample, and from 0 up to the other top.

    That top, which prunes little or nothing, no sample shows: it is there where the anchors are many more than d_Y.
    """
    sample = sampled(pairs, given.seed)
    found = PrunedFolds(Folds(sample, given.seed, num_folds=FEW_FOLDS), given).cosines(THRESHOLDS, FEW_FOLDS)
    best = sorted(found, key=found.__getitem__, reverse=True)[:2]
    scores = whole.cosines(sorted({*best, 0.0}), TWO_FOLDS)
    for least, threshold in pairwise(THRESHOLDS):
        if scores[least] < max(scores.values()):
            break
        if threshold not in scores:
            scores |= whole.cosines((threshold,), TWO_FOLDS)
    return scores


def roughly_pruned(folds: Folds, given: Given) -> list[list[Tensor]]:
    """Directions `(n_f, d_Y)` out of each of the `folds`, for a few prunings: nearly what the best of all would give."""
    thresholds, count = ROUGHLY
    if given.pruning_threshold is not None:
        thresholds = (given.pruning_threshold,)
    few = PrunedFolds(folds, given.but(num_subspaces=given.num_subspaces or count))
    return [few.parts(threshold) for threshold in thresholds]


class PrunedFolds:
    """What prunings of all folds but one say of that one."""

    def __init__(self, folds: Folds, given: Given) -> None:
        self.folds, self.given = folds, given
        self.num_subspaces = PrunedInverse.num_subspaces if given.num_subspaces is None else given.num_subspaces

    def inverse(self, threshold: float) -> PrunedInverse:
        """The inverse at this δ."""
        return PrunedInverse(threshold, self.num_subspaces, self.given.seed)

    def cosines(self, thresholds: Sequence[float], count: int) -> dict[float, float]:
        """The mean cosine over the first `count` folds of each δ; one walk serves all of them."""
        true = torch.cat(self.folds.true[:count])
        parts = [self._directions(fold, thresholds) for fold in range(min(count, len(self.folds.held)))]
        return {d: mean_cosine(torch.cat([part[d] for part in parts]), true) for d in thresholds}

    def candidate(self, threshold: float) -> Candidate:
        """The candidate of this δ, over all folds."""
        directions, true = self.folds.gather(self.parts(threshold)), self.folds.gather(self.folds.true)
        return Candidate(self.inverse(threshold), mean_cosine(directions, true), directions, true)

    def parts(self, threshold: float) -> list[Tensor]:
        """Directions `(n_f, d_Y)` out of each fold."""
        return [self._directions(fold, (threshold,))[threshold] for fold in range(len(self.folds.held))]

    def _directions(self, fold: int, thresholds: Sequence[float]) -> dict[float, Tensor]:
        rows, train = self.folds.rows[fold], self.folds.train[fold]
        until = min((threshold for threshold in thresholds if threshold), default=1.0)
        path = PrunedPath(train.target_rows, self.num_subspaces, self.given.seed, until)
        similar = rows @ train.source_rows.T
        return {threshold: similar @ path.inverse(threshold) for threshold in thresholds}
