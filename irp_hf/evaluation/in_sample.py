"""Rows of a test that a fit has seen: what is measured on them promises too much."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from irp_hf.errors import FitWarning, warn
from irp_hf.maths.groups import can_hold_out, group_rows, row_labels


class Pair(NamedTuple):
    """Both sides of some rows, of as many rows each."""

    source: Tensor
    target: Tensor


class Landmarks(NamedTuple):
    """Sources that a fit on many pairs keeps without their targets, and the test's sources as they are."""

    kept: Tensor
    """Unit rows `(m, p)`."""
    tested: Tensor
    """Unit rows `(n, p)`."""

    def among(self) -> Tensor:
        """Which of the rows that are tested, shape (n,), are landmarks."""
        m = len(self.kept)
        if self.kept.shape[1] < 2:  # one of two directions tells nothing
            return torch.zeros(len(self.tested), dtype=torch.bool, device=self.tested.device)
        return row_labels(torch.cat([self.kept.to(self.tested), self.tested]))[m:] < m


def warn_of_seen(anchors: Pair, test: Pair, landmarks: Landmarks | None = None, num_pairs: int | None = None) -> Tensor:
    """Warn where rows of the `test` share a source or a target with `anchors`, to within rounding, or a source with landmarks.

    So many pairs were fitted on, where not all of them are kept: `num_pairs`. Gives the numbers `(n,)` of the test's groups of
    rows that share something, as `group_rows` has it.
    """
    k, n = len(anchors.source), len(test.source)
    known = group_rows(*(torch.cat([kept.to(rows), rows]) for kept, rows in zip(anchors, test, strict=True)))
    source, target = known.sources[k:] < k, known.targets[k:] < k  # what is shared has its first row's number
    items = known.sources * (k + n) + known.targets
    both = torch.isin(items[k:], items[:k])
    ways = {
        "source and target": both,
        "the source alone": source & ~both if known.by != "row" else torch.zeros_like(source),
        "the target alone": target & ~source if known.by == "both" else torch.zeros_like(source),
    }
    if landmarks is not None:
        ways["a landmark, which is their source"] = landmarks.among() & ~torch.stack([*ways.values()]).any(0)
    counts = {way: count for way, rows in ways.items() if (count := int(rows.sum()))}
    if counts:
        warn(_words(counts, n, k, landmarks, num_pairs), FitWarning)
    labels = known.labels[k:]
    return labels if can_hold_out(labels) else torch.arange(n, device=labels.device)


def _words(counts: dict[str, int], n: int, k: int, landmarks: Landmarks | None, num_pairs: int | None) -> str:
    """What is said of rows that were seen: how many of n, and by what they are known."""
    total = sum(counts.values())
    are = "is" if total == 1 else "are"
    by = ", ".join(f"{count:,} by {way}" for way, count in counts.items())
    if num_pairs is None:
        return (
            f"{total:,} of the {n:,} rows {are} {'an anchor' if total == 1 else 'anchors'} of this adapter, which its fit has "
            f"seen ({by}): of such rows a figure promises too much. Give pairs that are no anchors, or use report(), which "
            "holds them out."
        )
    more = f", and the sources of {len(landmarks.kept):,} more as landmarks" if landmarks is not None else ""
    return (
        f"At least {total:,} of the {n:,} rows {are} among those that the fit has seen ({by}). It saw {num_pairs:,} pairs and "
        f"keeps {k:,} of them{more}: the others cannot be recognised, so that any other row may be one of them. Of such rows a "
        "figure promises too much. Give pairs that the fit did not see."
    )
