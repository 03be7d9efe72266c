"""What speaks against a fit on many pairs: rows out of step, rows far off, and what the judges tell of the rest."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import torch
from torch import Tensor

from irp_hf.data.arrays import Rows
from irp_hf.evaluation.doubts import (
    FAR_OFF,
    FEW,
    SINGLE,
    Doubt,
    by_chance,
    far_doubt,
    far_off,
    in_any_order,
    misaligned,
    of_labels,
    of_side,
)
from irp_hf.evaluation.steps_of_many import steps_lost
from irp_hf.maths.alignment import coordinates
from irp_hf.maths.metrics import Labels
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.shuffling import shuffled_block


def runs_of_many(source: Rows, target: Rows) -> tuple[Doubt, ...]:
    """Runs of rows of these that lost their step."""
    return tuple(misaligned(steps_lost(source, target), source.num_rows))


def doubts_of_many(
    runs: tuple[Doubt, ...],
    rows: Tensor,
    judges: Pairs,
    order: Tensor,
    directions: Tensor,
    objective: str,
    labels: Labels | None,
) -> tuple[Doubt, ...]:
    """All that speaks against it, the most telling first.

    `order (j,)` brings the judges into the order of the pairs, where they have the numbers `rows (j,)`; `directions (j, d_Y)`
    are their held-out translations, and `runs` what was found
    in the pairs themselves: by `runs_of_many`, and of rows far off.
    """
    found = [doubt for doubt in runs if doubt.of_pairing] or by_chance(judges, directions)
    if not found:
        block = shuffled_block(*coordinates(judges.source[order], judges.target[order]))
        if block is not None:
            block = replace(block, first=int(rows[block.first]), stop=int(rows[block.stop - 1]) + 1)
        found = in_any_order(block)
    sides = {"sources": (judges.source, judges.groups.sources), "targets": (judges.target, judges.groups.targets)}
    for name, (side, items) in sides.items():
        if not far_off(name, side[order], rows):  # of which all pairs tell
            found += of_side(name, side, items)
    found += [doubt for doubt in runs if not doubt.of_pairing]
    if objective == "agreement" and labels is not None:
        found += of_labels(labels(judges.target))
    return tuple(found)


class FarRows:
    """Rows of one side that lie so far off that beside them the others look alike, found while all rows are read."""

    def __init__(self, name: str, sample: Tensor) -> None:
        """`sample (s, d)` tells what is usual; its median and that of the distances hardly feel such rows."""
        self.name = name
        self.median = sample.double().median(0).values
        self.usual = float(torch.linalg.vector_norm(sample.double() - self.median, dim=1).median())
        self.seen, self.rows, self.farthest = 0, list[int](), 0.0
        self.known = len(sample) >= FEW and self.usual > 0

    def anew(self) -> FarRows:
        """With the same sample, of no rows yet."""
        found = copy(self)
        found.seen, found.rows, found.farthest = 0, [], 0.0
        return found

    def add(self, chunk: Tensor, first: int) -> None:
        """Look at `chunk (n, d)`, whose first row has this number."""
        self.seen += len(chunk)
        if self.known and len(self.rows) <= SINGLE * self.seen:
            distance = torch.linalg.vector_norm(chunk.double() - self.median.to(chunk.device), dim=1) / self.usual
            far = (distance > FAR_OFF).nonzero()[:, 0]
            self.rows += (far + first).tolist()
            self.farthest = max(self.farthest, float(distance.max()))

    def doubts(self) -> tuple[Doubt, ...]:
        """What is to be said of them, where they are few."""
        few = 0 < len(self.rows) <= SINGLE * self.seen
        return (far_doubt(self.name, self.rows, self.farthest),) if few else ()
