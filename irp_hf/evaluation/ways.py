"""Doing nothing beside what can be done to an index, by the new encoder's own ten nearest; and which of it is worth it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from irp_hf.evaluation.from_dict import Check, within
from irp_hf.evaluation.intervals import Measure
from irp_hf.evaluation.printed import Table, number

TOO_WIDE = 0.25  # an interval that is wider leaves a verdict to chance
LEAST = 0.1  # of the ten nearest: whatever finds fewer serves no search


@dataclass(frozen=True)
class IndexShare:
    """The share of the ten nearest by cosine that an index of `num_rows` keeps."""

    num_rows: int
    queries: Measure
    """Translated queries search the target's own vectors."""
    moved: Measure
    """The target's own queries search translated vectors."""
    nothing: Measure | None = None
    """The source's own queries search the source's own vectors, as before; the reverse, by the source's ten, keeps as many."""
    asked: Measure | None = None
    """Translated queries search the target's own vectors, and the truth is the source's own ten: its encoder is the new one."""
    mixed: Measure | None = None
    """The same queries, mixed with the target's own. These three are None in a report that is older."""

    def checks(self) -> list[Check]:
        """Whether what was read can be true."""
        measured = {name: value for name, value in vars(self).items() if isinstance(value, Measure)}
        bounds = [(name, bound) for name in measured for bound in ("low", "mean", "high")]
        return [within(f"{name}.{bound}", getattr(measured[name], bound), 0, 1) for name, bound in bounds]


def interval(measure: Measure) -> str:
    """As `.281 (.240 to .315)`: near 0 and 1 the bounds are not symmetric."""
    return f"{number(measure.mean)} ({number(measure.low)} to {number(measure.high)})"


def ways_table(shares: Sequence[IndexShare], weight: float | None) -> list[Table]:
    """A line for each way and a column for each size; no table of a report that is older."""
    if weight is None:
        return []
    ways = {
        "nothing: keep the old encoder": "nothing",
        "translate the index, the target's encoder is new": "moved",
        "translate queries, the source's encoder is new": "asked",
        f"mix these with the old encoder's own, {weight:.1f} translated": "mixed",
    }
    sizes = [f"{share.num_rows:,} rows" for share in shares]
    lines = [[way, *(_cell(getattr(share, name)) for share in shares)] for way, name in ways.items()]
    return [[["what is done", *sizes], *lines, ["encode all anew", *["1.000"] * len(shares)]]]


def verdicts(shares: Sequence[IndexShare], weight: float | None) -> list[str]:
    """Whether to move the index, and whether to translate or mix queries, at the largest size; nothing of an older report."""
    last = shares[-1]
    if weight is None or last.nothing is None or last.asked is None or last.mixed is None:
        return []
    return [_of_moving(last, last.nothing), _of_asking(last, last.nothing, last.asked, last.mixed, weight)]


def _of_moving(share: IndexShare, nothing: Measure) -> str:
    if _tells_little(share.moved) or _tells_little(nothing):
        return f"Whether to move an index of {share.num_rows:,} rows cannot be told from so few anchors."
    ahead = _ahead(share.moved, nothing)
    serves = max(share.moved.mean, nothing.mean) >= LEAST
    follows = (
        "neither serves: encode all anew"
        if not serves
        else {
            1: "moving it is worth it, until all is encoded anew",
            0: "moving it changes little: keep it as it is until all is encoded anew, or give more anchors",
            -1: "keep it as it is, or encode all anew",
        }[ahead]
    )
    return (
        f"If the target's encoder is the new one: translated, an index of {share.num_rows:,} rows keeps "
        f"{number(share.moved.mean)} of what that encoder finds; left as it is, with the source's queries, it has "
        f"{number(nothing.mean)}: {follows}."
    )


def _of_asking(share: IndexShare, nothing: Measure, asked: Measure, mixed: Measure, weight: float) -> str:
    if any(map(_tells_little, (nothing, asked, mixed))):
        return (
            f"Whether to translate queries of an index of {share.num_rows:,} rows cannot be told from so few anchors."
        )
    if max(nothing.mean, asked.mean, mixed.mean) < LEAST:
        follows = "none of them serves: encode all anew"
    elif weight < 1 and mixed.mean > max(nothing.mean, asked.mean):
        sure = "" if _ahead(mixed, nothing) > 0 else ", though these figures do not make it sure"
        follows = f"mix them where the old encoder is still there{sure}"
    elif asked.mean > nothing.mean:
        sure = "" if _ahead(asked, nothing) > 0 else ", though these figures leave open whether they find as much"
        follows = f"translate them, and the old encoder can go{sure}"
    else:
        follows = "translate them only where the old encoder is no longer there"
    return (
        f"If the source's encoder is the new one: in {share.num_rows:,} rows of the target's, translated queries find "
        f"{number(asked.mean)} of what that encoder finds in its own, mixed ones {number(mixed.mean)}, and the target's own "
        f"{number(nothing.mean)}: {follows}."
    )


def _tells_little(measure: Measure) -> bool:
    return measure.high - measure.low > TOO_WIDE


def _ahead(one: Measure, other: Measure) -> int:
    """1 where one is surely above the other, -1 where it is surely below, 0 where their intervals leave it open."""
    difference = one.mean - other.mean
    below, above = (one.mean - one.low, other.high - other.mean), (one.high - one.mean, other.mean - other.low)
    reach = math.hypot(*(below if difference > 0 else above))
    return 0 if abs(difference) <= reach else int(math.copysign(1, difference))


def _cell(measure: Measure | None) -> str:
    return "" if measure is None else interval(measure)
