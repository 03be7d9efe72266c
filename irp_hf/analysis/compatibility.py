"""Which of N spaces can be reached from which: every ordered pair, and the best source for each target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from irp_hf.analysis.inputs import check_enough, parallel_anchors
from irp_hf.arithmetic import own_arithmetic
from irp_hf.checks import check_choice, check_text
from irp_hf.data.memory import allocating
from irp_hf.data.progress import check_progress, progress_bar
from irp_hf.errors import kind_of, refusal
from irp_hf.evaluation.doubts import warn_of_labels
from irp_hf.evaluation.held_out import Evaluation, evaluate, other_folds
from irp_hf.evaluation.intervals import Measure
from irp_hf.evaluation.measures import among, told_by
from irp_hf.evaluation.plots import MUTED, draw, drawn, title
from irp_hf.evaluation.printed import Printed, Table, number
from irp_hf.heads.labels import head_labels
from irp_hf.maths.folds import NUM_FOLDS
from irp_hf.maths.pairs import distinct_pairs
from irp_hf.maths.request import OBJECTIVES, MethodOrAuto, check_given, methods_of
from irp_hf.maths.selection import select

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


PANEL, CELL = 2.6, 1.15  # inches: what is around the cells of a panel, and a cell's width
LONGEST = 12  # characters of a name that fit below a cell
MIDDLE = 0.5  # of the luminance: darker cells have white numbers


@dataclass(frozen=True)
class Connection:
    """One ordered pair of spaces."""

    source: str
    target: str
    evaluation: Evaluation
    """Of every anchor, translated by a fit on the other folds, among all anchors of the target."""


@dataclass(frozen=True)
class Compatibility(Printed):
    """What `compatibility` measured. It prints as tables; `plot()` draws heat maps."""

    method: str
    num_anchors: int
    names: tuple[str, ...]
    connections: tuple[Connection, ...]
    """Every ordered pair, by source, then by target."""

    def measures(self) -> list[str]:
        """What was measured of at least one pair, by name."""
        return [name for name in OBJECTIVES if any(name in c.evaluation.measures() for c in self.connections)]

    def get(self, source: str, target: str, measure: str = "cosine") -> Measure | None:
        """A measure of one ordered pair; None where it was not taken: of a space to itself, or without the target's head."""
        self._check(measure, source, target)
        for connection in self.connections:
            if (connection.source, connection.target) == (source, target):
                return connection.evaluation.measures().get(measure)
        return None

    def matrix(self, measure: str = "cosine") -> np.ndarray[Any, np.dtype[np.float64]]:
        """Means `(N, N)`, a row for each source and a column for each target, in the order of `names`.

        NaN where there is none, as on the diagonal. Raises `InputError` for a measure that was not taken.
        """
        cells = [[self.get(source, target, measure) for target in self.names] for source in self.names]
        return np.array([[np.nan if cell is None else cell.mean for cell in row] for row in cells])

    def best_source_for(self, target: str, measure: str = "cosine") -> str:
        """The space from which `target` is reached best.

        Raises `InputError` for a name that is no space, and for a measure that was not taken.
        """
        self._check(measure, target)
        means = {name: cell.mean for name in self.names if (cell := self.get(name, target, measure)) is not None}
        if not means:
            raise refusal(
                f"{measure} for {target!r}", "a head of that space", "none", "Give it to compatibility in heads=."
            )
        return max(means, key=means.__getitem__)

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw a heat map for each measure, the values written in; also into the file `path`.

        Raises `MissingDependencyError` without matplotlib.
        """
        panels = [partial(_heat_map, found=self, measure=measure) for measure in self.measures()]
        return draw(panels, path, what="a compatibility matrix", width=PANEL + CELL * len(self.names))

    def caption(self) -> str:
        """What was measured, and how."""
        few = told_by(self.num_anchors)
        return (
            f"{len(self.names)} spaces, {self.num_anchors:,} parallel anchors, {self.method}. Every anchor was translated by a "
            f"fit on {other_folds(self.num_anchors)}, from the space of its row to that of its column; ± is "
            f"half the 95 % interval.{few and f' {few}'}"
        )

    def tables(self) -> list[Table]:
        """A table for each measure: a row for each source, a column for each target."""
        return [[[among(measure, self.num_anchors), *self.names], *self._lines(measure)] for measure in self.measures()]

    def conclusions(self) -> list[str]:
        """The best source for each target, and the easiest and hardest pair."""
        cosines = {(c.source, c.target): c.evaluation.cosine.mean for c in self.connections}
        sources = {name: self.best_source_for(name) for name in self.names}
        best = ", ".join(f"{name} from {source} ({number(cosines[source, name])})" for name, source in sources.items())
        ranked = sorted(self.connections, key=lambda c: c.evaluation.cosine.mean)
        (worst, *_, top) = (f"{c.source} → {c.target} ({number(c.evaluation.cosine.mean)})" for c in ranked)
        return [f"Best reached by cosine: {best}.", f"The easiest translation is {top}, the hardest {worst}."]

    def _lines(self, measure: str) -> Table:
        def cell(source: str, target: str) -> str:
            value = self.get(source, target, measure)
            return "–" if value is None else str(value)

        return [[source, *(cell(source, target) for target in self.names)] for source in self.names]

    def _check(self, measure: str, *names: str) -> None:
        for name in names:
            check_choice("The space", name, self.names, "Name one of them.")
        advice = "Choose one of them; 'agreement' is measured where heads are given."
        check_choice("measure", measure, self.measures(), advice)


@own_arithmetic()
@allocating("compatibility", "Give fewer rows, or free some memory.")
def compatibility(
    spaces: Mapping[str, Any],
    *,
    method: MethodOrAuto = "kernel",
    heads: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Compatibility:
    """Connect every ordered pair of spaces: which encoder can feed which head or index?

    Args:
        spaces: two or more by name, each an `AnchoredSpace`, a folder or an id of one, or parallel anchors `(k, d)`.
        method: "kernel", "whitened", "rigid", "pruned", or "auto", which takes as long as all of them together.
        heads: of some or all spaces, by the same names, to measure agreement when that space is the target: whatever
            `irp_hf.heads.open_head` opens.
        seed: of the folds.
        progress: show a bar on standard error, or do not; by default on a terminal.

    Raises `AnchorMismatchError` where two spaces hold different anchors, `InputError` for options that do not exist or fit.
    """
    check_progress(progress)
    methods, given = methods_of(method), check_given("auto", seed=seed)
    if not isinstance(spaces, Mapping) or len(spaces) < 2:
        got = f"{len(spaces)}" if isinstance(spaces, Mapping) else kind_of(spaces)
        raise refusal("spaces", "two or more by name", got, "Give a dictionary from names to spaces.")
    for name in spaces:
        check_text("The name of a space", name, "Give it a name that can be printed.")
    if heads is not None and not isinstance(heads, Mapping):
        raise refusal("heads", "a dictionary from names of spaces to heads", kind_of(heads), "Give one.")
    for name in heads or {}:
        check_choice("The name of a head", name, spaces, "Name each head as its space.")
    labels = {name: head_labels(head) for name, head in (heads or {}).items()}
    anchors = parallel_anchors(spaces)
    for name, label in labels.items():
        warn_of_labels(label, anchors[name], f"anchors of {name!r}")  # a head that fails does so before the fits

    pairs = list(permutations(anchors, 2))
    connections = []
    for source, target in progress_bar("Connecting", progress, pairs):
        both = distinct_pairs(anchors[source], anchors[target])
        check_enough(both, f"Anchors of {source!r} and {target!r}")
        choice = select(both, methods, given=given)[0]
        folds = both.folds(NUM_FOLDS, seed)
        evaluation = evaluate(choice.fold_translated, both.target, labels.get(target), both.labels, folds)
        connections.append(Connection(source, target, evaluation))
    return Compatibility(method, len(anchors[source]), tuple(anchors), tuple(connections))


def _heat_map(axes: Axes, found: Compatibility, measure: str) -> None:
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    named = among(measure, found.num_anchors).capitalize()
    title(axes, named, f"{found.method}, {found.num_anchors:,} anchors, out of fold")
    means = found.matrix(measure)
    palette = colormaps["cividis"]
    image = axes.imshow(np.ma.masked_invalid(means), cmap=palette, aspect="auto")
    for (row, column), mean in np.ndenumerate(means):
        if np.isnan(mean):
            axes.text(column, row, "–", ha="center", va="center", color=MUTED)
            continue
        red, green, blue, _ = image.to_rgba(mean)
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < MIDDLE
        axes.text(
            column, row, number(mean), ha="center", va="center", color="white" if dark else "black", fontweight="bold"
        )
    names = [drawn(name) for name in found.names]
    axes.set_xticks(range(len(names)), names)
    if max(map(len, found.names)) > LONGEST:
        for label in axes.get_xticklabels():
            label.set(rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.05, pad=0.03)
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(5)
    axes.set_xlabel("to: space of the head or index")
    axes.set_ylabel("from: space of the encoder")
    axes.grid(visible=False)
