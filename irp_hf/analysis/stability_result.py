"""What `stability` found: points, tables, pictures, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irp_hf.evaluation.intervals import Measure
from irp_hf.evaluation.plots import COLORS, INK, MUTED, draw, title
from irp_hf.evaluation.printed import MARK, Printed, Table, rounded

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MARKERS = "osD^vPX*"
DASHES = ((0, (4, 3)), (0, (1, 2)))
PALEST = 0.35  # of the blues, for the least pruning
ROUNDING = 9  # decimals of a cosine: what comes after them is no difference


@dataclass(frozen=True)
class StabilityPoint:
    """The paper's inverse at one threshold and one number of subspaces."""

    pruning_threshold: float
    """δ."""
    num_subspaces: int
    """ω."""
    cosine: Measure
    """Of reconstructions of held-out pairs with the true vectors; the interval is over the pairs."""
    mean_condition: float
    """Condition number of the anchor subspaces, their mean."""
    largest_condition: float
    """The same, their largest."""
    anchors_kept: float
    """Anchors in a subspace, the mean."""

    def options(self) -> dict[str, Any]:
        """What to pass on: `IRPAdapter.connect(source, target, **point.options())`."""
        return {
            "method": "pruned",
            "num_subspaces": self.num_subspaces,
            "pruning_threshold": self.pruning_threshold,
        }


