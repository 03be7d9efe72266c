"""Parallel anchors as the probes take them: published spaces, folders, ids, or raw arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from torch import Tensor

from irp_hf.checks import check_number
from irp_hf.data.arrays import as_matrix
from irp_hf.errors import refusal
from irp_hf.maths.pairs import Pairs
from irp_hf.models.checks import AnchorsOf, check_anchors, refuse_other_anchors
from irp_hf.models.space import AnchoredSpace, open_space

LEAST_PAIRS = 10  # for a few to be held out


def parallel_anchors(spaces: Mapping[str, Any]) -> dict[str, Tensor]:
    """The anchors `(k, d)` of every named space, float32, on the device of the first; row i of all is the same item.

    A space is an `AnchoredSpace`, a folder or an id of one, or an array `(k, d)`. Raises `AnchorMismatchError` where two
    hold different anchors, as `IRPAdapter.connect` does, and `InputError` for what is no space.
    """
    sides = {name: _open(name, space) for name, space in spaces.items()}
    for (one, _), (other, _) in combinations(sides.values(), 2):
        refuse_other_anchors(one, other)
    devices = [anchors.device for _, anchors in sides.values()]
    return {name: anchors.to(devices[0]) for name, (_, anchors) in sides.items()}


def hold_out(pairs: Pairs, share: float, seed: int) -> tuple[Pairs, Pairs]:
    """A seeded split: pairs to fit on, and the `share` of them that is held out, pairs that share something together.

    Raises `InputError` for a share that is not between 0 and 1, and where there are fewer than ten different pairs.
    """
    share = check_number("held_out", share, above=0, below=1, advice="Give a share of the pairs, 0.2 say.")
    check_enough(pairs, "Anchors")
    count = min(max(round(share * len(pairs)), 3), len(pairs) - 3)  # three have neighbours to find and to miss
    held, rest = pairs.split(count, seed)
    return pairs.take(rest), pairs.take(held)


def check_enough(pairs: Pairs, subject: str) -> None:
    """Raise `InputError` where there are fewer than ten different pairs; `subject` says whose."""
    if len(pairs) < LEAST_PAIRS:
        raise refusal(
            subject, f"at least {LEAST_PAIRS} different ones, for some to be held out", str(len(pairs)), "Give more."
        )


def _open(name: str, space: Any) -> tuple[AnchorsOf, Tensor]:
    if isinstance(space, AnchoredSpace | str | os.PathLike):
        opened = open_space(space, name)
        with opened.computing():
            return AnchorsOf.space(name, opened.config), opened.anchors
    anchors = as_matrix(space, name)
    check_anchors(anchors, name)
    return AnchorsOf(name, len(anchors)), anchors.float()
