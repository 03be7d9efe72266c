"""Rows of one side that are many times as long as the rest: a part that was scaled, or not normalised."""

from __future__ import annotations

from copy import copy
from typing import NamedTuple

import torch
from torch import Tensor

BINS, REACH = 16, 40  # to each factor of two, and factors of two up and down
APART = 2.0  # times as long, at least
SAME = 1e-5  # of a mark: a group of copies of one row is none
OCTAVE = BINS
GAP, HARDLY = 8, 0.25  # bins between two groups, and the share of the rarer, within an octave, that may lie there
TAIL = 0.02  # of a group, on either side, that does not count to its width
LEAST = 12  # rows within an octave that are a group


class Longer(NamedTuple):
    """Rows that are so many times as long as the rest, or below 1 that part of it."""

    rows: int
    first: int
    last: int
    times: float


class Lengths:
    """How often each length occurs, by its logarithm, with the first and the last row that has it."""

    def __init__(self, least: int, expected: Tensor | None = None) -> None:
        """`least` lengths are a group; `expected (s,)` are logarithms, to base 2, of a sample, which tell what is usual."""
        size = 2 * REACH * BINS
        self.least = least
        self.expected = torch.zeros(size, dtype=torch.int64, device="cpu")
        if expected is not None:
            self.expected = _bins(expected).bincount(minlength=size)
        self._none()

    def anew(self) -> Lengths:
        """With the same sample, of no rows yet."""
        found = copy(self)
        found._none()
        return found

    def _none(self) -> None:
        self.counts = torch.zeros_like(self.expected)
        self.first = torch.full_like(self.expected, torch.iinfo(torch.int64).max)
        self.last = torch.full_like(self.expected, -1)
        self.least_mark = torch.full(self.expected.shape, torch.inf, dtype=torch.float64, device="cpu")
        self.most_mark = -self.least_mark

    def add(self, lengths: Tensor, rows: Tensor, marks: Tensor) -> None:
        """Count `lengths (n,)`, logarithms to base 2, of rows with these numbers `(n,)`; copies have the same `marks (n,)`."""
        bins, rows = _bins(lengths), rows.cpu()
        self.counts += bins.bincount(minlength=len(self.counts))
        self.first.scatter_reduce_(0, bins, rows, "amin")
        self.last.scatter_reduce_(0, bins, rows, "amax")
        self.least_mark.scatter_reduce_(0, bins, marks.double().cpu(), "amin")
        self.most_mark.scatter_reduce_(0, bins, marks.double().cpu(), "amax")

    def apart(self) -> Longer | None:
        """The smaller of two groups of lengths between which hardly any lies; None where there is one group."""
        seen = self.counts + self.expected
        sums = torch.cat([seen.new_zeros(1), seen.cumsum(0)])
        below, above = sums[:-GAP], sums[-1] - sums[GAP:]
        within = sums[OCTAVE:] - sums[:-OCTAVE]  # an octave from each bin on
        none = within.new_zeros(OCTAVE)
        densest_below = torch.cat([none, within.cummax(0).values])[: len(below)]
        densest_above = torch.cat([within.flip(0).cummax(0).values.flip(0), none])[GAP:][: len(above)]
        rarer = torch.minimum(densest_below, densest_above)
        between = sums[GAP:] - sums[:-GAP]
        # Within a tail, a gap is about as empty as what is beyond it.
        gaps = (between <= HARDLY * (rarer - self.least)).nonzero()[:, 0]
        for gap in sorted(gaps.tolist(), key=lambda gap: float(between[gap] / rarer[gap])):
            low, high = slice(0, gap), slice(gap + GAP, len(seen))
            steps = _place(seen[high], 0.5) + gap + GAP - _place(seen[low], 0.5)
            # A heavy tail falls into pieces that are wider than what parts them.
            if steps < max(_place(seen[side], 1 - TAIL) - _place(seen[side], TAIL) for side in (low, high)):
                continue
            times = 2 ** (steps / BINS)
            few, times = (high, times) if above[gap] <= below[gap] else (low, 1 / times)
            differ = float(self.most_mark[few].max() - self.least_mark[few].min()) > SAME
            if differ and max(times, 1 / times) >= APART and int(self.counts[few].sum()) >= self.least:
                first, last = int(self.first[few].min()), int(self.last[few].max())
                return Longer(int(self.counts[few].sum()), first, last, times)
        return None


def longer_rows(side: Tensor, distinct: Tensor, items: Tensor) -> Longer | None:
    """The smaller of two groups of lengths of `side (n, d)`, which are two among its `distinct (k, d)` rows, too.

    Copies among these have the same `items (k,)`, the first one's number: a few rows in many copies are no groups.
    """
    return _apart(side) if _apart(distinct[items.unique()]) else None


def _apart(rows: Tensor) -> Longer | None:
    norms = torch.linalg.vector_norm(rows.double(), dim=1)
    numbers = norms.nonzero()[:, 0]
    if len(numbers) < 2 * LEAST:
        return None
    lengths = Lengths(LEAST)
    lengths.add((norms[numbers] / norms[numbers].median()).log2(), numbers, marks=numbers)
    return lengths.apart()


def _bins(lengths: Tensor) -> Tensor:
    """The numbers `(n,)` of the bins of logarithms `(n,)`."""
    return ((lengths + REACH) * BINS).clamp(0, 2 * REACH * BINS - 1).long().cpu()


def _place(counts: Tensor, share: float) -> int:
    """The bin below which this share of all lies."""
    sums = counts.cumsum(0)
    return int((sums >= share * float(sums[-1])).nonzero()[0])
