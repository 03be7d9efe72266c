"""Anchor pruning, anchor subspaces and landmarks (arXiv 2406.15057, section 3): fewer anchors, better conditioned."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

MOST_AT_ONCE = 8000  # rows whose distances from each other are computed at once; of more, those that a walk asks for


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
    apart = 1 - (rows @ rows.T).abs_() if k <= MOST_AT_ONCE else None

    def distances(points: Tensor) -> Tensor:
        found = 1 - (rows[points] @ rows.T).abs_() if apart is None else apart[points]
        return found.clamp_(min=0)

    generator = torch.Generator("cpu").manual_seed(seed)
    order = torch.randperm(k, generator=generator, dtype=torch.int64, device="cpu")
    starts = order.repeat(-(-num_starts // k))[:num_starts].to(rows.device)
    return farthest_walk(starts, distances, min(k, most or k), until)


def farthest_walk(
    starts: Tensor, distances: Callable[[Tensor], Tensor], length: int, until: float = -math.inf
) -> tuple[Tensor, Tensor]:
    """From each of `starts (s,)`, always on to the row that is farthest from all that were taken, until there are `length`.

    `distances` gives how far all k rows are from some of them, `(s,) -> (s, k)`, as new memory; smaller is nearer. A walk
    ends early once no remaining row of any is as far as `until`.

    Returns `order (s, m)`, row numbers, and `distance (s, m)`, how far each was from those before it (infinity for the start).
    """
    nearest = distances(starts).scatter_(1, starts[:, None], -math.inf)  # what was taken is never taken again
    order, distance = [starts], [torch.full_like(nearest[:, 0], math.inf)]
    while len(order) < length:
        farthest, points = nearest.max(1)
        if farthest.max() < until:
            break
        order.append(points)
        distance.append(farthest)
        nearest = torch.minimum(nearest, distances(points)).scatter_(1, points[:, None], -math.inf)
    return torch.stack(order, 1), torch.stack(distance, 1)


def prefix(order: Tensor, distance: Tensor, pruning_threshold: float) -> Tensor:
    """The part `(m,)` of one walk `(k,)` up to where the farthest remaining anchor is nearer than δ."""
    return order[: int((distance >= pruning_threshold).sum())]


def landmarks(rows: Tensor, num_landmarks: int, seed: int = 0) -> Tensor:
    """Row numbers `(m,)` of the `num_landmarks` anchors that lie farthest apart, among unit `rows (k, d)`."""
    order, _ = farthest_points(rows, 1, seed, most=num_landmarks)
    return order[0]
