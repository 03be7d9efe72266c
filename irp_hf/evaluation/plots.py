"""A report as one picture: methods compared, learning curve, and how right the confidences are."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from irp_hf.data.memory import allocating
from irp_hf.disk.atomic import written_file
from irp_hf.disk.leftovers import remove_leftovers
from irp_hf.disk.places import check_path, is_folder
from irp_hf.errors import MissingDependencyError, TooLargeError, missing, printable, reason_of, refusal, shown
from irp_hf.evaluation.held_out import CurvePoint, Reliability, Row
from irp_hf.evaluation.index import IndexReport
from irp_hf.evaluation.measures import among
from irp_hf.evaluation.printed import POOL, number
from irp_hf.evaluation.svg import inline
from irp_hf.turns import Turns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


COLORS = {"cosine": "#1f5a85", "neighbors": "#c65f2c"}
SIDES = {"cosine": 1, "neighbors": -1}  # numbers above and below their dots: they never meet
INK, MUTED, BAND, GRID, EDGE = "#222831", "#68717d", "#eef3f7", "#e3e6ea", "#b4bac2"
INHERITED = {  # on a page, whose text may be dark or light
    INK: "currentColor",
    MUTED: "var(--irp-muted)",
    BAND: "var(--irp-chosen)",
    GRID: "var(--irp-faint)",
    EDGE: "var(--irp-line)",
    COLORS["cosine"]: "var(--irp-one)",
    COLORS["neighbors"]: "var(--irp-two)",
}
USES = {
    "queries": (COLORS["cosine"], "queries translated"),
    "moved": (COLORS["neighbors"], "index translated"),
    "nothing": (MUTED, "nothing: keep the old encoder"),
}
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.labelpad": 8,
    "axes.edgecolor": EDGE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.solid_capstyle": "round",
}
SUFFIXES = (".png", ".svg", ".pdf")  # that an error suggests; matplotlib knows more
DRAWING = Turns()
LONGEST_NAME, LONGEST_TITLE, LINE = 30, 100, 18  # characters that a picture shows, and in one line of a name
PANEL_WIDTH, HEIGHT, DPI = 5.2, 4.6, 160  # inches, dots per inch
Panel: TypeAlias = "Callable[[Axes], None]"


def plot_report(panels: Sequence[Panel], path: str | Path | None = None) -> Figure:
    """Draw the panels of a report side by side; save them if `path` is given, in the format of its suffix.

    Raises `MissingDependencyError` without matplotlib.
    """
    return draw(list(panels), path, what="a report")


def panels_of(
    rows: Sequence[Row],
    chosen: str,
    num_anchors: int,
    curve: Sequence[CurvePoint],
    reliability: Reliability | None,
    index: IndexReport | None = None,
) -> dict[str, Panel]:
    """What is drawn of a report, each by what it shows: the panels for which there is data."""
    panels: dict[str, Panel] = {
        "What each method keeps": partial(_methods, rows=rows, chosen=chosen, num_anchors=num_anchors)
    }
    if curve:
        panels["What is kept, by the number of anchors"] = partial(_learning_curve, curve=curve, method=chosen)
    if reliability is not None:
        panels["Expected and true cosine"] = partial(_reliability, reliability=reliability, method=chosen)
    if index is not None:
        panels["What an index keeps, by its size"] = partial(_index, index=index)
    return panels


def pictures_of(panels: dict[str, Panel]) -> list[str]:
    """Each panel as an `<svg>` that takes the colours of the page around it; none without matplotlib, or without memory."""
    try:
        with DRAWING.taken():  # the settings of matplotlib are those of all threads
            return [
                inline(partial(draw, [panel], None, what="a report"), INHERITED, told) for told, panel in panels.items()
            ]
    except (MissingDependencyError, TooLargeError):  # the numbers stand in the tables
        return []


def draw(panels: Sequence[Panel], path: str | Path | None = None, *, what: str, width: float = PANEL_WIDTH) -> Figure:
    """A figure of panels side by side, each drawn by its function; saved if `path` is given, in the format of its suffix.

    `what` is drawn, as errors say it: `a report`. `width` is that of one panel in inches. Raises `MissingDependencyError`
    without matplotlib, `TooLargeError` without memory for it, and `InputError` where the file cannot be written.
    """
    with allocating(f"The picture of {what}", "Free some memory, and draw it again."):
        return _draw(panels, path, what, width)


def _draw(panels: Sequence[Panel], path: str | Path | None, what: str, width: float) -> Figure:
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise missing(f"The picture of {what}", "matplotlib", "irp_hf[plots]") from error
    with DRAWING.taken(), rc_context(STYLE):  # which all threads share; no pyplot: nobody's open figures are touched
        layout = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12, wspace=0.1)
        figure = Figure((width * len(panels), HEIGHT), DPI, facecolor="white", layout=layout)
        places = figure.subplots(1, len(panels), squeeze=False)
        for panel, axes in zip(panels, places[0], strict=True):
            panel(axes)
        if path is not None:
            _save(figure, path, what)
    return figure


def _save(figure: Figure, path: str | Path, what: str) -> None:
    """Write a picture, whole or not at all."""
    from matplotlib import rcParams

    if hasattr(path, "write"):  # a file that is open
        figure.savefig(path)
        return
    place = check_path(f"The picture of {what}", path)
    if is_folder(place) or str(path).endswith((os.sep, os.altsep or os.sep)):
        advice = f"Name a file in it: {shown(str(place / 'report.png'))}, say."
        raise refusal(f"The picture of {what}", "a file", f"the folder {str(path)!r}", advice)
    if not place.suffix:
        place = place.with_name(f"{place.name}.{rcParams['savefig.format']}")  # as matplotlib names it
    if os.path.islink(place):  # the picture goes where it leads
        place = Path(os.path.realpath(place))
    remove_leftovers(place)
    try:
        with written_file(place) as file:
            figure.savefig(file, format=place.suffix[1:])
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise refusal(
            f"The picture of {what}",
            f"a file that can be written, in a folder that exists and ending in {', '.join(SUFFIXES)}",
            f"{str(path)!r} ({reason_of(error)})",
            "Choose another path.",
        ) from error


def _methods(axes: Axes, rows: Sequence[Row], chosen: str, num_anchors: int) -> None:
    """One line per method, the chosen one on a band; the measures are named at the first."""
    title(axes, "What each method keeps", f"{num_anchors:,} anchors, each held out once")
    places = range(len(rows))[::-1]
    for place, row in zip(places, rows, strict=True):
        if row.method == chosen:
            axes.axhspan(place - 0.46, place + 0.46, color=BAND, zorder=0)
        for name, side in SIDES.items():
            measure = row.evaluation.measures()[name]
            axes.plot([measure.low, measure.high], [place, place], color=COLORS[name], linewidth=3, alpha=0.4)
            axes.plot(measure.mean, place, "o", color=COLORS[name], markersize=7)
            text = f"{among(name, num_anchors)} {number(measure.mean)}" if place == places[0] else number(measure.mean)
            _label(axes, text, measure.mean, place, name, (0, 13 * side), "center")
    axes.set_yticks(places, [_in_lines(row.method) for row in rows])
    for tick, row in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set(color=INK, fontweight="bold" if row.method == chosen else "normal")
    axes.set_ylim(-0.55, len(rows) - 0.45)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.15)
    axes.set_xlabel("mean and 95 % interval")


def _in_lines(name: str) -> str:
    """A method's name in lines so short that the panel keeps its width."""
    return "\n".join(map(drawn, textwrap.wrap(printable(name, LONGEST_NAME), LINE)))


