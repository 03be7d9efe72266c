"""The picture of a comparison: for each task a panel, for each contestant a dot with its interval."""

from __future__ import annotations

from pathlib import Path

from grid import CHANCE, INVERSES, NATIVE, OURS, RAW
from grid_results import Cell, Results
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from irp_hf.evaluation import number
from irp_hf.evaluation.plots import COLORS, INK, MUTED, STYLE

LEFT_OUT = (NATIVE, CHANCE, RAW)  # a line, or far away from all others
COLUMNS = 3
OURS_COLOR, NATIVE_COLOR = COLORS["cosine"], COLORS["neighbors"]


def draw(results: Results, path: Path, measure: str | None = None) -> None:
    """One panel a task, by `measure` or else by the first one."""
    measure = measure or results.cells[0].measure
    tasks = list(dict.fromkeys(cell.task for cell in results.cells))
    columns = min(COLUMNS, len(tasks))
    rows = -(-len(tasks) // columns)
    cells = [cell for cell in results.cells if cell.measure == measure]
    height = 0.3 * len({cell.contestant for cell in cells})
    with rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
        figure = Figure((2.2 + 3.5 * columns, 0.6 + height * rows), 128, facecolor="white", layout=layout)
        places = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axes in places.flat[len(tasks) :]:
            axes.set_axis_off()
        for axes, task in zip(places.flat, tasks, strict=False):
            _panel(axes, task, [cell for cell in cells if cell.task == task])
        figure.supxlabel(
            f"{measure}: mean over samples of anchors, 95 % interval over test rows", color=MUTED, fontsize=11
        )
        figure.savefig(path)


def _panel(axes: Axes, task: str, cells: list[Cell]) -> None:
    """Our dot is blue and large; the line is what the consumer gets from its own encoder."""
    shown = [cell for cell in cells if cell.contestant not in LEFT_OUT][::-1]
    native = next(cell.mean for cell in cells if cell.contestant == NATIVE)
    axes.set_title(task, loc="left", fontsize=12.5, fontweight="bold", pad=24)
    axes.axvline(native, color=NATIVE_COLOR, linewidth=2)
    axes.annotate(
        f"native {number(native)}", (native, 1), (0, 8), xycoords=("data", "axes fraction"), textcoords="offset points",
        ha="center", color=NATIVE_COLOR, fontsize=10,
    )  # fmt: skip
    for place, cell in enumerate(shown):
        ours = cell.contestant == OURS
        color = OURS_COLOR if ours or cell.contestant in INVERSES.values() else MUTED
        axes.plot([cell.low, cell.high], [place, place], color=color, linewidth=4, alpha=0.35)
        axes.plot(cell.mean, place, "D" if ours else "o", color=color, markersize=8 if ours else 5.5)
        axes.annotate(
            number(cell.mean), (cell.high, place), (5, 0), textcoords="offset points", va="center", fontsize=9,
            color=color if ours else INK, fontweight="bold" if ours else "normal",
            bbox={"facecolor": "white", "linewidth": 0, "pad": 0.8, "alpha": 0.85},
        )  # fmt: skip
    axes.set_yticks(range(len(shown)), [cell.contestant for cell in shown])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.margins(x=0.16)
    axes.grid(axis="y", visible=False)
