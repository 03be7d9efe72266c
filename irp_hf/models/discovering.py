"""Adapters without any pair: rows of both sides are matched, and refused where nothing says that this is right."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from irp_hf.arithmetic import OUTSIDE, inside_func
from irp_hf.configuration_irp import IRPConfig
from irp_hf.data.arrays import Rows
from irp_hf.errors import DiscoveryError, refusal
from irp_hf.evaluation.printed import number
from irp_hf.maths.folds import FEW_FOLDS
from irp_hf.maths.metrics import Labels
from irp_hf.maths.pairs import Pairs, others
from irp_hf.maths.projection import unit_rows
from irp_hf.maths.request import check_given, check_objective, methods_of
from irp_hf.maths.selection import objective_score
from irp_hf.maths.unpaired.background import Background, distinct_from
from irp_hf.maths.unpaired.choosing import METHODS, Backed, Defaults
from irp_hf.maths.unpaired.csls import mutual
from irp_hf.maths.unpaired.discovery import AGREE, DIMENSIONS, Discovered, discover
from irp_hf.maths.unpaired.matching import Matcher
from irp_hf.maths.unpaired.pseudo_pairs import PseudoPairs
from irp_hf.maths.unpaired.side import Side, participation
from irp_hf.models.background import drawn, taken
from irp_hf.models.backing import check_options
from irp_hf.models.fitting import Fitted, finished, fixed_names, of_choice

LEAST_ROWS = 400  # of a side: of fewer no clusters are found again
LEAST_SPREAD = (
    6.0  # directions that rows must spread in: a few clusters fit each other in any order, and every start says so
)
LEAST_PAIRS = 30  # rows that are each other's best match
MOST_PAIRS = 1000  # of these that are kept as anchors, the surest
SETTINGS = Defaults(weight=1.0, ridge=0.3)  # what was found counts no more as a pair than as a pseudo-pair
ADVICE = (
    "Give more rows of the same domain on both sides, or some pairs: IRPAdapter.from_anchors(x, y, source_background=, "
    "target_background=) takes six or more."
)


class DiscoveredPairs(NamedTuple):
    """Rows of both sides that are each other's best match, the surest first."""

    source_rows: NDArray[np.int64]
    """Their numbers among the rows of the source, shape (k,)."""
    target_rows: NDArray[np.int64]
    """Those of the rows that match them."""
    sureness: NDArray[np.float64]
    """Their CSLS: twice their cosine, less the mean cosines of both with the ten rows of the other side that are nearest."""


def read_unpaired(source: Any, target: Any, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Of each side its different rows `(n, d)`, of many a sample, and their numbers; raises `InputError` for too few."""
    sides = []
    for rows, draw in zip((Rows(source, "source_rows"), Rows(target, "target_rows")), (seed, seed + 1), strict=True):
        numbers = drawn(rows.num_rows, draw)
        sample = taken(rows, numbers)
        kept = distinct_from(sample, sample[:0])
        if len(kept) < LEAST_ROWS:
            got = f"{len(kept):,} of {rows.num_rows:,} rows"
            raise refusal(rows.name, f"at least {LEAST_ROWS} different rows", got, "Give some thousand.")
        sides.append((sample[kept], numbers[kept.cpu()]))
    return sides


def fit_unpaired(
    source: tuple[Tensor, Tensor],
    target: tuple[Tensor, Tensor],
    method: str,
    objective: str,
    labels: Labels | None,
    options: Any,
) -> tuple[IRPConfig, dict[str, Tensor], Fitted, DiscoveredPairs]:
    """Configuration and tensors of the adapter between different rows `(n, d_X)` and `(m, d_Y)`, which have these numbers.

    Raises `DiscoveryError` where starts from different clusters do not agree, or cannot disagree, and `InputError` for
    options that do not fit.
    """
    if inside_func():
        raise refusal("fit", "a call outside of torch.func", "one inside of vmap, grad or the like", OUTSIDE)
    methods, given, goal = (
        methods_of(method),
        check_given(method, **options),
        check_objective(objective, labels is not None),
    )
    check_options(methods, given, "without pairs")
    everything = Background.of(source[0], target[0])
    _refuse_narrow(everything.source_rows, "source_rows")
    _refuse_narrow(everything.target_rows, "target_rows")
    sides = [Side.of(rows, DIMENSIONS) for rows in (everything.source_rows, everything.target_rows)]
    found = discover(sides[0], sides[1], given.seed)
    numbers, sure = _pairs_of(found, *sides)
    x, y = source[0][numbers[0]], target[0][numbers[1]]
    rest = everything.without(numbers[0])
    pairs = rest.behind(Pairs(x, y, torch.arange(len(x), device=x.device)))
    matcher = Matcher(Side(sides[0].axes, sides[0].low[others(numbers[0], len(source[0]))]), sides[1], None, given.seed)
    pseudo = PseudoPairs.of(matcher, found.rotation, rest.target_rows)
    folds = pairs.folds(FEW_FOLDS, given.seed)
    matched = [pseudo.target] * (len(folds) + 1)
    backed = Backed(pairs, rest, given, folds, matched, SETTINGS, few=True)
    score = objective_score(goal, pairs, labels, folds)
    choice = backed.choice(next(one for one in methods if one in METHODS), goal, score)

    config, tensors, expected = of_choice(choice, pairs)
    config.num_anchors, config.objective, config.seed, config.score = len(x), goal, given.seed, None
    config.given = fixed_names(options)
    config.method_given = True if method == choice.method else None
    config.discovered = {
        "agreement": found.agreement,
        "source": len(source[0]),
        "starts": found.starts,
        "target": len(target[0]),
    }
    tensors = {"source_anchors": x, "target_anchors": y, **tensors}
    rows = [side[1][which.cpu()].numpy() for side, which in zip((source, target), numbers, strict=True)]
    return *finished(config, tensors, [choice], expected, ()), DiscoveredPairs(
        rows[0], rows[1], sure.double().cpu().numpy()
    )


def _refuse_narrow(rows: Tensor, name: str) -> None:
    """Raise `DiscoveryError` for unit rows `(n, d)` that spread in so few directions that agreement of starts tells nothing."""
    spread = participation(rows)
    if spread < LEAST_SPREAD:
        expected = f"rows that spread in {LEAST_SPREAD:.0f} directions or more (participation ratio of their spectrum)"
        raise refusal(name, expected, f"{spread:.1f}", ADVICE, DiscoveryError)


def _pairs_of(found: Discovered, source: Side, target: Side) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """The numbers `(k,)` of rows of both sides that are each other's best match, and their CSLS `(k,)`."""
    if not found.is_sure:
        got = f"{number(found.agreement)} at most, of {found.starts} starts"
        expected = f"starts that agree which rows belong together, with a mean cosine of {number(AGREE)} or more"
        raise refusal("source_rows and target_rows", expected, got, ADVICE, DiscoveryError)
    rows, matches, sure = mutual(unit_rows(source.low @ found.rotation), target.low)
    # Half of the rows at most: the others are what the found ones are fitted with.
    best = sure.argsort(descending=True, stable=True)[: min(MOST_PAIRS, len(source.low) // 2)]
    if len(best) < LEAST_PAIRS:
        expected = f"at least {LEAST_PAIRS} rows that are each other's best match"
        raise refusal("source_rows and target_rows", expected, f"{len(best)}", ADVICE, DiscoveryError)
    return (rows[best], matches[best]), sure[best]