def _learning_curve(axes: Axes, curve: Sequence[CurvePoint], method: str) -> None:
    """Both measures over the number of anchors; each line is named at its end."""
    title(axes, "How many anchors?", f"{method}, tested on {curve[0].evaluation.num_rows:,} others")
    sizes = [point.num_anchors for point in curve]
    means = {name: [point.evaluation.measures()[name].mean for point in curve] for name in COLORS}
    lowest, highest = min(map(min, means.values())), max(map(max, means.values()))
    close = abs(means["cosine"][-1] - means["neighbors"][-1]) < 0.2 * (highest - lowest)
    for place, name in enumerate(sorted(COLORS, key=lambda name: means[name][-1])):
        measures = [point.evaluation.measures()[name] for point in curve]
        bounds = [m.low for m in measures], [m.high for m in measures]
        axes.fill_between(sizes, *bounds, color=COLORS[name], alpha=0.14, linewidth=0)
        axes.plot(sizes, means[name], "o-", color=COLORS[name], linewidth=2.2, markersize=6)
        named = among(name, curve[0].evaluation.num_rows).replace(POOL, POOL.replace(" ", "\n", 1))
        text = f"{named}\n{number(means[name][-1])}"
        _label(axes, text, sizes[-1], means[name][-1], name, (10, 36 * place - 18 if close else 0), "left")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("number of anchors")


