"""Unpaired rows as users hand them in: looked at, sampled, and without what would tell a fit what it is judged by.

A space keeps its own in half precision, seen from the anchors' mean and in their mean scale: then no row is too large or too
small for it, whatever the encoder's units are, and each number is off by at most 2⁻¹¹ of its distance from there, or by 2⁻²⁵
mean scales where that is less than 2⁻¹⁴ of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from irp_hf.data.arrays import Rows
from irp_hf.errors import FitWarning, kind_of, refusal, warn
from irp_hf.maths.projection import Statistics, statistics
from irp_hf.maths.unpaired.background import LEAST, MOST, distinct_from
from irp_hf.models.many import check_sampled

NAMES = ("source_background", "target_background")  # as from_anchors has them
APART = 100.0  # times as far as the anchors, or as near: no encoder's rows spread so otherwise than its anchors
AT_ONCE = 1024  # rows that stand in double precision at one time
FAR = 1e4  # mean scales away from the anchors' mean, no single row is
OUTLYING = 30.0  # mean scales, likewise: where one is, and most are not, a warning names it
NAMED = 5  # of such rows
BLURRED = 0.01  # of how a column spreads: where half precision changes more, a warning says so


class Unpaired(NamedTuple):
    """Rows of one side that have no partner, none of them twice."""

    rows: Tensor
    """Shape (n, d), float32."""
    numbers: Tensor
    """Which of the rows that were given they are, shape (n,), on the CPU."""


def read_background(
    source: Any, target: Any, anchors: tuple[Tensor, Tensor], seed: int, names: tuple[str, str] = NAMES
) -> tuple[Tensor, Tensor] | None:
    """Unpaired rows of both sides, `(n, d_X)` and `(m, d_Y)`, beside `anchors (k, d_X)` and `(k, d_Y)`; None where none came.

    Of many rows a seeded sample; none of them is there twice, and none is an anchor. Raises `InputError` for rows of one side
    alone, for such as cannot be rows of that side, and where too few are left. It calls them by these `names`.
    """
    given = source, target
    if all(rows is None for rows in given):
        return None
    for rows, name, other in zip(given, names, names[::-1], strict=True):
        if rows is None:
            advice = f"Give {name}, unpaired rows of that side, too, or leave both out."
            raise refusal(name, f"rows, since there are some in {other}", "None", advice)
    widths = [side.shape[1] for side in anchors]
    read = [
        _rows(rows, name, width, other)
        for rows, name, width, other in zip(
            given, names, widths, (("target", widths[1]), ("source", widths[0])), strict=True
        )
    ]
    sides = zip(read, anchors, (seed, seed + 1), strict=True)
    first, second = (_usable(rows, side, drawn(rows.num_rows, draw)).rows for rows, side, draw in sides)
    return first, second


def beside(background: Any, anchors: Tensor) -> Unpaired:
    """What a space of `anchors (k, d)` keeps of its `background`: distinct rows that are no anchors, in their order.

    Of many rows it is a sample, always the same. Raises `InputError` as `read_background` does.
    """
    rows = _rows(background, "background", anchors.shape[1])
    return _usable(rows, anchors, drawn(rows.num_rows, seed=0).sort().values)


def _rows(background: Any, name: str, width: int, other: tuple[str, int] | None = None) -> Rows:
    if hasattr(background, "background_rows"):  # of a space: `Rows` would advise its anchors
        held = background.background_rows is not None
        advice = "Give x.background_rows of the space x." if held else "It holds none; give rows of other items."
        raise refusal(name, "vectors, a matrix (rows, width)", f"{kind_of(background)}, which is a space", advice)
    return Rows(background, name, width, other, advice="Encode them with the encoder of the anchors of that side.")


def _usable(rows: Rows, anchors: Tensor, numbers: Tensor) -> Unpaired:
    _refuse_few(rows.num_rows, rows.num_rows, rows.name)
    sample = taken(rows, numbers).to(anchors.device)
    _refuse_other_units(sample, numbers, anchors, rows.name)
    kept = distinct_from(sample, anchors)
    _refuse_few(len(kept), rows.num_rows, rows.name)
    return Unpaired(sample[kept], numbers[kept.cpu()])


def _refuse_few(left: int, given: int, name: str) -> None:
    if left < LEAST:
        others = ", the others being copies of these or of anchors" if left < given else ""
        advice = "Give rows of other items, a thousand or more, or no background at all."
        expected = f"at least {LEAST} different rows that are no anchors"
        raise refusal(name, expected, f"{left:,} of {given:,} rows{others}", advice)


def _refuse_other_units(rows: Tensor, numbers: Tensor, anchors: Tensor, name: str) -> None:
    """Raise `InputError` for `rows (n, d)` in other units than `anchors (k, d)`, beside which they would all look alike.

    And for one that is far out, beside which all others would: it has its number among `numbers (n,)`.
    """
    stats = statistics(anchors.double())
    theirs = float(stats.scale)
    away = torch.linalg.vector_norm(rows.double() - stats.mean, dim=1)
    near = away <= FAR * theirs
    usual = rows[near] if int(near.sum()) > len(rows) / 2 else rows
    own = float(statistics(usual.double()).scale)
    if not theirs / APART <= own <= theirs * APART:
        expected = f"rows that spread about as far as the anchors, whose mean scale is {theirs:.3g}"
        raise refusal(name, expected, f"{own:.3g}", "Encode them exactly as the anchors: unit length or not, say.")
    if bool(near.all()):
        _warn_of_outlying(away / theirs, numbers, name)
    else:
        farthest = int(away.argmax())
        expected = f"a row of the size of the anchors, whose mean scale is {theirs:.3g}"
        got, place = (
            f"one that is {float(away[farthest]):.3g} from their mean",
            f"Row {int(numbers[farthest])} of {name}",
        )
        raise refusal(place, expected, got, "Drop that row, or encode it again.")


def _warn_of_outlying(away: Tensor, numbers: Tensor, name: str) -> None:
    """Warn of rows, by their numbers `(n,)`, that lie so many mean scales `away (n,)` as few others do."""
    out = (away > OUTLYING).nonzero()[:, 0]
    if not len(out) or len(out) > len(away) / 10:
        return
    out = out[away[out].argsort(descending=True, stable=True)]
    named = ", ".join(str(int(numbers[row])) for row in out[:NAMED])
    more = f" and {len(out) - NAMED:,} more" if len(out) > NAMED else ""
    words = (
        f"Row{'' if len(out) == 1 else 's'} {named}{more} of {name}: up to {float(away.max()):.3g} mean scales of the anchors "
        f"away from their mean, where half of all rows are within {float(away.median()):.3g}. One such row may keep a whole "
        "background out of a fit."
    )
    warn(f"{words} Look what was encoded there, and drop it.", FitWarning)


def taken(rows: Rows, numbers: Tensor) -> Tensor:
    """The rows of these numbers `(n,)`, shape (n, d), float32; raises `InputError` where a value is not finite."""
    return check_sampled(rows.take(numbers), rows, numbers, "rows").float()


def drawn(count: int, seed: int) -> Tensor:
    """The numbers of so many rows in a seeded order, or of more than `MOST` so many of them."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randperm(count, generator=generator, dtype=torch.int64, device="cpu")[:MOST]


