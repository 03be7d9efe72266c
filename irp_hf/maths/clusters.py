"""Clusters of anchors by what their sources are: each left out whole stands for inputs that are unlike the anchors."""

from __future__ import annotations

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.groups import can_hold_out, whole_folds
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import unit_rows

NUM_CLUSTERS = 10
LEAST = 5  # independent rows to a cluster, on average
STARTS = 4
ROUNDS = 20  # of Lloyd's algorithm, which some thousand rows do not need more of


def clusters_of(pairs: Pairs, seed: int) -> list[Tensor]:
    """Row numbers of each cluster, the largest first; none where too few pairs are independent to leave one out.

    Pairs that share an item stay together: they are in the cluster of their mean.
    """
    _, group, sizes = pairs.labels.unique(return_inverse=True, return_counts=True)
    count = min(NUM_CLUSTERS, len(sizes) // LEAST)
    if count < 2:
        return []
    rows = pairs.source_rows.to(working_dtype(torch.float32, group.device))
    if pairs.copies:
        rows = unit_rows(_sums(rows, group, len(sizes)))
    labels = cluster_numbers(rows, count, seed)[group if pairs.copies else slice(None)]
    return whole_folds(labels, pairs.permutation(seed), count) if can_hold_out(labels) else []


def cluster_numbers(rows: Tensor, count: int, seed: int) -> Tensor:
    """The number `(n,)`, below `count`, of the cluster of each of the unit `rows (n, d)`: seeded k-means under the cosine.

    The first centres are drawn far from each other (Arthur and Vassilvitskii 2007, "k-means++"); the best of a few draws.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    draws = torch.rand(STARTS, count, generator=generator, dtype=torch.float64, device="cpu").tolist()
    found = (_k_means(rows, _far_apart(rows, draw)) for draw in draws)
    return max(found, key=lambda one: one[1])[0]


def _far_apart(rows: Tensor, draws: list[float]) -> Tensor:
    """One of the unit `rows (n, d)` for each of the draws from 0 to 1: likelier the farther it is from those before it."""
    drawn: list[Tensor] = []
    apart = torch.ones_like(rows[:, 0], dtype=torch.float64)
    for draw in draws:
        reached = apart.cumsum(0)
        row = torch.searchsorted(reached, draw * reached[-1:], right=True).clamp(max=len(rows) - 1)
        drawn.append(rows[row])
        apart = torch.minimum(apart, (1 - rows @ rows[row][0]).clamp(min=0).double())
    return torch.cat(drawn)


def _k_means(rows: Tensor, centres: Tensor) -> tuple[Tensor, float]:
    """The number `(n,)` of the centre of each row, and the sum of the cosines with these, from some first centres on."""
    labels = torch.full_like(rows[:, 0], -1, dtype=torch.int64)
    for _ in range(ROUNDS):
        before, (near, labels) = labels, (rows @ centres.T).max(1)
        if torch.equal(before, labels):
            break
        centres = unit_rows(_sums(rows, labels, len(centres)))
    return labels, float(near.double().sum())


def _sums(rows: Tensor, labels: Tensor, count: int) -> Tensor:
    return rows.new_zeros(count, rows.shape[1]).index_add_(0, labels, rows)
