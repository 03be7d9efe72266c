"""The picture of `stitch_classifier.py`."""

from __future__ import annotations

from pathlib import Path

from dots_plot import INK, MUTED, NATIVE, OTHER, OURS, STYLE, draw_dots
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from stitch_text_plot import write_title
from torch import Tensor

from irp_hf.evaluation import Measure, bootstrap, number

NUM_BINS = 5
COLORS = {"mpnet": NATIVE, "MiniLM": OTHER, "adapter": "#5f93b5", "head": OURS}


def draw(
    correct: dict[str, Measure],
    confidence: Tensor,
    right: Tensor,
    sizes: dict[str, dict[str, float]],
    path: Path,
) -> None:
    """Accuracy of the head by translation; by confidence; and what the whole classifier and the stitched model weigh."""
    means = [measure.mean for measure in correct.values()]
    with rc_context(STYLE):
        figure = Figure((11, 4.4), 128, facecolor="white")
        places = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1.35, 0.8, 1.05]})
        figure.subplots_adjust(left=0.165, right=0.985, top=0.8, bottom=0.15, wspace=0.24)
        write_title(places[0], "mpnet's classifier reads MiniLM", "accuracy on new questions, 95 % intervals")
        draw_translations(places[0], correct)
        places[0].set_xlim(min(means) - 0.07, max(means) + 0.04)
        write_title(places[1], "Confidence tells", "in fifths, from least to most")
        draw_confidence(places[1], confidence, right)
        places[1].margins(x=0.22)
        write_title(places[2], "What is loaded", "megabytes of weights")
        draw_sizes(places[2], sizes)
        figure.savefig(path)


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


def draw_sizes(axes: Axes, sizes: dict[str, dict[str, float]]) -> None:
    """A stacked bar for each model, its parts named beneath it."""
    most = max(sum(parts.values()) for parts in sizes.values())
    for place, (title, parts) in enumerate(reversed(sizes.items())):
        left = 0.0
        for name, size in parts.items():
            axes.barh(place, size, 0.32, left, color=COLORS[name], edgecolor="white", linewidth=0.8)
            left += size
        axes.text(0, place + 0.23, title, color=INK, fontweight="bold")
        axes.text(left + 0.03 * most, place, f"{left:.0f} MB", va="center", color=INK, fontsize=13.5, fontweight="bold")
        words = "  ".join(f"{name} {size:.{0 if size > 10 else 1}f}" for name, size in parts.items())
        axes.text(0, place - 0.23, words, va="top", color=MUTED, fontsize=10.5)
    axes.set_xlim(0, most * 1.48)
    axes.set_ylim(-0.6, len(sizes) - 0.45)
    axes.set_axis_off()
