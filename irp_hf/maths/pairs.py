"""Parallel anchors as both sides see them: what every fit and every selection starts from."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from irp_hf.maths.groups import Groups, can_hold_out, first_groups, group_rows, groups_by_size, whole_folds
from irp_hf.maths.projection import Statistics, among, inner_products, lifted_cosines, normalize, statistics

Made = TypeVar("Made")


def distinct_pairs(source: Tensor, target: Tensor) -> Pairs:
    """The parallel anchors without copies, which would leak in leave-one-out."""
    pairs = Pairs(source, target)
    rows = pairs.distinct()
    return pairs if len(rows) == len(pairs) else pairs.take(rows)


class Pairs:
    """Parallel anchors `source (k, d_X)` and `target (k, d_Y)`: row i of both is the same item. Float64 for the solves."""

    def __init__(
        self,
        source: Tensor,
        target: Tensor,
        labels: Tensor | None = None,
        stats: tuple[Statistics, Statistics] | None = None,
    ) -> None:
        """`labels (k,)` number the groups of rows that share something, where they are known; else they are found.

        `stats` are the means and scales of both sides, where more pairs than these tell them.
        """
        self._labels = labels
        self._made: dict[Hashable, Any] = {}
        self.source, self.target = source.double(), target.double()
        own = (statistics(self.source), statistics(self.target)) if stats is None else stats
        self.source_stats, self.target_stats = own
        self.source_rows = normalize(self.source, self.source_stats)
        self.target_rows = normalize(self.target, self.target_stats)

    def __len__(self) -> int:
        return self.source.shape[0]

    def lifted(self, lift: float) -> Tensor:
        """The source's unit rows at this lift: `(k, d_X)`, above 0 `(k, d_X + 1)`."""
        return normalize(self.source, self.source_stats, lift) if lift else self.source_rows

    @cached_property
    def cosines(self) -> Tensor:
        """Those of the source's unit rows with each other, shape (k, k)."""
        return inner_products(self.source_rows)

    @property
    def known_cosines(self) -> Tensor | None:
        """The same, where somebody has asked for them already."""
        return vars(self).get("cosines")

    def with_cosines(self) -> Pairs:
        """These pairs, which then know their cosines: for what asks for parts of them."""
        _ = self.cosines
        return self

    def cosines_of(self, rows: Tensor, lift: float) -> Tensor:
        """Those of the source's rows of these numbers `(n,)` with each other at this lift, shape (n, n)."""
        if self.known_cosines is None:
            return inner_products(normalize(self.source[rows], self.source_stats, lift))
        return self._lifted_cosines(among(self.known_cosines, rows), rows, lift)

    def products_of(self, rows: Tensor) -> Tensor:
        """Those of the source's rows of these numbers `(n,)` with each other, about the mean of all, shape (n, n)."""
        lengths = torch.linalg.vector_norm(self.source[rows] - self.source_stats.mean, dim=1)
        found: Tensor = self.cosines_of(rows, 0.0) * lengths * lengths[:, None]
        return found

    def cosines_at(self, lift: float) -> Tensor:
        """Those of all rows at this lift, shape (k, k)."""
        return self._lifted_cosines(self.cosines, slice(None), lift)

    def _lifted_cosines(self, flat: Tensor, rows: Tensor | slice, lift: float) -> Tensor:
        if not lift:
            return flat
        lengths = torch.linalg.vector_norm(self.source[rows] - self.source_stats.mean, dim=1)
        return lifted_cosines(flat, lengths, lift * self.source_stats.scale)

    @cached_property
    def groups(self) -> Groups:
        """Which rows share a source or a target."""
        return group_rows(self.source, self.target)

    @cached_property
    def labels(self) -> Tensor:
        """The number of every row's group, shape (k,); each row is its own where too little would be left without a group."""
        labels = self.groups.labels if self._labels is None else self._labels
        return labels if can_hold_out(labels) else torch.arange(len(labels), device=labels.device)

    @cached_property
    def copies(self) -> list[Tensor]:
        """Row numbers of the groups of more than one row, those of m rows as one tensor `(n, m)`."""
        return groups_by_size(self.labels)

    @property
    def shared(self) -> Tensor | None:
        """The `labels`, where two rows share something; None where each row is a group of its own."""
        return self.labels if self.copies else None

    def once(self, name: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` gives, which is made once for these pairs, whoever asks for it by this name."""
        if name not in self._made:
            self._made[name] = make()
        found: Made = self._made[name]
        return found

    def take(self, rows: Tensor) -> Pairs:
        """The pairs of these row numbers, normalised by themselves: nothing of the others leaks in. Groups stay as they are."""
        return Pairs(self.source[rows], self.target[rows], self.labels[rows])

    def without(self, rows: Tensor) -> Pairs:
        """All other pairs, normalised by themselves."""
        return self.take(others(rows, len(self)))

    def folds(self, num_folds: int, seed: int) -> list[Tensor]:
        """Seeded folds of row numbers, every pair in one of them, and pairs that share something in the same."""
        order = self.permutation(seed)
        if self.copies:
            return whole_folds(self.labels, order, num_folds)
        return list(order.tensor_split(min(num_folds, len(self))))

    def folds_among(self, rows: Tensor, num_folds: int, seed: int) -> list[Tensor]:
        """Folds of these rows `(n,)` alone, as numbers below n; pairs that share something are in the same."""
        generator = torch.Generator("cpu").manual_seed(seed)
        order = torch.randperm(len(rows), generator=generator, dtype=torch.int64, device="cpu").to(rows.device)
        if self.copies:
            return whole_folds(self.labels[rows], order, num_folds)
        return list(order.tensor_split(min(num_folds, len(rows))))

    def split(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        """Seeded row numbers of `count` pairs and of all others; of about so many where whole groups must be taken."""
        order = self.permutation(seed)
        if not self.copies:
            return order[:count], order[count:]
        held = first_groups(self.labels[order], count)
        return order[held], order[~held]

    def permutation(self, seed: int) -> Tensor:
        """Seeded order `(k,)` of the row numbers, the same on every device."""
        generator = torch.Generator("cpu").manual_seed(seed)
        order = torch.randperm(len(self), generator=generator, dtype=torch.int64, device="cpu")
        return order.to(self.source.device)

    def distinct(self) -> Tensor:
        """Row numbers of the first of every pair that is there more than once: copies leak in leave-one-out."""
        sides = self.source, self.target
        width = sum(side.shape[1] for side in sides)
        weights = torch.linspace(1, 2, width, dtype=sides[0].dtype, device=sides[0].device)
        first, second = weights.split([side.shape[1] for side in sides])
        sums = (sides[0] * first).sum(1) + (sides[1] * second).sum(1)
        if len(sums.unique()) == len(self):  # copies have the same sum, and sums are quick to compare
            return torch.arange(len(self), dtype=torch.int64, device=sums.device)
        both = torch.cat(sides, dim=1)
        _, group = torch.unique(both, dim=0, return_inverse=True)
        first = torch.full((int(group.max()) + 1,), len(self), dtype=torch.int64, device=group.device)
        numbers = torch.arange(len(self), dtype=torch.int64, device=group.device)
        first.scatter_reduce_(0, group, numbers, "amin")
        return first.sort().values


def others(rows: Tensor, count: int) -> Tensor:
    """The row numbers below `count` that are not among `rows`."""
    kept = torch.ones(count, dtype=torch.bool, device=rows.device)
    kept[rows] = False
    return kept.nonzero()[:, 0]
