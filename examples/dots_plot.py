"""What the pictures of the examples share: colours, style, and a dot with its interval for each translation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes

from irp_hf.evaluation import Measure, number
from irp_hf.evaluation.plots import COLORS, INK, MUTED

OURS, NATIVE = COLORS["cosine"], COLORS["neighbors"]
OTHER, GRID = "#98a3af", "#e9ecef"
STYLE = {
    "font.size": 12,
    "text.color": INK,
    "axes.edgecolor": "#b4bac2",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.labelcolor": MUTED,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.solid_capstyle": "round",
}
BOX = {"facecolor": "white", "linewidth": 0, "pad": 1}  # behind a number that a line may cross


def draw_dots(
    axes: Axes,
    translations: Iterable[tuple[str, Measure]],
    above: int = 10,
    box: dict[str, Any] | None = BOX,
    room: float = 0.15,
) -> None:
    """A dot for each translation, the last one being ours, its number `above` it in points; `room` is left at the top."""
    upwards = list(translations)[::-1]
    for place, (_, measure) in enumerate(upwards):
        ours = place == 0
        color = OURS if ours else OTHER
        axes.plot([measure.low, measure.high], [place, place], color=color, linewidth=5, alpha=0.35)
        axes.plot(measure.mean, place, "o", color=color, markersize=11 if ours else 8)
        axes.annotate(
            number(measure.mean), (measure.mean, place), (0, above), textcoords="offset points", ha="center",
            color=OURS if ours else MUTED, fontweight="bold" if ours else "normal", fontsize=13.5 if ours else 11.5,
            bbox=box,
        )  # fmt: skip
    axes.set_yticks(range(len(upwards)), [title for title, _ in upwards])
    axes.get_yticklabels()[0].set(color=OURS, fontweight="bold", fontsize=14)
    axes.set_ylim(-0.45, len(upwards) + room)
    axes.grid(axis="x")
