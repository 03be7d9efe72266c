"""The nearest rows to some queries, where the rows come in blocks."""

from __future__ import annotations

import torch
from torch import Tensor

from irp_hf.maths.metrics import NEIGHBORS

HIDDEN = -3.0  # a similarity that is no cosine


class Nearest:
    """The nearest rows to each query among all that were shown, `(n, 10)`, the nearest first."""

    def __init__(self, num_queries: int, device: torch.device) -> None:
        self.similarity = torch.full((num_queries, NEIGHBORS), HIDDEN, dtype=torch.float32, device=device)
        self.rows = torch.full((num_queries, NEIGHBORS), -1, dtype=torch.int64, device=device)

    def show(self, similarity: Tensor, rows: Tensor) -> None:
        """Look at the rows of these numbers `(b,)`, by their `similarity (n, b)`."""
        best = similarity.topk(min(NEIGHBORS, len(rows)))
        kept = torch.cat([self.similarity, best.values], 1).topk(NEIGHBORS)
        self.similarity = kept.values
        self.rows = torch.cat([self.rows, rows[best.indices]], 1).gather(1, kept.indices)

    def share_of(self, wanted: Nearest, count: int) -> Tensor:
        """The share `(n,)` of the `count` nearest of `wanted` that are among the `count` nearest here."""
        real = wanted.similarity[:, :count] > HIDDEN
        found = (wanted.rows[:, :count, None] == self.rows[:, None, :count]).any(2) & real
        return found.sum(1).double() / real.sum(1).clamp(min=1)
