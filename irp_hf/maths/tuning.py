"""Hyper-parameters of each inverse from the anchors alone, by out-of-fold cosine: who tunes which, and a tuner for any."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from irp_hf.maths.blending import turned_by_folds, turned_left_out
from irp_hf.maths.climbing import Candidate, Trial, TuningResult, climb, mean_cosine
from irp_hf.maths.folds import Folds
from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.inverses.base import Inverse
from irp_hf.maths.inverses.hyperparameters import hyperparameters_of
from irp_hf.maths.inverses.kernel import KernelInverse
from irp_hf.maths.inverses.pruned import PrunedInverse
from irp_hf.maths.inverses.rigid import RigidInverse
from irp_hf.maths.inverses.whitened import WhitenedInverse
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.request import Given, Objective, make_inverse
from irp_hf.maths.tuning_kernel import tune_kernel, tune_lift
from irp_hf.maths.tuning_pruned import roughly_pruned, tune_pruned
from irp_hf.maths.tuning_whitened import tune_whitened


class Tuner(Protocol):
    """What tunes an inverse."""

    def __call__(
        self, pairs: Pairs, given: Given, lift: float | None = None, objective: Objective = "cosine"
    ) -> TuningResult:
        """Tune on `pairs`; the `lift` may be known already, and the `objective` chooses among the candidates."""


def tune_by_folds(
    method: str, pairs: Pairs, given: Given, lift: float | None = None, objective: Objective = "cosine"
) -> TuningResult:
    """Of an inverse without a tuner of its own: each hyper-parameter that has a grid by K folds, one after the other."""
    inverse: Any = make_inverse(method, given)
    known = hyperparameters_of(inverse)
    if "lift" in known:
        inverse = replace(inverse, lift=tune_lift(pairs, given) if lift is None else lift)
    folds = Folds(pairs, given.seed, inverse.lift)
    true = folds.gather(folds.true)
    tried: dict[Inverse, float] = {}

    def directions(inverse: Inverse) -> Tensor:
        parts = zip(folds.rows, folds.train, strict=True)
        maps = ((rows, inverse.fold(train.lifted(inverse.lift), train.target_rows)) for rows, train in parts)
        return folds.gather([fold(rows) for rows, fold in maps])

    def cosine(inverse: Inverse) -> float:
        if inverse not in tried:
            tried[inverse] = mean_cosine(directions(inverse), true)
        return tried[inverse]

    for name, parameter in known.items():
        if parameter.grid and name not in given.fixed and name != "lift":
            default = parameter.grid[len(parameter.grid) // 2] if parameter.default is None else parameter.default
            start = min(range(len(parameter.grid)), key=lambda index: abs(parameter.grid[index] - default))
            best = next(iter(climb(cosine, [replace(inverse, **{name: value}) for value in parameter.grid], start)))
            inverse = best if cosine(best) > cosine(inverse) else inverse
    chosen = cosine(inverse)
    others = [Trial(other, value) for other, value in tried.items() if other != inverse]
    return TuningResult([Candidate(inverse, chosen, directions(inverse), true)], others)


def tune_rigid(pairs: Pairs, given: Given, lift: float | None = None, objective: Objective = "cosine") -> TuningResult:
    """Nothing is chosen: one candidate."""
    directions = turned_left_out(pairs, 0.0, given.seed, objective)
    cosine = mean_cosine(directions, pairs.target_rows)
    return TuningResult([Candidate(RigidInverse(), cosine, directions, pairs.target_rows)], [])


def roughly_rigid(folds: Folds, given: Given) -> list[list[Tensor]]:
    """Directions `(n_f, d_Y)` out of each of the `folds`: nothing is chosen, and maps that take a part of it have made them."""
    turned = turned_by_folds(folds.pairs, folds.num_folds, given.seed)
    return [[turned[held] for held in folds.held]]


TUNERS: dict[type[Inverse], Tuner] = {
    KernelInverse: tune_kernel,
    WhitenedInverse: tune_whitened,
    RigidInverse: tune_rigid,
    PrunedInverse: tune_pruned,
}
"""Those that know their inverse's shape: its leave-one-out in closed form, or one decomposition for a whole grid."""


class Rough(NamedTuple):
    """What tells at a small price, on a sample, whether an inverse can win at all."""

    tried: Callable[[Folds, Given], Iterable[list[Tensor]]]
    """Directions `(n_f, d_Y)` out of each fold, for a few hyper-parameters."""
    behind: float
    """So far behind, of what its rival misses, it cannot win on all pairs."""


ROUGHLY: dict[type[Inverse], Rough] = {
    PrunedInverse: Rough(roughly_pruned, 0.2),  # few prunings: the best come up to .1 nearer
    RigidInverse: Rough(
        roughly_rigid, 0.02
    ),  # the more pairs, the farther a rotation is behind: by .05 to .37 on all of 11
}


def tune(
    method: str, pairs: Pairs, given: Given, lift: float | None = None, objective: Objective = "cosine"
) -> TuningResult:
    """Tune the inverse of that name by out-of-fold cosine; for the arguments see `Tuner`."""
    tuner: Tuner = TUNERS.get(INVERSES[method]) or partial(tune_by_folds, method)
    return tuner(pairs, given, lift, objective)
