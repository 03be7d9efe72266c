"""The picture of `stitch_text.py`: who feeds MiniLM's head, and how often it is right."""

from __future__ import annotations

from pathlib import Path

from dots_plot import MUTED, NATIVE, OTHER, OURS, STYLE
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from irp_hf.evaluation import Measure

Results = dict[int, dict[str, Measure]]
ALONE, UNPAIRED, PROCRUSTES, NEW = "irp_hf", "irp_hf + unpaired", "Procrustes", "new head, with labels"


def draw(results: Results, native: Measure, few: int, path: Path) -> None:
    """Bars for the most pairs, each with what feeds the head, and curves over the number of pairs."""
    with rc_context(STYLE):
        figure = Figure((11.8, 4.7), 128, facecolor="white")
        left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.3, 1]})
        figure.subplots_adjust(left=0.012, right=0.985, top=0.8, bottom=0.13, wspace=0.16)
        most = max(results)
        write_title(left, "Who feeds MiniLM's head", f"right on new questions; {most:,} pairs, no label, no training")
        draw_feeds(left, results[most], native)
        write_title(right, "With fewer pairs", "right on new questions, and its 95 % interval")
        draw_curves(right, results, native, few)
        figure.savefig(path)


def write_title(axes: Axes, title: str, subtitle: str) -> None:
    axes.text(0, 1.14, title, transform=axes.transAxes, fontsize=13.5, fontweight="bold")
    axes.text(0, 1.06, subtitle, transform=axes.transAxes, fontsize=11, color=MUTED)


def draw_feeds(axes: Axes, row: dict[str, Measure], native: Measure) -> None:
    """An encoder, what lies between it and the head, and a bar."""
    feeds = (
        ("static vectors", "nothing between", None, OTHER),
        ("static vectors", "Procrustes", row[PROCRUSTES], OTHER),
        ("static vectors", "irp_hf", row[ALONE], OURS),
        ("MiniLM", "its own encoder", native, NATIVE),
    )
    for place, (encoder, between, measure, color) in enumerate(feeds):
        ours = {"color": OURS, "fontweight": "bold"} if color == OURS else {"color": MUTED}
        box = FancyBboxPatch((0, place - 0.2), 0.4, 0.4, "round,pad=0,rounding_size=0.05", fc="white", ec=color, lw=1.4)
        axes.add_patch(box)
        axes.text(0.2, place, encoder, ha="center", va="center", fontsize=11)
        axes.annotate("", (0.91, place), (0.42, place), arrowprops={"arrowstyle": "-|>", "color": color, "lw": 1.6})
        axes.text(0.655, place + 0.07, between, ha="center", va="bottom", fontsize=11, **ours)
        if measure is None:
            axes.text(0.95, place, "cannot be read: 256 numbers for 384", va="center", fontsize=11, color=MUTED)
        else:
            axes.barh(place, measure.mean, 0.4, 0.95, color=color)
            words = f"{100 * measure.mean:.0f} %"
            axes.text(0.97 + measure.mean, place, words, va="center", fontsize=14, fontweight=ours.get("fontweight"))
    axes.set_xlim(-0.01, 1.98)
    axes.set_ylim(-0.5, len(feeds) - 0.5)
    axes.set_axis_off()


def draw_curves(axes: Axes, results: Results, native: Measure, few: int) -> None:
    """A curve for each translation, the new head dashed, and one point with unpaired rows. Pairs stand at equal distances."""
    last = len(results) - 0.9
    axes.axhline(native.mean, color=NATIVE, linewidth=1.8)
    axes.text(last, native.mean - 0.008, "its own encoder", color=NATIVE, fontsize=11, va="top")
    curves = (
        (PROCRUSTES, OTHER, "-", PROCRUSTES),
        (NEW, MUTED, "--", NEW),
        (ALONE, OURS, "-", ALONE),
    )
    for title, color, dashes, words in curves:
        measures = [row[title] for row in results.values()]
        means, weight = [measure.mean for measure in measures], "bold" if color == OURS else "normal"
        low, high = [measure.low for measure in measures], [measure.high for measure in measures]
        axes.fill_between(range(len(means)), low, high, color=color, alpha=0.1, linewidth=0)
        axes.plot(means, dashes, marker="o", color=color, linewidth=2.2, markersize=6)
        axes.text(last, means[-1], words, color=color, fontsize=11, va="center", fontweight=weight)
    place, backed = list(results).index(few), results[few][UNPAIRED].mean
    axes.plot(place, backed, "D", color=OURS, markersize=9)
    axes.annotate(
        "irp_hf, with\nrows that\nnobody paired", (place, backed), (-6, 10), textcoords="offset points",
        color=OURS, fontsize=10.5,
    )  # fmt: skip
    axes.set_xticks(range(len(results)), [f"{count:,}" for count in results])
    axes.set_xlim(-0.4, len(results) + 1.3)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_xlabel("pairs", loc="left")
    axes.tick_params(axis="y", labelcolor=MUTED)
    axes.grid(axis="y")
