"""Parallel anchors as both sides see them: what every fit and every selection starts from."""

from __future__ import annotations

import torch
from torch import Tensor

from irp_hf.maths.projection import normalize, statistics


def distinct_pairs(source: Tensor, target: Tensor) -> Pairs:
    """The parallel anchors without copies, which would leak in leave-one-out."""
    pairs = Pairs(source, target)
    rows = pairs.distinct()
    return pairs if len(rows) == len(pairs) else pairs.take(rows)


class Pairs:
    """Parallel anchors `source (k, d_X)` and `target (k, d_Y)`: row i of both is the same item. Float64 for the solves."""

    def __init__(self, source: Tensor, target: Tensor) -> None:
        self.source, self.target = source.double(), target.double()
        self.source_stats, self.target_stats = statistics(self.source), statistics(self.target)
        self.source_rows = normalize(self.source, self.source_stats)
        self.target_rows = normalize(self.target, self.target_stats)

    def __len__(self) -> int:
        return self.source.shape[0]

    def lifted(self, lift: float) -> Tensor:
        """The source's unit rows at this lift: `(k, d_X)`, above 0 `(k, d_X + 1)`."""
        return normalize(self.source, self.source_stats, lift) if lift else self.source_rows

    def take(self, rows: Tensor) -> Pairs:
        """The pairs of these row numbers, normalised by themselves: nothing of the others leaks in."""
        return Pairs(self.source[rows], self.target[rows])

    def without(self, rows: Tensor) -> Pairs:
        """All other pairs, normalised by themselves."""
        return self.take(others(rows, len(self)))

    def folds(self, num_folds: int, seed: int) -> list[Tensor]:
        """Seeded folds of row numbers, every pair in one of them."""
        return list(self.permutation(seed).tensor_split(min(num_folds, len(self))))

    def permutation(self, seed: int) -> Tensor:
        """Seeded order `(k,)` of the row numbers, the same on every device."""
        return torch.randperm(len(self), generator=torch.Generator().manual_seed(seed)).to(self.source.device)

    def distinct(self) -> Tensor:
        """Row numbers of the first of every pair that is there more than once: copies leak in leave-one-out."""
        both = torch.cat([self.source, self.target], dim=1)
        _, group = torch.unique(both, dim=0, return_inverse=True)
        first = torch.full((int(group.max()) + 1,), len(self), device=group.device)
        first.scatter_reduce_(0, group, torch.arange(len(self), device=group.device), "amin")
        return first.sort().values


def others(rows: Tensor, count: int) -> Tensor:
    """The row numbers below `count` that are not among `rows`."""
    kept = torch.ones(count, dtype=torch.bool, device=rows.device)
    kept[rows] = False
    return kept.nonzero()[:, 0]