def in_half(unpaired: Unpaired, stats: Statistics) -> Tensor:
    """The rows `(n, d)` in half precision, about the mean and in the mean scale of `stats`, the anchors'.

    All are finite, since none is farther out than `FAR`. Where it changes columns by more than `BLURRED`, a `FitWarning` tells.
    """
    middle, kept = (unpaired.rows.mean(0, dtype=torch.float64) - stats.mean) / stats.scale, list[Tensor]()
    lost, spread = torch.zeros_like(middle), torch.zeros_like(middle)
    for part in unpaired.rows.split(AT_ONCE):
        exact = (part.double() - stats.mean) / stats.scale
        kept.append(exact.to(torch.float16))
        lost += (kept[-1].double() - exact).square().sum(0)
        spread += (exact - middle).square().sum(0)
    least, most = unpaired.rows.aminmax(dim=0)
    _warn_of_blurred(int(((lost > BLURRED**2 * spread) & (most > least)).sum()), len(middle))
    return torch.cat(kept)


def _warn_of_blurred(count: int, width: int) -> None:
    if count:
        words = (
            f"background: in {count:,} of {width:,} columns, half precision moves rows by more than {BLURRED:.0%} of how far "
            "these spread, since other columns are far larger, or the rows lie far from the anchors."
        )
        warn(f"{words} Scale the columns alike, those of the anchors and of all that is translated too.", FitWarning)


def from_half(kept: Tensor, stats: Statistics) -> Tensor:
    """The rows `(n, d)` in the units of the encoder, float32, of those that a space has `kept`."""
    return torch.cat([(part.double() * stats.scale + stats.mean).float() for part in kept.split(AT_ONCE)])
