"""What to expect of a translation: inverses and direct translators side by side on held-out anchors."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irp_hf.checks import quoted
from irp_hf.evaluation.chosen import LARGER, Chosen, Setting
from irp_hf.evaluation.doubts import Doubt
from irp_hf.evaluation.from_dict import Check, at_least, dataclass_from_dict, within
from irp_hf.evaluation.held_out import COVERAGE, CurvePoint, Reliability, Row, other_folds
from irp_hf.evaluation.index import IndexReport
from irp_hf.evaluation.learning import Learning
from irp_hf.evaluation.measures import MEASURES, told_by
from irp_hf.evaluation.plots import Panel, panels_of, pictures_of, plot_report
from irp_hf.evaluation.printed import MARK, Part, Printed, Table, number
from irp_hf.evaluation.unlike import Unlike
from irp_hf.maths.metrics import NEIGHBORS
from irp_hf.maths.request import HELD_OUT, OBJECTIVES

if TYPE_CHECKING:
    from matplotlib.figure import Figure


GROUPED_BY = ("both", "source", "row")


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

    def words(self, short: str) -> str:
        """A sentence or two of the caption, in which the objective is called so."""
        own = f": it had {short} {number(self.score)} on pairs held out" if self.score else ""
        return (
            f"These are what is kept of {self.num_pairs:,} pairs, and fits on these alone are measured here. The adapter, "
            f"fitted on all of them, is better{own}. "
        )


@dataclass(frozen=True)
class Backing:
    """The unpaired rows that an adapter was fitted with, behind its pairs."""

    source: int
    """How many of the source."""
    target: int
    score: float
    """The objective of the pairs, each translated by a fit that had the unpaired rows, and neither it nor its fold."""
    alone: float
    """What the pairs reach without them, out of fold."""
    measured: tuple[str, ...] = ()
    """Methods, as their rows are called, that were measured with these rows; of an adapter that was loaded none is."""
    folds: int = 0
    """Out of how many folds of the pairs; 0 where none was measured."""
    gain: float | None = None
    """What they bring to the cosine of held-out pairs, in the mean; None of an adapter that was saved without."""
    error: float | None = None
    """The standard error of that."""

    def checks(self) -> list[Check]:
        """Whether what was read can be true."""
        return [
            *(at_least(f"backing.{name}", getattr(self, name), 1) for name in ("source", "target")),
            *(within(f"backing.{name}", getattr(self, name), -1, 1) for name in ("score", "alone")),
            within("backing.gain", self.gain, -2, 2),
            within("backing.error", self.error, 0, 2),
            at_least("backing.folds", self.folds, 2 if self.measured else 0),
        ]

    def words(self, short: str) -> str:
        """Some sentences of the caption, in which the objective is called so."""
        text = (
            f"{self.source:,} rows of the source and {self.target:,} of the target that have no partner stand behind them: "
            f"{short} is {number(self.score)} out of fold with these, and {number(self.alone)} with the pairs alone. "
        )
        if self.gain is not None and self.error is not None:
            text += f"The cosine gains {number(self.gain)}, with a standard error of {number(self.error)}. "
        if self.measured:
            had = " and ".join(self.measured)
            return (
                f"{text}{had} had them, matched anew for every fit on {other_folds(self.folds, self.folds)}; whatever else is "
                "shown had the pairs alone. "
            )
        return f"{text}Unpaired rows are not stored: what is measured here are fits on the pairs alone, and not the adapter. "


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
    unlike: Unlike | None = None
    """What is kept of inputs unlike the anchors; None of too few anchors, and in a report that is older."""
    folds: str | None = None
    """"clusters" where what is kept of these decided; None where it were rows."""
    backing: Backing | None = None
    """The unpaired rows behind the pairs; None where there are none."""
    depth: int | None = None
    """How many candidates were asked for, where the objective has any."""

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
        depths = {row.evaluation.depth for row in self.rows}
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
            (self.folds in (None, *HELD_OUT), "folds", f"one of {quoted(HELD_OUT)}", self.folds),
            (self.depth is None or self.depth >= NEIGHBORS, "depth", f"at least {NEIGHBORS}", self.depth),
            ((self.depth is None) == (self.objective != "recall"), "depth", "one where recall decided", self.depth),
            (len(depths) == 1, "rows", "recall among as many found of each", sorted(depths, key=str)),
            ((self.depth is None) == (depths == {None}), "rows", "recall where that decided", sorted(depths, key=str)),
            (len(ranked) == 1, "rows", "MRR among as many rows of each", sorted(ranked, key=str)),
            (sizes == sorted({*sizes}), "learning_curve", "rising numbers of anchors", sizes),
            (len(kinds) <= 1, "learning_curve", "the same measures at every point", sorted(kinds)),
            (max([*sizes, held]) <= k, "learning_curve", f"at most {k} anchors", [*sizes, held]),
            (len(known) <= k, "reliability", f"the cosines of {k} anchors at most", len(known)),
            *([] if self.shared is None else self.shared.checks_of(k)),
            *([] if self.unlike is None else self._checks_of_unlike(self.unlike)),
        ]

    def _checks_of_unlike(self, unlike: Unlike) -> list[Check]:
        methods = [[row.method for row in rows] for rows in (self.rows, unlike.rows)]
        return [
            (
                sum(unlike.sizes) == self.num_anchors,
                "unlike",
                f"clusters of {self.num_anchors} anchors",
                [*unlike.sizes],
            ),
            (methods[0] == methods[1], "unlike", "a line for each method", methods[1]),
        ]

    def untimed(self) -> Report:
        """The same without times, which differ from machine to machine: for what is published."""
        rows = (replace(row, cost=replace(row.cost, microseconds=None)) for row in self.rows)
        return replace(self, rows=tuple(rows))

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw the methods, the learning curve and, if known, the reliability and what an index keeps; also into `path`.

        Raises `MissingDependencyError` without matplotlib.
        """
        return plot_report([*self._panels().values()], path)

    def _panels(self) -> dict[str, Panel]:
        return panels_of(self.rows, self.chosen, self.num_anchors, self.learning_curve, self.reliability, self.index)

    def pictures(self) -> list[str]:
        """What `plot` draws, a panel each; none without matplotlib."""
        return pictures_of(self._panels())

    def warnings(self) -> list[str]:
        """What speaks against the fit."""
        return [doubt.words for doubt in self.doubts]

    def caption(self) -> str:
        """What was compared, and how."""
        groups = self.num_anchors if self.shared is None else self.shared.groups
        few = told_by(self.num_anchors)
        searched = self.objective == "recall"  # of which the number tells nothing by itself
        short = self.rows[0].evaluation.title("recall") if searched else MEASURES[self.objective].short
        backed = self.backing is not None and self.backing.measured
        return (
            f"{self.num_anchors:,} parallel anchors, {self.source_width} → {self.target_width} wide. "
            f"{self.shared.words(self.num_anchors) if self.shared else ''}"
            f"{self.of_pairs.words(short) if self.of_pairs else ''}"
            f"{self.backing.words(short) if self.backing else ''}"
            f"{'Without unpaired rows, every' if backed else 'Every'} anchor was translated by a fit on {other_folds(groups)}"
            f"{'; for MRR it is sought in its own fold, which that fit never had' if self._ranked() else ''}; ± is half the "
            f"95 % interval.{few and f' {few}'}"
        )

    def _ranked(self) -> bool:
        """Whether there is an MRR, within folds."""
        return any(row.evaluation.mrr and row.evaluation.mrr_among for row in self.rows)

    def doubling(self) -> dict[str, float]:
        """What the last doubling of the anchors brought to each measure; empty where the curve is too short."""
        return Learning(self.learning_curve).doubling()

    def tables(self) -> list[Table]:
        """A line for each method with its settings; then, where they are there, what is kept of inputs unlike the anchors.

        Then the learning curve and what an index keeps.
        """
        unlike = [] if self.unlike is None else [self.unlike.table(self.chosen)]
        curve = [Learning(self.learning_curve).table()] if self.learning_curve else []
        return [self._methods(), *unlike, *curve, *([] if self.index is None else self.index.tables())]

    def conclusions(self) -> list[str]:
        """How the method was chosen, whether more anchors would help, and how right the confidences are."""
        return [part for part in self._findings() if isinstance(part, str)]

    def parts(self) -> list[Part]:
        """The learning curve stands between what follows from the first table and what follows from itself."""
        return [self.caption(), *self.warnings(), self._methods(), *self._findings()]

    def terminal_parts(self) -> list[Part]:
        """Settings would make the table too wide for a terminal, so they are a paragraph."""
        narrow = [[method, *numbers] for method, _, *numbers in self._methods()]
        settings = "; ".join(f"{row.method} {row.settings}" for row in self.rows if row.settings)
        return [self.caption(), *self.warnings(), narrow, f"Settings: {settings}.", *self._findings()]

    def _findings(self) -> list[Part]:
        parts: list[Part] = [self._choice().words()]
        if self.unlike is not None:
            chosen = next(row for row in self.rows if row.method == self.chosen)
            parts += [self.unlike.words(chosen, self.objective), self.unlike.table(self.chosen)]
        if self.learning_curve:
            curve, paired = Learning(self.learning_curve), not any(doubt.of_pairing for doubt in self.doubts)
            larger = LARGER if self.objective not in ("neighbors", "recall") and self.index is None else ""
            parts += [curve.table(), curve.words(paired, larger)]
        if self.reliability is not None:
            parts.append(_confidence(self.reliability))
        if self.index is not None:
            parts += [self.index.caption(), *self.index.tables(), *self.index.conclusions()]
        return parts

    def _choice(self) -> Chosen:
        return Chosen(
            self.chosen,
            self.objective,
            self.score,
            self.finalists,
            self.rows,
            self.num_anchors,
            given=bool(self.method_given),
            of_index=self.index is not None,
            by_clusters=self.folds == "clusters",
            depth=self.depth,
            backed=None if self.backing is None else bool(self.backing.measured),
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


def _confidence(reliability: Reliability) -> str:
    expected, true = (number(sum(side) / len(side)) for side in (reliability.expected, reliability.true))
    text = f"Expected cosine {expected} on average, true {true}"
    correlation = reliability.rank_correlation()
    text += "." if correlation is None else f"; rank correlation {number(correlation)}."
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
