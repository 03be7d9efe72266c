"""Whether unpaired rows behind the pairs are made use of: only where they surely help, by pairs that were held out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from irp_hf.data.progress import progress_bar
from irp_hf.errors import FitWarning, refusal, warn
from irp_hf.evaluation.measures import MEASURES
from irp_hf.evaluation.printed import number
from irp_hf.maths.chance import is_ahead
from irp_hf.maths.metrics import Labels
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.request import Given, Objective
from irp_hf.maths.selection import Choice
from irp_hf.maths.unpaired.background import Background
from irp_hf.maths.unpaired.choosing import LEAST_PAIRS, METHODS, select_backed

SURE = 2.0  # standard errors by which they must help


def with_background(
    alone: list[Choice],
    pairs: Pairs,
    background: tuple[Tensor, Tensor],
    methods: Sequence[str],
    objective: Objective,
    given: Given,
    labels: Labels | None,
) -> tuple[list[Choice], Pairs]:
    """The choices, and the pairs that these are of: with unpaired rows behind them, or `alone`, which a warning tells.

    `background` are rows `(n, d_X)` and `(m, d_Y)` of both sides, none of them an anchor.
    """
    behind = Background.of(*background, pairs)
    before = behind.behind(pairs)
    bars = (partial(progress_bar, words, None) for words in ("Choosing the inverse", "Matching unpaired rows"))
    backed = select_backed(before, behind, methods, objective, given, labels, *bars)
    best, without = backed[0].by_folds.found()[1], alone[0].by_folds.found()[1]
    if is_ahead(best, without, pairs.labels, SURE):
        known = {choice.method for choice in backed}
        return [*backed, *(choice for choice in alone if choice.method not in known)], before
    sizes, short = [len(rows) for rows in background], MEASURES[objective].short
    words = (
        f"Backgrounds have no part in this fit: with {sizes[0]:,} rows of the source and {sizes[1]:,} of the target "
        f"behind the {len(pairs):,} pairs, {short} is {number(float(best.mean()))} out of fold, and by the pairs alone "
        f"{number(float(without.mean()))}: it must be ahead by {SURE:.0f} standard errors. Give more pairs, more rows of "
        "their domain, or objective='cosine', which tells most of few pairs; or leave them out."
    )
    warn(words, FitWarning)
    return alone, pairs


def check_backed(pairs: Pairs, methods: Sequence[str], given: Given) -> None:
    """Raise `InputError` where the pairs are too few to tell, or where what was `given` does not go with unpaired rows."""
    check_options(methods, given, "with a background")
    independent = len(pairs.labels.unique())
    if independent < LEAST_PAIRS:
        advice = "Give more pairs, or leave both backgrounds out."
        raise refusal(
            "pairs", f"at least {LEAST_PAIRS} independent ones, beside a background", f"{independent}", advice
        )


def check_options(methods: Sequence[str], given: Given, where: str) -> None:
    """Raise `InputError` for options that have no part where unpaired rows are fitted on: "with a background", say."""
    if not any(method in METHODS for method in methods):
        advice = f"Choose one of {', '.join(METHODS)}, or 'auto'."
        raise refusal("method", f"one that unpaired rows can be fitted with, {where}", repr(methods[0]), advice)
    if given.folds != "rows":
        raise refusal("folds", f"'rows', {where}", repr(given.folds), "Leave folds out.")
    if given.num_landmarks is not None:
        raise refusal("num_landmarks", f"none, {where}", f"{given.num_landmarks}", "Leave num_landmarks out.")
    if given.lift:
        raise refusal("lift", f"0, {where}", f"{given.lift:g}", "Leave lift out.")
