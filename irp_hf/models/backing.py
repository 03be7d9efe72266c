"""Whether unpaired rows behind the pairs are made use of: where held-out pairs are worse in nothing. Else a warning says so."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, cast

from torch import Tensor

from irp_hf.data.progress import progress_bar
from irp_hf.errors import refusal
from irp_hf.evaluation.doubts import Doubt, by_chance
from irp_hf.evaluation.printed import number
from irp_hf.evaluation.wrong_pairs import wrong_pairs
from irp_hf.maths.metrics import Labels
from irp_hf.maths.objectives import objective_score
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.request import Given, Objective
from irp_hf.maths.selection import Choice
from irp_hf.maths.unpaired.background import Background
from irp_hf.maths.unpaired.choosing import LEAST_PAIRS, METHODS, BackedChoice, folds_of, select_backed
from irp_hf.maths.unpaired.gains import Gains, gains, left_out

FALLS: dict[Objective, str] = {
    "cosine": "the cosine",
    "retrieval": "how surely items are told apart",
    "neighbors": "the share of neighbours kept",
    "recall": "the share of neighbours among the candidates",
    "agreement": "the agreement of the head",
}


class Outcome(NamedTuple):
    """What came of unpaired rows behind the pairs."""

    choices: list[Choice]
    """The best first, by them or by the pairs alone."""
    pairs: Pairs
    """What these are of."""
    recorded: dict[str, float] | None
    """What a configuration says of them; None where they have no part in the fit."""
    doubts: tuple[Doubt, ...] = ()
    """What is to be said of them."""


def with_background(
    alone: list[Choice],
    pairs: Pairs,
    background: tuple[Tensor, Tensor],
    methods: Sequence[str],
    objective: Objective,
    given: Given,
    labels: Labels | None,
    numbers: Sequence[int],
) -> Outcome:
    """The choices with unpaired rows behind them, or `alone`, where held-out pairs are the worse for these.

    `background` are rows `(n, d_X)` and `(m, d_Y)` of both sides, none of them an anchor; the pairs have these `numbers` where
    they come from.
    """
    behind = Background.of(*background, pairs)
    before = behind.behind(pairs)
    bars = (partial(progress_bar, words, None) for words in ("Choosing the inverse", "Matching unpaired rows"))
    backed = select_backed(before, behind, methods, objective, given, labels, *bars)
    folds = folds_of(pairs, given.seed)
    without = left_out(alone[0], pairs, folds)
    found = gains(backed[0].fold_translated, without, pairs, behind.target, objective, labels, given.depth)
    if not found.are_used:
        return Outcome(alone, pairs, None, (_unused(found, [len(rows) for rows in background], pairs),))
    known = {choice.method for choice in backed}
    choices = [*backed, *(choice for choice in alone if choice.method not in known)]
    said: list[Doubt] = []
    if not by_chance(before, backed[0].directions):  # else nothing tells one pair from another
        said = wrong_pairs(backed[0].directions, before.target_rows, behind.target_rows, numbers)
    score = float(objective_score(objective, pairs, labels, folds, given.depth)(without).mean())
    told = {"alone": score, "gain": found.cosine.mean, "error": found.cosine.error}
    recorded = dict(sorted((cast(BackedChoice, backed[0]).recorded() | told).items()))
    return Outcome(choices, before, recorded, tuple(said))


def _unused(found: Gains, sizes: Sequence[int], pairs: Pairs) -> Doubt:
    """What is said where held-out pairs are the worse for unpaired rows, or hardly better."""
    asked = found.asked if found.asked is not None and found.asked[1].is_sure else None
    behind = f"with {sizes[0]:,} rows of the source and {sizes[1]:,} of the target behind the {len(pairs):,} pairs"
    if against := asked or found.falling:
        name, gain = against
        told = f"{FALLS[name]} is {number(-gain.mean)} lower {behind} than by these alone, with a standard error of "
        told += number(gain.error)
    else:
        told = f"the pairs hardly gain {behind}: by cosine {number(found.cosine.mean)}, with a standard error of "
        told += f"{number(found.cosine.error)}, and {found.errors:.1f} standard errors on the mean of cosine, known items and "
        told += "neighbours"
    advice = "Give more pairs, or more rows of their domain on both sides, or leave backgrounds out."
    return Doubt("background", f"Backgrounds have no part in this fit: held out, {told}. {advice}")


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
