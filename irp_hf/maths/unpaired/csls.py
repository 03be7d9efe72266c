"""Which rows of two spaces are each other's counterparts, by cross-domain similarity local scaling (CSLS).

A cosine is taken less the mean cosine of both rows with those that are nearest to them: rows in crowded places, which are near
to many, are then no more often found than others (Conneau et al. 2018, "Word translation without parallel data").
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from irp_hf.maths.projection import unit_rows

NEAREST = 10  # rows by which it is judged how crowded a place is
BLOCK = 2**24  # cosines that are held at once


def counterparts(cosines: Tensor, source: Tensor, target: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The unit mean of the `count` rows that match best: of the target's for each of the source's, and the reverse.

    `cosines (n, m)` are those of `source (n, p)` with `target (m, q)`; shapes (n, q) and (m, p). What matches best is sought
    among the rows with the largest cosines, three times as many, which takes half the time.
    """
    (there, near_source), (back, near_target) = (_nearest(one, count) for one in (cosines, cosines.T))
    to_target, to_source = _best(there, near_target, count), _best(back, near_source, count)
    return mean_of(target, to_target), mean_of(source, to_source)


def _nearest(cosines: Tensor, count: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """The largest cosines of each row of `cosines (n, m)` and their columns, and the mean `(n,)` of the very largest."""
    found = cosines.topk(min(max(3 * count, NEAREST), cosines.shape[1]), 1)
    return (found.values, found.indices), found.values[:, :NEAREST].mean(1)


def _best(found: tuple[Tensor, Tensor], crowded: Tensor, count: int) -> Tensor:
    """The columns `(n, count)` of those that were found which are best by how crowded `(m,)` it is around each."""
    values, columns = found
    best = (values - crowded[columns] / 2).topk(min(count, columns.shape[1]), 1).indices
    return columns.gather(1, best)


def crowding(cosines: Tensor, dim: int) -> Tensor:
    """The mean along `dim` of the cosines with the nearest rows."""
    return cosines.topk(min(NEAREST, cosines.shape[dim]), dim).values.mean(dim)


def mean_of(rows: Tensor, numbers: Tensor) -> Tensor:
    """The unit mean `(n, d)` of the `rows (m, d)` of these numbers `(n, count)`."""
    return unit_rows(embedding_bag(numbers.contiguous(), rows, mode="mean"))


def coincidence(source: Tensor, target: Tensor) -> float:
    """The mean of the largest CSLS of each of the unit rows `source (n, r)` with `target (m, r)`, both in one space.

    It is high where both clouds of rows lie in the same places, and not only in the same directions.
    """
    cosines = source @ target.T
    scores = 2 * cosines - crowding(cosines, 0)
    return float((scores.amax(1) - crowding(cosines, 1)).mean())


def mutual(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The rows `(k,)` of `source (n, r)` and `target (m, r)` that match each other best, and their CSLS `(k,)`."""
    (there, scores), (back, _) = matched(source, target, 1), matched(target, source, 1)
    rows = torch.arange(len(source), device=source.device)
    both = back[there[:, 0], 0] == rows
    return rows[both], there[both, 0], scores[both, 0]


def matched(source: Tensor, target: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The numbers `(n, count)` of the rows of `target (m, r)` that match each of `source (n, r)` best, and their CSLS.

    Unit rows of one space, in blocks; the best first.
    """
    count = min(count, len(target))
    near = torch.cat([crowding(part @ source.T, 1) for part in target.split(max(1, BLOCK // len(source)))])
    numbers, scores = [], []
    for part in source.split(max(1, BLOCK // len(target))):
        cosines = part @ target.T
        own = crowding(cosines, 1)
        found = (2 * cosines - near).topk(count, 1)
        numbers.append(found.indices)
        scores.append(found.values - own[:, None])
    return torch.cat(numbers), torch.cat(scores)
