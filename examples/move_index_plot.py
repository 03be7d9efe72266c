"""The picture of `move_index.py`."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten

from dots_plot import BOX, GRID, INK, MUTED, NATIVE, OTHER, OURS, STYLE
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from move_index_results import Curves, Order, Way, Ways

from irp_hf.evaluation import number

LONGEST = 66  # of a hit, in characters
MIDDLE = 0.505  # where the list of what is found after begins
Names = tuple[str, str]


def draw(
    ways: Ways,
    curves: Curves,
    budget: float,
    seconds: tuple[float, float],
    query: str,
    lists: list[list[str]],
    names: Names,
    path: Path,
) -> None:
    """What is found by each way, along the share of rows that are encoded anew, and by one query before and after.

    `seconds` of a processor are those that translating and encoding all rows take, `lists` what is found before, after, and by
    the new encoder in an index of its own, `names` those of the old and the new encoder.
    """
    old, new = names
    with rc_context(STYLE):
        figure = Figure((11, 8.6), 128, facecolor="white")
        figure.text(
            0.02,
            0.955,
            f"Move an index from {old} vectors to {new}'s, and search it at once",
            fontsize=17,
            fontweight="bold",
        )
        translating, encoding = seconds
        told = f"Found of the ten that {new} finds in an index of its own. Processor time of translating the column: "
        told += f"{_time(translating)}, of encoding it anew: {_time(encoding)}"
        figure.text(0.02, 0.922, told, fontsize=11.5, color=MUTED)
        left = figure.add_axes((0.235, 0.5, 0.28, 0.315))
        right = figure.add_axes((0.605, 0.5, 0.375, 0.315))
        hits = figure.add_axes((0.02, 0.01, 0.965, 0.285))
        _title(left, "Which way?", "bars: 95 % intervals; all encoded anew: 1", -0.768)
        _title(right, "Then encode it anew, row by row", "which rows first?")
        _title(hits, f"“{query}”", f"coloured: among {new}'s own ten", above=56)
        _ways(left, ways, budget, names)
        _curves(right, ways, curves, budget)
        _hits(hits, lists, names)
        figure.savefig(path)


def _title(axes: Axes, title: str, subtitle: str, x: float = 0, above: int = 31) -> None:
    for text, height, style in (
        (title, above, {"fontsize": 13.5, "fontweight": "bold"}),
        (subtitle, above - 19, {"fontsize": 11, "color": MUTED}),
    ):
        axes.annotate(text, (x, 1), (0, height), "axes fraction", "offset points", annotation_clip=False, **style)


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def _ways(axes: Axes, ways: Ways, budget: float, names: Names) -> None:
    """A dot for each way, the store that is translated in our colour."""
    old, new = names
    words = {
        Way.NOTHING: f"do nothing: {old} asks",
        Way.QUERIES: f"translate {new}'s queries",
        Way.MIXED: "mix both queries",
        Way.STORE: "translate the column",
        Way.PARTLY: f"… {budget:.0%} encoded anew",
    }
    colors = {Way.NOTHING: NATIVE, Way.STORE: OURS, Way.PARTLY: OURS}
    for place, way in enumerate(reversed(words)):
        measure, color = ways.neighbors[way], colors.get(way, OTHER)
        axes.plot([measure.low, measure.high], [place, place], color=color, linewidth=5, alpha=0.35)
        axes.plot(measure.mean, place, "o", color=color, markersize=9)
        axes.annotate(
            number(measure.mean), (measure.mean, place), (0, 9), textcoords="offset points", ha="center",
            color=color if way in colors else MUTED, fontweight="bold" if way in colors else "normal", fontsize=12,
            bbox=BOX,
        )  # fmt: skip
    axes.set_yticks(range(len(words)), list(reversed(words.values())))
    for label, way in zip(axes.get_yticklabels(), reversed(words), strict=True):
        if way in colors:
            label.set(color=colors[way], fontweight="bold")
    axes.axvline(ways.neighbors[Way.NOTHING].mean, color=NATIVE, linewidth=1.2, linestyle=(0, (3, 3)), zorder=0)
    axes.set_ylim(-0.45, len(words) - 0.35)
    axes.margins(x=0.12)
    axes.grid(axis="x")


def _curves(axes: Axes, ways: Ways, curves: Curves, budget: float) -> None:
    """From the translated store to the one that is encoded anew, by the order of the rows."""
    before = ways.neighbors[Way.NOTHING]
    axes.axhspan(before.low, before.high, color=NATIVE, alpha=0.12, linewidth=0)
    axes.axhline(before.mean, color=NATIVE, linewidth=1.5)
    axes.annotate(
        f"do nothing {number(before.mean)}", (1, before.mean), (0, -15), textcoords="offset points", ha="right",
        color=NATIVE, fontsize=11,
    )  # fmt: skip
    styles = {
        Order.LEAST_SURE: {"color": INK, "linewidth": 2, "linestyle": (0, (1, 1.4))},
        Order.RANDOM: {"color": OTHER, "linewidth": 2, "linestyle": (0, (4, 2))},
        Order.FOUND: {"color": OURS, "linewidth": 2.5, "marker": "o", "markersize": 5},
    }
    for order, style in styles.items():
        axes.plot(curves.shares, curves.means(order), label=order.value, **style)
    ours = curves.at(Order.FOUND, budget)
    for x, y, offset in ((0, curves.means(Order.FOUND)[0], (-13, 13)), (budget, ours, (5, -16))):
        axes.annotate(
            number(y), (x, y), offset, textcoords="offset points", color=OURS, fontweight="bold", fontsize=12.5
        )
    axes.legend(frameon=False, fontsize=10.5, loc="upper left", labelcolor=MUTED)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("encoded anew")
    axes.set_ylim(min(before.low, *curves.means(Order.FOUND)) - 0.06, 1.02)
    axes.tick_params(axis="y", labelcolor=MUTED)
    axes.grid()


def _hits(axes: Axes, lists: list[list[str]], names: Names) -> None:
    """Two ranked lists, before and after; a dot marks what the new encoder finds by itself."""
    before, after, own = lists
    axes.set(xlim=(0, 1), ylim=(len(before) - 0.5, -0.6))
    axes.axis("off")
    heads = (f"before: {names[0]} asks", f"after: {names[1]} asks the translated column")
    for texts, x, head in ((before, 0.0, heads[0]), (after, MIDDLE, heads[1])):
        count = sum(text in own for text in texts)
        axes.text(x, -0.95, f"{head}, {count} of {len(own)}", fontsize=11, fontweight="bold", color=INK, va="bottom")
        axes.plot([x, x + 0.47], [-0.8, -0.8], color=GRID, linewidth=1.2, clip_on=False)
        for rank, text in enumerate(texts):
            color = OURS if text in own else OTHER
            axes.plot(x + 0.006, rank, "o", color=color, markersize=5 if text in own else 3)
            axes.text(x + 0.02, rank, shorten(text, LONGEST, placeholder=" …"), va="center", fontsize=10, color=color)
