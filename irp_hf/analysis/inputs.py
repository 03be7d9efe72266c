"""Parallel anchors as the probes take them: published spaces, folders, ids, or raw arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import combinations
from numbers import Real
from typing import Any

from torch import Tensor

from irp_hf.data.arrays import as_matrix
from irp_hf.errors import InputError
from irp_hf.maths.pairs import Pairs
from irp_hf.models.checks import AnchorsOf, check_anchors, refuse_other_anchors
from irp_hf.models.space import AnchoredSpace, open_space

FEWEST = 10  # pairs, for a few to be held out


def parallel_anchors(spaces: Mapping[str, Any]) -> dict[str, Tensor]:
    """The anchors `(k, d)` of every named space, float32; row i of all is the same item.

    A space is an `AnchoredSpace`, a folder or an id of one, or an array `(k, d)`. Raises `AnchorMismatchError` where two
    hold different anchors, as `IRPAdapter.connect` does, and `InputError` for what is no space.
    """
    sides = {name: _open(name, space) for name, space in spaces.items()}
    for (one, _), (other, _) in combinations(sides.values(), 2):
        refuse_other_anchors(one, other)
    return {name: anchors for name, (_, anchors) in sides.items()}


def hold_out(pairs: Pairs, share: float, seed: int) -> tuple[Pairs, Pairs]:
    """A seeded split: pairs to fit on, and the `share` of them that is held out.

    Raises `InputError` for a share that is not between 0 and 1, and where there are fewer than ten different pairs.
    """
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 < share < 1:
        raise InputError(f"held_out is {share!r}; a share between 0 and 1 is wanted. Give 0.2, say.")
    if len(pairs) < FEWEST:
        raise InputError(
            f"There are {len(pairs)} different anchors; at least {FEWEST} are wanted, for some to be held out. "
            "Give more anchors."
        )
    order = pairs.permutation(seed)
    count = min(max(round(share * len(pairs)), 3), len(pairs) - 3)  # three have neighbours to find and to miss
    return pairs.take(order[count:]), pairs.take(order[:count])


def _open(name: str, space: Any) -> tuple[AnchorsOf, Tensor]:
    if isinstance(space, AnchoredSpace | str | os.PathLike):
        opened = open_space(space, name)
        return AnchorsOf.space(name, opened.config), opened.anchors
    anchors = as_matrix(space, name).float()
    check_anchors(anchors, name)
    return AnchorsOf(name, len(anchors)), anchors
