"""Which directions are those of the very same items, to rounding."""

from __future__ import annotations

import torch
from torch import Tensor

COPY = 2.0**-8  # of a direction's distance from the mean one: two encodings of one item lie no farther apart
ROUNDED = 2.0**-5  # of the same, at most: what storing a direction in half precision may move it by, up to COPY


def are_copies(query: Tensor, block: Tensor) -> Tensor:
    """Which unit rows of `block (b, d)` are each unit row of `query (n, d)` itself, `(n, b)`."""
    mean = query.mean(0)  # about which single precision tells them apart
    query, block = ((side - mean.to(side.dtype)).float() for side in (query, block))
    lengths = query.square().sum(1)[:, None]
    apart: Tensor = lengths + block.square().sum(1) - 2 * query @ block.T
    return apart <= torch.maximum(COPY**2 * lengths, (ROUNDED**2 * lengths).clamp(max=COPY**2))
