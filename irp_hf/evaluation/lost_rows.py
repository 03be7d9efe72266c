"""Stretches of many pairs whose targets hardly agree with their sources: where these belong, or that they belong nowhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from irp_hf.data.arrays import Rows
from irp_hf.evaluation.agreement import BLOCK, HALF, LEAST, Agreement, Stretch
from irp_hf.maths.alignment import BETTER, Run, principal
from irp_hf.maths.shuffling import NOTHING, Block, above_chance, held_out

PROBE = 2048  # rows of a stretch that are looked for elsewhere
PART = 16_384  # rows among which they are looked for at once
STANDS_OUT = 8.0  # standard deviations of what they have elsewhere, that the place where they belong is above
EDGE = 2 * BLOCK  # rows, at either end of a stretch, that may not be of it
ALONE = 60  # rows of a stretch that tell something of each other
LOOKED_AT = 2000  # rows of a long one


class LostRows:
    """Both sides, and what was found while they were read."""

    def __init__(self, source: Rows, target: Rows, agreement: Agreement) -> None:
        self.source, self.target, self.prefit, self.count = source, target, agreement.prefit, source.num_rows
        self.known = agreement.stretches()
        self.usual = agreement.usual

    def look(self, runs: list[Run]) -> tuple[list[Run], list[Block]]:
        """Runs of rows that belong elsewhere, and blocks that are in no order, besides the `runs` that are known."""
        found, blocks = list(runs), list[Block]()
        for stretch in self.known:
            rest: Stretch | None = stretch
            while rest is not None and rest.stop - rest.first >= LEAST and not _covered(rest, found):
                run = self._elsewhere(rest)
                if run is None or run.stop <= rest.first:
                    blocks += self._in_any_order(rest)
                    break
                found.append(run)
                rest = Stretch(run.stop, rest.stop) if run.stop < rest.stop - EDGE else None
        return _joined(found), sorted(blocks, key=lambda block: block.first)

    def _elsewhere(self, stretch: Stretch) -> Run | None:
        """The run of rows that begins where the stretch does, as far as its rows all fit the targets of one other place."""
        length = stretch.stop - stretch.first
        edge = min(EDGE, length // 4)
        first = stretch.first + edge
        probe = self.prefit.predicted(self.source[first : min(first + PROBE, stretch.stop - edge)].double())
        best: tuple[float, int, bool] | None = None
        for reverse in (False, True):
            fits, place = self._place_of(probe.flip(0) if reverse else probe)
            if fits >= HALF * self.usual and (best is None or fits > best[0]):
                best = fits, place + first + len(probe) - 1 if reverse else place - first, reverse
        if best is None or (not best[2] and best[1] == 0):
            return None
        run = self._run(stretch, best[1], best[2])
        too_few = run.stop - run.first < LEAST
        return None if too_few or run.found - run.own < BETTER * run.found else run

    def _place_of(self, probe: Tensor) -> tuple[float, int]:
        """The mean cosine of `probe (n, q)` with the targets where it fits them best, and the row where these begin; else 0.

        By Fourier transform, of one part of the targets after the other.
        """
        n = len(probe)
        size = 2 ** math.ceil(math.log2(PART + n))
        mine = torch.fft.rfft(probe.double(), size, dim=0).conj()
        fits = []
        for start in range(0, self.count - n + 1, PART):
            part = self.prefit.true(self.target[start : min(start + PART + n - 1, self.count)].double()).double()
            theirs = torch.fft.rfft(part, size, dim=0)
            fits.append(torch.fft.irfft((mine * theirs).sum(1), size)[: min(PART, self.count - n + 1 - start)] / n)
        if not fits:
            return 0.0, 0
        values = torch.cat(fits)
        middle = values.median()
        spread = 1.4826 * float((values - middle).abs().median())
        best = int(values.argmax())
        return (float(values[best]), best) if float(values[best] - middle) > STANDS_OUT * spread else (0.0, 0)

    def _run(self, stretch: Stretch, offset: int, reverse: bool) -> Run:
        """The rows from the begin of the stretch on that fit their targets at this step better than their own."""
        low, high = max(0, stretch.first - EDGE), min(self.count, stretch.stop + EDGE)
        own, found, gains = [], [], []
        for rows, mine, theirs in self._fits(low, high, offset, reverse):
            own.append(mine)
            found.append(theirs)
            gains.append(torch.where(rows, theirs - mine, -self.usual))  # where there is no such row
        own_fits, fits, gain = torch.cat(own), torch.cat(found), torch.cat(gains)
        sums = torch.cat([gain.new_zeros(1), gain.cumsum(0)])
        best = sums - sums.cummin(0).values
        # What follows once it got worse by more than an edge's worth is another run.
        worse = best < best.cummax(0).values - EDGE * HALF * self.usual
        end = int(worse.nonzero()[0]) if bool(worse.any()) else len(best)
        stop = int(best[:end].argmax())
        first = int(sums[: stop + 1].argmin())
        return Run(
            low + first, low + stop, offset, reverse, float(own_fits[first:stop].mean()), float(fits[first:stop].mean())
        )

    def _fits(self, low: int, high: int, offset: int, reverse: bool) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Of rows `low` to `high - 1`: whether there is a target at this step, and cosines with their own and with that one."""
        for first in range(low, high, PART):
            stop = min(first + PART, high)
            predicted = self.prefit.predicted(self.source[first:stop].double())
            own = (predicted * self.prefit.true(self.target[first:stop].double())).sum(1)
            there = (offset - stop + 1, offset - first + 1) if reverse else (first + offset, stop + offset)
            begin, end = max(0, there[0]), min(self.count, there[1])
            exists, fits = torch.zeros_like(own, dtype=torch.bool), torch.zeros_like(own)
            if begin < end:
                targets = self.prefit.true(self.target[begin:end].double())
                rows = slice(begin - there[0], end - there[0])
                if reverse:
                    targets, rows = targets.flip(0), slice(there[1] - end, there[1] - begin)
                exists[rows] = True
                fits[rows] = (predicted[rows] * targets).sum(1)
            yield exists.cpu(), own.cpu(), fits.cpu()

    def _in_any_order(self, stretch: Stretch) -> list[Block]:
        """The stretch, where its rows fit their own targets no better than each other's, by what all tell and by themselves."""
        edge = min(EDGE, (stretch.stop - stretch.first) // 4)
        step = max(1, (stretch.stop - stretch.first) // LOOKED_AT)
        rows = torch.arange(stretch.first + edge, stretch.stop - edge, step, dtype=torch.int64, device="cpu")
        x, y = (side.take(rows).double() for side in (self.source, self.target))
        predicted, true = self.prefit.predicted(x).double(), self.prefit.true(y).double()
        fits = above_chance(predicted, true)
        own = float((predicted * true).sum(1).mean())
        if fits > NOTHING:
            return []
        if len(rows) >= ALONE:
            sides = (
                principal(x, min(predicted.shape[1], len(rows) // 6)),
                principal(y, min(true.shape[1], len(rows) // 6)),
            )
            if above_chance(held_out(*sides), sides[1]) > NOTHING:
                return []
        return [Block(stretch.first, stretch.stop, own, self.usual)]


def _joined(runs: list[Run]) -> list[Run]:
    """The runs in their order; those of one step that hang together as one, and once."""
    found: list[Run] = []
    for run in sorted(runs, key=lambda run: (run.offset, run.reverse, run.first)):
        last = found[-1] if found else None
        if last is None or (last.offset, last.reverse) != (run.offset, run.reverse) or run.first > last.stop + EDGE:
            found.append(run)
        elif run.stop > last.stop:
            share = (last.stop - last.first) / (last.stop - last.first + run.stop - run.first)
            own, fits = (share * a + (1 - share) * b for a, b in ((last.own, run.own), (last.found, run.found)))
            found[-1] = replace(last, stop=run.stop, own=own, found=fits)
    return sorted(found, key=lambda run: run.first)


def _covered(stretch: Stretch, runs: list[Run]) -> bool:
    """Whether more than half of it is known to belong elsewhere."""
    inside = sum(max(0, min(stretch.stop, run.stop) - max(stretch.first, run.first)) for run in runs)
    return inside > (stretch.stop - stretch.first) / 2
