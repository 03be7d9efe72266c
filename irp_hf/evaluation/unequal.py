"""Whether an index by inner product or L2 finds other neighbours than by cosine, by which what an index keeps is told."""

from __future__ import annotations

import torch
from torch import Tensor

from irp_hf.evaluation.doubts import Doubt
from irp_hf.evaluation.printed import number
from irp_hf.maths.metrics import NEIGHBORS
from irp_hf.maths.nearest import HIDDEN
from irp_hf.maths.pools import SMALLEST
from irp_hf.maths.projection import unit_rows

MOST = 1000  # vectors that are looked at
EQUAL = 0.01  # of their mean length: so little apart, hardly any neighbour is another
SAME = 0.7  # of the ten nearest by cosine, that another measure finds at least


def unequal_lengths(vectors: Tensor, whose: str) -> list[Doubt]:
    """Whether `vectors (n, d)`, which are `whose`, differ in length so much that other measures find other neighbours.

    Copies count once, since which of them is nearer is chance.
    """
    rows = vectors[:MOST].double().unique(dim=0)
    lengths = torch.linalg.vector_norm(rows, dim=1)
    spread = float(lengths.std() / lengths.mean()) if len(rows) >= SMALLEST else 0.0
    if spread <= EQUAL:
        return []
    unit = unit_rows(rows)
    wanted = _nearest(unit @ unit.T)
    found = [
        float((_nearest(similar)[:, :, None] == wanted[:, None]).any(2).double().mean())
        for similar in (rows @ rows.T, -torch.cdist(rows, rows))
    ]
    if min(found) >= SAME:
        return []
    words = (
        f"{whose} differ in length, by {spread:.0%} on average. So of the {NEIGHBORS} nearest by cosine among {len(rows):,} of "
        f"them, inner product finds {number(found[0])} and L2 {number(found[1])}, and what is said of an index, which is by "
        "cosine, does not hold for one by these. Bring its vectors and the queries to unit length, translated ones too."
    )
    return [Doubt("unequal", words)]


def _nearest(similar: Tensor) -> Tensor:
    """The numbers `(n, 10)` of the rows that are most `similar (n, n)` to each but itself."""
    lowest = torch.full_like(similar.diagonal(), min(HIDDEN, float(similar.min()) - 1))
    return similar.diagonal_scatter(lowest).topk(NEIGHBORS).indices
