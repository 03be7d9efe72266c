"""Choose the inverse, and what the cosine alone cannot choose, from the anchors alone.

The lift, γ, λ and δ are tuned by out-of-fold cosine (`tuning.py`). The objective then chooses among what is left: the
balance, the scale restoration, and the inverse itself. Self-retrieval is no objective: it saturates at 1 and then picks
nonsense.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from irp_hf.errors import refusal
from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.inverses.base import Folded, Inverse, Translator, translator
from irp_hf.maths.inverses.kernel import KernelInverse, KernelPath
from irp_hf.maths.metrics import Labels, cosines, neighbors_kept
from irp_hf.maths.pairs import Pairs, others
from irp_hf.maths.projection import denormalize, statistics, unit_rows
from irp_hf.maths.request import Given, Objective
from irp_hf.maths.restoration import FoldRestoration, Restoration
from irp_hf.maths.tuning import NUM_FOLDS, Candidate, tune

RESTORATION_FOLDS = 5  # few, for each wants a decomposition of the target
RESTORATIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
Score = Callable[[Tensor], float]


class Tried(NamedTuple):
    """Hyper-parameters that were tried, and their objective out of fold."""

    inverse: Inverse
    restoration: float
    score: float


@dataclass(frozen=True)
class Choice:
    """One method at its best hyper-parameters."""

    method: str
    inverse: Inverse
    restoration: float
    """q: how much of the target's spectrum is restored."""
    score: float
    """The objective out of fold, scale restored: leave-one-out for the kernel, K folds for the others."""
    fold_score: float
    """The objective over the K folds that all methods share: it compares them fairly."""
    tried: tuple[Tried, ...]
    """All hyper-parameters that were tried, the chosen first, then by score."""
    directions: Tensor
    """What the inverse gives for every pair, out of fold, scale restored, shape (k, d_Y): `score` comes from it."""
    translated: Tensor
    """The same as vectors of the target space `(k, d_Y)`."""
    fold_translated: Tensor
    """The translations `(k, d_Y)` that `fold_score` comes from."""
    matrix: Tensor
    """The scale restoration `(d_Y, d_Y)`."""
    path: KernelPath | None
    """The decomposition behind a kernel inverse."""

    @property
    def runner_up(self) -> Tried | None:
        """The second best that was tried: it tells how flat the optimum is. None if nothing was left to choose."""
        return self.tried[1] if len(self.tried) > 1 else None

    def fold(self, pairs: Pairs) -> Folded:
        """The inverse over all `pairs`, its scale restoration folded in."""
        if isinstance(self.inverse, KernelInverse) and self.path is not None:
            folded: Folded = self.path.fold(pairs.target_rows, self.inverse.ridge)
        else:
            folded = self.inverse.fold(pairs.lifted(self.inverse.lift), pairs.target_rows)
        return folded.then(self.matrix)

    def kept(self) -> Choice:
        """Without what only the fit itself needs: the decomposition and the directions, most of the memory."""
        return replace(self, path=None, directions=self.directions[:0])

    def translator(self, pairs: Pairs) -> Translator:
        """The inverse over all `pairs`, between raw spaces."""
        return translator(self.fold(pairs), pairs.source_stats, pairs.target_stats, self.inverse.lift)


def select(
    pairs: Pairs,
    methods: Sequence[str] | None = None,
    objective: Objective = "cosine",
    given: Given | None = None,
    labels: Labels | None = None,
) -> list[Choice]:
    """Tune each method on `pairs`: the choices, best first by the objective over shared folds.

    `labels` maps target vectors `(n, d_Y)` to the labels `(n,)` that the head gives them; "agreement" needs it.
    """
    score = objective_score(objective, pairs, labels)
    choices = [_choose(method, pairs, objective, score, given or Given()) for method in methods or INVERSES]
    return sorted(choices, key=lambda choice: choice.fold_score, reverse=True)


