"""What to expect of a translation: inverses and direct translators side by side on held-out anchors."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irp_hf.checks import quoted
from irp_hf.evaluation.doubts import Doubt
from irp_hf.evaluation.from_dict import Check, at_least, dataclass_from_dict, within
from irp_hf.evaluation.held_out import COVERAGE, CurvePoint, Reliability, Row, other_folds
from irp_hf.evaluation.index import IndexReport
from irp_hf.evaluation.measures import MEASURES, TRIVIAL, among, told_by
from irp_hf.evaluation.plots import plot_report
from irp_hf.evaluation.printed import MARK, Part, Printed, Table, number, signed
from irp_hf.maths.inverses import INVERSES, Inverse
from irp_hf.maths.request import OBJECTIVES

if TYPE_CHECKING:
    from matplotlib.figure import Figure


GROUPED_BY = ("both", "source", "row")
WORTHWHILE = 0.01  # of cosine or neighbours: what a doubling of the anchors must bring to be worth advising
SURELY, PERHAPS = ("would cost", "should still help"), ("may cost", "may still help")  # less, more
COMPARED = "it is shown for comparison and never chosen, since it needs the vectors of both sides in one place"
LARGER = "A larger index keeps fewer: report(index_size=) says how many."


@dataclass(frozen=True)
class Setting:
    """Hyper-parameters that the selection tried, and their objective out of fold."""

    words: str
    """As `connect` takes them, `gamma=2, ridge=0.003, restoration=0.5`."""
    score: float

    def checks(self) -> list[Check]:
        """Whether what was read can be true."""
        return [within("score", self.score, -1, 1)]


@dataclass(frozen=True)
class Shared:
    """How many anchors are independent of each other."""

    given: int
    """Anchors, before those were left out that are copies of another on both sides."""
    sources: int
    """Of those that are left, how many sources are distinct."""
    targets: int
    groups: int
    """Rows that share a source or a target are held out together, in so many groups."""
    by: str
    """What makes a group: "both", or "source" where the targets are too few, or "row" where too little would be left."""

    def checks_of(self, num_anchors: int) -> list[Check]:
        """Whether what was read can be true, of so many anchors."""
        counts = [(name, getattr(self, name)) for name in ("sources", "targets", "groups")]
        return [
            at_least("shared.given", self.given, num_anchors),
            *((1 <= one <= num_anchors, f"shared.{name}", f"from 1 to {num_anchors}", one) for name, one in counts),
            (self.by in GROUPED_BY, "shared.by", f"one of {quoted(GROUPED_BY)}", self.by),
        ]

    def words(self, num_anchors: int) -> str:
        """In a sentence or two; empty where no two anchors share anything."""
        copies = self.given - num_anchors
        text = (
            f"{copies:,} more {'is a copy' if copies == 1 else 'are copies'} of another, and left out. "
            if copies
            else ""
        )
        if self.sources == self.targets == num_anchors:
            return text
        text += f"They have {self.sources:,} distinct sources and {self.targets:,} distinct targets: "
        return text + {
            "both": f"rows that share one are held out together, {self.groups:,} groups in all. ",
            "source": f"rows that share a source are held out together, {self.groups:,} groups in all, and the figures hold "
            "for these targets alone. ",
        }.get(self.by, "too few to hold those out together that share one, so that the figures promise too much. ")


@dataclass(frozen=True)
class OfPairs:
    """The fit on many pairs behind a report on the anchors that are kept of them."""

    num_pairs: int
    score: float | None
    """Its objective on held-out pairs, scale restored."""

    def words(self, objective: str) -> str:
        """A sentence or two of the caption."""
        own = f": it had {MEASURES[objective].short} {number(self.score)} on pairs held out" if self.score else ""
        return (
            f"These are what is kept of {self.num_pairs:,} pairs, and fits on these alone are measured here. The adapter, "
            f"fitted on all of them, is better{own}. "
        )


@dataclass(frozen=True)
class Report(Printed):
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
    shared: Shared | None = None
    """How many anchors are independent; None in a report that is older than this count."""
    doubts: tuple[Doubt, ...] = ()
    """What speaks against the fit."""
    method_given: bool | None = None
    """Whether the user chose the method; None where the objective did, or where that is not known."""
    index: IndexReport | None = None
    """What an index of any size keeps; None where it was not asked for."""
    of_pairs: OfPairs | None = None
    """What was fitted, where that were more pairs than the anchors that are kept of them."""

    def to_dict(self) -> dict[str, Any]:
        """All numbers as plain dicts and lists, ready for JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, plain: Any) -> Report:
        """The report whose `to_dict` gave `plain`.

        Raises `InputError` for anything else.
        """
        return dataclass_from_dict(cls, plain, "report")

    def checks(self) -> list[Check]:
        """Whether what was read can be true."""
        sizes = [point.num_anchors for point in self.learning_curve]
        kinds = {tuple(point.evaluation.measures()) for point in self.learning_curve}
        searched = [row.evaluation.num_rows for row in self.rows]
        known = [] if self.reliability is None else self.reliability.true
        ranked = {row.evaluation.mrr_among for row in self.rows}
        held = max((point.evaluation.num_rows for point in self.learning_curve), default=0)
        k = self.num_anchors
        return [
            *(at_least(name, getattr(self, name), 1) for name in ("num_anchors", "source_width", "target_width")),
            within("score", self.score, -1, 1),
            (self.chosen in [row.method for row in self.rows], "chosen", "the method of a row", self.chosen),
            (self.objective in OBJECTIVES, "objective", f"one of {quoted(OBJECTIVES)}", self.objective),
            (1 <= len(self.finalists) <= 2, "finalists", "1 or 2 of them", len(self.finalists)),
            ({*searched} == {k}, "rows", f"figures among {k} anchors", searched),
            (len(ranked) == 1, "rows", "MRR among as many rows of each", sorted(ranked, key=str)),
            (sizes == sorted({*sizes}), "learning_curve", "rising numbers of anchors", sizes),
            (len(kinds) <= 1, "learning_curve", "the same measures at every point", sorted(kinds)),
            (max([*sizes, held]) <= k, "learning_curve", f"at most {k} anchors", [*sizes, held]),
            (len(known) <= k, "reliability", f"the cosines of {k} anchors at most", len(known)),
            *([] if self.shared is None else self.shared.checks_of(k)),
        ]

    def untimed(self) -> Report:
        """The same without times, which differ from machine to machine: for what is published."""
        rows = (replace(row, cost=replace(row.cost, microseconds=None)) for row in self.rows)
        return replace(self, rows=tuple(rows))

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw the methods, the learning curve and, if known, the reliability and what an index keeps; also into `path`.

        Raises `MissingDependencyError` without matplotlib.
        """
        parts = (self.rows, self.chosen, self.num_anchors, self.learning_curve, self.reliability, self.index)
        return plot_report(*parts, path)

    def caption(self) -> str:
        """What was compared, and how."""
        groups = self.num_anchors if self.shared is None else self.shared.groups
        few = told_by(self.num_anchors)
        return (
            f"{self.num_anchors:,} parallel anchors, {self.source_width} → {self.target_width} wide. "
            f"{self.shared.words(self.num_anchors) if self.shared else ''}"
            f"{self.of_pairs.words(self.objective) if self.of_pairs else ''}"
            f"Every anchor was translated by a fit on {other_folds(groups)}"
            f"{', and MRR searches its own fold alone, the rows which that fit never had' if self._ranked() else ''}; ± is "
            f"half the 95 % interval.{few and f' {few}'}"
        )

    def _ranked(self) -> bool:
        """Whether there is an MRR, within folds."""
        return any(row.evaluation.mrr and row.evaluation.mrr_among for row in self.rows)

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

    def tables(self) -> list[Table]:
        """A line for each method with its settings; then the learning curve and what an index keeps, where they are there."""
        curve = [self._curve()] if self.learning_curve else []
        return [self._methods(), *curve, *([] if self.index is None else [self.index.table()])]

    def conclusions(self) -> list[str]:
        """How the method was chosen, whether more anchors would help, and how right the confidences are."""
        return [part for part in self._findings() if isinstance(part, str)]

    def parts(self) -> list[Part]:
        """The learning curve stands between what follows from the first table and what follows from itself."""
        return [self.caption(), *self._against(), self._methods(), *self._findings()]

    def terminal_parts(self) -> list[Part]:
        """Settings would make the table too wide for a terminal, so they are a paragraph."""
        narrow = [[method, *numbers] for method, _, *numbers in self._methods()]
        settings = "; ".join(f"{row.method} {row.settings}" for row in self.rows if row.settings)
        return [self.caption(), *self._against(), narrow, f"Settings: {settings}.", *self._findings()]

    def _against(self) -> list[Part]:
        return [doubt.words for doubt in self.doubts]

    def _findings(self) -> list[Part]:
        parts: list[Part] = [" ".join([self._choice(), *self._surpassed()])]
        if self.learning_curve:
            parts += [self._curve(), self._anchors_needed()]
        if self.reliability is not None:
            parts.append(_confidence(self.reliability))
        if self.index is not None:
            parts += [self.index.caption(), self.index.table()]
        return parts

    def _choice(self) -> str:
        inverse = next((inverse for inverse in INVERSES.values() if inverse.title == self.chosen), Inverse)
        by = among(self.objective, self.num_anchors)
        text = f"Chosen by {by}: {self.chosen}, {number(self.score)} by {inverse.held_out}."
        if self.method_given:
            text = f"The method was given: {self.chosen}, {by} {number(self.score)} by {inverse.held_out}."
        if self.objective == "neighbors" and self.index is None:
            text += f" {LARGER}"
        by_angle = self.objective == "cosine"  # about the mean, which all vectors of a space may share
        if len(self.finalists) == 1:
            return text
        best, other = self.finalists
        measure = ", by the cosine about the mean and with nothing restored yet" if by_angle else ""
        text += (
            f" How flat its optimum is: in tuning{measure}, {best.words} had {number(best.score)}, and the best of "
            f"the others, {other.words}, {number(other.score)}."
        )
        less = round(other.score - best.score, 3)
        return f"{text} The first was taken although it had {number(less)} less: {inverse.lower}." if less > 0 else text

    def _surpassed(self) -> list[str]:
        """Why the chosen method is not another that the table shows better: by what it was chosen, or by chance."""
        chosen = next(row for row in self.rows if row.method == self.chosen)
        titles = [inverse.title for inverse in INVERSES.values()]
        rivals = [row for row in self.rows if row.method in titles and row is not chosen]
        told = []
        for name in (name for name in OBJECTIVES if name in chosen.evaluation.measures()):
            sure = name != self.objective  # by which nothing was chosen: what may be chance is no news
            if name == self.objective or not self.method_given:
                told += self._better(name, chosen, rivals, sure, self._why(name))
            if name == self.objective:
                others = [row for row in self.rows if row.method not in titles]
                told += self._better(name, chosen, others, sure, COMPARED)
        return told

    def _better(self, name: str, chosen: Row, rows: list[Row], sure: bool, why: str) -> list[str]:
        """A sentence on the best of these rows by a measure, where that is above the chosen one's; `sure`: beyond chance."""
        measured = [(row.evaluation.measures()[name], row.method) for row in rows if name in row.evaluation.measures()]
        if not measured:
            return []
        (best, method), own = max(measured, key=lambda one: one[0].mean), chosen.evaluation.measures()[name]
        chance = best.low <= own.high
        if round(best.mean, 3) <= round(own.mean, 3) or (sure and chance):
            return []
        by, where = among(name, self.num_anchors), "within" if chance else "beyond"
        figures = f"{method} reaches {number(best.mean)}, {chosen.method} {number(own.mean)}"
        return [f"By {by}, {figures}, {where} the intervals: {why}."]

    def _why(self, name: str) -> str:
        """Why an inverse that is better by this measure was not chosen."""
        if self.method_given:
            return "the method was given"
        if name == self.objective:
            return "it was chosen with options that were given, or with a head that this report does not have"
        return f"objective={name!r} chooses by that"

    def _falls(self) -> bool:
        """Whether the most anchors are surely worse than fewer."""
        *fewer, most = (point.evaluation.cosine for point in self.learning_curve)
        return any(point.low > most.high for point in fewer)

    def _beyond_chance(self, gains: dict[str, float]) -> set[str]:
        """The measures whose gain is outside of what the intervals allow; that all points share their rows only narrows it."""
        half, most = (self._point_intervals(which) for which in (-2, -1))
        return {name for name, gain in gains.items() if abs(gain) > math.hypot(half[name], most[name])}

    def _point_intervals(self, which: int) -> dict[str, float]:
        """Half the width of each measure's interval at a point of the curve."""
        measures = self.learning_curve[which].evaluation.measures()
        return {name: (measure.high - measure.low) / 2 for name, measure in measures.items()}

    def _anchors_needed(self) -> str:
        num_rows = self.learning_curve[0].evaluation.num_rows
        held = (
            f"Each line is a fit of its own, tested on the same {num_rows:,} held-out anchors, which alone are searched, so "
            "that more is kept than the first table shows."
        )
        if self.objective != "neighbors" and self.index is None:
            held += f" {LARGER}"
        if few := told_by(num_rows):
            held += f" {few}"
        gains = self.doubling()
        if num_rows < TRIVIAL:
            gains.pop("neighbors", None)
        if not gains:
            return held
        more = _more_of_them(gains, self._beyond_chance(gains))
        if any(doubt.of_pairing for doubt in self.doubts):
            more = "help only once the rows of both sides belong together"
        elif self._falls():
            more = "made it worse, as rows that do not belong together do: look at the last ones"
        *first, last = (f"{signed(gains[name])} {among(name, num_rows)}" for name in _judged(gains))
        return (
            f"The last doubling of the anchors, read off this curve, brought {', '.join(first)} and {last}: "
            f"more of them {more}. {held}"
        )

    def _methods(self) -> Table:
        names = [name for name in MEASURES if any(name in row.evaluation.measures() for row in self.rows)]
        if not self._ranked():  # a report made before folds were searched by themselves: methods stood in a wrong order
            names = [name for name in names if name != "mrr"]
        timed = any(row.cost.microseconds is not None for row in self.rows)
        costs = ["mult-adds", *(["µs/vector"] if timed else []), "size"]
        header = ["method", "settings", *map(self.rows[0].evaluation.title, names), *costs]
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
        return [["anchors", *map(self.learning_curve[0].evaluation.title, names)], *lines]


