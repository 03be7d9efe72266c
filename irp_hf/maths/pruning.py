"""Anchor pruning, anchor subspaces and landmarks (arXiv 2406.15057, section 3): fewer anchors, better conditioned."""

from __future__ import annotations

import torch
from torch import Tensor


def farthest_points(
    rows: Tensor, num_starts: int = 1, seed: int = 0, most: int | None = None, until: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Greedy farthest-point walks over unit `rows (k, d)` under `1 - |cos|`, from seeded random starts.

    A walk is nested: the pruning for any threshold δ is a prefix of it, so one walk serves all δ. It ends after `most`
    points, or once no remaining point of any walk is as far as `until`.

    Returns `order (num_starts, m)`, row numbers, and `distance (num_starts, m)`, how far each point was from those before
    it when it was taken (infinity for the start; never increasing).
    """
    k = rows.shape[0]
    length = min(k, most or k)
    apart = 1 - (rows @ rows.T).abs_()
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randperm(k, generator=generator).repeat(-(-num_starts // k))[:num_starts].to(rows.device)

    order = [starts]
    distance = [torch.full((num_starts,), torch.inf, dtype=rows.dtype, device=rows.device)]
    nearest = apart[starts].clamp_(min=0).scatter(1, starts[:, None], -1)  # what was taken is never taken again
    while len(order) < length:
        farthest, points = nearest.max(1)
        if farthest.max() < until:
            break
        order.append(points)
        distance.append(farthest)
        nearest = torch.minimum(nearest, apart[points].clamp_(min=0)).scatter_(1, points[:, None], -1)
    return torch.stack(order, 1), torch.stack(distance, 1)


def prefix(order: Tensor, distance: Tensor, pruning_threshold: float) -> Tensor:
    """The part `(m,)` of one walk `(k,)` up to where the farthest remaining anchor is nearer than δ."""
    return order[: int((distance >= pruning_threshold).sum())]


def landmarks(rows: Tensor, num_landmarks: int, seed: int = 0) -> Tensor:
    """Row numbers `(m,)` of the `num_landmarks` anchors that lie farthest apart, among unit `rows (k, d)`."""
    order, _ = farthest_points(rows, 1, seed, most=num_landmarks)
    return order[0]