@dataclass(frozen=True)
class Stability(Printed):
    """What `stability` measured. It prints as a table; `plot()` draws it."""

    num_anchors: int
    num_held_out: int
    source_width: int
    target_width: int
    within: bool
    """Whether source and target are one space."""
    points: tuple[StabilityPoint, ...]
    """By rising δ, then by rising ω."""
    references: dict[str, Measure]
    """Cosine of the other inverses on the same pairs, tuned on the same anchors."""
    pruning_gain: Measure
    """Cosine of the best point less that at the least δ and the same ω, pair by pair."""
    subspaces_gain: Measure
    """Cosine of the best point less that at the fewest subspaces and the same δ, pair by pair."""

    @property
    def best(self) -> StabilityPoint:
        """The point of highest cosine; where several share it, the least δ and ω.

        It was found on the pairs that measure it, so its cosine is slightly too good.
        """
        return self.points[best_of(self.points)]

    @property
    def thresholds(self) -> list[float]:
        """Every δ, rising."""
        return sorted({point.pruning_threshold for point in self.points})

    def over_subspaces(self, pruning_threshold: float) -> list[StabilityPoint]:
        """The points of one δ, by rising ω."""
        return [point for point in self.points if point.pruning_threshold == pruning_threshold]

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw cosine over ω, condition number over δ and anchors kept over δ; also into the file `path`.

        Raises `MissingDependencyError` without matplotlib.
        """
        panels = [cosine_panel, condition_panel, kept_panel]
        return draw([partial(panel, found=self) for panel in panels], path, what="stability")

    def caption(self) -> str:
        """What was measured, and how."""
        where = "Within one space" if self.within else "Between two spaces"
        widths = f"{self.target_width}" if self.within else f"{self.source_width} → {self.target_width}"
        return (
            f"{where}, {widths} wide: the paper's inverse from {self.num_anchors:,} anchors, and its cosine with the true "
            f"vectors of {self.num_held_out:,} pairs that were held out. ± is half the 95 % interval. Anchors kept and "
            "condition number are those of the most subspaces."
        )

    def tables(self) -> list[Table]:
        """A line for each δ, a column for each ω."""
        best = self.best
        counts = [point.num_subspaces for point in self.over_subspaces(best.pruning_threshold)]
        lines = []
        for threshold in self.thresholds:
            row = self.over_subspaces(threshold)
            mark = MARK if threshold == best.pruning_threshold else ""
            condition = [rounded(row[-1].mean_condition), rounded(row[-1].largest_condition)]
            cosines = [str(point.cosine) for point in row]
            lines.append([f"{mark}{threshold:g}", f"{row[-1].anchors_kept:,.0f}", *condition, *cosines])
        return [[["δ", "kept", "condition", "largest", *(f"ω = {count}" for count in counts)], *lines]]

    def conclusions(self) -> list[str]:
        """What to pass to `connect`, what pruning and subspaces brought, and whether another inverse does better."""
        best = self.best
        options = f"num_subspaces={best.num_subspaces}, pruning_threshold={best.pruning_threshold:g}"
        paragraphs = [
            f'Best: cosine {best.cosine}. Pass method="pruned", {options} to IRPAdapter.connect.',
            self._pruning(),
            self._subspaces(),
        ]
        if self.references:
            others = ", ".join(f"{name} {measure}" for name, measure in self.references.items())
            name, top = max(self.references.items(), key=lambda item: item[1].mean)
            apart = top.low > best.cosine.high or top.high < best.cosine.low
            better = f'method="{name}"' if top.mean > best.cosine.mean else "the paper's inverse"
            follows = f"{better} does better here" if apart else "no sure difference to the paper's inverse"
            paragraphs.append(f"On the same pairs: {others}; {follows}.")
        return paragraphs

    def _pruning(self) -> str:
        best, least = self.best, self.thresholds[0]
        plain = next(p for p in self.over_subspaces(least) if p.num_subspaces == best.num_subspaces)
        without = (
            f"At δ = {least:g} the condition number is {rounded(plain.mean_condition)} and the cosine {plain.cosine}"
        )
        if best.pruning_threshold == least:
            return f"{without}: no pruning tried here does better."
        gain = f"at δ = {best.pruning_threshold:g} they are {rounded(best.mean_condition)} and {best.cosine}"
        verdict = "pruning pays" if self.pruning_gain.is_sure() else "pruning makes no sure difference"
        return f"{without}; {gain}, {self.pruning_gain.signed()} pair by pair: {verdict}."

    def _subspaces(self) -> str:
        row = self.over_subspaces(self.best.pruning_threshold)
        fewest, gain = row[0].num_subspaces, self.subspaces_gain
        if self.best.num_subspaces == fewest:
            return f"More subspaces than {fewest} bring nothing at that δ."
        verdict = "more subspaces pay" if gain.is_sure() else "more subspaces make no sure difference"
        text = f"From {fewest} to {self.best.num_subspaces} subspaces: {gain.signed()} pair by pair: {verdict}."
        last = self.best.num_subspaces == row[-1].num_subspaces
        return f"{text} The best has the most that were tried: try more." if last else text


def best_of(points: Sequence[StabilityPoint]) -> int:
    """The index of the highest cosine, but for rounding; the first of equals."""
    return max(range(len(points)), key=lambda index: round(points[index].cosine.mean, ROUNDING))


def mean_of(values: Sequence[float]) -> float:
    """The mean of a few numbers."""
    return sum(values) / len(values)


def cosine_panel(axes: Axes, found: Stability, heading: str = "Subspaces and pruning", legend: bool = True) -> None:
    """Cosine over ω, a line for each δ from pale to dark, no pruning in orange; other inverses as broken lines."""
    from matplotlib import colormaps

    title(axes, heading, f"{found.num_anchors:,} anchors, {found.num_held_out:,} pairs held out")
    thresholds = found.thresholds
    shades = colormaps["Blues"](
        [PALEST + (1 - PALEST) * i / max(len(thresholds) - 1, 1) for i in range(len(thresholds))]
    )
    for place, threshold in enumerate(thresholds):
        row = found.over_subspaces(threshold)
        counts, means = [point.num_subspaces for point in row], [point.cosine.mean for point in row]
        axes.plot(
            counts, means, linewidth=2, markersize=6, marker=MARKERS[place % len(MARKERS)],
            color=shades[place] if threshold else COLORS["neighbors"], linestyle="-" if threshold else (0, (6, 2)),
            zorder=2 if threshold else 3, label=f"δ = {threshold:g}" if threshold else "not pruned",
        )  # fmt: skip
    for (name, measure), dashes in zip(found.references.items(), DASHES, strict=False):
        axes.axhline(measure.mean, color=INK, linewidth=1.4, linestyle=dashes, label=name)
    best = found.best
    axes.plot(
        best.num_subspaces, best.cosine.mean, "o", markersize=14, fillstyle="none", color=INK, markeredgewidth=1.5
    )
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("number of anchor subspaces ω")
    axes.set_ylabel("cosine with the true vector")
    if legend:
        axes.legend(frameon=False, fontsize=9.5, labelcolor=MUTED, loc="center left", bbox_to_anchor=(1, 0.5))


def condition_panel(axes: Axes, found: Stability) -> None:
    """Condition number over δ at the most subspaces."""
    most = max(point.num_subspaces for point in found.points)
    title(axes, "How well conditioned", f"of {most} anchor subspaces; bar: up to the largest")
    draw_conditions(axes, found, COLORS["cosine"], "o")


def draw_conditions(axes: Axes, found: Stability, color: str, marker: str, label: str | None = None) -> None:
    """The mean condition number over δ, and a bar up to the largest."""
    rows = [found.over_subspaces(threshold)[-1] for threshold in found.thresholds]
    means, largest = [row.mean_condition for row in rows], [row.largest_condition for row in rows]
    axes.vlines(found.thresholds, means, largest, color=color, linewidth=5, alpha=0.3)
    axes.plot(found.thresholds, means, "-", marker=marker, color=color, linewidth=2.2, markersize=6, label=label)
    _log_scale(axes)
    axes.set_xlabel("pruning threshold δ")
    axes.set_ylabel("condition number")


def kept_panel(axes: Axes, found: Stability) -> None:
    """Anchors kept over δ, beside the width of the target: near it the plain inverse is at its worst."""
    rows = [found.over_subspaces(threshold)[-1] for threshold in found.thresholds]
    title(axes, "Anchors that are left", f"mean; dashed: the target's width, {found.target_width}")
    axes.plot(found.thresholds, [row.anchors_kept for row in rows], "s-", color=COLORS["cosine"], linewidth=2.2)
    axes.axhline(found.target_width, color=MUTED, linewidth=1.4, linestyle=DASHES[0])
    _log_scale(axes)
    axes.set_xlabel("pruning threshold δ")
    axes.set_ylabel("anchors kept")


def _log_scale(axes: Axes) -> None:
    """A logarithmic vertical axis with plain numbers, more of them where it spans little."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
