"""The picture of `stitch_pictures.py`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dots_plot import INK, MUTED, NATIVE, OURS, STYLE, draw_dots
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL.Image import Image

from irp_hf.evaluation import Measure, number

NUM_SHOWN = 10
LEFT, RIGHT = 0.165, 0.985


@dataclass(frozen=True)
class Shown:
    """A test picture, its class, and the class that a head gives it at home and stitched."""

    picture: Image
    true: str
    native: str
    stitched: str


def draw(results: dict[str, dict[str, Measure]], sources: dict[str, str], shown: list[Shown], path: Path) -> None:
    """Accuracy of each head by translation; below, pictures with the labels that the first head gives them."""
    means = [measure.mean for rows in results.values() for measure in rows.values()]
    low, span = min(means), max(means) - min(means)
    with rc_context(STYLE):
        figure = Figure((11, 6.4), 128, facecolor="white")
        grid = figure.add_gridspec(1, 2, left=LEFT, right=RIGHT, top=0.87, bottom=0.43, wspace=0.1)
        panels = [figure.add_subplot(place) for place in grid]
        subtitles = ("accuracy on new pictures", "bars: 95 % intervals")
        for axes, (name, rows), subtitle in zip(panels, results.items(), subtitles, strict=True):
            _title(figure, axes, f"{short(name)}'s head reads {short(sources[name])}", subtitle)
            _lines(axes, rows)
            draw_dots(axes, list(rows.items())[2:])
            axes.set_xlim(low - 0.1 * span, low + 1.4 * span)  # on the right there is room for words
        panels[1].set_yticklabels([])

        grid = figure.add_gridspec(1, len(shown), left=LEFT, right=RIGHT, top=0.235, bottom=0.1, wspace=0.15)
        places = [figure.add_subplot(place) for place in grid]
        name = short(next(iter(results)))
        _title(figure, places[0], f"What {name}'s head says of the first test pictures", "a label in colour is wrong")
        for axes, row in zip(places, shown, strict=True):
            _picture(axes, row)
        for words, height, color in (("own encoder", -0.2, NATIVE), ("irp_hf", -0.45, OURS)):
            places[0].text(-0.2, height, words, transform=places[0].transAxes, ha="right", va="center", color=color)
        figure.savefig(path)


def short(name: str) -> str:
    """ResNet, of ResNet-50."""
    return name.partition("-")[0]


def _title(figure: Figure, axes: Axes, title: str, subtitle: str) -> None:
    left, top = axes.get_position().x0, axes.get_position().y1
    figure.text(left, top + 0.075, title, fontsize=13.5, fontweight="bold")
    figure.text(left, top + 0.035, subtitle, fontsize=11, color=MUTED)


def _lines(axes: Axes, rows: dict[str, Measure]) -> None:
    """The head at home, and a new head on the other encoder; the words stand outside, where no dots are."""
    (_, home), (_, new), *translations = rows.items()
    for measure, other, words, color, style in (
        (home, new, "its own encoder", NATIVE, "solid"),
        (new, home, "a new head", MUTED, (0, (4, 3))),
    ):
        side = 1 if measure.mean > other.mean else -1
        axes.axvline(measure.mean, color=color, linewidth=2, linestyle=style)
        axes.annotate(
            f"{words}\n{number(measure.mean)}", (measure.mean, len(translations) - 0.2), (7 * side, 0),
            textcoords="offset points", ha="left" if side > 0 else "right", va="center", color=color, fontsize=10.5,
        )  # fmt: skip


def _picture(axes: Axes, row: Shown) -> None:
    """The picture, dark on white, and below it both labels."""
    axes.imshow(row.picture.convert("L"), cmap="gray_r")
    axes.set_axis_off()
    for label, height, color in ((row.native, -0.2, NATIVE), (row.stitched, -0.45, OURS)):
        wrong = label != row.true
        axes.text(
            0.5, height, label, transform=axes.transAxes, ha="center", va="center", fontsize=10.5,
            color=color if wrong else INK, fontweight="bold" if wrong else "normal",
        )  # fmt: skip
