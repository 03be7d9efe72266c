"""Which pairs an adapter kept of the many that it was fitted on: known by what they are on both sides, and by their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor


def kept_record(
    source: Tensor,
    target: Tensor,
    fingerprint: str | None = None,
    num_pairs: int | None = None,
    rows: Tensor | None = None,
) -> dict[str, str]:
    """Of the kept anchors `source (k, d_X)` and `target (k, d_Y)`, as a configuration holds it.

    Of `num_pairs`, of an anchor set with this `fingerprint` where it is known, they are these `rows (k,)`.
    """
    record = {"source": _digest(source), "target": _digest(target)}
    if rows is None:
        return record
    if fingerprint is not None:
        record |= {"anchor_set": fingerprint, "rows": _digest(rows)}
    record["drawing"] = hashlib.sha256(f"{num_pairs} {_digest(rows)}".encode()).hexdigest()
    return dict(sorted(record.items()))  # as files hold it: the checksum tells orders apart


def are_other_pairs(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool | None:
    """Whether two sides kept other pairs: as far as their vectors, anchor sets and rows say; None where nothing tells.

    The same rows of as many pairs are taken for the same items unless their anchor sets differ, as row i is of any two sides.
    """
    if one is None or other is None or {one["source"], one["target"]} & {other["source"], other["target"]}:
        return False
    in_both = [name for name in ("anchor_set", "rows", "drawing") if name in one and name in other]
    if not {"rows", "drawing"} & set(in_both):
        return None
    return any(one[name] != other[name] for name in in_both)


def _digest(values: Tensor) -> str:
    content = values.detach().cpu().contiguous()
    return hashlib.sha256(repr(tuple(content.shape)).encode() + content.numpy().tobytes()).hexdigest()
