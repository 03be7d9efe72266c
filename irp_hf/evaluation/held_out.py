"""How good translations are on pairs that were held out, and how many pairs they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from irp_hf.arithmetic import own_arithmetic
from irp_hf.data.arrays import as_matrix, check_same_rows
from irp_hf.data.memory import allocating
from irp_hf.errors import refusal
from irp_hf.evaluation.costs import Cost, inverse_cost
from irp_hf.evaluation.from_dict import Check, at_least, within
from irp_hf.evaluation.intervals import Measure, Measured, bootstrap, share
from irp_hf.evaluation.measures import FEW, MEASURES, among, told_by
from irp_hf.evaluation.printed import wrapped
from irp_hf.maths.confidence import calibrate, error_at
from irp_hf.maths.folds import NUM_FOLDS
from irp_hf.maths.groups import row_labels
from irp_hf.maths.inverses import describe
from irp_hf.maths.inverses.base import Translator
from irp_hf.maths.metrics import NEIGHBORS, Labels, cosines, depth_among, neighbors_kept, reciprocal_ranks
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.request import GENERAL
from irp_hf.maths.selection import Choice
from irp_hf.maths.translation import Translation

NUM_BINS = 10
COVERAGE = 0.9  # of the lower bounds that reports check
CURVE_FOLDS = 5  # one of them is held out from the learning curve, whose last point is all others
PARTS = (16, 8, 4, 2)  # of the anchors: its other points
LEAST_FOR_CURVE = 20  # anchors that are worth a point in the learning curve


@dataclass(frozen=True)
class Evaluation(Measured):
    """How near `num_rows` translated vectors come to the true ones."""

    cosine: Measure
    """Cosine with the true vector."""
    neighbors: Measure
    """Share of the true vector's own nearest neighbours by cosine that the translated one has too."""
    mrr: Measure | None
    """One over the rank of the true vector among `mrr_among` true ones; None where folds hold no two items."""
    num_rows: int
    agreement: Measure | None = None
    """Share of rows whose label by the head stays the same; None without a head."""
    coverage: Measure | None = None
    """Share of rows whose cosine is not below the lower bound at `COVERAGE`; None where no bound is known."""
    mrr_among: int | None = None
    """How many rows MRR searches, where that are fewer than all: those of a fold, the median; None where it searches all."""
    recall: Measure | None = None
    """Share of those neighbours that are among the first `depth` found, the candidates; None where nobody asked for it."""
    depth: int | None = None

    def checks(self) -> list[Check]:
        """Whether what was read can be true."""
        searched = self.num_rows if self.mrr_among is None else self.mrr_among
        expected = f"from 1 to {self.num_rows}, the rows"
        return [
            at_least("num_rows", self.num_rows, 1),
            (1 <= searched <= self.num_rows, "mrr_among", expected, searched),
            at_least("depth", self.depth, 1),
            ((self.recall is None) == (self.depth is None), "depth", "one where there is a recall", self.depth),
            *self.checks_of_measures(),
        ]

    def measures(self) -> dict[str, Measure]:
        """The measures that were taken, by name, in the order of `MEASURES`."""
        found = super().measures()
        return {name: found[name] for name in MEASURES if name in found}

    def title(self, name: str) -> str:
        """What a measure is called, with the number of rows searched where there is a search: `MRR among 100`."""
        return among(name, self.mrr_among if name == "mrr" and self.mrr_among else self.num_rows, depth=self.depth)

    def __str__(self) -> str:
        """One measure a line."""
        names = {name: self.title(name) for name in self.measures()}
        lines = [f"{names[name]:<{max(map(len, names.values()))}} {value}" for name, value in self.measures().items()]
        few = told_by(self.num_rows)
        return "\n".join(
            [*lines, f"{self.num_rows:,} rows, ± half the 95 % interval", *([wrapped(few)] if few else [])]
        )


