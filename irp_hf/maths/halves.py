"""Hyper-parameters of one half of an inverse, chosen from the anchors of its own side alone.

Whoever computes relative coordinates does not know who will read them. So the other side is stood in for: by this side's
own anchors, each with as much noise as signal, which are then two views of the same items. What translates best between
them, on anchors that were held out, is what this half takes: enough smoothing or pruning for a view that differs as much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from irp_hf.maths.inverses.base import Inverse
from irp_hf.maths.inverses.hyperparameters import hyperparameters_of
from irp_hf.maths.inverses.pruned import PrunedPath
from irp_hf.maths.inverses.whitened import WhitenedPath
from irp_hf.maths.metrics import cosines
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import normalize, statistics, unit_rows
from irp_hf.maths.request import Given, make_inverse

Side = Literal["source", "target"]
FEW = 10  # anchors: fewer are not worth holding any out
NUM_FOLDS = 5  # held out one after the other
ENOUGH = 200  # held-out rows tell: no more folds are needed
Directions = Callable[[float], Tensor]  # of the held-out rows, `(n, d)`, for a value of the hyper-parameter


def half(method: str, given: Given, anchors: Tensor, side: Side) -> Inverse:
    """The inverse of that name as this side, whose `anchors (k, d)` are given, should take it; what is fixed stays.

    The source half of `pruned` and the target half of `kernel` have no hyper-parameters; the source half of `kernel`, whose
    γ serves most spaces, and the balance, on which both halves must agree, keep their defaults.
    """
    inverse: Any = make_inverse(method, given)
    name, directions = CHOSEN.get((method, side), ("", None))
    if directions is None or name in given.fixed or len(anchors) < FEW:
        return inverse  # type: ignore[no-any-return]
    own, other = anchors.double(), _stand_in(anchors.double(), given.seed)
    pairs = Pairs(own, other) if side == "source" else Pairs(other, own)
    grid = hyperparameters_of(inverse)[name].grid
    scores, num_held = dict.fromkeys(grid, 0.0), 0
    for held in reversed(pairs.folds(NUM_FOLDS, given.seed)):
        train = pairs.without(held)
        rows = normalize(pairs.source[held], train.source_stats, inverse.lift)
        true = normalize(pairs.target[held], train.target_stats)
        of = directions(inverse, train, rows, grid)
        scores = {value: score + float(cosines(of(value), true).sum()) for value, score in scores.items()}
        if (num_held := num_held + len(held)) >= ENOUGH:
            break
    best: Any = {name: max(scores, key=scores.__getitem__)}
    return replace(inverse, **best)  # type: ignore[no-any-return]


def _stand_in(anchors: Tensor, seed: int) -> Tensor:
    """Another encoder's view of `anchors (k, d)`: about the mean, as much noise as signal in each."""
    random = torch.randn(
        anchors.shape, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float64, device="cpu"
    )
    centred = anchors - statistics(anchors).mean
    lengths: Tensor = torch.linalg.vector_norm(centred, dim=1, keepdim=True)
    return centred + lengths * unit_rows(random.to(anchors.device))


def _pruned(inverse: Any, train: Pairs, rows: Tensor, grid: tuple[float, ...]) -> Directions:
    """For every δ of the grid, from one walk per subspace."""
    least = min(value for value in grid if value)
    path = PrunedPath(train.target_rows, inverse.num_subspaces, inverse.seed, until=least)
    coordinates = rows @ train.source_rows.T
    return lambda threshold: coordinates @ path.inverse(threshold)


def _whitened(inverse: Any, train: Pairs, rows: Tensor, grid: tuple[float, ...]) -> Directions:
    """For every λ, from one pair of decompositions."""
    path = WhitenedPath.of(train.lifted(inverse.lift), train.target_rows)
    rotated = path.rotate_source(rows)
    return lambda ridge: path.directions(rotated, inverse.balance, ridge)


CHOSEN: dict[tuple[str, str], tuple[str, Callable[[Any, Pairs, Tensor, tuple[float, ...]], Directions]]] = {
    ("pruned", "target"): ("pruning_threshold", _pruned),
    ("whitened", "source"): ("ridge", _whitened),
    ("whitened", "target"): ("ridge", _whitened),
}
"""Which hyper-parameter a half chooses, and how its candidates are computed."""
