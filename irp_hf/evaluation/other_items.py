"""Rows of a test that do not belong together, or not to the anchors' encoders: a figure tells nothing of translations then."""

from __future__ import annotations

from torch import Tensor

from irp_hf.errors import FitWarning, warn
from irp_hf.evaluation.doubts import by_any_order
from irp_hf.evaluation.held_out import COVERAGE, Evaluation
from irp_hf.evaluation.printed import number
from irp_hf.maths.alignment import UNRELATED
from irp_hf.maths.chance import chance_of
from irp_hf.maths.projection import unit_rows

LEAST = 10  # independent rows: of fewer chance reaches far
FAR = 0.1  # below `COVERAGE`, and beyond the interval
SAME = "Row i of x and of y must be the same item, each by the encoder whose anchors these are"


def warn_of_other_items(found: Evaluation, translated: Tensor, true: Tensor, mean: Tensor, groups: Tensor) -> None:
    """Warn where `translated (n, d)` are no nearer to their own of `true (n, d)`, about the `mean (d,)`, than to any other.

    Else where far fewer bounds held than should: what was `found`. Rows of one of the `groups (n,)` are one item.
    """
    if len(groups.unique()) < LEAST:
        return
    chance = chance_of(translated - mean, unit_rows(true - mean), groups)
    held = found.coverage
    if chance.cosine <= max(chance.most, UNRELATED):
        words = (
            f"Translations of x are no nearer to their own rows of y than to others: the cosine about the mean is "
            f"{number(chance.cosine)}, and {by_any_order(chance)}. {SAME}."
        )
        warn(words, FitWarning)
    elif held is not None and held.mean < COVERAGE - FAR and held.high < COVERAGE:
        words = (
            f"Lower bounds that hold for {100 * COVERAGE:.0f} % of rows like the anchors held for {held} of these. {SAME}; "
            "or these are unlike the anchors: then give anchors that are like them."
        )
        warn(words, FitWarning)
