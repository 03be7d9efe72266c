"""Choose the inverse, and what the cosine alone cannot choose, from the anchors alone.

The lift, γ, λ and δ are tuned by out-of-fold cosine (`tuning.py`). The objective then chooses among what is left: the
balance, the scale restoration, and the inverse itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple, cast

from torch import Tensor

from irp_hf.arithmetic import own_arithmetic
from irp_hf.maths.blending import chosen_share, rigid_part, turned_left_out
from irp_hf.maths.climbing import Candidate, TuningResult
from irp_hf.maths.folds import NUM_FOLDS, Vectors
from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.inverses.base import Folded, Inverse, Translator, translator
from irp_hf.maths.inverses.hyperparameters import hyperparameters_of
from irp_hf.maths.inverses.kernel import Solved
from irp_hf.maths.inverses.whitened import WhitenedInverse
from irp_hf.maths.lengths import chosen_length
from irp_hf.maths.metrics import Labels, cosines
from irp_hf.maths.objectives import Score, objective_score, surely_best
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import Statistics
from irp_hf.maths.request import Given, Objective
from irp_hf.maths.restoration import Restoration, Stretch
from irp_hf.maths.rivals import may_win
from irp_hf.maths.tuning import tune
from irp_hf.maths.tuning_kernel import takes_all, tune_lift

RESTORATION_FOLDS = 2  # two halves tell the score of a restoration as well as more do
RESTORATIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
RESTORATION = 0.5  # where no objective surely says otherwise


class Tried(NamedTuple):
    """Hyper-parameters that were tried, and their objective out of fold."""

    inverse: Inverse
    restoration: float
    score: float


class ByFolds:
    """Translations `(k, d_Y)` and the objective `(k,)` of each, made once, when somebody asks for them; several threads may."""

    def __init__(self, make: Callable[[], tuple[Tensor, Tensor]]) -> None:
        self._make: Callable[[], tuple[Tensor, Tensor]] | None = make
        self._found: tuple[Tensor, Tensor] | None = None
        self._asking = threading.Lock()

    @own_arithmetic()
    def found(self) -> tuple[Tensor, Tensor]:
        """Both."""
        with self._asking:
            if self._found is None:
                self._found, self._make = cast(Callable[[], tuple[Tensor, Tensor]], self._make)(), None
            return self._found

    def __reduce__(self) -> tuple[Any, ...]:
        return _found_already, self.found()


def _found_already(translated: Tensor, scores: Tensor) -> ByFolds:
    return ByFolds(lambda: (translated, scores))


@dataclass(frozen=True)
class Choice:
    """One method at its best hyper-parameters."""

    method: str
    inverse: Inverse
    restoration: float
    """q: how much of the target's spectrum is restored."""
    rigid: float
    """ρ: how much the rigid part counts."""
    score: float
    """The objective out of fold, scale restored: leave-one-out for the kernel, K folds for the others."""
    tried: tuple[Tried, ...]
    """All hyper-parameters that were tried, the chosen first, then by score."""
    directions: Tensor
    """What the inverse gives for every pair, out of fold, scale restored, shape (k, d_Y): `score` comes from it."""
    translated: Tensor
    """The same as vectors of the target space `(k, d_Y)`."""
    by_folds: ByFolds
    """What it gives over the K folds that all methods share."""
    stretch: Stretch
    """The scale restoration."""
    solved: Solved | None
    """The solution behind a kernel inverse, or behind sums over many pairs."""
    refits: ClassVar[bool] = True
    """Whether the settings and any pairs make the map anew, without what else it was fitted on."""
    length: float = 1.0
    """ℓ: how long translations are about the target's mean, in its mean scale."""
    num_folds: int = NUM_FOLDS
    """Of the pairs, out of which `by_folds` comes; no more than there are independent pairs."""

    @property
    def runner_up(self) -> Tried | None:
        """The second best that was tried: it tells how flat the optimum is. None if nothing was left to choose."""
        return self.tried[1] if len(self.tried) > 1 else None

    @property
    def fold_score(self) -> float:
        """The objective over the K folds that all methods share: it compares them fairly."""
        return float(self.by_folds.found()[1].mean())

    @property
    def fold_translated(self) -> Tensor:
        """The translations `(k, d_Y)` that `fold_score` comes from."""
        return self.by_folds.found()[0]

    def fold(self, pairs: Pairs) -> Folded:
        """The inverse over all `pairs`, its scale restoration folded in."""
        return self.unstretched(pairs).then(self.stretch)

    def unstretched(self, pairs: Pairs) -> Folded:
        """The same before its scale is restored."""
        folded = self._fold(pairs)
        return folded.plus(self.rigid * rigid_part(pairs, self.inverse.lift)) if self.rigid else folded

    def _fold(self, pairs: Pairs) -> Folded:
        if self.solved is not None:
            return self.solved.fold()
        rows, lift = pairs.lifted(self.inverse.lift), self.inverse.lift
        if isinstance(self.inverse, WhitenedInverse) and pairs.known_cosines is not None:
            return self.inverse.fold(rows, pairs.target_rows, pairs.cosines_at(lift))
        return self.inverse.fold(rows, pairs.target_rows)

    def kept(self) -> Choice:
        """Without what only the fit itself needs: the solution and the directions, most of the memory."""
        return replace(self, solved=None, directions=self.directions[:0])

    def rows_seen(self, pairs: Pairs, landmarks: Tensor, cosines: Tensor) -> tuple[Pairs, Tensor]:
        """What tells where vectors of the source lie, the pairs first, and their cosines `(n, m)` with `landmarks (m, d_X)`.

        Those of the pairs are `cosines (k, m)`.
        """
        return pairs, cosines

    def translator(self, pairs: Pairs) -> Translator:
        """The inverse over all `pairs`, between raw spaces."""
        return translator(self.fold(pairs), pairs.source_stats, self.target_stats(pairs), self.inverse.lift)

    def target_stats(self, pairs: Pairs) -> Statistics:
        """The mean of the target's `pairs`, and how long translations are about it."""
        return Statistics(pairs.target_stats.mean, self.length * pairs.target_stats.scale)


