"""Stability of the paper's inverse over the pruning threshold δ and the number of anchor subspaces ω (arXiv 2406.15057,
figure 3): how near vectors come that were held out, and how well conditioned the anchors are that are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from irp_hf.analysis.anchors import hold_out, parallel_anchors
from irp_hf.analysis.printed import Printed, rounded, signed, sure
from irp_hf.errors import InputError
from irp_hf.evaluation import Measure, bootstrap
from irp_hf.fitting import distinct_pairs
from irp_hf.inverses.pruned import PrunedPath, condition_number, pseudo_inverse
from irp_hf.metrics import cosines
from irp_hf.options import check_given, check_method, check_several
from irp_hf.pairs import Pairs
from irp_hf.projection import denormalize, normalize
from irp_hf.selection import METHODS, select
from irp_hf.tables import MARK, Table
from irp_hf.tuning import THRESHOLDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUBSPACES = (1, 2, 4, 8, 16)
ROUNDING = 9  # decimals of a cosine: what comes after them is no difference


@dataclass(frozen=True)
class StabilityPoint:
    """The paper's inverse at one threshold and one number of subspaces."""

    pruning_threshold: float
    """δ."""
    num_subspaces: int
    """ω."""
    cosine: Measure
    """Of reconstructions of held-out pairs with the true vectors; the interval is over the pairs."""
    mean_condition: float
    """Condition number of the anchor subspaces, their mean."""
    largest_condition: float
    """The same, their largest."""
    anchors_kept: float
    """Anchors in a subspace, the mean."""

    def options(self) -> dict[str, Any]:
        """What to pass on: `IRPAdapter.connect(source, target, **point.options())`."""
        return {
            "method": "pruned",
            "num_subspaces": self.num_subspaces,
            "pruning_threshold": self.pruning_threshold,
        }


