"""Queries between two: a translation mixed with the other encoder's vector of the same item, and the weight that finds most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from irp_hf.maths.metrics import neighbors_found
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import unit_rows
from irp_hf.maths.selection import Choice

WEIGHTS = tuple(step / 10 for step in range(11))
NUM_FOLDS = 2  # what is held out is what is searched: among rows of the fit, what stands on them finds too much
NEAREST = 3  # an index is larger than half of the anchors, and of it only the very nearest count


def mixed(translated: Tensor, own: Tensor, weight: float) -> Tensor:
    """Queries `(n, d)` between `translated (n, d)` and `own (n, d)`: their directions, weighed, at a length between both."""
    lengths = [torch.linalg.vector_norm(side, dim=1, keepdim=True) for side in (translated, own)]
    directions = weight * unit_rows(translated) + (1 - weight) * unit_rows(own)
    found: Tensor = unit_rows(directions) * (weight * lengths[0] + (1 - weight) * lengths[1])
    return found


def found_by_weight(choice: Choice, pairs: Pairs, seed: int) -> Tensor:
    """The share `(11, k)` of its nearest by the source that each anchor's query finds by the target's vectors, for `WEIGHTS`.

    Either half of the anchors is translated by a fit on the other, and searches itself. The weight is that of the translation.
    """
    again = replace(choice, solved=None)
    halves = pairs.folds(NUM_FOLDS, seed)
    translated = [again.translator(pairs.without(half))(pairs.source[half]) for half in halves]
    return torch.stack([_found(pairs, halves, translated, weight) for weight in WEIGHTS])


def best_weight(choice: Choice, pairs: Pairs, seed: int) -> float:
    """The weight whose queries find most on the mean; the least of several."""
    return WEIGHTS[int(found_by_weight(choice, pairs, seed).mean(1).argmax())]


def _found(pairs: Pairs, halves: Sequence[Tensor], translated: Sequence[Tensor], weight: float) -> Tensor:
    found = []
    for half, queries in zip(halves, translated, strict=True):
        index, true, labels = pairs.target[half], pairs.source[half], pairs.labels[half]
        found.append(neighbors_found(mixed(queries, index, weight), index, true, NEAREST, labels))
    return torch.cat(found)
