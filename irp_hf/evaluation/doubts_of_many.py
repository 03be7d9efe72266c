"""What speaks against a fit on many pairs: rows out of step at both ends of them, and what the judges tell of the rest."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from irp_hf.data.arrays import Rows
from irp_hf.evaluation.doubts import Doubt, by_chance, far_off, in_any_order, misaligned, of_labels, of_side
from irp_hf.maths.alignment import coordinates, misaligned_runs
from irp_hf.maths.metrics import Labels
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.shuffling import shuffled_block

ENDS = 2000  # rows at either end that are looked at one by one: where a row was lost before, the last ones tell


def runs_of_many(source: Rows, target: Rows) -> tuple[Doubt, ...]:
    """Runs of rows at the begin or the end of these that lost their step."""
    count = source.num_rows
    found = []
    for start in sorted({0, max(count - ENDS, 0)}):
        rows = slice(start, min(start + ENDS, count))
        runs = misaligned_runs(*coordinates(source[rows].double(), target[rows].double()))
        moved = [
            replace(run, first=run.first + start, stop=run.stop + start, offset=run.offset + 2 * start * run.reverse)
            for run in runs
        ]
        found += misaligned(moved, count)
    return tuple(found[:1])


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
    are their held-out translations, and `runs` what `runs_of_many` found.
    """
    found = list(runs) or by_chance(judges, directions)
    if not found:
        block = shuffled_block(*coordinates(judges.source[order], judges.target[order]))
        if block is not None:
            block = replace(block, first=int(rows[block.first]), stop=int(rows[block.stop - 1]) + 1)
        found = in_any_order(block)
    sides = {"sources": (judges.source, judges.groups.sources), "targets": (judges.target, judges.groups.targets)}
    for name, (side, items) in sides.items():
        found += far_off(name, side[order], rows) or of_side(name, side, items)
    if objective == "agreement" and labels is not None:
        found += of_labels(labels(judges.target))
    return tuple(found)
