"""Adapters without any pair: rows of both sides are matched, and refused where nothing says that this is right."""

from __future__ import annotations

from collections.abc import Sequence
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
from irp_hf.maths.metrics import Labels
from irp_hf.maths.request import check_given, check_objective, methods_of
from irp_hf.maths.unpaired.apart import Apart, Matches
from irp_hf.maths.unpaired.background import distinct_from
from irp_hf.maths.unpaired.discovery import AGREE, Discovered
from irp_hf.models.background import Unpaired, drawn, taken
from irp_hf.models.backing import check_options
from irp_hf.models.fitting import Fitted, finished, fixed_names, of_choice

LEAST_ROWS = 400  # of a side: of fewer no clusters are found again
LEAST_SPREAD = (
    6.0  # directions that rows must spread in: a few clusters fit each other in any order, and every start says so
)
MORE = "Give some thousand."
LEAST_PAIRS = 30  # rows that are each other's best match
ADVICE = (
    "Give more rows of the same domain on both sides, or some pairs: IRPAdapter.from_anchors(x, y, source_background=, "
    "target_background=) takes six or more, and so does connect of spaces that share them and have backgrounds."
)


class DiscoveredPairs(NamedTuple):
    """Rows of both sides that are each other's best match, the surest first."""

    source_rows: NDArray[np.int64]
    """Their numbers among the rows of the source, shape (k,)."""
    target_rows: NDArray[np.int64]
    """Those of the rows that match them."""
    sureness: NDArray[np.float64]
    """Their CSLS: twice their cosine, less the mean cosines of both with the ten rows of the other side that are nearest."""

    @classmethod
    def of(cls, rows: Tensor, sureness: Tensor) -> DiscoveredPairs:
        """Of what an adapter keeps: `rows (k, 2)`, those of the source and of the target, and `sureness (k,)`."""
        source, target = rows.cpu().numpy().copy().T
        return cls(source, target, sureness.cpu().double().numpy())

    @staticmethod
    def shapes(count: int | None) -> dict[str, tuple[int, ...]]:
        """The names and shapes of what an adapter keeps of so many, or of none."""
        return {"discovered_rows": (count, 2), "discovered_sureness": (count,)} if count else {}


def read_unpaired(
    rows: Sequence[Any], names: Sequence[str], seed: int, more: Sequence[str] = (MORE, MORE)
) -> list[Unpaired]:
    """Of each side its different rows, of many a sample, on the device of the first; raises `InputError` for too few.

    Errors call the sides by these names, and tell how to get `more` rows of each.
    """
    source = Rows(rows[0], names[0])
    both = source, Rows(rows[1], names[1], device=source.device)
    sides = []
    for side, draw, advice in zip(both, (seed, seed + 1), more, strict=True):
        numbers = drawn(side.num_rows, draw)
        sample = taken(side, numbers)
        kept = distinct_from(sample, sample[:0])
        if len(kept) < LEAST_ROWS:
            got = f"{len(kept):,} of {side.num_rows:,} rows"
            raise refusal(side.name, f"at least {LEAST_ROWS} different rows", got, advice)
        sides.append(Unpaired(sample[kept], numbers[kept.cpu()]))
    return sides


def fit_unpaired(
    sides: Sequence[Unpaired],
    names: Sequence[str],
    method: str,
    objective: str,
    labels: Labels | None,
    options: Any,
) -> tuple[IRPConfig, dict[str, Tensor], Fitted]:
    """Configuration and tensors of the adapter between two sides of different rows `(n, d_X)` and `(m, d_Y)`.

    Raises `DiscoveryError`, which calls the sides by these names, where starts from different clusters do not agree, or cannot
    disagree, and `InputError` for options that do not fit.
    """
    if inside_func():
        raise refusal("fit", "a call outside of torch.func", "one inside of vmap, grad or the like", OUTSIDE)
    methods, given, goal = (
        methods_of(method),
        check_given(method, **options),
        check_objective(objective, labels is not None, options.get("depth")),
    )
    check_options(methods, given, "without pairs")
    source, target = sides
    apart = Apart.of(source.rows, target.rows, given.seed)
    for name, side in zip(names, apart.sides, strict=True):
        _refuse_narrow(side.spread, name)
    found = apart.discovered()
    _refuse_unsure(found, names)
    matches = apart.matches(found.rotation)
    _refuse_few(len(matches.sure), names)
    choice, pairs = apart.choice(found.rotation, matches, methods, goal, given, labels)

    config, tensors, expected = of_choice(choice, pairs)
    config.num_anchors, config.objective, config.seed, config.score = len(matches.sure), goal, given.seed, None
    config.depth = given.depth if goal == "recall" else None
    config.given = fixed_names(options)
    config.method_given = True if method == choice.method else None
    config.discovered = {
        "agreement": found.agreement,
        "pairs": len(matches.sure),
        "source": len(source.rows),
        "starts": found.starts,
        "target": len(target.rows),
    }
    anchors = {"source_anchors": pairs.source, "target_anchors": pairs.target}
    return finished(config, {**anchors, **_kept(matches, sides), **tensors}, [choice], expected, ())


def _kept(matches: Matches, sides: Sequence[Unpaired]) -> dict[str, Tensor]:
    """What an adapter keeps of the matches: their numbers among the rows that were given, and how sure they are."""
    rows = (matches.source, matches.target)
    numbers = [side.numbers[which.cpu()] for side, which in zip(sides, rows, strict=True)]
    return {
        "discovered_rows": torch.stack(numbers, 1).to(matches.sure.device),
        "discovered_sureness": matches.sure,
    }


def _refuse_narrow(spread: float, name: str) -> None:
    """Raise `DiscoveryError` for rows that spread in so few directions that agreement of starts tells nothing."""
    if spread < LEAST_SPREAD:
        expected = f"rows that spread in {LEAST_SPREAD:.0f} directions or more (participation ratio of their spectrum)"
        raise refusal(name, expected, f"{spread:.1f}", ADVICE, DiscoveryError)


def _refuse_unsure(found: Discovered, names: Sequence[str]) -> None:
    if not found.is_sure:
        got = f"{number(found.agreement)} at most, of {found.starts} starts"
        expected = f"starts that agree which rows belong together, with a mean cosine of {number(AGREE)} or more"
        raise refusal(" and ".join(names), expected, got, ADVICE, DiscoveryError)


def _refuse_few(count: int, names: Sequence[str]) -> None:
    if count < LEAST_PAIRS:
        expected = f"at least {LEAST_PAIRS} rows that are each other's best match"
        raise refusal(" and ".join(names), expected, f"{count}", ADVICE, DiscoveryError)
