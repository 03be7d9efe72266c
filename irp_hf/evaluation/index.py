"""What an index of any size keeps of the ten nearest neighbours by cosine, whichever of its sides is translated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch

from irp_hf.checks import check_count, check_list
from irp_hf.data.arrays import Rows
from irp_hf.errors import refusal
from irp_hf.evaluation.from_dict import Check, at_least, within
from irp_hf.evaluation.gallery import BLOCK, open_gallery
from irp_hf.evaluation.intervals import Measure
from irp_hf.evaluation.printed import Printed, Table, wrapped
from irp_hf.evaluation.ways import IndexShare, interval, verdicts, ways_table
from irp_hf.maths.extrapolation import extrapolate
from irp_hf.maths.mixing import best_weight
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.pools import SMALLEST, HeldOutPools, gallery_pools, held_out_pools
from irp_hf.maths.selection import Choice

LEAST_ANCHORS = 4 * SMALLEST  # a quarter is held out, and searched
LARGEST = 10**12
FEW_SEARCHED = 100  # held-out anchors, of twice as many in all
TOO_LOW = "Of so few anchors that is often too low: with 60 to 120, up to every second interval lay below the truth."
TOO_WIDE = 0.2  # an interval that is wider tells hardly anything
POINTS = 12  # of the curve that is drawn


@dataclass(frozen=True)
class IndexReport(Printed):
    """What an index keeps, by its size, with 95 % intervals. It prints as a paragraph and a table."""

    shares: tuple[IndexShare, ...]
    """Of the sizes that were asked for, ascending."""
    curve: tuple[IndexShare, ...]
    """Of sizes from few rows to the most that were asked for."""
    searched: int
    """So many held-out anchors were searched at once; what is said of more than ten times as many is extrapolated."""
    gallery: int | None = None
    """So many rows of the target were given and searched by translated queries."""
    doubt: str | None = None
    """Why it is in doubt: where the gallery's rows lie unlike the target's anchors, or vectors differ in length by much."""
    weight: float | None = None
    """Of the translation, in mixed queries; None in a report that is older."""

    def table(self) -> Table:
        """A line for each size."""
        lines = [[f"{share.num_rows:,}", interval(share.queries), interval(share.moved)] for share in self.shares]
        return [["rows of the index", "queries translated", "index translated"], *lines]

    def checks(self) -> list[Check]:
        """Whether what was read can be true."""
        sizes = {name: [share.num_rows for share in getattr(self, name)] for name in ("shares", "curve")}
        ways = {
            name: {
                way is not None for share in getattr(self, name) for way in (share.nothing, share.asked, share.mixed)
            }
            for name in sizes
        }
        return [
            *(
                (found == sorted({*found}) != [] and found[0] >= SMALLEST, name, "rising numbers of rows", found)
                for name, found in sizes.items()
            ),
            at_least("searched", self.searched, 1),
            at_least("gallery", self.gallery, SMALLEST),
            within("weight", self.weight, 0, 1),
            *(
                (
                    told == {self.weight is not None},
                    name,
                    "every way of each size where there is a weight, or none",
                    told,
                )
                for name, told in ways.items()
            ),
        ]

    def tables(self) -> list[Table]:
        """A line for each size; then what doing nothing and other ways find, where that was measured."""
        return [self.table(), *ways_table(self.shares, self.weight)]

    def conclusions(self) -> list[str]:
        """Whether anything is better than doing nothing, at the largest size."""
        return verdicts(self.shares, self.weight)

    def words(self) -> str:
        """Why it is in doubt, how it was measured, and what it is not good for: in lines of at most 100 columns."""
        return wrapped(" ".join([*([] if self.doubt is None else [self.doubt]), self.caption()]))

    def caption(self) -> str:
        """How it was measured, and what it is not good for, in one line."""
        most = self.shares[-1].num_rows
        text = [
            "What an index keeps of the ten nearest neighbours by cosine, with the 95 % interval: where queries are translated "
            "and search the target's own vectors, and where the index is translated and the target's own queries search it. "
            "By inner product or L2 that holds for vectors of unit length, and translated ones have another."
        ]
        if self.gallery is not None:
            beyond = f"; for more than {10 * self.gallery:,} it is extrapolated" if most > 10 * self.gallery else ""
            text += [
                f"Translated queries were held-out anchors and searched the {self.gallery:,} rows that were given{beyond}.",
                "What a translated index keeps cannot be measured on rows of the target alone, and is told from the anchors.",
            ]
            if self.searched < FEW_SEARCHED:
                text.append(TOO_LOW)
        beyond = "; more is extrapolated over the index's size" if most > 10 * self.searched else ""
        if self.weight is not None:
            text.append(
                "The second table is by the new encoder's own ten: the target's where the index is translated, the source's "
                "where queries are; all of it is told from the anchors."
            )
        text.append(
            f"Held-out anchors searched up to {self.searched:,} of themselves, which tells of {10 * self.searched:,} "
            f"rows{beyond}."
        )
        measures = [(share, measure) for share in self.shares for measure in (share.queries, share.moved)]
        wide = [share.num_rows for share, measure in measures if measure.high - measure.low > TOO_WIDE]
        if wide:
            rows = "" if self.gallery is not None else ", and so do rows of the index itself, gallery="
            text.append(f"The interval for {min(wide):,} rows is too wide to plan by: more anchors narrow it{rows}.")
        return " ".join(text)


@dataclass(frozen=True)
class IndexQuestion:
    """The sizes of an index and, where they exist already, rows of it."""

    sizes: tuple[int, ...]
    gallery: Rows | None


def check_index(
    index_size: Any, gallery: Any, width: int, num_anchors: int, source_width: int | None = None
) -> IndexQuestion | None:
    """What is asked about an index, checked before any work; None where nothing is.

    Raises `InputError` for sizes that are no whole numbers from 12 on, for a gallery that `open_gallery` refuses, and where
    there are too few anchors to hold some out.
    """
    if index_size is None and gallery is None:
        return None
    advice = f"Give the number of rows of your index, or a list of such numbers, each at least {SMALLEST}."
    given = [] if index_size is None else [index_size]
    if isinstance(index_size, Iterable) and not isinstance(index_size, str | bytes):
        given = check_list("index_size", index_size, least=1, advice=advice)
    sizes = {check_count("index_size", size, SMALLEST, LARGEST, advice) for size in given}
    rows = None
    if gallery is not None:
        rows = open_gallery(gallery, width, source_width)
        sizes.add(rows.num_rows)
    if num_anchors < LEAST_ANCHORS:
        subject = "index_size" if gallery is None else "gallery"
        expected = f"at least {LEAST_ANCHORS} different anchors, to hold some out and search them"
        raise refusal(subject, expected, f"{num_anchors}", f"Give more anchors, or leave {subject} out.")
    return IndexQuestion(tuple(sorted(sizes)), rows)


def index_report(choice: Choice, pairs: Pairs, question: IndexQuestion, seed: int) -> IndexReport:
    """What indexes of these sizes keep, from pairs that no fit had; see `irp_hf.maths.pools`."""
    weight = best_weight(choice, pairs, seed)
    pools = held_out_pools(choice, pairs, seed, weight)
    searched = round(float(pools.queries.rows.max()))
    if question.gallery is not None:
        rows = question.gallery
        pools = replace(pools, queries=gallery_pools(choice, pairs, rows.chunks(BLOCK), rows.num_rows, seed))
    most = max(question.sizes[-1], 10 * SMALLEST)
    steps = torch.logspace(0, 1, POINTS, base=most / (4 * SMALLEST), dtype=torch.float64, device="cpu") * 4 * SMALLEST
    curve = sorted({*map(round, steps.tolist()), *(size for size in question.sizes if size >= 4 * SMALLEST)})
    return IndexReport(
        _shares(pools, question.sizes),
        _shares(pools, curve),
        searched,
        None if question.gallery is None else question.gallery.num_rows,
        weight=weight,
    )


def _shares(pools: HeldOutPools, sizes: Iterable[int]) -> tuple[IndexShare, ...]:
    sizes = list(sizes)
    found = {name: [Measure(*row) for row in extrapolate(kind, sizes).tolist()] for name, kind in vars(pools).items()}
    return tuple(
        IndexShare(size, **{name: rows[number] for name, rows in found.items()}) for number, size in enumerate(sizes)
    )