def select(
    pairs: Pairs,
    methods: Sequence[str] | None = None,
    objective: Objective = "cosine",
    given: Given | None = None,
    labels: Labels | None = None,
    steps: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> list[Choice]:
    """Tune each method on `pairs`: the choices, best first by the objective over shared folds.

    Of several methods, the paper's and the rigid one are left out where a sample of many pairs says that they cannot win.
    `labels` maps target vectors `(n, d_Y)` to the labels `(n,)` that the head gives them; "agreement" needs it. `steps` goes
    through the methods, and may show how far it is.
    """
    given, methods = given or Given(), tuple(methods or INVERSES)
    score = objective_score(objective, pairs, labels, pairs.folds(NUM_FOLDS, given.seed), given.depth)
    lifts = any("lift" in hyperparameters_of(INVERSES[name]) for name in methods)
    whole = "kernel" in methods and takes_all(pairs, given)
    lift = tune_lift(pairs.with_cosines() if whole else pairs, given) if lifts else None
    choices: list[Choice] = []
    for method in steps(methods):
        if not choices or may_win(
            method, by_rank(choices, pairs, objective)[0].inverse, pairs, objective, given, labels
        ):
            choices.append(_choose(method, pairs, objective, score, given, lift))
    return by_rank(choices, pairs, objective)


def by_rank(choices: list[Choice], pairs: Pairs, objective: Objective) -> list[Choice]:
    """The chosen one first, the others by the folds that all share; of a single one nobody asks for its folds."""
    if len(choices) < 2:
        return choices
    scores = [choice.by_folds.found()[1] for choice in choices]
    if objective == "cosine":
        angles = [choice.fold_score for choice in choices]
    else:
        angles = [float(cosines(choice.fold_translated, pairs.target).mean()) for choice in choices]
    best = surely_best(scores, angles, pairs, objective)
    return sorted(choices, key=lambda choice: (choice is choices[best], choice.fold_score), reverse=True)


def _choose(method: str, pairs: Pairs, objective: Objective, score: Score, given: Given, lift: float | None) -> Choice:
    folds = pairs.folds(NUM_FOLDS, given.seed)
    vectors = Vectors(pairs, folds)
    tried, candidate = _tune(method, pairs, vectors, objective, score, given, lift)
    rigid = chosen_share(candidate, pairs, given, objective)
    return choice_of(method, candidate, tried, pairs, folds, vectors, objective, score, given, rigid)


def choice_of(
    method: str,
    candidate: Candidate,
    tried: list[Tried],
    pairs: Pairs,
    folds: list[Tensor],
    vectors: Callable[..., Tensor],
    objective: Objective,
    score: Score,
    given: Given,
    rigid: float = 0.0,
) -> Choice:
    """The choice of the best `candidate` of a method with so much of a `rigid` part, its scale restoration chosen, too.

    Its directions are those of all `pairs`, out of `folds`, which `vectors` turns into vectors, of any length; `tried` are all,
    with their objective.
    """
    inverse, true, solved = candidate.inverse, candidate.true, candidate.solved
    turned = rigid * turned_left_out(pairs, inverse.lift, given.seed, objective) if rigid else None
    directions = candidate.directions if turned is None else candidate.directions + turned

    restorations = _restorations(inverse, objective, given)
    restorer = _restorer(true, pairs, given.seed) if any(restorations) else None
    found = None if restorer is None else restorer.of(directions)
    restored = [directions] if found is None else found.rows(restorations)
    translations = [vectors(one) for one in restored]
    rows = [score(one) for one in translations]
    scores = [float(one.mean()) for one in rows]
    best = surely_best(rows, [float(q == RESTORATION) for q in restorations], pairs, objective)
    if len(scores) > 1:
        tried += [Tried(inverse, q, value) for q, value in zip(restorations, scores, strict=True) if q]
        tried = sorted(tried, key=lambda c: (c[:2] == (inverse, restorations[best]), c.score), reverse=True)

    translated, own, length = translations[best], rows[best], 1.0
    if inverse.restores:
        length = chosen_length(partial(vectors, restored[best]), pairs, objective, given.seed)
    if length != 1:
        translated = vectors(restored[best], length)
        own = score(translated)
    by_folds = ByFolds(lambda: (translated, own))
    if solved is not None:
        left_out, chosen = solved.folds_left_out(folds), [restorations[best]]

        def refitted() -> tuple[Tensor, Tensor]:
            again = left_out() if turned is None else left_out() + turned
            if restorer is not None:
                (again,) = restorer.of(again).rows(chosen)
            found = vectors(again, length)
            return found, score(found)

        by_folds = ByFolds(refitted)
    return Choice(
        method=method,
        inverse=inverse,
        restoration=restorations[best],
        rigid=rigid,
        score=float(own.mean()),
        tried=tuple(tried),
        directions=restored[best],
        translated=translated,
        by_folds=by_folds,
        stretch=found.stretch(restorations[best]) if found is not None and restorations[best] else Stretch.none(true),
        solved=solved,
        length=length,
    )


def _tune(
    method: str,
    pairs: Pairs,
    vectors: Callable[[Tensor], Tensor],
    objective: Objective,
    score: Score,
    given: Given,
    lift: float | None,
) -> tuple[list[Tried], Candidate]:
    """The hyper-parameters tried, the best candidate by the objective first, and that candidate."""
    return ranked(tune(method, pairs, given, lift, objective), pairs, vectors, objective, score)


def ranked(
    result: TuningResult, pairs: Pairs, vectors: Callable[[Tensor], Tensor], objective: Objective, score: Score
) -> tuple[list[Tried], Candidate]:
    """The hyper-parameters tried with their objective, the best candidate's first, and that candidate."""
    candidates, trials = result
    angles = [c.cosine for c in candidates]
    if objective == "cosine":
        best = candidates[max(range(len(angles)), key=angles.__getitem__)]
        tried = [Tried(c.inverse, 0.0, c.cosine) for c in candidates]
        tried += [Tried(trial.inverse, 0.0, trial.cosine) for trial in trials]
    else:
        rows = [score(vectors(c.directions)) for c in candidates]
        best = candidates[surely_best(rows, angles, pairs, objective)]
        tried = [Tried(c.inverse, 0.0, float(one.mean())) for c, one in zip(candidates, rows, strict=True)]
    return sorted(tried, key=lambda c: (c.inverse == best.inverse, c.score), reverse=True), best


def _restorer(true: Tensor, pairs: Pairs, seed: int) -> Restoration:
    """The restoration of translations of the unit rows `true (k, d_Y)`, whose spectra all methods share that centre alike."""

    def make() -> Restoration:
        return Restoration(true, pairs.folds(RESTORATION_FOLDS, seed))

    return pairs.once(("restoration", seed), make) if true is pairs.target_rows else make()


def _restorations(inverse: Inverse, objective: Objective, given: Given) -> Sequence[float]:
    """What may be chosen for q. Cosine alone would always choose 0; so would neighbours, sought among rows that a fit had."""
    if given.restoration is not None:
        return (given.restoration,)
    if not inverse.restores:
        return (0.0,)
    return RESTORATIONS if objective == "agreement" else (RESTORATION,)
