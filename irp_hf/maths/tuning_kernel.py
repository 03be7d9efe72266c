"""Lift, γ and λ of the kernel inverse, by leave-one-out.

A sample chooses the lift and γ, for they move little with the number of anchors; λ is then chosen with all of them. Where all
anchors carry the map, one Cholesky factor gives leave-one-out at one λ: three or four of them around the sample's best cost
less than the decomposition that would give all. Landmarks are decomposed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.climbing import (
    FLAT,
    SAMPLE,
    Candidate,
    Trial,
    TuningResult,
    climb,
    grid_of,
    less_smooth,
    mean_cosine,
)
from irp_hf.maths.groups import groups_by_size
from irp_hf.maths.inverses.kernel import KernelInverse, KernelPath, Solved, similarities
from irp_hf.maths.inverses.kernel_system import KernelSystem, left_out
from irp_hf.maths.inverses.solving import is_exact, last_left_out, rough_inverse
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import among
from irp_hf.maths.request import Given, Objective

GAMMAS, RIDGES, LIFTS = (grid_of(KernelInverse, name) for name in ("gamma", "ridge", "lift"))
LESS_SMOOTH = 2  # steps of λ at most
HOPELESS = 0.1  # of what is missing to a cosine of 1: what another λ gains at a γ is a third of that, at most
SKETCH = 192  # numbers that stand for a wider target where hyper-parameters are compared
Score = Callable[[float, float], float]
"""The mean cosine of leave-one-out at a γ and a λ."""


def tune_lift(pairs: Pairs, given: Given) -> float:
    """The lift by leave-one-out on a sample: above 0 where the lengths of the source's vectors tell something.

    The flattest kernel judges, which is nearly ridge regression: that is quick, and both inverses that lift agree with it.
    """
    if given.lift is not None:
        return float(given.lift)
    sample, start = sample_of(pairs, given.seed), KernelInverse.ridge
    targets, groups = _few_columns(pairs)[sample], _groups(pairs, sample)

    def best_of(lift: float, least: float = -1.0) -> float:
        nonlocal start
        gamma = GAMMAS[0] * (1 + lift**2)  # a lift of all makes cosines so much more alike
        score = _on_sample(pairs.cosines_of(sample, lift), targets, groups)
        start, cosine = next(iter(climb_ridges(score, gamma, None, start, least).items()))
        return cosine

    without = best_of(LIFTS[0])
    little = best_of(LIFTS[1], least=without)  # which wants the same λ
    if little - without <= FLAT * (1 - without):
        return LIFTS[0]  # where a little of it gains nothing, lengths tell nothing
    found = {LIFTS[1]: little, **{lift: best_of(lift) for lift in LIFTS[2:]}}
    return max(found, key=found.__getitem__)


def takes_all(pairs: Pairs, given: Given) -> bool:
    """Whether all pairs are landmarks of the kernel."""
    return given.num_landmarks is None or given.num_landmarks >= len(pairs)


def sample_of(pairs: Pairs, seed: int) -> Tensor:
    """Row numbers of a seeded sample, of all where they are few."""
    if len(pairs) <= SAMPLE:
        return torch.arange(len(pairs), device=pairs.source.device)
    return pairs.permutation(seed)[:SAMPLE]


def sampled(pairs: Pairs, seed: int) -> Pairs:
    """The pairs of that sample, normalised by themselves; these pairs where they are few."""
    rows = sample_of(pairs, seed)
    return pairs if len(rows) == len(pairs) else pairs.once(("sample", seed), lambda: pairs.take(rows))


def sketched(target: Tensor) -> Tensor:
    """`target (n, d)`, where it is wide as `(n, 192)` random sums of its columns: mean cosines stay nearly as they are.

    Few rows stay as they are, for their mean would not. Single precision is enough to compare.
    """
    return target if len(target) < SAMPLE else sums_of_columns(target)


def _few_columns(pairs: Pairs) -> Tensor:
    """The targets' unit rows, `sketched`: once for all who compare by them."""
    return pairs.once("sketched", lambda: sketched(pairs.target_rows))


