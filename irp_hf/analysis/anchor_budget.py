"""How many anchors are enough: quality against their number, over repeated random subsets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from irp_hf.analysis.inputs import hold_out, parallel_anchors
from irp_hf.arithmetic import own_arithmetic
from irp_hf.checks import check_choice, check_count, check_list, check_number
from irp_hf.data.memory import allocating
from irp_hf.data.progress import check_progress, progress_bar
from irp_hf.errors import refusal, shown
from irp_hf.evaluation.doubts import warn_of_labels
from irp_hf.evaluation.held_out import CURVE_FOLDS, LEAST_FOR_CURVE
from irp_hf.evaluation.intervals import Measure, Measured, two_way_bootstrap
from irp_hf.evaluation.learning import WORTHWHILE
from irp_hf.evaluation.measures import among, titles, told_by
from irp_hf.evaluation.plots import COLORS, INK, MUTED, draw, title
from irp_hf.evaluation.printed import MARK, Printed, Table, number, signed
from irp_hf.heads.labels import head_labels
from irp_hf.maths.metrics import Labels, cosines, neighbors_kept
from irp_hf.maths.pairs import Pairs, distinct_pairs
from irp_hf.maths.request import Given, MethodOrAuto, check_given, methods_of
from irp_hf.maths.selection import select

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MOST_SIZES = 6
LEAST_ANCHORS = 4  # a selection needs a few
MOST_REPEATS = 1000


@dataclass(frozen=True)
class BudgetPoint(Measured):
    """A method fitted on so many anchors, several times, and evaluated on the same others."""

    num_anchors: int
    num_fits: int
    """How many random subsets; 1 where there is only one, all of them."""
    cosine: Measure
    neighbors: Measure
    agreement: Measure | None = None
    """Share of rows whose label by the head stays the same; None without a head."""


@dataclass(frozen=True)
class AnchorBudget(Printed):
    """What `anchor_budget` measured. It prints as a table; `plot()` draws it."""

    method: str
    num_held_out: int
    source_width: int
    target_width: int
    points: tuple[BudgetPoint, ...]
    """From few anchors to many."""

    def doublings(self, measure: str = "cosine") -> list[float]:
        """What a doubling of the anchors brings between each point and the next, straight over the logarithm.

        Raises `InputError` for a measure that was not taken.
        """
        advice = "Choose one of them; 'agreement' is measured where a head is given."
        check_choice("measure", measure, self.points[0].measures(), advice)
        return [
            (more.measures()[measure].mean - few.measures()[measure].mean)
            / math.log2(more.num_anchors / few.num_anchors)
            for few, more in pairwise(self.points)
        ]

    def enough(self, measure: str = "cosine", worthwhile: float = WORTHWHILE) -> int | None:
        """The number of anchors from which on a doubling brings less than `worthwhile`; None if none of these is enough.

        Raises `InputError` for a measure that was not taken, and unless `worthwhile` is above 0.
        """
        advice = f"Give what a doubling must bring to be worth it, {WORTHWHILE:g} say."
        worthwhile = check_number("worthwhile", worthwhile, above=0, advice=advice)
        gains = self.doublings(measure)
        settled = len(gains)
        while settled and gains[settled - 1] < worthwhile:
            settled -= 1
        return self.points[settled].num_anchors if settled < len(gains) else None

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw every measure over the number of anchors; also into the file `path`.

        Raises `MissingDependencyError` without matplotlib.
        """
        return draw([partial(_panel, found=self)], path, what="an anchor budget", width=6.4)

    def caption(self) -> str:
        """What was measured, and how."""
        few = told_by(self.num_held_out)
        return (
            f"{self.method}, {self.source_width} → {self.target_width} wide, fitted on random subsets of the anchors and "
            f"tested on the same {self.num_held_out:,} pairs, which are in none of them. ± is half the 95 % interval over "
            f"pairs and subsets. Neighbours are searched among the held-out pairs alone.{few and f' {few}'}"
        )

    def tables(self) -> list[Table]:
        """A line for each number of anchors."""
        enough = self.enough()
        lines = []
        for point in self.points:
            mark = MARK if point.num_anchors == enough else ""
            lines.append([f"{mark}{point.num_anchors:,}", str(point.num_fits), *map(str, point.measures().values())])
        return [[["anchors", "fits", *titles(list(self.points[0].measures()), self.num_held_out)], *lines]]

    def conclusions(self) -> list[str]:
        """From how many anchors on more of them are hardly worth it, for each measure."""
        return [self._enough(name) for name in self.points[0].measures()] if len(self.points) > 1 else []

    def _enough(self, name: str) -> str:
        enough, gain, title = self.enough(name), signed(self.doublings(name)[-1]), among(name, self.num_held_out)
        if enough is None:
            most = self.points[-1].num_anchors
            return f"{title}: still rising at {most:,} anchors, the last doubling brought {gain}. More would help."
        return f"{title}: from {enough:,} anchors on, a doubling brings less than {number(WORTHWHILE)}."


