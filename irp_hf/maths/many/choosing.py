"""From sums over many pairs to the inverse: λ, the balance and the restoration by the judges, then the map from all pairs."""

from __future__ import annotations

from functools import partial
from typing import cast

from torch import Tensor

from irp_hf.maths.climbing import Candidate, Trial, TuningResult, less_smooth, mean_cosine
from irp_hf.maths.inverses.base import KernelMap, LinearMap
from irp_hf.maths.inverses.kernel import INTERCEPT, KernelInverse, SolvedOnce
from irp_hf.maths.inverses.whitened import Spectrum, WhitenedInverse, WhitenedPath
from irp_hf.maths.many.sums import Moments, Sums
from irp_hf.maths.metrics import Labels
from irp_hf.maths.objectives import objective_score
from irp_hf.maths.projection import denormalize, relative_projection
from irp_hf.maths.selection import RESTORATION_FOLDS, Choice, by_rank, choice_of, ranked
from irp_hf.maths.tuning_kernel import LESS_SMOOTH, RIDGES, climb_ridges
from irp_hf.maths.tuning_whitened import BALANCES, Judge, search


def select_from(sums: Sums, labels: Labels | None = None) -> list[Choice]:
    """The choices of the methods that the plan asks for, best first by its objective on the judges."""
    request, judges = sums.plan.request, sums.plan.judges
    objective, given = request.objective, request.given
    score = objective_score(objective, judges, labels, depth=given.depth)

    def vectors(directions: Tensor, length: float = 1.0) -> Tensor:
        return denormalize(directions, judges.target_stats, length)

    choices = []
    for method in request.methods:
        tried, best = ranked(TUNERS[method](sums), judges, vectors, objective, score)
        folds = judges.folds(RESTORATION_FOLDS, given.seed)
        choices.append(choice_of(method, best, tried, judges, folds, vectors, objective, score, given))
    return by_rank(choices, judges, objective)


def _tune_kernel(sums: Sums) -> TuningResult:
    """λ by the judges: one candidate."""
    plan, judges, given = sums.plan, sums.plan.judges, sums.plan.request.given
    own = relative_projection(plan.landmarks, plan.landmarks, plan.gamma).add_(INTERCEPT)
    tried, directions = _ridges(sums, own)
    (best, cosine), *rest = tried.items()
    coefficients = sums.system(own, held=True).solve(best)
    folded = KernelMap(plan.landmarks, coefficients, INTERCEPT * coefficients.sum(0), plan.gamma)

    def inverse(ridge: float) -> KernelInverse:
        return KernelInverse(plan.gamma, ridge, len(plan.landmarks), given.seed, plan.lift)

    solved = SolvedOnce(folded, directions)
    chosen = Candidate(inverse(best), cosine, directions, judges.target_rows, solved)
    return TuningResult([chosen], [Trial(inverse(ridge), value) for ridge, value in rest])


def _ridges(sums: Sums, own: Tensor) -> tuple[dict[float, float], Tensor]:
    """What was tried of λ, the best first, and what that makes of the judges `(j, d_Y)`; `own (m, m)` is the landmarks' K."""
    plan, judges, given = sums.plan, sums.plan.judges, sums.plan.request.given
    seen = relative_projection(judges.lifted(plan.lift), plan.landmarks, plan.gamma).add_(INTERCEPT)
    system = sums.system(own, held=False)
    directions: dict[float, Tensor] = {}

    def score(gamma: float, ridge: float) -> float:
        directions[ridge] = seen @ system.solve(ridge)
        return mean_cosine(directions[ridge], judges.target_rows)

    tried = climb_ridges(score, plan.gamma, given.ridge, plan.ridge)
    if given.ridge is None:
        tried = less_smooth(tried, partial(score, plan.gamma), RIDGES, LESS_SMOOTH)
    return tried, directions[next(iter(tried))]


def _tune_whitened(sums: Sums) -> TuningResult:
    """λ for each balance by the judges, from one decomposition of each side: a candidate for each balance."""
    plan, judges, given = sums.plan, sums.plan.judges, sums.plan.request.given
    without = HeldOut(path_of(sums.rest), judges.lifted(plan.lift), judges.target_rows)
    balances = BALANCES if given.balance is None else (given.balance,)
    candidates, trials = search(without, balances, given, plan.lift)
    path = path_of(sums.rest + sums.held)

    def solved(one: Candidate) -> Candidate:
        inverse = cast(WhitenedInverse, one.inverse)
        folded = LinearMap(path.directions(path.source.vectors, inverse.balance, inverse.ridge))
        return one._replace(solved=SolvedOnce(folded, one.directions))

    return TuningResult([solved(one) for one in candidates], trials)


TUNERS = {"kernel": _tune_kernel, "whitened": _tune_whitened}


class HeldOut(Judge):
    """Rows that none of the sums holds."""

    def __init__(self, path: WhitenedPath, rows: Tensor, true: Tensor) -> None:
        """Unit `rows (j, d_X)` and what they should lead to, `true (j, d_Y)`."""
        self.path, self.rotated, self.true = path, path.rotate_source(rows), true

    def directions(self, balance: float, ridge: float) -> Tensor:
        """As `Judge` has it."""
        return self.path.directions(self.rotated, balance, ridge)


def path_of(sums: Moments) -> WhitenedPath:
    """Every balance and λ over the pairs of these sums."""
    source, target = (Spectrum.of_moment(moment / sums.count) for moment in (sums.source, sums.target))
    return WhitenedPath(source, target, source.vectors.T @ (sums.both / sums.count) @ target.vectors)
