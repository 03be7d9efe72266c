"""Whether more anchors would help, read off a learning curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from irp_hf.evaluation.held_out import CurvePoint
from irp_hf.evaluation.measures import MEASURES, SEARCHED, TRIVIAL, told_by
from irp_hf.evaluation.printed import Table, signed
from irp_hf.maths.request import OBJECTIVES

WORTHWHILE = 0.01  # of cosine or neighbours: what a doubling of the anchors must bring to be worth advising
SURELY, PERHAPS = ("would cost", "should still help"), ("may cost", "may still help")  # less, more
UNPAIRED = "help only once the rows of both sides belong together"
WORSE = "made it worse, as rows that do not belong together do: look at the last ones"


@dataclass(frozen=True)
class Learning:
    """A learning curve: the points of one method, from few anchors to many."""

    points: Sequence[CurvePoint]

    def doubling(self) -> dict[str, float]:
        """What the last doubling of the anchors brought to each measure; empty where the curve is too short.

        Half of the most anchors is read off the curve, straight between its points over the logarithm.
        """
        points = self.points
        if len(points) < 2 or 2 * points[0].num_anchors > points[-1].num_anchors:
            return {}
        half = points[-1].num_anchors / 2
        left, right = next(step for step in pairwise(points) if step[1].num_anchors >= half)
        share = math.log(half / left.num_anchors) / math.log(right.num_anchors / left.num_anchors)
        before, after, most = (point.evaluation.measures() for point in (left, right, points[-1]))
        return {name: most[name].mean - (1 - share) * before[name].mean - share * after[name].mean for name in most}

    def table(self) -> Table:
        """A line for each number of anchors."""
        lines = [[f"{p.num_anchors:,}", *map(str, p.evaluation.measures().values())] for p in self.points]
        evaluation = self.points[0].evaluation
        return [["anchors", *map(evaluation.title, evaluation.measures())], *lines]

    def words(self, paired: bool, larger: str) -> str:
        """What the last doubling brought, what more anchors will do, and how it was measured.

        `paired`: whether nothing says that rows of both sides do not belong together. `larger` is said of larger indexes.
        """
        num_rows = self.points[0].evaluation.num_rows
        held = (
            f"Each line is a fit of its own, tested on the same {num_rows:,} held-out anchors, which alone are searched, so "
            "that more is kept than the first table shows."
        )
        held = " ".join(part for part in (held, larger, told_by(num_rows)) if part)
        gains = self.doubling()
        if num_rows < TRIVIAL:
            gains = {name: gain for name, gain in gains.items() if name not in SEARCHED}
        if not gains:
            return held
        does = _more_of_them(gains, self._beyond_chance(gains))
        if not paired:
            does = UNPAIRED
        elif self._falls():
            does = WORSE
        title = self.points[0].evaluation.title
        *first, last = (f"{signed(gains[name])} {title(name)}" for name in _judged(gains))
        return (
            f"The last doubling of the anchors, read off this curve, brought {', '.join(first)} and {last}: "
            f"more of them {does}. {held}"
        )

    def _falls(self) -> bool:
        """Whether the most anchors are surely worse than fewer."""
        *fewer, most = (point.evaluation.cosine for point in self.points)
        return any(point.low > most.high for point in fewer)

    def _beyond_chance(self, gains: dict[str, float]) -> set[str]:
        """The measures whose gain is outside of what the intervals allow; that all points share their rows only narrows it."""
        half, most = (self._intervals(which) for which in (-2, -1))
        return {name for name, gain in gains.items() if abs(gain) > math.hypot(half[name], most[name])}

    def _intervals(self, which: int) -> dict[str, float]:
        """Half the width of each measure's interval at a point of the curve."""
        measures = self.points[which].evaluation.measures()
        return {name: (measure.high - measure.low) / 2 for name, measure in measures.items()}


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