@dataclass(frozen=True)
class Stability(Printed):
    """What `stability` measured. It prints as a table; `plot()` draws it."""

    num_anchors: int
    num_held_out: int
    source_width: int
    target_width: int
    within: bool
    """Whether source and target are one space."""
    points: tuple[StabilityPoint, ...]
    """By rising δ, then by rising ω."""
    references: dict[str, Measure]
    """Cosine of the other inverses on the same pairs, tuned on the same anchors."""
    pruning_gain: Measure
    """Cosine of the best point less that at the least δ and the same ω, pair by pair."""
    subspaces_gain: Measure
    """Cosine of the best point less that at the fewest subspaces and the same δ, pair by pair."""

    @property
    def best(self) -> StabilityPoint:
        """The point of highest cosine; where several share it, the least δ and ω.

        It was found on the pairs that measure it, so its cosine is slightly too good.
        """
        return self.points[_best(self.points)]

    @property
    def thresholds(self) -> list[float]:
        """Every δ, rising."""
        return sorted({point.pruning_threshold for point in self.points})

    def over_subspaces(self, pruning_threshold: float) -> list[StabilityPoint]:
        """The points of one δ, by rising ω."""
        return [point for point in self.points if point.pruning_threshold == pruning_threshold]

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw cosine over ω, condition number over δ and anchors kept over δ; also into the file `path`.

        Raises `MissingDependencyError` without matplotlib.
        """
        from irp_hf.analysis.stability_plot import plot_stability

        return plot_stability(self, path)

    def caption(self) -> str:
        """What was measured, and how."""
        where = "Within one space" if self.within else "Between two spaces"
        widths = f"{self.target_width}" if self.within else f"{self.source_width} → {self.target_width}"
        return (
            f"{where}, {widths} wide: the paper's inverse from {self.num_anchors:,} anchors, and its cosine with the true "
            f"vectors of {self.num_held_out:,} pairs that were held out. ± is half the 95 % interval. Anchors kept and "
            "condition number are those of the most subspaces."
        )

    def tables(self) -> list[Table]:
        """A line for each δ, a column for each ω."""
        best = self.best
        counts = [point.num_subspaces for point in self.over_subspaces(best.pruning_threshold)]
        lines = []
        for threshold in self.thresholds:
            row = self.over_subspaces(threshold)
            mark = MARK if threshold == best.pruning_threshold else ""
            condition = [rounded(row[-1].mean_condition), rounded(row[-1].largest_condition)]
            cosines = [str(point.cosine) for point in row]
            lines.append([f"{mark}{threshold:g}", f"{row[-1].anchors_kept:,.0f}", *condition, *cosines])
        return [[["δ", "kept", "condition", "largest", *(f"ω = {count}" for count in counts)], *lines]]

    def conclusions(self) -> list[str]:
        """What to pass to `connect`, what pruning and subspaces brought, and whether another inverse does better."""
        best = self.best
        options = f"num_subspaces={best.num_subspaces}, pruning_threshold={best.pruning_threshold:g}"
        said = [
            f'Best: cosine {best.cosine}. Pass method="pruned", {options} to IRPAdapter.connect.',
            self._pruning(),
            self._subspaces(),
        ]
        if self.references:
            others = ", ".join(f"{name} {measure}" for name, measure in self.references.items())
            name, top = max(self.references.items(), key=lambda item: item[1].mean)
            apart = top.low > best.cosine.high or top.high < best.cosine.low
            better = f'method="{name}"' if top.mean > best.cosine.mean else "the paper's inverse"
            follows = f"{better} does better here" if apart else "no sure difference to the paper's inverse"
            said.append(f"On the same pairs: {others}; {follows}.")
        return said

    def _pruning(self) -> str:
        best, least = self.best, self.thresholds[0]
        plain = next(p for p in self.over_subspaces(least) if p.num_subspaces == best.num_subspaces)
        without = (
            f"At δ = {least:g} the condition number is {rounded(plain.mean_condition)} and the cosine {plain.cosine}"
        )
        if best.pruning_threshold == least:
            return f"{without}: no pruning tried here does better."
        gain = f"at δ = {best.pruning_threshold:g} they are {rounded(best.mean_condition)} and {best.cosine}"
        verdict = "pruning pays" if sure(self.pruning_gain) else "pruning makes no sure difference"
        return f"{without}; {gain}, {signed(self.pruning_gain)} pair by pair: {verdict}."

    def _subspaces(self) -> str:
        row = self.over_subspaces(self.best.pruning_threshold)
        fewest, gain = row[0].num_subspaces, self.subspaces_gain
        if self.best.num_subspaces == fewest:
            return f"More subspaces than {fewest} bring nothing at that δ."
        verdict = "more subspaces pay" if sure(gain) else "more subspaces make no sure difference"
        said = f"From {fewest} to {self.best.num_subspaces} subspaces: {signed(gain)} pair by pair: {verdict}."
        last = self.best.num_subspaces == row[-1].num_subspaces
        return f"{said} The best has the most that were tried: try more." if last else said


def stability(
    source: Any,
    target: Any = None,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    subspaces: Sequence[int] = SUBSPACES,
    held_out: float = 0.2,
    against: Sequence[str] = ("kernel", "whitened"),
    seed: int = 0,
    progress: bool = True,
) -> Stability:
    """Sweep the paper's inverse over δ and ω: which threshold, how many subspaces, and does pruning matter here?

    Args:
        source: an `AnchoredSpace`, a folder or an id of one, or parallel anchors `(k, d_X)`.
        target: likewise, `(k, d_Y)`; None reconstructs the source within its own space.
        thresholds: every δ in [0, 1]; 0 keeps all anchors, and then one subspace says it all.
        subspaces: every ω of at least 1.
        held_out: the share of the pairs that is reconstructed and not an anchor.
        against: the other inverses to tune on the same anchors, "kernel" and "whitened"; empty for none.
        seed: of the split and of the subspaces' starts.
        progress: whether to show a bar on standard error.

    Raises `AnchorMismatchError` where the anchors differ, `InputError` for options that do not exist or fit.
    """
    deltas, omegas = _grid(thresholds, subspaces)
    methods = [check_method(name, METHODS)[0] for name in check_several("against", against)]
    given = check_given("auto", seed=seed)
    sides = list(
        parallel_anchors({"source": source} if target is None else {"source": source, "target": target}).values()
    )
    anchors, held = hold_out(distinct_pairs(sides[0], sides[-1]), held_out, given.seed)

    with tqdm(total=len(deltas) + len(methods), desc="Pruning", leave=False, disable=None if progress else True) as bar:
        measured = []
        for row in _sweep(anchors, held, deltas, omegas, given.seed):
            measured += row
            bar.update()
        references = {}
        for method in methods:
            (choice,) = select(anchors, (method,), given=given)
            references[str(method)] = bootstrap(cosines(choice.translator(anchors)(held.source), held.target)[None])[0]
            bar.update()

    points, rows = zip(*measured, strict=True)
    similar, best = torch.stack(rows), _best(points)
    least, fewest = best % len(omegas), best - best % len(omegas)  # points come by δ, then by ω
    gains = bootstrap(similar[best] - similar[[least, fewest]])
    return Stability(
        num_anchors=len(anchors),
        num_held_out=len(held),
        source_width=anchors.source.shape[1],
        target_width=anchors.target.shape[1],
        within=len(sides) == 1 or source is target,
        points=points,
        references=references,
        pruning_gain=gains[0],
        subspaces_gain=gains[1],
    )


def _sweep(
    anchors: Pairs, held: Pairs, thresholds: Sequence[float], subspaces: Sequence[int], seed: int
) -> Iterator[list[tuple[StabilityPoint, Tensor]]]:
    """For each δ its points, each with the cosines `(n,)` behind it. One walk per subspace serves all."""
    coordinates = normalize(held.source, anchors.source_stats) @ anchors.source_rows.T
    path = PrunedPath(anchors.target_rows, max(subspaces), seed, until=min(filter(None, thresholds), default=1.0))
    for threshold in thresholds:
        prunings = path.subspaces(threshold)
        kept = [anchors.target_rows[rows] for rows in prunings]
        conditions = [condition_number(subspace) for subspace in kept]
        parts = [coordinates[:, rows] @ pseudo_inverse(subspace) for rows, subspace in zip(prunings, kept, strict=True)]
        measured = []
        for count in subspaces:
            some = slice(min(count, len(parts)))  # δ = 0 has one subspace, whatever ω is
            reconstructed = denormalize(torch.stack(parts[some]).mean(0), anchors.target_stats)
            similar = cosines(reconstructed, held.target)
            point = StabilityPoint(
                pruning_threshold=threshold,
                num_subspaces=count,
                cosine=bootstrap(similar[None])[0],
                mean_condition=_mean(conditions[some]),
                largest_condition=max(conditions[some]),
                anchors_kept=_mean([len(subspace) for subspace in kept[some]]),
            )
            measured.append((point, similar))
        yield measured


def _grid(thresholds: Sequence[float], subspaces: Sequence[int]) -> tuple[list[float], list[int]]:
    """Both axes, rising and each value once, checked as `connect` checks them."""
    thresholds, subspaces = check_several("thresholds", thresholds), check_several("subspaces", subspaces)
    if not len(thresholds) or not len(subspaces):
        raise InputError(
            f"There are {len(thresholds)} thresholds and {len(subspaces)} numbers of subspaces; at least one of each is "
            "wanted. Leave them out for the defaults."
        )
    deltas = {check_given("pruned", pruning_threshold=threshold).pruning_threshold or 0.0 for threshold in thresholds}
    omegas = {check_given("pruned", num_subspaces=count).num_subspaces or 1 for count in subspaces}
    return sorted(deltas), sorted(omegas)


def _best(points: Sequence[StabilityPoint]) -> int:
    return max(range(len(points)), key=lambda index: round(points[index].cosine.mean, ROUNDING))  # the first of equals


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
