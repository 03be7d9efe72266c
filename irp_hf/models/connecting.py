"""What two spaces bring to an adapter besides their anchors: the backgrounds of both, and who encoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from irp_hf.checks import check_choice
from irp_hf.configuration_irp import PAIRS, AnchoredSpaceConfig, renamed
from irp_hf.data.canary import Canary
from irp_hf.errors import FitWarning, InputError, kind_of, refusal, warn
from irp_hf.maths.many.plan import EXACT
from irp_hf.maths.pairs import distinct_pairs
from irp_hf.maths.request import Given, methods_of
from irp_hf.models.background import read_background
from irp_hf.models.backing import check_backed
from irp_hf.models.checks import anchors_of_both
from irp_hf.models.space import AnchoredSpace

NAMES = ("background of the source", "background of the target")
ADVICE = (
    "Make a space with one: AnchoredSpace.encode(..., background=texts), or from_embeddings(anchors, background=rows)."
)


def check_wanted(background: Any) -> bool | None:
    """Whether backgrounds are to be used: True demands them, and None takes what there is; raises `InputError` otherwise."""
    if background is None or isinstance(background, bool | np.bool_):
        return None if background is None else bool(background)
    advice = f"Unpaired rows belong to a space. {ADVICE}"
    raise refusal("background", "True, False or None", kind_of(background), advice)


def check_pairs(pairs: Any) -> bool:
    """Whether pairs are to be discovered; raises `InputError` for what is no way to get some."""
    if pairs is None:
        return False
    check_choice("pairs", pairs, ("discover",), "Leave it out for spaces of the same anchors.")
    return True


class Held(NamedTuple):
    """What a space holds, as tensors that are at hand, wherever it keeps them."""

    side: str
    config: AnchoredSpaceConfig
    anchors: Tensor
    """Shape (k, d), float32."""
    background: Tensor | None
    """Shape (n, d), likewise, and on the same device; None where there is none, or it is to be left out."""

    @classmethod
    def of(cls, side: str, space: AnchoredSpace, wanted: bool | None) -> Held:
        """Of the `side` "source" or "target", whose background may not be `wanted`."""
        background = None if wanted is False else space.background_rows
        with space.computing():
            return cls(side, space.config, space.anchors.detach(), background)

    @property
    def name(self) -> str:
        """How an error calls all of its rows."""
        what = "anchors" if self.background is None else "anchors and background"
        return f"{what} of the {self.side}"

    @property
    def more(self) -> str:
        """What to do where its rows are too few."""
        if self.background is None and self.config.num_background is not None:
            return "Leave background=False out: the space has unpaired rows."
        return f"Give some thousand rows of the domain as its background. {ADVICE}"

    @property
    def rows(self) -> Tensor:
        """The anchors, and then the background, `(n, d)`: rows that nobody has paired with the other side's."""
        return self.anchors if self.background is None else torch.cat([self.anchors, self.background])


Both = tuple[Held, Held]


def recorded_of(sides: Both) -> dict[str, Any]:
    """What the configuration of an adapter says of two spaces that hold the same anchors."""
    source, target = (side.config for side in sides)
    canaries = {f"{side.side}_canary": side.config.canary for side in sides}
    return {**anchors_of_both(source, target), **_encoders(sides), **canaries}


def recorded_apart(sides: Both) -> dict[str, Any]:
    """Likewise of two spaces whose anchors are not those of the adapter: their canaries carry vectors of their own."""
    return {**_encoders(sides), **{f"{side.side}_canary": _apart(side) for side in sides}}


def _encoders(sides: Both) -> dict[str, Any]:
    return {f"{side.side}_encoder": side.config.encoder for side in sides}


def _apart(side: Held) -> dict[str, Any] | None:
    canary = Canary.from_dict(side.config.canary, "canary")
    if canary is None:
        return None
    vectors = side.anchors[canary.rows].cpu().numpy() if canary.vectors is None else canary.vectors
    return replace(canary, rows=list(range(len(canary.rows))), vectors=vectors).to_dict()


def matched(record: Mapping[str, Any] | None, rows: str, others: str) -> dict[str, Any] | None:
    """What a space of one side says of an adapter's `record` of what was discovered, by the names of its rows and of others."""
    if record is None:
        return None
    sides = {name: value for name, value in record.items() if name != PAIRS}
    return renamed(sides, {rows: "rows", others: "others"})


def discovered_by(sides: Both) -> dict[str, Any] | None:
    """What an adapter says of two sides whose anchors nobody paired; None where somebody did."""
    source, target = (side.config.discovered for side in sides)
    if source is not None:
        return renamed(source, {"rows": "source", "others": "target"})
    return None if target is None else renamed(target, {"rows": "target", "others": "source"})


def backgrounds_of(sides: Both, wanted: bool | None, method: str, given: Given) -> tuple[Tensor, Tensor] | None:
    """The unpaired rows of both sides, `(n, d_X)` and `(m, d_Y)`, on the device of the source; None where none are used.

    Where they are not demanded and cannot be used, a `FitWarning` says why. Raises `InputError` where they are demanded.
    """
    have = [side for side in sides if side.background is not None]
    if not have and not wanted:
        return None
    anchors = sides[0].anchors, sides[1].anchors.to(sides[0].anchors.device)
    try:
        check_both(sides)
        _check_usable(anchors, method, given)
    except InputError as error:
        if wanted:
            raise
        which = " and ".join(f"that of the {side.side} ({side.config.num_background:,} rows)" for side in have)
        words = f"Backgrounds have no part in this fit, {which}: {error}"
        warn(f"{words} background=False leaves them out without a word.", FitWarning)
        return None
    return read_background(sides[0].background, sides[1].background, anchors, given.seed, NAMES)


def check_both(sides: Both) -> None:
    """Raise `InputError` where a side has no background."""
    for side in sides:
        if side.background is None:
            raise refusal("background", "unpaired rows in both spaces", f"none in the {side.side}'s", ADVICE)


def _check_usable(anchors: tuple[Tensor, Tensor], method: str, given: Given) -> None:
    if len(anchors[0]) > EXACT:
        advice = f"Beside so many pairs they add nothing; of {EXACT:,} or fewer, make spaces of their own."
        raise refusal("background", "none beside many pairs", f"some beside {len(anchors[0]):,} pairs", advice)
    check_backed(distinct_pairs(*anchors), methods_of(method), given)


def warn_of_known(sides: Both) -> None:
    """Warn where pairs are discovered that two spaces have already, or may have."""
    source, target = (side.config.anchor_fingerprint for side in sides)
    counts = {side.config.num_anchors for side in sides}
    if source != target or (source is None and len(counts) > 1):
        return
    words = "Both spaces hold the same anchors: these are pairs, of which pairs='discover' makes no use."
    if source is None:
        held = f"Both spaces hold {counts.pop():,} anchors, and neither says of which items."
        words = f"{held} If these are the same, they are pairs, of which pairs='discover' makes no use."
    warn(f"{words} Leave it out, and they are fitted on.", FitWarning)
