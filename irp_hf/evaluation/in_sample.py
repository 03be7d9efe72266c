"""Rows of a test that a fit has seen: what is measured on them promises too much."""

from __future__ import annotations

import torch
from torch import Tensor

from irp_hf.errors import FitWarning, warn
from irp_hf.maths.groups import group_rows


def warn_of_anchors(anchors: tuple[Tensor, Tensor], x: Tensor, y: Tensor, num_pairs: int | None = None) -> None:
    """Warn where rows of `x (n, d_X)` and `y (n, d_Y)` are `anchors (k, d_X)` and `(k, d_Y)`, both to within rounding.

    Where the anchors are what is kept of `num_pairs` that the fit saw, any other row may be one of these too.
    """
    k = len(anchors[0])
    known = group_rows(*(torch.cat([side.to(rows), rows]) for side, rows in zip(anchors, (x, y), strict=True)))
    count = int(((known.sources[k:] < k) & (known.targets[k:] < k)).sum())  # what is shared has its first row's number
    if count and num_pairs is not None:
        words = (
            f"At least {count:,} of the {len(x):,} rows {'is' if count == 1 else 'are'} among those that the fit has seen: it "
            f"saw {num_pairs:,} pairs, of which {k:,} are kept, and any other may be one too. Of such rows a figure "
            "promises too much. Give pairs that the fit did not see."
        )
        warn(words, FitWarning)
    elif count:
        are = "is an anchor" if count == 1 else "are anchors"
        words = (
            f"{count:,} of the {len(x):,} rows {are} of this adapter, which its fit has seen: of such rows a figure promises "
            "too much. Give pairs that are no anchors, or use report(), which holds them out."
        )
        warn(words, FitWarning)
