"""Hyper-parameters of each inverse from the anchors alone, by out-of-fold cosine.

The kernel's leave-one-out is closed form, and it serves the lift too; the others take K folds. Each decomposes once for
its whole grid. The cosine is smooth in γ, λ and δ, so that a hill-climb finds its top.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.inverses.base import Inverse
from irp_hf.maths.inverses.hyperparameters import hyperparameters_of
from irp_hf.maths.inverses.kernel import KernelInverse, KernelPath
from irp_hf.maths.inverses.pruned import PrunedInverse, PrunedPath
from irp_hf.maths.inverses.whitened import WhitenedInverse, WhitenedPath
from irp_hf.maths.metrics import cosines
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import normalize
from irp_hf.maths.request import Given, make_inverse


def _grid(inverse: type[Inverse], name: str) -> tuple[float, ...]:
    return hyperparameters_of(inverse)[name].grid


GAMMAS, KERNEL_RIDGES, LIFTS = (_grid(KernelInverse, name) for name in ("gamma", "ridge", "lift"))
BALANCES, RIDGES = (_grid(WhitenedInverse, name) for name in ("balance", "ridge"))
THRESHOLDS = _grid(PrunedInverse, "pruning_threshold")
NUM_FOLDS = 10
FEW_FOLDS = 2
FLAT = 1e-3  # the least share of what is missing to a cosine of 1 that a step must gain
NEARLY = 2e-2  # of what is missing to a cosine of 1: so much is given up for less smoothing
LESS_SMOOTH = 2  # by so many steps of λ at most
SAMPLE = 750  # lift and γ move little with the number of anchors: so many choose them, then all of them choose λ
Point = TypeVar("Point", bound=Hashable)


class Trial(NamedTuple):
    """An inverse that was tried."""

    inverse: Inverse
    cosine: float
    """Mean cosine of out-of-fold directions with the true ones."""


class Candidate(NamedTuple):
    """A trial among which the objective chooses."""

    inverse: Inverse
    cosine: float
    directions: Tensor
    """The inverse's output for every pair, out of fold, shape (k, d_Y)."""
    true: Tensor
    """The unit rows `(k, d_Y)` that it should be, centred as the fit that made the output centred."""
    path: KernelPath | None = None
    """The decomposition behind a kernel, for what comes after: it is most of the work."""


class TuningResult(NamedTuple):
    """What the tuning of one inverse found."""

    candidates: list[Candidate]
    others: list[Trial]


Tuner = Callable[[Pairs, Given], TuningResult]


def climb(evaluate: Callable[[Point], float], grid: Sequence[Point], start: int) -> dict[Point, float]:
    """Hill-climb a one-dimensional `grid` from index `start`: all points tried with their values, at most 1, best first.

    Where the way up is flat it stops, so that the plain middle of the grid wins over an extreme end that gains nothing.
    """
    tried = {grid[start]: evaluate(grid[start])}
    best = start
    for step in (1, -1):
        while 0 <= best + step < len(grid):
            point = grid[best + step]
            if point not in tried:
                tried[point] = evaluate(point)
            if tried[point] - tried[grid[best]] <= FLAT * (1 - tried[grid[best]]):
                break
            best += step
    return _with_first(grid[best], tried)


def _with_first(point: Point, tried: dict[Point, float]) -> dict[Point, float]:
    """`tried` with this point first and the others best first."""
    return {point: tried.pop(point), **dict(sorted(tried.items(), key=lambda item: item[1], reverse=True))}


def tune_lift(pairs: Pairs, given: Given) -> float:
    """The lift by leave-one-out on a sample: above 0 where the lengths of the source's vectors tell something.

    The flattest kernel judges, which is nearly ridge regression: that is quick, and both inverses that lift agree with it.
    """
    if given.lift is not None:
        return float(given.lift)
    sample, start = _sample(pairs, given.seed), KernelInverse.ridge
    cosine: dict[float, float] = {}
    for lift in LIFTS:
        rows = sample.lifted(lift)
        gamma = GAMMAS[0] * (1 + lift**2)  # a lift of all makes cosines so much more alike
        path = KernelPath(rows, rows, gamma, sample.copies)
        start, cosine[lift] = next(iter(_kernel_ridges(_left_out(sample, path), None, start).items()))
    best = max(LIFTS, key=cosine.__getitem__)
    return best if cosine[best] - cosine[0] > FLAT * (1 - cosine[0]) else 0.0


def _sample(pairs: Pairs, seed: int) -> Pairs:
    return pairs if len(pairs) <= SAMPLE else pairs.take(pairs.permutation(seed)[:SAMPLE])


