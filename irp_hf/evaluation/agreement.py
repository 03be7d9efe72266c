"""How well the targets of many pairs agree with what a quick map makes of their sources, block by block: where they do not.

A block's rows are compared with each other's targets: what they share, a subject say, tells nothing of their pairing, and
copies of one item do not count.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from irp_hf.maths.alignment import UNRELATED
from irp_hf.maths.prefit import Prefit

BLOCK = 16  # rows, of which one number each is kept
SURE = 5.0  # standard deviations of a stretch's agreement, that half of what is usual must be away from it
HALF = 0.5  # of what is usual: rows of other items have none
USUAL = 0.9  # the quantile of the blocks: where a good part is out of step, the others tell what is usual
NOISE = 3.0  # times what the lowest tenth is below 0: of sides that are unrelated, the highest is as far above
LEAST = 12  # independent rows of a stretch that is looked at
MOST = 8  # stretches that are


class Stretch(NamedTuple):
    """Rows `first` to `stop - 1`, to within a block."""

    first: int
    stop: int


class Agreement:
    """What is kept of the rows that were read: two numbers a block."""

    def __init__(self, prefit: Prefit) -> None:
        self.prefit = prefit
        self.count = 0
        self.gains: list[Tensor] = []
        self.weights: list[Tensor] = []
        self.usual = 0.0
        """The cosine with its own target that a row usually has beyond that with others of its block; once it is asked for."""

    def add(self, source: Tensor, target: Tensor) -> None:
        """Look at `source (n, d_X)` and `target (n, d_Y)`, which follow those before; `BLOCK` divides n but at the end."""
        predicted, true = self.prefit.predicted(source), self.prefit.true(target)
        self.count += len(source)
        whole = len(source) // BLOCK * BLOCK
        for part in (slice(0, whole), slice(whole, len(source))):
            size = min(BLOCK, part.stop - part.start)
            if size:
                left, right = (rows[part].unflatten(0, (-1, size)) for rows in (predicted, true))
                sums = left.sum(1), right.sum(1)
                self.gains.append(((left * right).sum((1, 2)) - (sums[0] * sums[1]).sum(1) / size).cpu())
                self.weights.append((size - sums[1].square().sum(1) / size).cpu())

    def stretches(self) -> list[Stretch]:
        """Where rows agree less than half as well as is usual, most is missing first; of weak fits long ones alone are told."""
        gains, weights = (torch.cat(side).double() for side in (self.gains, self.weights))
        self.usual = _usual(gains, weights)
        if self.usual < UNRELATED:
            return []
        apart = gains - self.usual * weights
        good = apart > -HALF * self.usual * weights
        spread = 1.4826 * float((apart[good] - apart[good].median()).abs().median())
        lost = HALF * self.usual * float(weights[good].mean())
        blocks = max(2, int((SURE * spread / lost) ** 2) + 1)
        if blocks >= len(gains):
            return []
        agree, independent = (_over(side, blocks) for side in (gains, weights))
        low = (agree < HALF * self.usual * independent) & (independent >= LEAST)
        bounds = torch.cat([low.new_zeros(1), low, low.new_zeros(1)]).int().diff()
        firsts, stops = ((bounds == step).nonzero()[:, 0].tolist() for step in (1, -1))
        missing = torch.cat([apart.new_zeros(1), apart.cumsum(0)])
        found = []
        for first, stop in zip(firsts, stops, strict=True):
            stop = stop + blocks - 1
            here = Stretch(first * BLOCK, min(stop * BLOCK, self.count))
            found.append((float(missing[stop] - missing[first]), here))
        return [here for _, here in sorted(found)[:MOST]]


def _usual(gains: Tensor, weights: Tensor) -> float:
    """The gain of an independent row in the blocks that agree; 0 where none do, or hardly any block has such rows."""
    telling = weights > 1
    if not bool(telling.any()):
        return 0.0
    ratio = (gains[telling] / weights[telling]).sort().values
    low, high = (float(ratio[int(share * (len(ratio) - 1))]) for share in (1 - USUAL, USUAL))
    usual = float(ratio[ratio >= HALF * high].median()) if high > 0 else 0.0
    return usual if usual > NOISE * -low else 0.0


def _over(values: Tensor, size: int) -> Tensor:
    """Sums over every `size` of `values (n,)` in a row, shape (n - size + 1,)."""
    sums = torch.cat([values.new_zeros(1), values.cumsum(0)])
    return sums[size:] - sums[:-size]