@own_arithmetic()
@allocating("anchor_budget", "Give fewer rows, or free some memory.")
def anchor_budget(
    source: Any,
    target: Any,
    *,
    sizes: Sequence[int] | None = None,
    method: MethodOrAuto = "kernel",
    head: Any = None,
    num_repeats: int = 5,
    held_out: float = 1 / CURVE_FOLDS,
    seed: int = 0,
    progress: bool | None = None,
) -> AnchorBudget:
    """Measure quality against the number of anchors: do I have enough, and would fewer do?

    One share of the pairs is held out for good. From the rest, each size takes `num_repeats` random subsets, nested over the
    sizes, and on each of them the method chooses its hyper-parameters anew. An interval is the central 95 % of means over
    resampled pairs and, independently, resampled subsets, so it holds what chance there is in both; with one subset, in the
    pairs alone.

    Args:
        source: an `AnchoredSpace`, a folder or an id of one, or parallel anchors `(k, d_X)`.
        target: likewise, `(k, d_Y)`.
        sizes: numbers of anchors; None halves all that are not held out, down to some twenty.
        method: "kernel", "whitened", "rigid", "pruned", or "auto", which takes as long as all of them together.
        head: of the target, to measure agreement: whatever `irp_hf.heads.open_head` opens.
        num_repeats: how many subsets of each size; where it takes all anchors there is one.
        held_out: the share of the pairs to test on.
        seed: of the split and of the subsets.
        progress: show a bar on standard error, or do not; by default on a terminal.

    Raises `AnchorMismatchError` where the anchors differ, `InputError` for options that do not exist or fit.
    """
    check_progress(progress)
    methods, given = methods_of(method), check_given("auto", seed=seed)
    labels = None if head is None else head_labels(head)
    num_repeats = check_count("num_repeats", num_repeats, 1, MOST_REPEATS)
    sides = parallel_anchors({"source": source, "target": target})
    anchors, held = hold_out(distinct_pairs(sides["source"], sides["target"]), held_out, given.seed)
    if len(anchors) < LEAST_ANCHORS:
        expected = f"a share that leaves at least {LEAST_ANCHORS} of {len(anchors) + len(held)} anchors"
        raise refusal("held_out", expected, f"{shown(held_out)}, which leaves {len(anchors)}", "Hold out fewer.")
    counts = budget_sizes(len(anchors)) if sizes is None else _checked(sizes, len(anchors))

    true = None if labels is None else labels(held.target)
    warn_of_labels(labels, held.target)
    orders = [anchors.permutation(given.seed + 1 + repeat) for repeat in range(num_repeats)]
    points = []
    repeats = [1 if count == len(anchors) else num_repeats for count in counts]
    with progress_bar("Fitting", progress, total=sum(repeats)) as bar:
        for count, fits in zip(counts, repeats, strict=True):
            rows = []
            for order in orders[:fits]:
                rows.append(_measured(anchors.take(order[:count]), held, methods, given, labels, true))
                bar.update()
            points.append(BudgetPoint(count, fits, *two_way_bootstrap(torch.stack(rows, 1), held.shared)))
    return AnchorBudget(method, len(held), anchors.source.shape[1], anchors.target.shape[1], tuple(points))


def budget_sizes(num_anchors: int) -> list[int]:
    """All anchors and ever again half of them, at most six sizes of twenty or more, ascending."""
    halved = [num_anchors // 2**step for step in range(MOST_SIZES)]
    return [size for size in halved[:0:-1] if size >= LEAST_FOR_CURVE] + halved[:1]


def _measured(
    few: Pairs, held: Pairs, methods: Sequence[str], given: Given, labels: Labels | None, true: Tensor | None
) -> Tensor:
    """Cosine, neighbours kept and, with a head, agreement with the `true` labels `(n,)` of every held-out pair, `(m, n)`."""
    vectors = select(few, methods, given=given)[0].translator(few)(held.source)
    rows = [cosines(vectors, held.target), neighbors_kept(vectors, held.target, groups=held.shared)]
    if labels is not None and true is not None:
        rows.append((labels(vectors) == true).to(held.target))
    return torch.stack(rows)


def _checked(sizes: Sequence[int], most: int) -> list[int]:
    """Ascending, each once."""
    listed = check_list("sizes", sizes, least=1, advice="Give a list of numbers of anchors, or leave sizes out.")
    advice = f"Give numbers up to {most}: so many anchors are different and not held out."
    return sorted({check_count("sizes", size, LEAST_ANCHORS, most, advice) for size in listed})


def _panel(axes: Axes, found: AnchorBudget) -> None:
    """Each measure with its band, named at its end; a dotted line where the cosine has enough."""
    title(axes, "How many anchors?", f"{found.method}, tested on {found.num_held_out:,} other pairs")
    sizes = [point.num_anchors for point in found.points]
    styles = {"cosine": ("o", "-"), "neighbors": ("s", "--"), "agreement": ("^", "-.")}
    for name in found.points[0].measures():
        measures = [point.measures()[name] for point in found.points]
        color, (marker, line) = COLORS.get(name, INK), styles[name]
        axes.fill_between(
            sizes, [m.low for m in measures], [m.high for m in measures], color=color, alpha=0.14, linewidth=0
        )
        axes.plot(
            sizes,
            [m.mean for m in measures],
            line,
            marker=marker,
            color=color,
            linewidth=2.2,
            label=among(name, found.num_held_out),
        )
    enough = found.enough()
    if enough is not None:
        axes.axvline(enough, color=MUTED, linewidth=1.4, linestyle=":", label=f"enough for the cosine: {enough:,}")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("number of anchors")
    axes.set_ylabel("mean and 95 % interval")
    axes.legend(frameon=False, fontsize=9.5, labelcolor=MUTED, loc="center left", bbox_to_anchor=(1, 0.5))