def sums_of_columns(target: Tensor) -> Tensor:
    """`target (n, d)`, where it is wide as `(n, 192)` random sums of its columns: mean cosines stay nearly as they are."""
    width = target.shape[1]
    if width <= SKETCH:
        return target
    generator = torch.Generator("cpu").manual_seed(0)
    rows = target.to(working_dtype(torch.float32, target.device))
    sums = torch.randn(width, SKETCH, generator=generator, dtype=torch.float32, device="cpu")
    return (rows @ sums.to(rows)).to(target.dtype)


class Gammas(NamedTuple):
    """What a climb in γ found."""

    score: Score
    gamma: float
    """The best."""
    tried: dict[float, dict[float, float]]
    """The mean cosines by γ and by λ."""

    @property
    def top(self) -> float:
        """That of the best γ, at its best λ."""
        return next(iter(self.tried[self.gamma].values()))


def _climb_gammas(score: Score, given: Given) -> Gammas:
    tried: dict[float, dict[float, float]] = {}
    start = KernelInverse.ridge  # where the climb in λ begins: at its neighbour's best, once there is a neighbour

    def best_of(gamma: float) -> float:
        nonlocal start
        top = max((max(values.values()) for values in tried.values()), default=-1.0)
        tried[gamma] = climb_ridges(score, gamma, given.ridge, start, top - HOPELESS * (1 - top))
        start, cosine = next(iter(tried[gamma].items()))
        return cosine

    grid = GAMMAS if given.gamma is None else (given.gamma,)
    found = climb(best_of, grid, grid.index(KernelInverse.gamma) if given.gamma is None else 0)
    return Gammas(score, next(iter(found)), tried)


def tune_kernel(
    pairs: Pairs,
    given: Given,
    lift: float | None = None,
    objective: Objective = "cosine",
) -> TuningResult:
    """Lift, γ and λ by leave-one-out: one candidate. The `lift` may be known already.

    What the flattest kernel, nearly a ridge regression, makes of lengths, a local one may not: without them it may be better.
    """
    whole = takes_all(pairs, given)
    lift = tune_lift(pairs.with_cosines() if whole else pairs, given) if lift is None else lift
    count = None if given.num_landmarks is None else min(given.num_landmarks, len(pairs))
    target, sample = pairs.target_rows, sample_of(pairs, given.seed)
    few, groups = _few_columns(pairs) if whole else target, _groups(pairs, sample)

    def on_sample(lift: float) -> Gammas:
        if whole:
            score = _on_sample(pairs.cosines_of(sample, lift), few[sample], groups)
        else:
            plain = KernelInverse(num_landmarks=count, seed=given.seed, lift=lift)
            score = _by_paths(plain, pairs.lifted(lift)[sample], few[sample], groups)
        return _climb_gammas(score, given)

    found = on_sample(lift)
    if lift and given.lift is None:
        without = on_sample(LIFTS[0])
        if without.top - found.top > FLAT * (1 - found.top):
            lift, found = LIFTS[0], without
    score, gamma, tried = found
    rows, cosines = pairs.lifted(lift), pairs.cosines_at(lift) if whole else None
    plain = KernelInverse(num_landmarks=count, seed=given.seed, lift=lift)
    if len(sample) < len(pairs):
        if cosines is None:
            score = _by_paths(plain, rows, few, pairs.copies)
        else:
            score = _by_inverses(cosines, few, pairs.copies) if pairs.copies else _by_judges(cosines, few, sample)
        tried = {gamma: climb_ridges(score, gamma, given.ridge, next(iter(tried[gamma])))}
    if given.ridge is None:
        tried[gamma] = less_smooth(tried[gamma], lambda ridge: score(gamma, ridge), RIDGES, LESS_SMOOTH)
    best = next(iter(tried[gamma]))

    def inverse(gamma: float, ridge: float) -> KernelInverse:
        return KernelInverse(gamma, ridge, count, given.seed, lift)

    if cosines is None or not is_exact(best, rows):
        solved: Solved = inverse(gamma, best).path(rows, pairs.copies).at(best, target)
    else:
        solved = KernelSystem(rows, cosines, inverse(gamma, best), target, pairs.copies)
    directions = solved.leave_one_out()
    chosen = Candidate(inverse(gamma, best), mean_cosine(directions, target), directions, target, solved)
    # What others had of the rows that compared them is to be compared with what the best has of all.
    apart = chosen.cosine - tried[gamma][best]
    points = [(g, r, c) for g, ridges in tried.items() for r, c in ridges.items() if (g, r) != (gamma, best)]
    return TuningResult([chosen], [Trial(inverse(g, r), cosine + apart) for g, r, cosine in points])