@dataclass(frozen=True)
class Reliability:
    """Expected cosines against the ones that came true, row by row."""

    expected: tuple[float, ...]
    true: tuple[float, ...]
    coverage: Measure | None = None
    """How often lower bounds at `COVERAGE` held on the fold that the learning curve holds out; None of too few anchors."""
    groups: tuple[int, ...] | None = None
    """The number of every row's group, where rows share an item: such are no further evidence; None where none do."""

    def checks(self) -> list[Check]:
        """Whether what was read can be true."""
        counts = [len(self.expected), len(self.true), len(self.true if self.groups is None else self.groups)]
        held = [] if self.coverage is None else [self.coverage.low, self.coverage.high]
        return [
            (0 < counts[0] == counts[1], "true", "as many as expected cosines, and one at least", counts[:2]),
            (counts[1] == counts[2], "groups", "as many as cosines", counts[1:]),
            *(within(name, value, -1, 1) for name in ("expected", "true") for value in getattr(self, name)),
            *(within("coverage", bound, 0, 1) for bound in held),
        ]

    @own_arithmetic()
    def bins(self) -> list[tuple[float, Measure]]:
        """Mean expected and true cosine of rows in the order of what was expected, equally many in each bin.

        Rows of one group are drawn together for the intervals.
        """
        expected, true = torch.tensor([self.expected, self.true], dtype=torch.float64, device="cpu")
        groups = None if self.groups is None else torch.tensor(self.groups, dtype=torch.int64, device="cpu")
        bins = expected.argsort(stable=True).tensor_split(min(NUM_BINS, len(expected)))
        return [
            (
                float(expected[rows].mean()),
                bootstrap(true[rows][None], None if groups is None else groups[rows])[0],
            )
            for rows in bins
        ]

    @own_arithmetic()
    def rank_correlation(self) -> float | None:
        """Spearman's ρ; 0 where either side is constant, None of rows so few that it may be anything."""
        if len(self.true if self.groups is None else set(self.groups)) < FEW:
            return None
        sides = (torch.tensor(side, dtype=torch.float64, device="cpu") for side in (self.expected, self.true))
        ranks = torch.stack(list(map(_ranks, sides)))
        centred = ranks - ranks.mean(1, keepdim=True)
        norms = torch.linalg.vector_norm(centred, dim=1)
        return float(centred[0] @ centred[1] / norms.prod()) if norms.all() else 0.0


@dataclass(frozen=True)
class CurvePoint:
    """A method fitted on so many anchors and evaluated on others, the same for the whole curve."""

    num_anchors: int
    evaluation: Evaluation

    def checks(self) -> list[Check]:
        """Whether what was read can be true."""
        return [at_least("num_anchors", self.num_anchors, 1)]


@dataclass(frozen=True)
class Row:
    """One method, at the settings that the anchors chose for it."""

    method: str
    settings: str
    """Hyper-parameters as text, `gamma=2, ridge=0.003, restoration=0.5`."""
    evaluation: Evaluation
    """Of every anchor, translated by a fit on the other folds; neighbours among all anchors, MRR among those of its fold."""
    cost: Cost