def tune_kernel(pairs: Pairs, given: Given) -> TuningResult:
    """Lift, γ and λ by leave-one-out: one candidate."""
    if given.num_landmarks is not None:  # there are no more landmarks than anchors
        given = given.but(num_landmarks=min(given.num_landmarks, len(pairs)))
    sample = _sample(pairs, given.seed)
    lift = tune_lift(sample, given)
    given = given.but(lift=lift)
    sample_rows, rows = sample.lifted(lift), pairs.lifted(lift)
    gamma_tried: dict[float, dict[float, float]] = {}

    start = KernelInverse.ridge  # where the climb in λ begins: at its neighbour's best, once there is a neighbour

    def best_of(gamma: float) -> float:
        nonlocal start
        path = _kernel(given, gamma).path(sample_rows, sample.copies)
        gamma_tried[gamma] = _kernel_ridges(_left_out(sample, path), given.ridge, start)
        start, cosine = next(iter(gamma_tried[gamma].items()))
        return cosine

    grid = GAMMAS if given.gamma is None else (given.gamma,)
    gamma = next(iter(climb(best_of, grid, grid.index(2.0) if given.gamma is None else 0)))
    path = _kernel(given, gamma).path(rows, pairs.copies)
    evaluate = _left_out(pairs, path)
    if sample is not pairs:
        gamma_tried = {gamma: _kernel_ridges(evaluate, given.ridge, next(iter(gamma_tried[gamma])))}
    if given.ridge is None:
        gamma_tried[gamma] = _less_smooth(gamma_tried[gamma], evaluate)
    best = next(iter(gamma_tried[gamma]))
    others = [
        Trial(_kernel(given, *point), cosine)
        for point, cosine in (((g, r), c) for g, ridges in gamma_tried.items() for r, c in ridges.items())
        if point != (gamma, best)
    ]
    directions = path.leave_one_out(pairs.target_rows, best)
    cosine = gamma_tried[gamma][best]
    chosen = Candidate(_kernel(given, gamma, best), cosine, directions, pairs.target_rows, path)
    return TuningResult([chosen], others)


def _kernel(given: Given, gamma: float, ridge: float = KernelInverse.ridge) -> KernelInverse:
    return KernelInverse(gamma, ridge, given.num_landmarks, given.seed, given.lift or 0.0)


def _kernel_ridges(evaluate: Callable[[float], float], ridge: float | None, start: float) -> dict[float, float]:
    if ridge is not None:
        return {ridge: evaluate(ridge)}
    return climb(evaluate, KERNEL_RIDGES, KERNEL_RIDGES.index(start))


def _less_smooth(tried: dict[float, float], evaluate: Callable[[float], float]) -> dict[float, float]:
    """What was tried, first a λ that smooths less than the best and is nearly as good: heads and neighbours like that."""
    best, top = next(iter(tried.items()))
    index = KERNEL_RIDGES.index(best)
    for ridge in reversed(KERNEL_RIDGES[max(index - LESS_SMOOTH, 0) : index]):
        tried[ridge] = tried[ridge] if ridge in tried else evaluate(ridge)
        if top - tried[ridge] > NEARLY * (1 - top):
            break
        best = ridge
    return _with_first(best, tried)


def _left_out(pairs: Pairs, path: KernelPath) -> Callable[[float], float]:
    """The mean cosine of leave-one-out at a λ."""
    spectral = path.spectral(pairs.target_rows)
    return lambda ridge: mean_cosine(path.leave_one_out(pairs.target_rows, ridge, spectral), pairs.target_rows)


def tune_whitened(pairs: Pairs, given: Given) -> TuningResult:
    """The lift by leave-one-out, λ for each balance by K folds: a candidate for each balance."""
    lift = tune_lift(pairs, given)
    folds = _Folds(pairs, given.seed, lift)
    paths = [WhitenedPath(train.lifted(lift), train.target_rows) for train in folds.train]
    rotated = [path.rotate_source(rows) for path, rows in zip(paths, folds.rows, strict=True)]
    true = folds.gather(folds.true)

    def directions(balance: float, ridge: float) -> Tensor:
        return folds.gather([path.directions(r, balance, ridge) for path, r in zip(paths, rotated, strict=True)])

    def cosine(balance: float, ridge: float) -> float:
        return mean_cosine(directions(balance, ridge), true)

    candidates, others = [], []
    grid, start = (RIDGES, RIDGES.index(1e-1)) if given.ridge is None else ((given.ridge,), 0)
    for balance in BALANCES if given.balance is None else (given.balance,):
        tried = climb(partial(cosine, balance), grid, start)
        (ridge, value), *rest = tried.items()
        candidates.append(Candidate(WhitenedInverse(balance, ridge, lift), value, directions(balance, ridge), true))
        others += [Trial(WhitenedInverse(balance, ridge, lift), value) for ridge, value in rest]
    return TuningResult(candidates, others)


