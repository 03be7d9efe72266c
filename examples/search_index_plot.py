"""The picture of `search_index.py`."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten

from dots_plot import INK, MUTED, NATIVE, OTHER, OURS, STYLE, draw_dots
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from irp_hf.evaluation import Measure, number

LINES = ("-", (0, (4, 2)))  # of the peers, which share a colour
LONGEST = 58  # of a hit, in characters


def draw(
    recalls: dict[str, Measure],
    depths: tuple[int, ...],
    curves: dict[str, list[float]],
    query: str,
    own: list[str],
    found: list[str],
    path: Path,
) -> None:
    """Recall by translation; recall by how many hits are looked through; and the hits of one query.

    The first of `recalls` is MiniLM's own, the second is of an index that was built again, the last is ours.
    """
    with rc_context(STYLE):
        figure = Figure((11, 7.9), 128, facecolor="white")
        recall = figure.add_axes((0.165, 0.57, 0.4, 0.33))
        depth = figure.add_axes((0.65, 0.57, 0.335, 0.33))
        hits = figure.add_axes((0.015, 0.02, 0.97, 0.37))
        _title(
            recall,
            "MiniLM's index, searched with static vectors",
            "recall@10 of MiniLM's own hits; bars: 95 % intervals",
        )
        _title(depth, "Look through more hits", "MiniLM's ten hits among the first …")
        _title(hits, query, "left: what MiniLM finds; right: what static vectors find, translated by irp_hf")
        _recalls(recall, recalls)
        _curves(depth, depths, curves)
        _hits(hits, own, found)
        figure.savefig(path)


def _title(axes: Axes, title: str, subtitle: str) -> None:
    for text, above, style in (
        (title, 30, {"fontsize": 13.5, "fontweight": "bold"}),
        (subtitle, 11, {"fontsize": 11, "color": MUTED}),
    ):
        axes.annotate(text, (0, 1), (0, above), "axes fraction", "offset points", annotation_clip=False, **style)


def _recalls(axes: Axes, recalls: dict[str, Measure]) -> None:
    """A dot for each translation, beside the line of an index that was built again."""
    _, (_, rebuilt), *translations = recalls.items()
    axes.axvline(rebuilt.mean, color=NATIVE, linewidth=2)
    axes.annotate(
        f"index built again\nfrom static vectors\n{number(rebuilt.mean)}", (rebuilt.mean, 0), (8, 0),
        textcoords="offset points", va="center", color=NATIVE, fontsize=10.5,
    )  # fmt: skip
    draw_dots(axes, translations, above=11, box=None, room=-0.45)
    axes.margins(x=0.08)


def _curves(axes: Axes, depths: tuple[int, ...], curves: dict[str, list[float]]) -> None:
    *peers, (ours, best) = curves.items()
    axes.plot(depths, best, "o-", color=OURS, linewidth=2.5, markersize=6, label=ours, zorder=3)
    for (title, values), line in zip(peers, LINES, strict=True):
        axes.plot(depths, values, color=OTHER, linewidth=2, linestyle=line, label=title)
    for place, offset, align in ((0, (-2, 10), "right"), (-1, (0, 10), "center")):
        axes.annotate(
            number(best[place]), (depths[place], best[place]), offset, textcoords="offset points", ha=align,
            color=OURS, fontweight="bold", fontsize=12.5,
        )  # fmt: skip
    axes.legend(frameon=False, fontsize=10.5, loc="lower right", labelcolor=MUTED)
    axes.set_xticks(depths)
    axes.margins(x=0.13, y=0.12)
    axes.tick_params(axis="y", labelcolor=MUTED)
    axes.grid()


def _hits(axes: Axes, own: list[str], found: list[str]) -> None:
    """Two ranked lists; a line joins what is in both."""
    axes.set(xlim=(0, 1), ylim=(len(own) - 0.5, -0.5))
    axes.axis("off")
    for texts, others, x, align in ((own, found, 0.435, "right"), (found, own, 0.565, "left")):
        for rank, text in enumerate(texts):
            short = shorten(text, LONGEST, placeholder=" …")
            axes.text(x, rank, short, ha=align, va="center", fontsize=10, color=INK if text in others else OTHER)
    for rank, text in enumerate(own):
        if text in found:
            axes.plot([0.445, 0.555], [rank, found.index(text)], "o-", color=OURS, linewidth=2, markersize=5)
        else:
            axes.plot(0.445, rank, "o", color=OTHER, markersize=4)
    for rank, text in enumerate(found):
        if text not in own:
            axes.plot(0.555, rank, "o", color=OTHER, markersize=4)
