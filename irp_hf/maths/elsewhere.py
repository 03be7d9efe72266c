"""Choose for inputs unlike the anchors: by clusters of these, each left out whole and translated by fits on the others.

The closed forms that tell of single rows are no match for that, since they centre all folds alike: every fit is made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from irp_hf.errors import refusal
from irp_hf.maths.clusters import LEAST, clusters_of
from irp_hf.maths.inverses.hyperparameters import hyperparameters_of
from irp_hf.maths.metrics import Labels
from irp_hf.maths.objectives import objective_score
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.request import Given, Objective
from irp_hf.maths.selection import Choice, select


def choose(
    pairs: Pairs,
    methods: Sequence[str],
    objective: Objective,
    given: Given,
    labels: Labels | None,
    steps: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> list[Choice]:
    """As `select` has it, or by clusters where that was given: then of each method what rows and what clusters choose.

    What is best on clusters that are left out whole, by the objective, is first. Raises `InputError` for clusters of too few
    anchors.
    """
    if given.folds == "rows":
        return select(pairs, methods, objective, given, labels, steps)
    clusters = clusters_of(pairs, given.seed)
    if not clusters:
        got = f"{len(pairs.labels.unique())}, in too few clusters to leave one out"
        advice = "Give more anchors, or leave folds out."
        raise refusal("folds", f"at least {2 * LEAST} independent anchors, for 'clusters'", got, advice)
    score, grouped = objective_score(objective, pairs, labels, clusters, given.depth), _grouped(pairs, clusters)

    def kept(choice: Choice) -> float:
        return float(score(left_out(choice, pairs, clusters)).mean())

    best: dict[str, tuple[float, Choice]] = {}
    for method in steps(methods):
        (by_rows,) = select(pairs, (method,), objective, given, labels)
        (by_clusters,) = select(grouped, (method,), objective, given, labels)
        candidates = [by_rows]
        if settings_of(by_clusters, given) != settings_of(by_rows, given):
            candidates += select(pairs, (method,), objective, settings_of(by_clusters, given), labels)
        best[method] = max(((kept(one), one) for one in candidates), key=lambda found: found[0])
    return [choice for _, choice in sorted(best.values(), key=lambda found: found[0], reverse=True)]


def settings_of(choice: Choice, given: Given) -> Given:
    """All that was chosen, as if the user had fixed it, beside what was `given` of how to choose."""
    names = hyperparameters_of(type(choice.inverse))
    settings = {name: getattr(choice.inverse, name) for name in names}
    return Given(seed=given.seed, depth=given.depth, restoration=choice.restoration, rigid=choice.rigid, **settings)


def left_out(choice: Choice, pairs: Pairs, clusters: Sequence[Tensor]) -> Tensor:
    """Translations `(k, d_Y)` of every pair by the same inverse over those outside of its cluster, row numbers, alone."""
    translated, anew = torch.empty_like(pairs.target), choice.kept()  # without the solution over all pairs
    for cluster in clusters:
        translated[cluster] = anew.translator(pairs.without(cluster))(pairs.source[cluster])
    return translated


def _grouped(pairs: Pairs, clusters: Sequence[Tensor]) -> Pairs:
    """The same pairs, those of a cluster held out together."""
    labels = torch.empty_like(pairs.labels)
    for number, cluster in enumerate(clusters):
        labels[cluster] = number
    return Pairs(pairs.source, pairs.target, labels)
