"""The picture of `stability`: cosine over ω, condition number and anchors kept over δ."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from irp_hf.plots import COLORS, INK, MUTED, draw, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from irp_hf.analysis.stability import Stability

MARKERS = "osD^vPX*"
DASHES = ((0, (4, 3)), (0, (1, 2)))
PALEST = 0.35  # of the blues, for the least pruning


def plot_stability(found: Stability, path: str | Path | None = None) -> Figure:
    """Draw the three panels; save them if `path` is given, in the format of its suffix.

    Raises `MissingDependencyError` without matplotlib.
    """
    panels = [cosine_panel, condition_panel, kept_panel]
    return draw([partial(panel, found=found) for panel in panels], path, what="Stability")


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
    title(axes, "Anchors that are left", "mean of the anchor subspaces")
    axes.plot(found.thresholds, [row.anchors_kept for row in rows], "s-", color=COLORS["cosine"], linewidth=2.2)
    axes.axhline(found.target_width, color=MUTED, linewidth=1.4, linestyle=DASHES[0])
    axes.annotate(
        f"width of the target, {found.target_width}", (found.thresholds[-1], found.target_width), (0, 6),
        textcoords="offset points", color=MUTED, fontsize=9.5, ha="right",
    )  # fmt: skip
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
