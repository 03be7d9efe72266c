"""The picture of `few_pairs.py`: accuracy above, neighbours below, a column for each kind of items."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dots_plot import MUTED, NATIVE, OTHER, OURS, STYLE
from few_pairs_results import ALONE, BACKED, Curve, Outcome
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from irp_hf.evaluation import number

LABELS = ("accuracy of the target's head", "share of its ten neighbours found")
TOLD = (10, 100)  # pairs, whose numbers stand in the picture
NEAR = 0.12  # of accuracy: the height of a number


def draw(outcomes: Sequence[Outcome], pairs: Sequence[int], path: Path) -> None:
    """Curves over the number of pairs, with 95 % intervals over the test rows."""
    with rc_context(STYLE):
        figure = Figure((12.4, 7.6), 128, facecolor="white")
        places = figure.subplots(2, len(outcomes), sharex=True, squeeze=False)
        figure.subplots_adjust(left=0.075, right=0.985, top=0.83, bottom=0.085, wspace=0.2, hspace=0.16)
        figure.text(0.012, 0.955, "Few pairs, and rows that nobody paired", fontsize=17, fontweight="bold")
        legend(figure)
        for column, one in enumerate(outcomes):
            write_title(places[0, column], one)
            for row, axes in enumerate(places[:, column]):
                panel(axes, one, row, pairs)
            places[1, column].set_xlabel("number of pairs")
        for row, label in enumerate(LABELS):
            places[row, 0].set_ylabel(label)
        figure.savefig(path)


def legend(figure: Figure) -> None:
    """What the two colours are, in words of that colour."""
    for x, color, words in (
        (0.012, OURS, "● with unpaired rows of either side"),
        (0.33, OURS, "○ which did not help held-out pairs: left out"),
        (0.672, MUTED, "● the same pairs alone"),
        (0.85, NATIVE, "— the head at home"),
    ):
        figure.text(
            x, 0.918, words, color=color, fontsize=12, fontweight="bold" if words[0] == "●" and color == OURS else None
        )


def write_title(axes: Axes, one: Outcome) -> None:
    axes.text(0, 1.12, one.title, transform=axes.transAxes, fontsize=13.5, fontweight="bold")
    axes.text(0, 1.04, " → ".join(one.names), transform=axes.transAxes, fontsize=11, color=MUTED)


def panel(axes: Axes, one: Outcome, row: int, pairs: Sequence[int]) -> None:
    """One measure of one kind of items. Numbers of pairs, each some three times the last, stand at equal distances."""
    if row == 0:
        axes.axhline(one.native, color=NATIVE, linewidth=1.6)
        axes.annotate(
            number(one.native), (1, one.native), (-2, 5), ("axes fraction", "data"), "offset points",
            ha="right", color=NATIVE, fontsize=11,
        )  # fmt: skip
    for how, color in ((ALONE, OTHER), (BACKED, OURS)):
        curve(axes, one.curves[how], row, pairs, color)
    label(axes, one, row, pairs)
    if 0 in one.curves[BACKED].refused:
        axes.text(-0.6, 0.03, "no pair:\nrefused", color=OURS, fontsize=10, transform=axes.get_xaxis_transform())
    axes.set_xticks(range(len(pairs)), [f"{count:,}" for count in pairs], fontsize=10)
    axes.set_xlim(-0.65, len(pairs) - 0.55)
    axes.set_ylim(*((0, 1) if row == 0 else (-0.04, None)))
    axes.tick_params(axis="y", labelcolor=MUTED)
    axes.grid(axis="y")


def curve(axes: Axes, one: Curve, row: int, pairs: Sequence[int], color: str) -> None:
    """A line with its intervals; what is found without any pair stands apart."""
    places = [(place, one.points[count][row]) for place, count in enumerate(pairs) if count in one.points]
    joined = [entry for entry in places if pairs[entry[0]]]
    x, measures = [place for place, _ in joined], [measure for _, measure in joined]
    axes.fill_between(x, [m.low for m in measures], [m.high for m in measures], color=color, alpha=0.15, linewidth=0)
    axes.plot(x, [m.mean for m in measures], "-", color=color, linewidth=2.5)
    for place, measure in places:
        hollow = pairs[place] in one.unused
        axes.plot(place, measure.mean, "o", color=color, markersize=7, markerfacecolor="white" if hollow else color)


def label(axes: Axes, one: Outcome, row: int, pairs: Sequence[int]) -> None:
    """The numbers of few pairs: the higher above its dot, and beyond the line of the head if that is near; the lower below."""
    alone, backed = one.curves[ALONE], one.curves[BACKED]
    for curve, other, color in ((backed, alone, OURS), (alone, backed, MUTED)):
        for count in (0, *TOLD):
            if count in curve.points and not (curve is alone and count in backed.unused):
                mean = curve.points[count][row].mean
                higher = mean >= other.points[count][row].mean if count in other.points else curve is backed
                crossed = row == 0 and 0 < one.native - mean < NEAR
                axes.annotate(
                    number(mean), (pairs.index(count), mean), (0, (27 if crossed else 12) if higher else -19),
                    textcoords="offset points", ha="center", color=color, fontsize=11.5,
                    fontweight="bold" if color == OURS else "normal",
                )  # fmt: skip