def _groups(pairs: Pairs, sample: Tensor) -> list[Tensor]:
    return groups_by_size(pairs.labels[sample]) if pairs.copies else []


def _by_inverses(cosines: Tensor, target: Tensor, groups: Sequence[Tensor]) -> Score:
    """Scores on rows with these `cosines (n, n)`, all of which are landmarks, and their `target (n, d)`."""
    similar: dict[float, Tensor] = {}

    def score(gamma: float, ridge: float) -> float:
        if gamma not in similar:
            similar.clear()
            similar[gamma] = similarities(cosines, gamma)
        inverse = rough_inverse(similar[gamma], ridge)
        true = target.to(inverse.dtype)
        return mean_cosine(left_out(inverse, true, groups), true)

    return score


def _on_sample(cosines: Tensor, target: Tensor, groups: Sequence[Tensor]) -> Score:
    """Scores of rows with these `cosines (n, n)` and their `target (n, d)`: where they are many, of half of them."""
    if groups or len(cosines) < SAMPLE:
        return _by_inverses(cosines, target, groups)
    return _by_judges(cosines, target, torch.arange(len(cosines) // 2, len(cosines), device=cosines.device))


def _by_judges(cosines: Tensor, target: Tensor, judges: Tensor) -> Score:
    """Scores of the rows `judges (n,)` alone, each by all other rows: at less than half the price of all scores."""
    number = torch.zeros(len(cosines), dtype=torch.int64, device=cosines.device).index_fill_(0, judges, 1)
    order = number.argsort(stable=True)
    single = working_dtype(torch.float32, cosines.device)
    ordered, true = among(cosines.to(single), order), target.to(single)[order]
    similar: dict[float, Tensor] = {}

    def score(gamma: float, ridge: float) -> float:
        if gamma not in similar:
            similar.clear()
            similar[gamma] = similarities(ordered, gamma)
        found = last_left_out(similar[gamma], ridge, true, len(judges))
        if found is None:
            inverse = rough_inverse(similarities(cosines, gamma), ridge)
            found = left_out(inverse, target.to(inverse.dtype), ())[order[-len(judges) :]]
        return mean_cosine(found, true[-len(judges) :].to(found.dtype))

    return score


def _by_paths(inverse: KernelInverse, rows: Tensor, target: Tensor, groups: Sequence[Tensor]) -> Score:
    """The same with fewer landmarks than rows, `target (n, d_Y)` as it is."""
    landmarks = inverse.landmarks(rows)
    paths: dict[float, tuple[KernelPath, Tensor]] = {}

    def score(gamma: float, ridge: float) -> float:
        if gamma not in paths:
            paths.clear()
            path = KernelPath(rows, landmarks, gamma, groups)
            paths[gamma] = path, path.spectral(target)
        path, spectral = paths[gamma]
        return mean_cosine(path.leave_one_out(target, ridge, spectral), target)

    return score


def climb_ridges(
    score: Score, gamma: float, ridge: float | None, start: float, least: float = -1.0
) -> dict[float, float]:
    """What was tried of λ at this γ, the best first; a `ridge` that is given is kept.

    Where the start is below the `least` that any may be, no other is tried.
    """
    if ridge is not None:
        return {ridge: score(gamma, ridge)}
    first = score(gamma, start)
    if first < least:
        return {start: first}
    return climb(lambda ridge: first if ridge == start else score(gamma, ridge), RIDGES, RIDGES.index(start))
