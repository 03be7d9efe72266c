"""Which methods need not be fitted beside a rival: a sample of many pairs says that they cannot win."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from irp_hf.maths.blending import left_out_of_sample
from irp_hf.maths.climbing import SAMPLE
from irp_hf.maths.folds import FEW_FOLDS, Folds, Vectors
from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.inverses.base import Inverse
from irp_hf.maths.metrics import Labels, cosines
from irp_hf.maths.objectives import objective_score
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import denormalize
from irp_hf.maths.request import Given, Objective
from irp_hf.maths.tuning import ROUGHLY
from irp_hf.maths.tuning_kernel import sampled

ONE_FOLD = (
    0.1  # of what its rival misses: so much farther behind on one fold an inverse is behind on all; they differ by .03
)


def may_win(
    method: str, rival: Inverse, pairs: Pairs, objective: Objective, given: Given, labels: Labels | None
) -> bool:
    """Whether a method may be better than its rival; of some, a sample of many pairs can tell that they are not."""
    roughly = ROUGHLY.get(INVERSES[method])
    if len(pairs) <= SAMPLE or roughly is None:
        return True
    sample = sampled(pairs, given.seed)
    found = left_out_of_sample(rival, pairs, given.seed)
    if found is not None and objective == "cosine":
        first = _folds_of(sample, given.seed, 1)
        if _is_far_behind(roughly.tried(first, given), found, first, sample, roughly.behind + ONE_FOLD):
            return False
    folds = _folds_of(sample, given.seed)
    score = objective_score(objective, sample, labels, folds.held, given.depth)
    vectors = Vectors(sample, folds.held)
    if found is None:
        lifted = Folds(sample, given.seed, rival.lift, FEW_FOLDS) if rival.lift else folds
        maps = [rival.fold(train.lifted(rival.lift), train.target_rows) for train in lifted.train]
        found = lifted.gather([fold(rows) for fold, rows in zip(maps, lifted.rows, strict=True)])

    def mean(directions: Tensor) -> float:
        return float(score(vectors(directions)).mean())

    there = mean(found)
    return any(
        mean(folds.gather(parts)) > there - roughly.behind * (1 - there) for parts in roughly.tried(folds, given)
    )


def _folds_of(sample: Pairs, seed: int, count: int | None = None) -> Folds:
    """Folds of a sample, or the first of them: once for all inverses that may win."""
    return sample.once(("folds", seed, count), lambda: Folds(sample, seed, 0.0, FEW_FOLDS, count))


def _is_far_behind(tried: Iterable[list[Tensor]], rival: Tensor, first: Folds, pairs: Pairs, behind: float) -> bool:
    """Whether one fold tells already that all that was `tried` is so far `behind` the `rival (k, d_Y)`, all out of fold."""
    (fold,), (others,) = first.held, first.train

    def mean(directions: Tensor) -> float:
        return float(cosines(denormalize(directions, others.target_stats), pairs.target[fold]).mean())

    there = mean(rival[fold])
    return all(mean(directions) < there - behind * (1 - there) for (directions,) in tried)
