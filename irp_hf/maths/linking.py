"""Groups of rows by nearness alone, with no distance to set: each joins its nearest one, and then each group its nearest."""

from __future__ import annotations

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.groups import BLOCK, components

ROUNDS = 2  # after one, many copies of an item are still several groups; after three, all rows are few


def linked_groups(rows: Tensor) -> Tensor:
    """The number `(k,)` of the group that each of the unit `rows (k, d)` lies in: the first two rounds of single linkage."""
    rows = rows.to(working_dtype(torch.float32, rows.device))
    numbers = torch.arange(len(rows), dtype=torch.int64, device=rows.device)
    labels = numbers
    for _ in range(ROUNDS):
        similar, nearest = _nearest_outside(rows, labels)
        best = torch.full_like(similar, -torch.inf).scatter_reduce_(0, labels, similar, "amax")
        joins = (similar == best[labels]).nonzero()[:, 0]  # of each group, the row that is nearest to another one
        edges = torch.cat([torch.stack([labels, numbers], dim=1), torch.stack([joins, nearest[joins]], dim=1)])
        labels = components(edges, len(rows))
    return labels


def _nearest_outside(rows: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine with, and number of, the nearest row of another group, each `(k,)`."""
    found, size = [], max(1, BLOCK // len(rows))
    for some, own in zip(rows.split(size), labels.split(size), strict=True):
        found.append((some @ rows.T).masked_fill_(own[:, None] == labels, -2.0).max(1))
    return torch.cat([one.values for one in found]), torch.cat([one.indices for one in found])