def tune_pruned(pairs: Pairs, given: Given) -> TuningResult:
    """δ over the whole grid, for it can have two tops (few anchors, or many more than d_Y): two candidates.

    The grid is scored on a few folds, since near-singular subspaces are slow to invert; the candidates on all.
    """
    num_subspaces = PrunedInverse.num_subspaces if given.num_subspaces is None else given.num_subspaces
    thresholds = THRESHOLDS if given.pruning_threshold is None else (given.pruning_threshold,)
    folds = _Folds(pairs, given.seed)
    until = min((threshold for threshold in thresholds if threshold), default=1.0)
    paths = [PrunedPath(train.target_rows, num_subspaces, given.seed, until) for train in folds.train]
    true = folds.gather(folds.true)

    def directions(threshold: float, count: int) -> list[Tensor]:
        parts = zip(folds.rows[:count], folds.train[:count], paths[:count], strict=True)
        return [(rows @ train.source_rows.T) @ path.inverse(threshold) for rows, train, path in parts]

    def cosine(threshold: float) -> float:
        return mean_cosine(torch.cat(directions(threshold, FEW_FOLDS)), torch.cat(folds.true[:FEW_FOLDS]))

    scores = {threshold: cosine(threshold) for threshold in thresholds}
    ranked = sorted(scores, key=scores.__getitem__, reverse=True)
    inverses = [PrunedInverse(threshold, num_subspaces, given.seed) for threshold in ranked]
    candidates = []
    for inverse in inverses[:2]:
        gathered = folds.gather(directions(inverse.pruning_threshold, len(folds.held)))
        candidates.append(Candidate(inverse, mean_cosine(gathered, true), gathered, true))
    others = [Trial(inverse, scores[inverse.pruning_threshold]) for inverse in inverses[2:]]
    return TuningResult(candidates, others)


def tune_by_folds(method: str, pairs: Pairs, given: Given) -> TuningResult:
    """Of an inverse without a tuner of its own: each hyper-parameter that has a grid by K folds, one after the other."""
    inverse: Any = make_inverse(method, given)
    known = hyperparameters_of(inverse)
    if "lift" in known:
        inverse = replace(inverse, lift=tune_lift(pairs, given))
    folds = _Folds(pairs, given.seed, inverse.lift)
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


TUNERS: dict[type[Inverse], Tuner] = {
    KernelInverse: tune_kernel,
    WhitenedInverse: tune_whitened,
    PrunedInverse: tune_pruned,
}
"""Those that know their inverse's shape: its leave-one-out in closed form, or one decomposition for a whole grid."""


def tune(method: str, pairs: Pairs, given: Given) -> TuningResult:
    """Tune the inverse of that name by out-of-fold cosine."""
    tuner = TUNERS.get(INVERSES[method]) or partial(tune_by_folds, method)
    return tuner(pairs, given)


def mean_cosine(directions: Tensor, true: Tensor) -> float:
    """Mean cosine of `directions (n, d_Y)` with the unit rows `true (n, d_Y)`: angles alone, whatever the mean."""
    return float(cosines(directions, true).mean())


class _Folds:
    """K folds; all of a fold is seen with the statistics of the pairs outside of it."""

    def __init__(self, pairs: Pairs, seed: int, lift: float = 0.0) -> None:
        self.held = pairs.folds(NUM_FOLDS, seed)
        self.train = [pairs.without(held) for held in self.held]
        self.rows = [
            normalize(pairs.source[h], t.source_stats, lift) for h, t in zip(self.held, self.train, strict=True)
        ]
        self.true = [normalize(pairs.target[h], t.target_stats) for h, t in zip(self.held, self.train, strict=True)]

    def gather(self, parts: list[Tensor]) -> Tensor:
        """One part `(n_f, d)` of each fold, in the order of the pairs, shape (k, d)."""
        gathered = torch.empty(sum(map(len, parts)), parts[0].shape[1], dtype=parts[0].dtype, device=parts[0].device)
        for held, part in zip(self.held, parts, strict=True):
            gathered[held] = part
        return gathered
