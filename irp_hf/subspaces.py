"""Anchor pruning, anchor subspaces and landmarks (arXiv 2406.15057, section 3): fewer anchors, better conditioned."""

from __future__ import annotations

import torch
from torch import Tensor


def farthest_points(
    rows: Tensor, num_starts: int = 1, seed: int = 0, most: int | None = None
) -> tuple[Tensor, Tensor]:
    """Greedy farthest-point orders of unit `rows (k, d)` under `1 - |cos|`, from seeded random starts.

    The order is nested: the pruning for any threshold δ is a prefix of it. So one walk serves all δ.

    Returns `order (num_starts, m)`, row numbers, and `distance (num_starts, m)`, how far each point was from those before
    it when it was taken (infinity for the start; never increasing), with m = `most` or k.
    """
    k = rows.shape[0]
    length = min(k, most or k)
    apart = 1 - (rows @ rows.T).abs_()
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randperm(k, generator=generator).repeat(-(-num_starts // k))[:num_starts].to(rows.device)

    order = torch.empty(num_starts, length, dtype=torch.long, device=rows.device)
    distance = torch.full((num_starts, length), torch.inf, dtype=rows.dtype, device=rows.device)
    order[:, 0] = starts
    nearest = apart[starts].scatter(1, starts[:, None], -1)  # a point that was taken is never taken again
    for step in range(1, length):
        distance[:, step], order[:, step] = nearest.max(1)
        taken = order[:, step, None]
        nearest = torch.minimum(nearest, apart[taken[:, 0]]).scatter_(1, taken, -1)
    return order, distance.clamp_(min=0)


def anchor_subspaces(
    rows: Tensor, pruning_threshold: float, num_subspaces: int, seed: int = 0
) -> list[Tensor]:
    """ω anchor subspaces: for each start, the anchors kept once the farthest remaining one is nearer than δ.

    `rows (k, d)` are unit rows, `pruning_threshold` is δ in [0, 1], `num_subspaces` is ω ≥ 1. Returns ω tensors of row
    numbers, in the order in which they were taken. δ = 0 keeps all anchors.
    """
    order, distance = farthest_points(rows, num_subspaces, seed)
    return [prefix(points, apart, pruning_threshold) for points, apart in zip(order, distance, strict=True)]


def prefix(order: Tensor, distance: Tensor, pruning_threshold: float) -> Tensor:
    """The part `(m,)` of one farthest-point `order (k,)` that the threshold keeps."""
    return order[: int((distance >= pruning_threshold).sum())]


def landmarks(rows: Tensor, num_landmarks: int, seed: int = 0) -> Tensor:
    """Row numbers `(m,)` of the `num_landmarks` anchors that lie farthest apart, among unit `rows (k, d)`."""
    order, _ = farthest_points(rows, 1, seed, most=num_landmarks)
    return order[0]
