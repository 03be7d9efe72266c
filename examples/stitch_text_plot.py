"""The picture of `stitch_text.py`."""

from __future__ import annotations

from pathlib import Path

from dots_plot import MUTED, NATIVE, OURS, STYLE, draw_dots
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from irp_hf.evaluation import Measure, bootstrap, number

NUM_BINS = 5


def draw(
    results: dict[str, dict[str, Measure]],
    sources: dict[str, str],
    confidence: Tensor,
    correct: Tensor,
    path: Path,
) -> None:
    """Accuracy of each head by translation; for the first head also by confidence."""
    means = [measure.mean for rows in results.values() for measure in rows.values()]
    with rc_context(STYLE):
        figure = Figure((11, 4.4), 128, facecolor="white")
        places = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1.2, 1.2, 1]})
        figure.subplots_adjust(left=0.165, right=0.985, top=0.8, bottom=0.15, wspace=0.24)
        subtitles = ("accuracy on new questions", "bars: 95 % intervals")
        for axes, (name, rows), subtitle in zip(places, results.items(), subtitles, strict=False):
            title = f"{name.partition('-')[0]}'s head reads {sources[name].partition('-')[0]}"
            write_title(axes, title[0].upper() + title[1:], subtitle)
            draw_translations(axes, rows)
            axes.set_xlim(min(means) - 0.04, max(means) + 0.03)
        places[1].set_yticklabels([])
        write_title(places[2], "Confidence tells", "first panel, in fifths")
        draw_confidence(places[2], confidence, correct)
        figure.savefig(path)


def write_title(axes: Axes, title: str, subtitle: str) -> None:
    axes.text(0, 1.14, title, transform=axes.transAxes, fontsize=13.5, fontweight="bold")
    axes.text(0, 1.06, subtitle, transform=axes.transAxes, fontsize=11, color=MUTED)


def draw_translations(axes: Axes, rows: dict[str, Measure]) -> None:
    """A dot for each translation, the last one being ours, and two lines: the head at home, and a new head.

    The lines' words stand above all dots, one above the other, and no line reaches above its own.
    """
    (_, home), (_, new), *translations = rows.items()
    means = [measure.mean for measure in rows.values()]
    top, room = len(translations), 1 if home.mean < (min(means) + max(means)) / 2 else -1
    lines = (
        (home, "its own encoder", NATIVE, "solid", top + 0.15, room),
        (new, "a new head", MUTED, (0, (4, 3)), top - 0.2, -1),
    )
    for measure, words, color, dashes, height, side in lines:
        axes.plot([measure.mean] * 2, [-0.45, height + 0.12], color=color, linewidth=1.8, linestyle=dashes)
        axes.annotate(
            f"{words} {number(measure.mean)}", (measure.mean, height), (6 * side, 0), textcoords="offset points",
            ha="right" if side < 0 else "left", va="center", color=color, fontsize=10.5,
        )  # fmt: skip
    draw_dots(axes, translations, room=0.4)


def draw_confidence(axes: Axes, confidence: Tensor, correct: Tensor) -> None:
    """Accuracy of equally many questions, from the least to the most confident ones."""
    bins = confidence.argsort(stable=True).tensor_split(NUM_BINS)
    expected = [float(confidence[rows].mean()) for rows in bins]
    measures = [bootstrap(correct[rows][None])[0] for rows in bins]
    axes.fill_between(
        expected, [m.low for m in measures], [m.high for m in measures], color=OURS, alpha=0.13, linewidth=0
    )
    axes.plot(expected, [m.mean for m in measures], "o-", color=OURS, linewidth=2.5, markersize=7)
    for x, measure, above in ((expected[0], measures[0], -22), (expected[-1], measures[-1], 12)):
        axes.annotate(
            number(measure.mean), (x, measure.mean), (0, above), textcoords="offset points", ha="center",
            color=OURS, fontweight="bold", fontsize=13.5,
        )  # fmt: skip
    axes.margins(x=0.14, y=0.14)
    axes.set_xlabel("confidence (expected cosine)")
    axes.set_ylabel("accuracy")
    axes.tick_params(axis="y", labelcolor=MUTED)
    axes.grid()