@own_arithmetic()
@allocating("evaluate", "Give fewer pairs.")
def evaluate(
    translated: Any,
    true: Any,
    labels: Labels | None = None,
    groups: Tensor | None = None,
    folds: Sequence[Tensor] | None = None,
    depth: int | None = None,
) -> Evaluation:
    """Compare `translated (n, d)` with `true (n, d)`, arrays of any kind, row by row; `true` is the corpus to search.

    `labels` maps target vectors `(n, d)` to the labels `(n,)` that the head gives them. Rows of one of the `groups (n,)`,
    copies of one item, are neither neighbours nor rivals of each other, and are drawn together for the intervals; by default
    those of one true vector. `folds` are row numbers: each fold was translated by a fit on all others. A fit draws
    translations to the rows that it had, by as much as its method bends, and MRR would order methods by that; so it searches
    each fold by itself. With a `depth` there is a recall, too: the share of a vector's ten nearest neighbours that are
    among the first so many found, the candidates of a second stage that compares true vectors. Raises `InputError` for what
    is no matrix of numbers, for unequal shapes, for fewer than two rows and for a depth of fewer than ten.
    """
    if depth is not None:
        depth = int(GENERAL["depth"].check(depth))
    translated = translated if isinstance(translated, Tensor) else as_matrix(translated, "translated")
    true = true if isinstance(true, Tensor) else as_matrix(true, "true")
    advice = "Pass the true vector of every translated one, in the same order."
    check_same_rows("Translated and true vectors", translated, true, advice)
    if translated.shape != true.shape:
        raise refusal("The width of translated vectors", f"{true.shape[1]}", f"{translated.shape[1]}", advice)
    translated, true = translated.double(), true.double()
    groups = row_labels(true) if groups is None else groups
    shared = groups if 1 < len(groups.unique()) < len(groups) else None
    kept = neighbors_kept(translated, true, groups=shared)
    pools = folds or [torch.arange(len(true), dtype=torch.int64, device=true.device)]
    told = all(len(groups[pool].unique()) > 1 for pool in pools)  # alone, each row would be found first
    ranks = _searched(translated, true, shared, pools) if told else torch.zeros_like(kept)
    measured = [cosines(translated, true), kept, ranks]
    if depth is not None:
        depth = min(depth, max(NEIGHBORS, len(true) - 2))
        measured.append(neighbors_kept(translated, true, groups=shared, depth=depth))
    cosine, neighbors, mrr, *recall = bootstrap(torch.stack(measured), shared)
    agreement = None if labels is None else share(labels(translated) == labels(true), groups)
    most = None if folds is None else sorted(map(len, folds))[len(folds) // 2]
    return Evaluation(
        cosine,
        neighbors,
        mrr if told else None,
        len(true),
        agreement,
        mrr_among=most,
        recall=recall[0] if recall else None,
        depth=depth,
    )


def inverse_rows(
    pairs: Pairs, choices: Iterable[Choice], labels: Labels | None, seed: int, depth: int | None = None
) -> Iterator[Row]:
    """Each choice over the folds that all methods share; with a recall where there is a `depth`."""
    folds = pairs.folds(NUM_FOLDS, seed)
    for choice in choices:
        inverse = choice.inverse
        yield Row(
            method=inverse.title,
            settings=describe(inverse, choice.restoration, choice.rigid),
            evaluation=evaluate(choice.fold_translated, pairs.target, labels, pairs.labels, folds, depth),
            cost=inverse_cost(choice.fold(pairs), pairs, inverse.lift),
        )


def _searched(translated: Tensor, true: Tensor, groups: Tensor | None, pools: Sequence[Tensor]) -> Tensor:
    """Reciprocal ranks `(n,)` of rows that search their own pool alone, each of the `pools` by its row numbers."""
    ranks = torch.empty_like(true[:, 0])
    for pool in pools:
        own = None if groups is None else groups[pool]
        ranks[pool] = reciprocal_ranks(translated[pool], true[pool], own)
    return ranks


def out_of_fold(pairs: Pairs, fit: Callable[[Tensor, Tensor], Translator], folds: Sequence[Tensor]) -> Tensor:
    """Translations `(k, d_Y)` of every pair by a fit on the other `folds`."""
    translated = torch.empty_like(pairs.target)
    for fold in folds:
        others = pairs.without(fold)
        translated[fold] = fit(others.source, others.target)(pairs.source[fold])
    return translated


def other_folds(num_groups: int, num_folds: int = NUM_FOLDS) -> str:
    """What a fit without one of `num_folds` was made on, in words, where so many groups of rows can be held out."""
    count = min(num_folds, num_groups)  # no fold is empty
    return "the other of 2 folds" if count == 2 else f"the other {count - 1} of {count} folds"


def curve_sizes(num_pairs: int) -> list[int]:
    """Numbers of anchors at which the learning curve is measured, ascending."""
    most = num_pairs - num_pairs // CURVE_FOLDS
    return [size for size in (*(num_pairs // part for part in PARTS), most) if size >= LEAST_FOR_CURVE]


def learning_curve(
    pairs: Pairs, fit: Callable[[Pairs], Translator], labels: Labels | None, seed: int, depth: int | None = None
) -> Iterator[CurvePoint]:
    """Fit on ever more of the pairs and evaluate on one fold that none of them is in; a fold of one row gives no curve.

    With a recall where there is a `depth`, as far as the fold allows it.
    """
    *rest, held = pairs.folds(CURVE_FOLDS, seed)
    if len(held) < 2:
        return
    depth = None if depth is None else depth_among(depth, len(held))
    train = torch.cat(rest)
    if pairs.copies:  # folds are sorted by their groups then
        order = pairs.permutation(seed)
        train = order[~torch.isin(order, held)]
    # Where the smallest fold is large, fewer than four of five are left.
    for size in sorted({min(size, len(train)) for size in curve_sizes(len(pairs))}):
        few = train[:size]
        translate = fit(pairs.take(few))
        translated = translate(pairs.source[held])
        evaluation = evaluate(translated, pairs.target[held], labels, pairs.labels[held], depth=depth)
        yield CurvePoint(len(few), evaluation)


def bound_coverage(choice: Choice, train: Pairs, pairs: Pairs, seed: int) -> Measure | None:
    """How often lower bounds at `COVERAGE` hold on the fold that the learning curve holds out; None of too few anchors.

    `choice` was made on `train`, the other folds of `pairs`, and so are its confidence and its errors.
    """
    held = pairs.folds(CURVE_FOLDS, seed)[-1]
    confidence, _ = calibrate(choice, train)
    error = None if confidence.errors is None else error_at(confidence.errors, COVERAGE)
    if error is None:
        return None
    lift = choice.inverse.lift * train.source_stats.scale if choice.inverse.lift else None
    translation = Translation(choice.fold(train), confidence, train.source_stats.mean, lift, choice.target_stats(train))
    source, target = pairs.source[held], pairs.target[held]
    holds = cosines(translation.translate(source), target) >= translation.expected_cosine(source, error=error)
    return share(holds, pairs.labels[held])


def _ranks(values: Tensor) -> Tensor:
    """Ranks `(n,)` of `values (n,)`; equal values share their mean rank."""
    _, group, count = values.unique(return_inverse=True, return_counts=True)
    last = count.cumsum(0).double()
    ranks: Tensor = (last - (count - 1) / 2)[group]
    return ranks
