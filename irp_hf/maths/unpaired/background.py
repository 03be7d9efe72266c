"""Unpaired rows of both sides that stand behind pairs: what they tell of means, and which of them are worth anything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.groups import row_labels
from irp_hf.maths.pairs import Pairs, others
from irp_hf.maths.projection import Statistics, normalize, statistics
from irp_hf.maths.unpaired.side import Side

MOST = 20_000  # rows of a side: of more a sample tells as much
LEAST = 100  # rows of a side: fewer tell no neighbourhood


@dataclass(frozen=True)
class Background:
    """Unpaired rows, none twice and none of them an anchor, with what they and the pairs tell of each side."""

    source: Tensor
    """Shape (n, d_X), as they came."""
    target: Tensor
    """Shape (m, d_Y)."""
    source_stats: Statistics
    target_stats: Statistics

    @classmethod
    def of(cls, source: Tensor, target: Tensor, pairs: Pairs | None = None) -> Background:
        """Of rows that are `distinct_from` the anchors on their side, where there are pairs."""
        anchors = (source[:0], target[:0]) if pairs is None else (pairs.source, pairs.target)
        first, second = (
            statistics(torch.cat([rows.double(), own.double()]))
            for rows, own in zip((source, target), anchors, strict=True)
        )
        return cls(source, target, first, second)

    def without(self, rows: Tensor) -> Background:
        """The same, seen as before, without these rows `(k,)` of the source."""
        left = others(rows, len(self.source))
        found = replace(self, source=self.source[left])
        vars(found).update(source_rows=self.source_rows[left], target_rows=self.target_rows)  # which nothing changed
        return found

    def behind(self, pairs: Pairs) -> Pairs:
        """The same pairs about the means of all rows, and at their scales."""
        return Pairs(pairs.source, pairs.target, pairs.labels, (self.source_stats, self.target_stats))

    @cached_property
    def source_rows(self) -> Tensor:
        """Unit rows `(n, d_X)`, in single precision where that is enough."""
        return _units(self.source, self.source_stats)

    @cached_property
    def target_rows(self) -> Tensor:
        """Unit rows `(m, d_Y)`, likewise."""
        return _units(self.target, self.target_stats)

    @cached_property
    def sides(self) -> tuple[Side, Side]:
        """Both in their leading principal directions."""
        return Side.of(self.source_rows), Side.of(self.target_rows)


def distinct_from(rows: Tensor, anchors: Tensor) -> Tensor:
    """The numbers `(n,)` of `rows (N, d)` that are the first of their kind, to rounding, and none of the `anchors (k, d)`.

    An anchor among unpaired rows would be known to a fit that leaves it out; a row in many copies would be all that is near.
    """
    labels = row_labels(torch.cat([anchors, rows]))  # each the first row of its kind
    numbers = torch.arange(len(anchors), len(labels), dtype=labels.dtype, device=labels.device)
    return (labels[len(anchors) :] == numbers).nonzero()[:, 0]


def _units(rows: Tensor, stats: Statistics) -> Tensor:
    return normalize(rows.double(), stats).to(working_dtype(torch.float32, rows.device))
