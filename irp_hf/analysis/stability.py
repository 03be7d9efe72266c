"""Stability of the paper's inverse over the pruning threshold δ and the number of anchor subspaces ω (arXiv 2406.15057,
figure 3): how near vectors come that were held out, and how well conditioned the anchors are that are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from irp_hf.analysis.inputs import hold_out, parallel_anchors
from irp_hf.analysis.stability_result import Stability, StabilityPoint, best_of, mean_of
from irp_hf.arithmetic import own_arithmetic
from irp_hf.checks import check_alias, check_choice, check_list
from irp_hf.data.memory import allocating
from irp_hf.data.progress import check_progress, progress_bar
from irp_hf.evaluation.intervals import bootstrap
from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.inverses.pruned import PrunedInverse, PrunedPath, condition_number, pseudo_inverse
from irp_hf.maths.metrics import cosines
from irp_hf.maths.pairs import Pairs, distinct_pairs
from irp_hf.maths.projection import denormalize, normalize
from irp_hf.maths.request import check_given
from irp_hf.maths.selection import select
from irp_hf.maths.tuning_pruned import THRESHOLDS

SUBSPACES = (1, 2, 4, 8, 16)


@own_arithmetic()
@allocating("stability", "Give fewer rows, or free some memory.")
def stability(
    source: Any,
    target: Any = None,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    subspaces: Sequence[int] = SUBSPACES,
    held_out: float = 0.2,
    baselines: Sequence[str] | None = None,
    against: Sequence[str] | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Stability:
    """Sweep the paper's inverse over δ and ω: which threshold, how many subspaces, and does pruning matter here?

    Args:
        source: an `AnchoredSpace`, a folder or an id of one, or parallel anchors `(k, d_X)`.
        target: likewise, `(k, d_Y)`; None reconstructs the source within its own space.
        thresholds: every δ in [0, 1]; 0 keeps all anchors, and then one subspace says it all.
        subspaces: every ω of at least 1.
        held_out: the share of the pairs that is reconstructed and not an anchor.
        baselines: the other inverses to tune on the same anchors; None takes "kernel" and "whitened", an empty list none.
        against: another name of `baselines`.
        seed: of the split and of the subspaces' starts.
        progress: show a bar on standard error, or do not; by default on a terminal.

    Raises `AnchorMismatchError` where the anchors differ, `InputError` for options that do not exist or fit.
    """
    check_progress(progress)
    deltas, omegas = _grid(thresholds, subspaces)
    named = check_alias("baselines", baselines, "against", against)
    others = [name for name, inverse in INVERSES.items() if inverse is not PrunedInverse]
    listed = others if named is None else check_list("baselines", named, advice="Give a list, empty for none.")
    methods = [check_choice("baselines", name, INVERSES) for name in listed]
    given = check_given("auto", seed=seed)
    sides = list(
        parallel_anchors({"source": source} if target is None else {"source": source, "target": target}).values()
    )
    anchors, held = hold_out(distinct_pairs(sides[0], sides[-1]), held_out, given.seed)

    with progress_bar("Pruning", progress, total=len(deltas) + len(methods)) as bar:
        measured = []
        for row in _sweep(anchors, held, deltas, omegas, given.seed):
            measured += row
            bar.update()
        references = {}
        for method in methods:
            (choice,) = select(anchors, (method,), given=given)
            similar = cosines(choice.translator(anchors)(held.source), held.target)
            references[str(method)] = bootstrap(similar[None], held.shared)[0]
            bar.update()

    points, rows = zip(*measured, strict=True)
    similar, best = torch.stack(rows), best_of(points)
    least, fewest = best % len(omegas), best - best % len(omegas)  # points come by δ, then by ω
    gains = bootstrap(similar[best] - similar[[least, fewest]], held.shared, bounded=False)
    return Stability(
        num_anchors=len(anchors),
        num_held_out=len(held),
        source_width=anchors.source.shape[1],
        target_width=anchors.target.shape[1],
        within=len(sides) == 1 or source is target,
        points=points,
        references=references,
        pruning_gain=gains[0],
        subspaces_gain=gains[1],
    )


def _sweep(
    anchors: Pairs, held: Pairs, thresholds: Sequence[float], subspaces: Sequence[int], seed: int
) -> Iterator[list[tuple[StabilityPoint, Tensor]]]:
    """For each δ its points, each with the cosines `(n,)` behind it. One walk per subspace serves all."""
    coordinates = normalize(held.source, anchors.source_stats) @ anchors.source_rows.T
    path = PrunedPath(anchors.target_rows, max(subspaces), seed, until=min(filter(None, thresholds), default=1.0))
    for threshold in thresholds:
        prunings = path.subspaces(threshold)
        kept = [anchors.target_rows[rows] for rows in prunings]
        conditions = [condition_number(subspace) for subspace in kept]
        parts = [coordinates[:, rows] @ pseudo_inverse(subspace) for rows, subspace in zip(prunings, kept, strict=True)]
        measured = []
        for count in subspaces:
            some = slice(min(count, len(parts)))  # δ = 0 has one subspace, whatever ω is
            reconstructed = denormalize(torch.stack(parts[some]).mean(0), anchors.target_stats)
            similar = cosines(reconstructed, held.target)
            point = StabilityPoint(
                pruning_threshold=threshold,
                num_subspaces=count,
                cosine=bootstrap(similar[None], held.shared)[0],
                mean_condition=mean_of(conditions[some]),
                largest_condition=max(conditions[some]),
                anchors_kept=mean_of([len(subspace) for subspace in kept[some]]),
            )
            measured.append((point, similar))
        yield measured


def _grid(thresholds: Sequence[float], subspaces: Sequence[int]) -> tuple[list[float], list[int]]:
    """Both axes, rising and each value once, checked as `connect` checks them."""
    advice = "Give a list, or leave it out for the defaults."
    thresholds = check_list("thresholds", thresholds, least=1, advice=advice)
    subspaces = check_list("subspaces", subspaces, least=1, advice=advice)
    deltas = {check_given("pruned", pruning_threshold=threshold).pruning_threshold or 0.0 for threshold in thresholds}
    omegas = {check_given("pruned", num_subspaces=count).num_subspaces or 1 for count in subspaces}
    return sorted(deltas), sorted(omegas)
