"""The picture of `cross_modal.py`: for each two encoders a panel, for each contestant its head and its search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from grid import CHANCE, NATIVE, OURS, PAPER, RAW
from grid_results import Cell, Results
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from irp_hf.baselines import BASELINES
from irp_hf.evaluation import number
from irp_hf.evaluation.plots import COLORS, INK, MUTED, STYLE

SHOWN = (OURS, PAPER, *reversed(BASELINES), RAW)  # upwards
HEAD, SEARCH = "accuracy", "recall@10"
DRAWN = {HEAD: (COLORS["cosine"], "o"), SEARCH: (COLORS["neighbors"], "D")}

Cells = Mapping[tuple[str, str], Cell]
"""Of one task, by measure and contestant."""


def draw(results: Results, path: Path) -> None:
    """Two panels a row: a head and an index of names, then of pictures."""
    tasks = list(dict.fromkeys(cell.task for cell in results.cells))
    with rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, rect=(0, 0.07, 1, 0.93))
        figure = Figure((11, 1 + 2 * len(tasks)), 128, facecolor="white", layout=layout)
        places = figure.subplots(-(-len(tasks) // 2), 2, sharex=True, sharey=True, squeeze=False)
        for axes, task in zip(places.flat, tasks, strict=True):
            _panel(axes, task, {(cell.measure, cell.contestant): cell for cell in results.cells if cell.task == task})
        _legend(figure)
        figure.savefig(path)


def _panel(axes: Axes, task: str, cells: Cells) -> None:
    """A line for each contestant, with what its head and its search reach."""
    axes.set_title(task, loc="left", fontsize=12.5, fontweight="bold", pad=24)
    native, color = cells[HEAD, NATIVE].mean, DRAWN[HEAD][0]
    axes.axvline(native, color=color, linewidth=1.6)
    axes.annotate(
        f"native head {number(native)}", (native, 1), (0, 8), xycoords=("data", "axes fraction"),
        textcoords="offset points", ha="center", color=color, fontsize=10,
    )  # fmt: skip
    for measure, (color, _) in DRAWN.items():
        axes.axvline(cells[measure, CHANCE].mean, color=color, linewidth=1.2, linestyle=(0, (2, 3)))
    for place, name in enumerate(SHOWN):
        both = sorted((cells[measure, name] for measure in DRAWN), key=lambda cell: cell.mean)
        for cell, side in zip(both, (-1, 1), strict=True):  # numbers outside, where they never meet
            _dot(axes, place, cell, side)
    axes.set_yticks(range(len(SHOWN)), SHOWN)
    for label in axes.get_yticklabels()[:1]:  # the left panel of a row alone has labels
        label.set(color=INK, fontweight="bold")
    axes.set(xlim=(-0.13, 1), ylim=(-0.6, len(SHOWN) - 0.4))
    axes.grid(axis="y", visible=False)


def _dot(axes: Axes, place: int, cell: Cell, side: int) -> None:
    """The mean, its interval, and the number beside it."""
    color, marker = DRAWN[cell.measure]
    ours = cell.contestant == OURS
    axes.plot([cell.low, cell.high], [place, place], color=color, linewidth=4, alpha=0.35)
    axes.plot(cell.mean, place, marker, color=color, markersize=8 if ours else 5.5)
    axes.annotate(
        number(cell.mean), (cell.high if side > 0 else cell.low, place), (7 * side, 0), textcoords="offset points",
        ha="left" if side > 0 else "right", va="center", fontsize=9, color=color,
        fontweight="bold" if ours else "normal", bbox={"facecolor": "white", "linewidth": 0, "pad": 0.8, "alpha": 0.85},
    )  # fmt: skip


def _legend(figure: Figure) -> None:
    """What the marks mean, below all panels."""
    (head, circle), (search, diamond) = DRAWN.values()
    lines = {
        "accuracy of the head": Line2D([], [], color=head, marker=circle, linestyle="none"),
        "recall@10 of the search": Line2D([], [], color=search, marker=diamond, linestyle="none"),
        "95 % interval over emoji": Line2D([], [], color=MUTED, linewidth=4, alpha=0.35),
        "chance": Line2D([], [], color=MUTED, linewidth=1.2, linestyle=(0, (2, 3))),
    }
    figure.legend(lines.values(), lines.keys(), loc="lower center", ncols=len(lines), fontsize=10.5, frameon=False)
