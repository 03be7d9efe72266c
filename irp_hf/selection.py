"""Choose the inverse, and what the cosine alone cannot choose, from the anchors alone.

γ, λ and δ are tuned by out-of-fold cosine (`tuning.py`). The objective then chooses among what is left: the balance, the
scale restoration, and the inverse itself. Self-retrieval is no objective: it saturates at 1 and then picks nonsense.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

from irp_hf.inverses.base import Folded, Inverse
from irp_hf.inverses.kernel import KernelInverse
from irp_hf.metrics import neighbors_kept
from irp_hf.pairs import Pairs
from irp_hf.projection import denormalize, normalize
from irp_hf.restoration import Restoration, restore_out_of_fold
from irp_hf.tuning import (
    NUM_FOLDS,
    Given,
    Trial,
    kernel_fold_out,
    mean_cosine,
    tune_kernel,
    tune_pruned,
    tune_whitened,
)

Method = Literal["kernel", "whitened", "pruned"]
Objective = Literal["cosine", "neighbors", "agreement"]
METHODS: tuple[Method, ...] = ("kernel", "whitened", "pruned")
OBJECTIVES: tuple[Objective, ...] = ("cosine", "neighbors", "agreement")
RESTORATIONS = (0.0, 0.25, 0.5, 0.75, 1.0)

TUNERS: dict[Method, Callable[[Pairs, Given], list[Trial]]] = {
    "kernel": tune_kernel,
    "whitened": tune_whitened,
    "pruned": tune_pruned,
}
Labels = Callable[[Tensor], Tensor]
Score = Callable[[Tensor], float]


class Candidate(NamedTuple):
    """Hyper-parameters that were tried, and their objective out of fold, before scale restoration."""

    inverse: Inverse
    score: float


@dataclass(frozen=True)
class Choice:
    """One method at its best hyper-parameters."""

    method: Method
    inverse: Inverse
    restoration: float
    """q: how much of the target's spectrum is restored."""
    score: float
    """The objective out of fold, scale restored: leave-one-out for the kernel, K folds for the others."""
    fold_score: float
    """The objective over the K folds that all methods share: it compares them fairly."""
    tried: tuple[Candidate, ...]
    """All hyper-parameters that were tried, best first."""
    translated: Tensor
    """Out-of-fold translations of the target's anchors `(k, d_Y)`, scale restored, as `score` saw them."""
    fold_translated: Tensor
    """The translations `(k, d_Y)` that `fold_score` saw."""
    matrix: Tensor
    """The scale restoration `(d_Y, d_Y)`."""

    @property
    def runner_up(self) -> Candidate | None:
        """The second best that was tried: it tells how flat the optimum is. None if nothing was left to choose."""
        return self.tried[1] if len(self.tried) > 1 else None

    def fold(self, pairs: Pairs) -> Folded:
        """The inverse over all `pairs`, its scale restoration folded in."""
        return self.inverse.fold(pairs.source_rows, pairs.target_rows).then(self.matrix)


def select(
    pairs: Pairs,
    methods: Sequence[Method] = METHODS,
    objective: Objective = "cosine",
    given: Given | None = None,
    labels: Labels | None = None,
) -> list[Choice]:
    """Tune each method on `pairs`: the choices, best first by the objective over shared folds.

    `labels` maps target vectors `(n, d_Y)` to the labels `(n,)` that the head gives them; "agreement" needs it.
    """
    score = objective_score(objective, pairs, labels)
    choices = [_choose(method, pairs, objective, score, given or Given()) for method in methods]
    return sorted(choices, key=lambda choice: choice.fold_score, reverse=True)


def objective_score(objective: Objective, pairs: Pairs, labels: Labels | None) -> Score:
    """The objective as a function of translations `(k, d_Y)` of all anchors."""
    if objective == "neighbors":
        return lambda translated: float(neighbors_kept(translated, pairs.target).mean())
    if objective == "agreement" and labels is not None:
        native = labels(pairs.target)
        return lambda translated: float((labels(translated) == native).double().mean())
    return lambda translated: mean_cosine(translated, pairs)


def _choose(method: Method, pairs: Pairs, objective: Objective, score: Score, given: Given) -> Choice:
    trials = TUNERS[method](pairs, given)
    if objective == "cosine":
        tried = [Candidate(trial.inverse, trial.cosine) for trial in trials]
    else:  # among the finalists of the tuning, those that carry their translations
        tried = [Candidate(t.inverse, score(t.translated)) for t in trials if t.translated is not None]
        tried.sort(key=lambda candidate: candidate.score, reverse=True)
    inverse = tried[0].inverse
    translated = next(t.translated for t in trials if t.inverse == inverse and t.translated is not None)

    folds = pairs.folds(NUM_FOLDS, given.seed)
    restorations = _restorations(method, objective, given)
    restored = _restored(translated, pairs, folds, restorations)
    scores = [score(candidate) for candidate in restored]
    best = max(range(len(scores)), key=scores.__getitem__)

    fold_translated, fold_score = restored[best], scores[best]
    if isinstance(inverse, KernelInverse):
        out_of_fold = kernel_fold_out(inverse, pairs, folds)
        (fold_translated,) = _restored(out_of_fold, pairs, folds, [restorations[best]])
        fold_score = score(fold_translated)
    return Choice(
        method=method,
        inverse=inverse,
        restoration=restorations[best],
        score=scores[best],
        fold_score=fold_score,
        tried=tuple(tried),
        translated=restored[best],
        fold_translated=fold_translated,
        matrix=Restoration(normalize(translated, pairs.target_stats), pairs.target_rows).matrix(restorations[best]),
    )


def _restorations(method: Method, objective: Objective, given: Given) -> Sequence[float]:
    """What may be chosen for q. Cosine alone would always choose 0; the paper's inverse stays the paper's."""
    if given.restoration is not None:
        return (given.restoration,)
    if method == "pruned":
        return (0.0,)
    return (0.5,) if objective == "cosine" else RESTORATIONS


def _restored(
    translated: Tensor, pairs: Pairs, folds: list[Tensor], restorations: Sequence[float]
) -> list[Tensor]:
    """Out-of-fold translations `(k, d_Y)` with their scale restored, for each q."""
    rows = normalize(translated, pairs.target_stats)
    restored = restore_out_of_fold(rows, pairs.target_rows, folds, restorations)
    return [denormalize(directions, pairs.target_stats) for directions in restored]
