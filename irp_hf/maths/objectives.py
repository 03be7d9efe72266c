"""What a choice is for: an objective of each translated anchor, and which of several candidates is surely the best by it.

Self-retrieval is no objective: it saturates at 1 and then picks nonsense.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from irp_hf.errors import refusal
from irp_hf.maths.chance import is_ahead
from irp_hf.maths.folds import NUM_FOLDS
from irp_hf.maths.identification import identified
from irp_hf.maths.metrics import Labels, cosines, depth_among, neighbors_kept
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.request import DEPTH, Objective

LEAST_POOL = 5  # rows: among fewer each is found
SURE = 3.0  # standard errors by which an objective must be ahead, of a dozen candidates, to overrule the cosine
Score = Callable[[Tensor], Tensor]
"""The objective `(k,)` of each of the translations `(k, d_Y)` of all anchors."""


def objective_score(
    objective: Objective,
    pairs: Pairs,
    labels: Labels | None,
    pools: Sequence[Tensor] | None = None,
    depth: int = DEPTH,
) -> Score:
    """The objective `(k,)` of each row as a function of translations `(k, d_Y)` of all anchors.

    `pools` are rows that were left out together, among whom retrieval searches; by default the folds of seed 0. Where these are
    too small to tell anything, it searches among all anchors, which looks a little worse than it is. `depth` is how many
    candidates recall has, of enough anchors.
    """
    target = pairs.target
    if objective in ("neighbors", "recall"):
        shared, found = pairs.shared, depth_of(objective, depth, len(pairs))
        return lambda translated: neighbors_kept(translated, target, groups=shared, depth=found)
    if objective == "retrieval":
        searched, shared = pairs.folds(NUM_FOLDS, 0) if pools is None else pools, pairs.shared
        if min(map(len, searched)) < LEAST_POOL:
            searched = [torch.arange(len(pairs), dtype=torch.int64, device=target.device)]
        return lambda translated: identified(translated, target, searched, shared)
    if objective == "agreement":
        if labels is None:
            raise refusal(
                "labels", "those that the head gives, for objective='agreement'", "None", "Give the head's labels."
            )
        native = labels(target)
        return lambda translated: (labels(translated) == native).double().to(target.device)
    return lambda translated: cosines(translated, target)


def depth_of(objective: Objective, depth: int, count: int) -> int | None:
    """How many candidates an objective has where so many rows are searched; None of one that has none."""
    return depth_among(depth, count) if objective == "recall" else None


def surely_best(
    scores: Sequence[Tensor], angles: Sequence[float], pairs: Pairs, objective: Objective = "agreement"
) -> int:
    """The number of the one with the best mean of its `scores (k,)`, where it is surely ahead of the one with the best angle.

    Otherwise that one. The share of labels that agree hardly differs between candidates on a few hundred anchors, and the best
    of many is then the luckiest: the cosine, which tells more of each row, decides. Rows that share an item count as one. How
    surely items are told apart tells as much of each row as the cosine, and decides by itself.
    """
    default = max(range(len(angles)), key=angles.__getitem__)
    best = max(range(len(scores)), key=lambda one: float(scores[one].mean()))
    if objective == "retrieval":
        return best
    return best if is_ahead(scores[best], scores[default], pairs.labels, SURE) else default
