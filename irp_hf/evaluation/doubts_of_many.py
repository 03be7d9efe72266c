"""What speaks against a fit on many pairs: what all of them tell while they are read, and what the judges tell of the rest."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from irp_hf.data.arrays import Rows
from irp_hf.evaluation.agreement import Agreement
from irp_hf.evaluation.doubts import (
    Doubt,
    by_chance,
    far_off,
    in_any_order,
    misaligned,
    of_labels,
    of_side,
)
from irp_hf.evaluation.lost_rows import LostRows
from irp_hf.evaluation.rows_of_many import OneSide
from irp_hf.evaluation.steps_of_many import steps_lost
from irp_hf.maths.alignment import coordinates
from irp_hf.maths.metrics import Labels
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.prefit import Prefit
from irp_hf.maths.shuffling import shuffled_block


def doubts_of_many(
    seen: tuple[Doubt, ...],
    rows: Tensor,
    judges: Pairs,
    order: Tensor,
    directions: Tensor,
    objective: str,
    labels: Labels | None,
) -> tuple[Doubt, ...]:
    """All that speaks against it, the most telling first.

    `order (j,)` brings the judges into the order of the pairs, where they have the numbers `rows (j,)`; `directions (j, d_Y)`
    are their held-out translations, and `seen` what a `Look` found in
    the pairs themselves.
    """
    found = [doubt for doubt in seen if doubt.of_pairing] or by_chance(judges, directions)
    if not found:
        block = shuffled_block(*coordinates(judges.source[order], judges.target[order]))
        if block is not None:
            found = in_any_order([replace(block, first=int(rows[block.first]), stop=int(rows[block.stop - 1]) + 1)])
    for name, side in (("sources", judges.source), ("targets", judges.target)):
        if not far_off(name, side[order], rows):  # of which all pairs tell
            found += of_side(name, judges)
    found += [doubt for doubt in seen if not doubt.of_pairing]
    if objective == "agreement" and labels is not None:
        found += of_labels(labels, judges.target)
    return tuple(found)


class Look:
    """A look at all pairs while they are read."""

    def __init__(self, source: Tensor, target: Tensor) -> None:
        """By a sample of them in random order, `source (s, d_X)` and `target (s, d_Y)`."""
        self.sides = OneSide("sources", source), OneSide("targets", target)
        self.agreement = Agreement(Prefit.of(source, target))

    def anew(self) -> Look:
        """With the same sample, of no pairs yet."""
        found = Look.__new__(Look)
        found.sides = self.sides[0].anew(), self.sides[1].anew()
        found.agreement = Agreement(self.agreement.prefit)
        return found

    def add(self, source: Tensor, target: Tensor, first: int) -> None:
        """Look at `source (n, d_X)` and `target (n, d_Y)`, the first of which have this number."""
        for side, chunk in zip(self.sides, (source, target), strict=True):
            side.add(chunk, first)
        self.agreement.add(source, target)

    def doubts(self, source: Rows, target: Rows) -> tuple[Doubt, ...]:
        """What speaks against these pairs, of which all were looked at."""
        runs, blocks = LostRows(source, target, self.agreement).look(steps_lost(source, target))
        count = source.num_rows
        of_sides = (doubt for side in self.sides for doubt in side.doubts())
        return (*misaligned(runs, count), *in_any_order(blocks), *of_sides)