def _judged(gains: dict[str, float]) -> list[str]:
    """The measures that tell whether more anchors help: MRR is 1 long before."""
    return [name for name in gains if name in OBJECTIVES]


def _more_of_them(gains: dict[str, float], sure: set[str]) -> str:
    """What more anchors will do, by what the last doubling brought to each measure: "should still help the cosine, ...".

    `sure` are the measures whose gain is beyond chance.
    """
    does: dict[str, list[str]] = {}
    for name in _judged(gains):
        gain = round(gains[name], 3)  # as it is shown
        verb = "would add little to"
        if abs(gain) >= WORTHWHILE:
            verb = (SURELY if name in sure else PERHAPS)[gain > 0]
        does.setdefault(verb, []).append(f"the {MEASURES[name].title}")
    if len(does) == 1:
        (verb,) = does
        return f"{verb.removesuffix(' to')}{' some of each' if verb.endswith('cost') else ''}{_but(verb)}"
    return " but ".join(f"{verb} {' and '.join(names)}{_but(verb)}" for verb, names in does.items())


def _but(verb: str) -> str:
    return " (within the intervals)" if verb in PERHAPS else ""


def _confidence(reliability: Reliability) -> str:
    expected, true = (number(sum(side) / len(side)) for side in (reliability.expected, reliability.true))
    correlation = number(reliability.rank_correlation())
    text = f"Expected cosine {expected} on average, true {true}; rank correlation {correlation}."
    if reliability.coverage is None:
        return text
    held = f"held for {reliability.coverage} of the anchors that were left out of such a fit"
    return f"{text} Lower bounds at {100 * COVERAGE:.0f} % {held}."


def _short(count: float) -> str:
    """`1.23 M` for 1,230,000."""
    units = iter(("", "k", "M", "G"))
    unit = next(units)
    while count >= 999.5 and unit != "G":
        count, unit = count / 1000, next(units)
    return f"{count:.3g} {unit}"
