"""What is said of pairs that look wrong beside unpaired rows, by name."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from irp_hf.evaluation.doubts import Doubt
from irp_hf.evaluation.printed import number
from irp_hf.maths.unpaired.wrong import probably_wrong, standing_out

SURE = 0.9  # probability from which on a pair is named
MOST = 10  # that are named


def wrong_pairs(directions: Tensor, target: Tensor, rows: Tensor, numbers: Sequence[int]) -> list[Doubt]:
    """Of held-out `directions (k, d)` and unit rows `target (k, d)`, beside unpaired unit `rows (m, d)`.

    The pairs have these `numbers` where they come from.
    """
    standing = standing_out(directions, target, rows)
    wrong = probably_wrong(standing)
    sure = (wrong > SURE).nonzero()[:, 0]
    if not len(sure):
        return []
    ranked = sure[standing[sure].argsort()].tolist()
    first = sorted(numbers[row] for row in ranked[:MOST])
    more = f" among {len(ranked):,}" if len(ranked) > len(first) else ""
    named = ", ".join(map(str, first)) + more
    single, above = len(ranked) == 1, [number(float(standing[some].mean())) for some in (wrong > SURE, wrong <= SURE)]
    who, whose, own, stand = "Pairs", "their sources are", "their own targets", "These stand"
    if single:
        who, whose, own, stand = "Pair", "its source is", "its own target", "That stands"
    words = (
        f"{who} {named} (rows from 0) {'looks' if single else 'look'} wrong: held out, {whose} translated no nearer to {own} "
        f"than to unpaired rows. {stand} {above[0]} standard deviations above them, and those of other pairs {above[1]}. In "
        f"all, {float(wrong.sum()):.0f} of {len(wrong):,} may be wrong. Check that row i of both is the same item there, or "
        f"leave {'it' if single else 'them'} out."
    )
    return [Doubt("wrong", words)]
