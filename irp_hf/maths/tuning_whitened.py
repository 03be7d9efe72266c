"""Balance and λ of the whitened inverse, by K folds.

Of few anchors each fold is fitted anew, with the means and scales that the others have. Of many, where one fold moves these
little, a sample chooses the balance, which the number of anchors hardly changes, so that its neighbours are tried where that
is cheap; λ it would choose ten times too large.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.climbing import SAMPLE, Candidate, Trial, TuningResult, climb, grid_of, less_smooth, mean_cosine
from irp_hf.maths.folds import FEW_FOLDS, NUM_FOLDS, Folds, gathered
from irp_hf.maths.inverses.kernel_system import between
from irp_hf.maths.inverses.left_out_whitened import RidgePath, paths_without
from irp_hf.maths.inverses.solving import inverse_with_ridge, last_solved
from irp_hf.maths.inverses.whitened import Spectrum, WhitenedInverse, WhitenedPath
from irp_hf.maths.leaving_out import leave_folds_out
from irp_hf.maths.pairs import Pairs, others
from irp_hf.maths.projection import among, inner_products, unit_rows
from irp_hf.maths.request import Given, Objective
from irp_hf.maths.tuning_kernel import sample_of, sketched, tune_lift

CHEAP = 0.25  # of one decomposition of as many rows as there are anchors
LESS_SMOOTH = 1  # step of λ at most
BALANCES, RIDGES = (grid_of(WhitenedInverse, name) for name in ("balance", "ridge"))


class Judge(ABC):
    """What tells how well a balance and a λ do out of fold."""

    true: Tensor
    """The unit rows `(k, d_Y)` that directions should be."""

    @abstractmethod
    def directions(self, balance: float, ridge: float) -> Tensor:
        """Out-of-fold directions `(k, d_Y)`."""

    def cosine(self, balance: float, ridge: float) -> float:
        """Their mean cosine with the true ones."""
        return mean_cosine(self.directions(balance, ridge), self.true)


def tune_whitened(
    pairs: Pairs, given: Given, lift: float | None = None, objective: Objective = "cosine"
) -> TuningResult:
    """λ for each balance that the `objective` may choose, by K folds: a candidate for each. The `lift` may be known already."""
    lift = tune_lift(pairs, given) if lift is None else lift
    balances = BALANCES if given.balance is None else (given.balance,)
    if len(pairs) <= SAMPLE:
        return search(Refitted(Folds(pairs, given.seed, lift), lift), balances, given, lift)
    if objective == "cosine" and len(balances) > 1:
        sample = OfProducts.of_sample(pairs, given, lift)
        grid, start = _grid(given)

        def best_of(balance: float) -> float:
            return next(iter(climb(partial(sample.cosine, balance), grid, start).values()))

        best = balances.index(next(iter(climb(best_of, balances, len(balances) - 1))))
        near = 1 if _is_cheap(pairs) else 0
        balances = balances[max(best - near, 0) : best + near + 1]
    rows, folds = pairs.lifted(lift), pairs.folds(NUM_FOLDS, given.seed)
    judge: Judge
    if tuple(balances) != (1.0,):
        judge = DownDated(rows, pairs.target_rows, folds)
    elif rows.shape[1] < len(rows) or given.ridge == 0:
        judge = RidgeJudge(rows, pairs.target_rows, folds)
    else:
        judge = WideRidgeJudge(pairs.cosines_at(lift), rows.shape[1], pairs.target_rows, folds)
    return search(judge, balances, given, lift)


def search(judge: Judge, balances: Sequence[float], given: Given, lift: float) -> TuningResult:
    """λ for each of the `balances`, a candidate each."""
    candidates, trials = [], []
    grid, start = _grid(given)
    for balance in balances:
        score = partial(judge.cosine, balance)
        (ridge, best), *rest = less_smooth(climb(score, grid, start), score, grid, LESS_SMOOTH).items()
        directions = judge.directions(balance, ridge)
        cosine = mean_cosine(directions, judge.true)
        candidates.append(Candidate(WhitenedInverse(balance, ridge, lift), cosine, directions, judge.true))
        # What others had of the rows that compared them is to be compared with what the best has of all.
        trials += [Trial(WhitenedInverse(balance, ridge, lift), value + cosine - best) for ridge, value in rest]
    return TuningResult(candidates, trials)


def _is_cheap(pairs: Pairs) -> bool:
    """Whether what other balances than 1 want, a decomposition of both sides for each fold, costs less than one of all."""
    widths = [min(side.shape[1], len(pairs)) for side in (pairs.source, pairs.target)]
    return NUM_FOLDS * sum(width**3 for width in widths) < CHEAP * len(pairs) ** 3


def _grid(given: Given) -> tuple[tuple[float, ...], int]:
    """The λ that are tried, and with which of them the climb begins."""
    return (RIDGES, RIDGES.index(1e-1)) if given.ridge is None else ((given.ridge,), 0)


class Refitted(Judge):
    """Every fold by a fit on the others."""

    def __init__(self, folds: Folds, lift: float) -> None:
        self.folds = folds
        self.paths = [WhitenedPath.of(train.lifted(lift), train.target_rows) for train in folds.train]
        self.rotated = [path.rotate_source(rows) for path, rows in zip(self.paths, folds.rows, strict=True)]
        self.true = folds.gather(folds.true)

    def directions(self, balance: float, ridge: float) -> Tensor:
        """As `Judge` has it."""
        parts = zip(self.paths, self.rotated, strict=True)
        return self.folds.gather([path.directions(rows, balance, ridge) for path, rows in parts])


class DownDated(Judge):
    """Every fold by sums over all rows less its own, all with the means and scales of all."""

    def __init__(self, rows: Tensor, target: Tensor, folds: Sequence[Tensor]) -> None:
        """Unit `rows (k, d_X)` and `target (k, d_Y)`."""
        self.true, self.folds = target, folds
        self.paths = list(paths_without(rows, target, folds))
        self.rotated = [path.rotate_source(rows[fold]) for path, fold in zip(self.paths, folds, strict=True)]

    def directions(self, balance: float, ridge: float) -> Tensor:
        """As `Judge` has it."""
        parts = zip(self.paths, self.rotated, strict=True)
        return gathered(self.folds, [path.directions(rows, balance, ridge) for path, rows in parts])


class OfProducts:
    """Every fold of a sample by products of its rows with each other, on each side, all with the means and scales of all."""

    def __init__(self, source: Tensor, target: Tensor, widths: tuple[int, int], folds: Sequence[Tensor]) -> None:
        """Products `source (n, n)` and `target (n, n)` of unit rows of these widths."""
        self.parts = []
        for fold in folds:
            rest = others(fold, len(source))
            sides = list(zip((source, target), widths, strict=True))
            left, right = (Spectrum.of_products(among(inner, rest), width) for inner, width in sides)
            both = [one.vectors * (one.values * len(rest)) for one in (left, right)]  # coordinates of the rest
            path = WhitenedPath(left, right, both[0].T @ both[1] / len(rest))
            rows, true = (
                inner[fold][:, rest] @ one.vectors for inner, one in zip((source, target), (left, right), strict=True)
            )
            self.parts.append((path, rows, true))

    @classmethod
    def of_sample(cls, pairs: Pairs, given: Given, lift: float) -> OfProducts:
        """Of the sample of `pairs`, in a few folds."""
        rows = sample_of(pairs, given.seed)
        widths = pairs.source.shape[1] + bool(lift), pairs.target.shape[1]
        inner = pairs.cosines_of(rows, lift), inner_products(pairs.target_rows[rows])
        return cls(*inner, widths, pairs.folds_among(rows, FEW_FOLDS, given.seed))

    def cosine(self, balance: float, ridge: float) -> float:
        """The mean cosine of directions out of fold with the true ones."""
        found, count = 0.0, 0
        for path, rows, true in self.parts:
            directions = unit_rows(path.coordinates(rows, balance, ridge))
            found, count = found + float((directions * true).sum()), count + len(rows)
        return found / count


class WideRidgeJudge(Judge):
    """The same at balance 1, which is ridge regression, of rows that are as wide as they are many: by their cosines alone."""

    def __init__(self, cosines: Tensor, width: int, target: Tensor, folds: Sequence[Tensor]) -> None:
        """`cosines (k, k)` of unit rows of that width, and `target (k, d_Y)`."""
        self.cosines, self.true, self.folds = cosines, target, folds
        self.unit = float(cosines.diagonal().sum()) / width * (1 - 1 / len(folds))  # of the ridge, without a fold
        self.judging = folds if len(target) <= SAMPLE else folds[len(folds) // 2 :]
        """Folds that compare ridges: of many rows, half of them tell, at less than half the price."""
        judges = torch.cat(list(self.judging))
        self.order = torch.cat([others(judges, len(target)), judges])
        single = working_dtype(torch.float32, cosines.device)
        self.ordered, self.few = among(cosines.to(single), self.order), sketched(target)[self.order].to(single)
        self.count = len(judges)

    def directions(self, balance: float, ridge: float) -> Tensor:
        """As `Judge` has it; the balance is 1."""
        inverse = inverse_with_ridge(self.cosines, ridge * self.unit)
        return leave_folds_out(self.true, inverse @ self.true, self.folds, partial(between, inverse))

    def cosine(self, balance: float, ridge: float) -> float:
        """As `Judge` has it, nearly: of wide targets, sums stand for them, and single precision compares."""
        target = self.few[-self.count :]
        found = last_solved(self.ordered, ridge * self.unit, self.few, self.count)
        if found is None:
            inverse = inverse_with_ridge(among(self.cosines, self.order), ridge * self.unit)
            found = inverse[-self.count :, -self.count :], inverse[-self.count :] @ self.few.to(inverse.dtype)
        inverse, residual = found
        numbers = torch.arange(self.count, dtype=torch.int64, device=target.device)
        folds = numbers.split([len(fold) for fold in self.judging])
        target = target.to(inverse.dtype)
        return mean_cosine(leave_folds_out(target, residual, folds, partial(between, inverse)), target)


class RidgeJudge(Judge):
    """The same at balance 1, which is ridge regression, in closed form."""

    def __init__(self, rows: Tensor, target: Tensor, folds: Sequence[Tensor]) -> None:
        """Unit `rows (k, d_X)` and `target (k, d_Y)`."""
        self.true, self.path, self.few = target, RidgePath(rows, folds), sketched(target)
        self.spectral = self.path.spectral(self.few)

    def directions(self, balance: float, ridge: float) -> Tensor:
        """As `Judge` has it; the balance is 1."""
        return self.path.leave_fold_out(self.true, ridge)

    def cosine(self, balance: float, ridge: float) -> float:
        """As `Judge` has it, nearly: of wide targets, sums stand for them."""
        return mean_cosine(self.path.leave_fold_out(self.few, ridge, self.spectral), self.few)
