"""What to expect of a translation: inverses and direct translators side by side on held-out anchors."""

from __future__ import annotations

import html
import json
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irp_hf.errors import InputError
from irp_hf.evaluation.from_dict import from_plain
from irp_hf.evaluation.held_out import NAMES, CurvePoint, Reliability, Row
from irp_hf.evaluation.printed import MARK, Table, aligned, as_html, markdown, number, signed
from irp_hf.maths.tuning import NUM_FOLDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


WIDTH = 100  # of the terminal
WORTHWHILE = 0.01  # of cosine or neighbours: what a doubling of the anchors must bring to be worth advising
UNRELATED = 0.05  # of cosine about the mean, out of fold: unrelated rows have 0
MEASURES = {"cosine": "cosine", "neighbors": "neighbours", "mrr": "MRR", "agreement": "agreement"}


@dataclass(frozen=True)
class Setting:
    """Hyper-parameters that the selection tried, in words, and their objective out of fold."""

    words: str
    score: float


@dataclass(frozen=True)
class Report:
    """What to expect of a translation. It prints as a table; `plot()` draws it."""

    num_anchors: int
    source_width: int
    target_width: int
    objective: str
    chosen: str
    """The method, as its row is called."""
    score: float
    """Its objective out of fold, scale restored."""
    finalists: tuple[Setting, ...]
    """The chosen method's settings and the best of the others, if there are any, as the selection scored them."""
    rows: tuple[Row, ...]
    learning_curve: tuple[CurvePoint, ...]
    """Of the chosen method, from few anchors to many; empty where there are too few to hold some out."""
    reliability: Reliability | None = None

    def __str__(self) -> str:
        """Tables for the terminal, at most 100 columns wide, and what follows from them."""
        narrow = [[method, *numbers] for method, _, *numbers in self._methods()]
        settings = "; ".join(f"{row.method} {row.settings}" for row in self.rows if row.settings)
        parts = [self.caption(), narrow, f"Settings: {settings}.", *self._conclusions()]
        return _written(parts, aligned, lambda text: textwrap.fill(text, WIDTH, break_on_hyphens=False), "\n\n")

    def to_markdown(self) -> str:
        """The same for a model card, settings in the table."""
        parts = [self.caption(), self._methods(), *self._conclusions()]
        return _written(parts, markdown, str, "\n\n") + "\n"

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        parts = [self.caption(), self._methods(), *self._conclusions()]
        return _written(parts, as_html, lambda text: f"<p>{html.escape(text)}</p>", "\n")

    def to_dict(self) -> dict[str, Any]:
        """All numbers as plain dicts and lists, ready for JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, plain: Any) -> Report:
        """The report that `to_dict` made `plain` of.

        Raises `InputError` for anything else.
        """
        report = from_plain(cls, plain, "report")
        sizes = [point.num_anchors for point in report.learning_curve]
        kinds = {tuple(point.evaluation.measures()) for point in report.learning_curve}
        reliability = report.reliability or Reliability((0.0,), (0.0,))
        for fits, said in (
            (report.chosen in [row.method for row in report.rows], f"chose {report.chosen!r:.80}, which is no row"),
            (report.objective in MEASURES, f"has the objective {report.objective!r:.80}"),
            (1 <= len(report.finalists) <= 2, f"has {len(report.finalists)} finalists, not 1 or 2"),
            (sizes == sorted({size for size in sizes if size > 0}), f"has a learning curve at {sizes!s:.80} anchors"),
            (len(kinds) <= 1, "has a learning curve of several kinds of points"),
            (0 < len(reliability.expected) == len(reliability.true), "has not one true cosine for each expected one"),
        ):
            if not fits:
                raise InputError(f"The report {said}. Give what to_dict gave.")
        return report

    def untimed(self) -> Report:
        """The same without times, which differ from machine to machine: for what is published."""
        rows = (replace(row, cost=replace(row.cost, microseconds=None)) for row in self.rows)
        return replace(self, rows=tuple(rows))

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw the methods, the learning curve and, if known, the reliability; also into the file `path`.

        Raises `MissingDependencyError` without matplotlib.
        """
        from irp_hf.evaluation.plots import plot_report

        parts = (self.rows, self.chosen, self.num_anchors, self.learning_curve, self.reliability)
        return plot_report(*parts, path)

    def caption(self) -> str:
        """What was compared, and how."""
        return (
            f"{self.num_anchors:,} parallel anchors, {self.source_width} → {self.target_width} wide. "
            f"Every anchor was translated by a fit on the other {NUM_FOLDS - 1} of {NUM_FOLDS} folds; "
            "± is half the 95 % interval."
        )

    def doubling(self) -> dict[str, float]:
        """What the last doubling of the anchors brought to each measure; empty where the curve is too short.

        Half of the most anchors is read off the curve, straight between its points over the logarithm.
        """
        curve = self.learning_curve
        if len(curve) < 2 or 2 * curve[0].num_anchors > curve[-1].num_anchors:
            return {}
        half = curve[-1].num_anchors / 2
        left, right = next(step for step in pairwise(curve) if step[1].num_anchors >= half)
        share = math.log(half / left.num_anchors) / math.log(right.num_anchors / left.num_anchors)
        before, after, most = (point.evaluation.measures() for point in (left, right, curve[-1]))
        return {name: most[name].mean - (1 - share) * before[name].mean - share * after[name].mean for name in most}

    def _conclusions(self) -> list[str | Table]:
        parts: list[str | Table] = [self._choice()]
        if self.learning_curve:
            parts += [self._curve(), self._anchors_needed()]
        if self.reliability is not None:
            parts.append(_confidence(self.reliability))
        return parts

    def _choice(self) -> str:
        held = "leave-one-out" if self.chosen == NAMES["kernel"] else "the folds of the table"
        said = f"Chosen by {MEASURES[self.objective]}: {self.chosen}, {number(self.score)} by {held}."
        by_angle = self.objective == "cosine"  # about the mean, which all vectors of a space may share
        if by_angle and self.finalists[0].score < UNRELATED:
            said += f" {_unrelated(self.finalists[0].score)}"
        if len(self.finalists) == 1:
            return said
        best, other = self.finalists
        measure = ", by the cosine about the mean and with nothing restored yet" if by_angle else ""
        return (
            f"{said} How flat its optimum is: in tuning{measure}, {best.words} had {number(best.score)}, and the best of "
            f"the others, {other.words}, {number(other.score)}."
        )

    def _anchors_needed(self) -> str:
        num_rows = self.learning_curve[0].evaluation.num_rows
        held = (
            f"Each line is a fit of its own, tested on the same {num_rows:,} held-out anchors; neighbours and MRR are "
            "searched among these alone, and so are higher than in the first table."
        )
        gains = self.doubling()
        if not gains:
            return held
        more = "should still help" if max(gains["cosine"], gains["neighbors"]) >= WORTHWHILE else "would add little"
        return (
            f"The last doubling of the anchors, read off this curve, brought {signed(gains['cosine'])} cosine and "
            f"{signed(gains['neighbors'])} neighbours: more of them {more}. {held}"
        )

    def _methods(self) -> Table:
        names = [name for name in MEASURES if any(name in row.evaluation.measures() for row in self.rows)]
        timed = any(row.cost.microseconds is not None for row in self.rows)
        costs = ["mult-adds", *(["µs/vector"] if timed else []), "size"]
        header = ["method", "settings", *(MEASURES[name] for name in names), *costs]
        lines = []
        for row in self.rows:
            measures, cost = row.evaluation.measures(), row.cost
            cells = [str(measures[name]) if name in measures else "" for name in names]
            time = [] if not timed else [""] if cost.microseconds is None else [f"{cost.microseconds:.2f}"]
            mark = MARK if row.method == self.chosen else ""
            size = "" if cost.stored_bytes is None else f"{_short(cost.stored_bytes)}B"
            counts = ["" if cost.multiply_adds is None else _short(cost.multiply_adds), *time, size]
            lines.append([mark + row.method, row.settings, *cells, *counts])
        return [header, *lines]

    def _curve(self) -> Table:
        names = list(self.learning_curve[0].evaluation.measures())
        lines = [
            [f"{point.num_anchors:,}", *map(str, point.evaluation.measures().values())] for point in self.learning_curve
        ]
        return [["anchors", *(MEASURES[name] for name in names)], *lines]


def _unrelated(cosine: float) -> str:
    return (
        f"The two sides look unrelated: about the mean, the cosine is {number(cosine)}. Check that row i of both is the "
        "same item."
    )


def _confidence(reliability: Reliability) -> str:
    expected, true = (number(sum(side) / len(side)) for side in (reliability.expected, reliability.true))
    correlation = number(reliability.rank_correlation())
    return f"Expected cosine {expected} on average, true {true}; rank correlation {correlation}."


def _written(
    parts: Sequence[str | Table], table: Callable[[Table], str], text: Callable[[str], str], between: str
) -> str:
    return between.join(text(part) if isinstance(part, str) else table(part) for part in parts)


def _short(count: float) -> str:
    """`1.23 M` for 1,230,000."""
    units = iter(("", "k", "M", "G"))
    unit = next(units)
    while count >= 999.5 and unit != "G":
        count, unit = count / 1000, next(units)
    return f"{count:.3g} {unit}"
