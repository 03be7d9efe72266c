"""What `few_pairs.py` found: curves over the number of pairs, as a table, and in words what unpaired rows are worth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log

from trec import versions

from irp_hf.evaluation import Measure, number
from irp_hf.evaluation.printed import markdown

ALONE, BACKED = "pairs alone", "with unpaired rows"
MEASURES = ("accuracy", "neighbours")
TELLING = (10, 30, 100)  # pairs of which it is said how many more they are worth


@dataclass(frozen=True)
class Curve:
    """What adapters of more and more pairs reach, alone or with unpaired rows."""

    points: dict[int, tuple[Measure, ...]]
    """By number of pairs, in the order of `MEASURES`."""
    refused: tuple[int, ...]
    """Numbers of pairs of which nothing was made: without any, starts may not agree."""
    unused: tuple[int, ...]
    """Those with which unpaired rows did not help held-out pairs, so that the fit is that of the pairs alone."""

    def means(self, measure: str) -> dict[int, float]:
        return {count: point[MEASURES.index(measure)].mean for count, point in self.points.items()}

    def pairs_for(self, measure: str, value: float) -> float | None:
        """With how many pairs it gets as far, between two of them on a line over their logarithms; None where it never does."""
        before: tuple[int, float] | None = None
        for count, reached in sorted(self.means(measure).items()):
            if reached >= value:
                if before is None:
                    return float(count)
                fewer, less = before
                share = (value - less) / (reached - less)
                return exp(log(fewer) + share * (log(count) - log(fewer)))
            before = count, reached
        return None


@dataclass(frozen=True)
class Outcome:
    """Of one kind of items."""

    title: str
    names: tuple[str, str]
    native: float
    """Accuracy of the head on the target's own vectors of the test rows."""
    rows: tuple[int, int]
    """Unpaired rows of a side: the fewest, beside the most pairs, and the most."""
    curves: dict[str, Curve]
    gaps: dict[int, tuple[Measure, ...]]
    """With unpaired rows, less the pairs alone, by number of pairs and in the order of `MEASURES`; over the same test rows."""


def to_markdown(outcomes: Sequence[Outcome], counts: Sequence[int], packages: Iterable[str]) -> str:
    """A line for each of the `counts` of pairs: both measures, alone and with unpaired rows."""
    header = ["pairs", *(f"{one.title}: {measure}" for one in outcomes for measure in MEASURES)]
    table = [header]
    for count in counts:
        cells = [cell(one.curves, count, measure) for one in outcomes for measure in MEASURES]
        table.append([f"{count:,}", *cells])
    rows = "; ".join(
        f"{one.title.partition(':')[0]} {' to '.join(f'{n:,}' for n in sorted({*one.rows}))}" for one in outcomes
    )
    native = ", ".join(number(one.native) for one in outcomes)
    kept = ", ".join(f"{name} {version}" for name, version in versions(packages).items())
    return (
        f"{markdown(table)}\n\nEach cell: by the pairs alone → with unpaired rows of either side as well; ‡ where these did "
        f"not help held-out pairs, so that the adapter is that of the pairs alone. Native accuracy of the heads: {native}. "
        f"Unpaired rows a side, the fewer the more pairs: {rows}. Half of a 95 % interval over the test rows is at most "
        f"{number(widest(outcomes))}.\n\n`python examples/few_pairs.py`; {kept}.\n"
    )


def cell(curves: dict[str, Curve], count: int, measure: str) -> str:
    """Alone, an arrow, and with unpaired rows."""
    alone, backed = (
        number(curve.means(measure)[count]) if count in curve.points else "refused" if count in curve.refused else "–"
        for curve in (curves[ALONE], curves[BACKED])
    )
    return f"{alone} → {backed}{' ‡' if count in curves[BACKED].unused else ''}"


def widest(outcomes: Sequence[Outcome]) -> float:
    """Half of the widest interval."""
    points = [point for one in outcomes for curve in one.curves.values() for point in curve.points.values()]
    return max((measure.high - measure.low) / 2 for point in points for measure in point)


def gains(outcomes: Sequence[Outcome]) -> list[str]:
    """In words, what unpaired rows are worth."""
    return [line for one in outcomes for line in (f"{one.title} ({' → '.join(one.names)})", *worth(one))]


def worth(one: Outcome) -> list[str]:
    """How many pairs alone would do what few do with unpaired rows, and where these lose."""
    alone, backed = one.curves[ALONE], one.curves[BACKED]
    said: list[str] = []
    if 0 in backed.points:
        accuracy, kept = (number(measure.mean) for measure in backed.points[0])
        said.append(f"  No pair: found; accuracy {accuracy}, neighbours {kept}.")
    if 0 in backed.refused:
        said.append("  No pair: refused, as starts do not agree.")
    for count in TELLING:
        if count in alone.points and count in backed.points:
            parts = [gain(alone, backed, count, measure) for measure in MEASURES]
            said.append(f"  {count:,} pairs: {'; '.join(parts)}.")
    lost = [
        f"{measure} with {count:,} pairs, {gap.signed()}"
        for place, measure in enumerate(MEASURES)
        for count, gaps in one.gaps.items()
        if (gap := gaps[place]).mean < -0.0005
    ]
    return [*said, f"  Below pairs alone: {', '.join(lost)}." if lost else "  Nowhere below pairs alone."]


def gain(alone: Curve, backed: Curve, count: int, measure: str) -> str:
    """`neighbours .166 → .262, as by 160 pairs alone`."""
    before, after = alone.means(measure)[count], backed.means(measure)[count]
    words = f"{measure} {number(before)} → {number(after)}"
    if after <= before:
        return words
    equal = alone.pairs_for(measure, after)
    return f"{words}, as by {f'about {equal:,.0f}' if equal else f'more than {max(alone.points):,}'} pairs alone"