def objective_score(objective: Objective, pairs: Pairs, labels: Labels | None) -> Score:
    """The objective as a function of translations `(k, d_Y)` of all anchors."""
    if objective == "neighbors":
        return lambda translated: float(neighbors_kept(translated, pairs.target, groups=pairs.shared).mean())
    if objective == "agreement":
        if labels is None:
            raise refusal(
                "labels", "those that the head gives, for objective='agreement'", "None", "Give the head's labels."
            )
        native = labels(pairs.target)
        return lambda translated: float((labels(translated) == native).double().mean())
    return lambda translated: float(cosines(translated, pairs.target).mean())


def _choose(method: str, pairs: Pairs, objective: Objective, score: Score, given: Given) -> Choice:
    folds = pairs.folds(NUM_FOLDS, given.seed)
    tried, candidate = _tune(method, pairs, folds, objective, score, given)
    inverse, directions, true, path = candidate.inverse, candidate.directions, candidate.true, candidate.path

    restorations = _restorations(inverse, objective, given)
    restoration = FoldRestoration(true, pairs.folds(RESTORATION_FOLDS, given.seed))
    restored = restoration.restore(directions, restorations)
    scores = [score(_vectors(one, pairs, folds)) for one in restored]
    best = max(range(len(scores)), key=scores.__getitem__)
    if len(scores) > 1:
        tried += [Tried(inverse, q, value) for q, value in zip(restorations, scores, strict=True) if q]
        tried = sorted(tried, key=lambda c: (c[:2] == (inverse, restorations[best]), c.score), reverse=True)

    translated = _vectors(restored[best], pairs, folds)
    fold_translated, fold_score = translated, scores[best]
    if isinstance(inverse, KernelInverse) and path is not None:
        fold_out = path.leave_fold_out(pairs.target_rows, inverse.ridge, folds)
        (fold_directions,) = restoration.restore(fold_out, [restorations[best]])
        fold_translated = _vectors(fold_directions, pairs, folds)
        fold_score = score(fold_translated)
    return Choice(
        method=method,
        inverse=inverse,
        restoration=restorations[best],
        score=scores[best],
        fold_score=fold_score,
        tried=tuple(tried),
        directions=restored[best],
        translated=translated,
        fold_translated=fold_translated,
        matrix=Restoration(unit_rows(directions), true).matrix(restorations[best]),
        path=path,
    )


def _tune(
    method: str, pairs: Pairs, folds: list[Tensor], objective: Objective, score: Score, given: Given
) -> tuple[list[Tried], Candidate]:
    """The hyper-parameters tried, the best candidate by the objective first, and that candidate."""
    candidates, trials = tune(method, pairs, given)
    if objective == "cosine":
        tried = [Tried(c.inverse, 0.0, c.cosine) for c in candidates]
        tried += [Tried(trial.inverse, 0.0, trial.cosine) for trial in trials]
    else:
        tried = [Tried(c.inverse, 0.0, score(_vectors(c.directions, pairs, folds))) for c in candidates]
    scores = {one.inverse: one.score for one in tried}
    best = max(candidates, key=lambda candidate: scores[candidate.inverse])
    return sorted(tried, key=lambda c: (c.inverse == best.inverse, c.score), reverse=True), best


def _vectors(directions: Tensor, pairs: Pairs, folds: list[Tensor]) -> Tensor:
    """Out-of-fold directions `(k, d_Y)` as vectors, each fold with the mean and scale that the others have."""
    vectors = torch.empty_like(directions)
    for fold in folds:
        vectors[fold] = denormalize(directions[fold], statistics(pairs.target[others(fold, len(pairs))]))
    return vectors


def _restorations(inverse: Inverse, objective: Objective, given: Given) -> Sequence[float]:
    """What may be chosen for q. Cosine alone would always choose 0."""
    if given.restoration is not None:
        return (given.restoration,)
    if not inverse.restores:
        return (0.0,)
    return (0.5,) if objective == "cosine" else RESTORATIONS
