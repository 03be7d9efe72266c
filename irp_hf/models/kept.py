"""Which pairs an adapter kept of the many that it was fitted on: known by what they are on both sides, and by their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor


def kept_record(
    source: Tensor, target: Tensor, fingerprint: str | None = None, rows: Tensor | None = None
) -> dict[str, str]:
    """Of the kept anchors `source (k, d_X)` and `target (k, d_Y)`, as a configuration holds it.

    Of an anchor set with this `fingerprint` they are these `rows (k,)`.
    """
    record = {"source": _digest(source), "target": _digest(target)}
    if fingerprint is not None and rows is not None:
        record |= {"anchor_set": fingerprint, "rows": _digest(rows)}
    return record


def are_other_pairs(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Whether two sides kept pairs of which nothing says that they are the same: neither the vectors of a side nor the rows."""
    if one is None or other is None:
        return False
    if {one["source"], one["target"]} & {other["source"], other["target"]}:
        return False
    rows = [(record.get("anchor_set"), record.get("rows")) for record in (one, other)]
    return None in rows[0] or rows[0] != rows[1]


def _digest(values: Tensor) -> str:
    content = values.detach().cpu().contiguous()
    return hashlib.sha256(repr(tuple(content.shape)).encode() + content.numpy().tobytes()).hexdigest()