def _reliability(axes: Axes, reliability: Reliability, method: str) -> None:
    """Vectors grouped by their expected cosine, against the cosine that came true."""
    correlation = reliability.rank_correlation()
    known = "" if correlation is None else f", rank correlation {number(correlation)}"
    title(axes, "Is the confidence right?", f"{method}{known}")
    bins = reliability.bins()
    ends = [value for expected, true in bins for value in (expected, true.low, true.high)]
    margin = 0.08 * (max(ends) - min(ends)) or 0.01
    low, high = min(ends) - margin, max(ends) + margin
    axes.plot([low, high], [low, high], color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
    for expected, true in bins:
        axes.plot([expected, expected], [true.low, true.high], color=COLORS["cosine"], linewidth=3, alpha=0.4)
        axes.plot(expected, true.mean, "o", color=COLORS["cosine"], markersize=7)
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="expected cosine")
    axes.set_ylabel("true cosine")
    axes.locator_params(nbins=5, prune="lower")


def drawn(name: str, longest: int = LONGEST_NAME) -> str:
    """A name as a picture shows it: on one line, and no formula, whatever a stranger called it."""
    return printable(name, longest).replace("$", r"\$")


def _index(axes: Axes, index: IndexReport) -> None:
    """Both uses, and doing nothing, over the size of the index; dashed where it is extrapolated."""
    title(axes, "What does an index keep?", "of the ten nearest neighbours by cosine")
    sizes = [share.num_rows for share in index.curve]
    for name, (color, label) in USES.items():
        measures = [getattr(share, name) for share in index.curve]
        if None in measures:  # a report that is older
            continue
        bounds = [one.low for one in measures], [one.high for one in measures]
        axes.fill_between(sizes, *bounds, color=color, alpha=0.14, linewidth=0)
        reach = 10 * (index.gallery if index.gallery and name == "queries" else index.searched)
        known = sum(size <= reach for size in sizes)
        means = [one.mean for one in measures]
        axes.plot(sizes[:known], means[:known], color=color, linewidth=2.2, label=label)
        axes.plot(
            sizes[max(known - 1, 0) :], means[max(known - 1, 0) :], color=color, linewidth=2.2, linestyle=(0, (4, 3))
        )
        asked = [share for share in index.shares if share.num_rows >= sizes[0]]
        axes.plot([share.num_rows for share in asked], [getattr(share, name).mean for share in asked], "o", color=color)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(0, None)
    axes.set_xlabel("rows of the index (dashed: extrapolated)")
    axes.legend(frameon=False, fontsize=9.5, labelcolor=MUTED)


def title(axes: Axes, text: str, subtitle: str) -> None:
    """The title of a panel and, smaller, what is below it."""
    axes.set_title(drawn(text, LONGEST_TITLE), loc="left", pad=30, fontsize=13.5, fontweight="bold")
    axes.annotate(drawn(subtitle, LONGEST_TITLE), (0, 1), (0, 13), "axes fraction", "offset points", color=MUTED)


def _label(
    axes: Axes,
    text: str,
    x: float,
    y: float,
    name: str,
    offset: tuple[float, float],
    align: Literal["center", "left"],
) -> None:
    axes.annotate(
        text,
        (x, y),
        offset,
        textcoords="offset points",
        color=COLORS[name],
        ha=align,
        va="center",
        fontsize=9.5,
        annotation_clip=False,
    )
