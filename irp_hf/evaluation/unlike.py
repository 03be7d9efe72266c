"""What is kept of inputs unlike the anchors: clusters of these, each left out whole and translated by fits on the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from irp_hf.baselines.registry import Fit
from irp_hf.evaluation.comparison import checked_fit
from irp_hf.evaluation.from_dict import Check
from irp_hf.evaluation.held_out import Evaluation, Row, evaluate, out_of_fold
from irp_hf.evaluation.measures import MEASURES
from irp_hf.evaluation.printed import MARK, Table, number
from irp_hf.maths.elsewhere import left_out
from irp_hf.maths.metrics import Labels
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.selection import Choice


@dataclass(frozen=True)
class Kept:
    """What one method keeps of clusters that it was not fitted on."""

    method: str
    evaluation: Evaluation
    """Of every anchor; neighbours among all anchors, MRR among those of its cluster."""


@dataclass(frozen=True)
class Unlike:
    """What each method keeps of anchors unlike those that it was fitted on, at the settings that all anchors chose."""

    sizes: tuple[int, ...]
    """Of the clusters, the largest first: so many anchors were left out together."""
    rows: tuple[Kept, ...]

    def checks(self) -> list[Check]:
        """Whether what was read can be true."""
        counted = [row.evaluation.num_rows for row in self.rows]
        falling = sorted(self.sizes, reverse=True)
        return [
            (len(self.sizes) > 1 and falling[-1] > 0, "sizes", "those of 2 clusters or more", list(self.sizes)),
            (list(self.sizes) == falling, "sizes", "falling numbers of anchors", list(self.sizes)),
            ({*counted} == {sum(self.sizes)}, "rows", f"figures of {sum(self.sizes)} anchors", counted),
        ]

    def words(self, chosen: Row, objective: str) -> str:
        """What the table shows, what inputs unlike the anchors cost, and what would be better for them."""
        own = next(row for row in self.rows if row.method == chosen.method).evaluation.measures()
        usual = chosen.evaluation.measures()
        name = objective if objective in own else "cosine"
        title = chosen.evaluation.title(name) if name == "recall" else MEASURES[name].title
        text = (
            f"Inputs unlike the anchors: the {len(self.sizes)} clusters of the anchors by their sources, {self.sizes[-1]:,} to "
            f"{self.sizes[0]:,} of them, each left out whole and translated by fits on the others, at the settings above; MRR "
            f"among those of one cluster. {chosen.method} has {title} {number(own[name].mean)} there, "
            f"{number(usual[name].mean)} where like ones are among the anchors. Another domain may cost more than that."
        )
        best = max(self.rows, key=lambda row: row.evaluation.measures()[name].mean)
        if best.evaluation.measures()[name].low > own[name].high:
            text += f" {best.method} keeps more there, {number(best.evaluation.measures()[name].mean)}, beyond the intervals."
        return text

    def table(self, chosen: str) -> Table:
        """A line for each method."""
        names = [name for name in MEASURES if name in self.rows[0].evaluation.measures()]
        lines = []
        for row in self.rows:
            measures = row.evaluation.measures()
            mark = MARK if row.method == chosen else ""
            lines.append([mark + row.method, *(str(measures[name]) for name in names)])
        return [["method", *map(self.rows[0].evaluation.title, names)], *lines]


def unlike_rows(
    pairs: Pairs,
    clusters: Sequence[Tensor],
    choices: Sequence[Choice],
    fits: Mapping[str, Fit],
    labels: Labels | None,
    depth: int | None = None,
) -> Iterator[Kept]:
    """Each choice and each baseline over the `clusters`, row numbers of `pairs`; with a recall where there is a `depth`."""

    def kept(method: str, translated: Tensor) -> Kept:
        return Kept(method, evaluate(translated, pairs.target, labels, pairs.labels, clusters, depth))

    for choice in choices:
        yield kept(choice.inverse.title, left_out(choice, pairs, clusters))
    for name, fit in fits.items():
        yield kept(name, out_of_fold(pairs, checked_fit(name, fit), clusters))
