"""Groups of rows by nearness alone, with no distance to set: each joins its nearest one, and then each group its nearest."""

from __future__ import annotations

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.groups import BLOCK, components

JITTER = 1e-5  # of a cosine: what chooses among rows that lie equally near, on a grid or along a line
ROUNDS = 2  # after one, many copies of an item are still several groups; after three, all rows are few


def linked_groups(rows: Tensor, cosines: Tensor | None = None) -> Tensor:
    """The number `(k,)` of the group that each of the unit `rows (k, d)` lies in: the first two rounds of single linkage.

    `cosines (k, k)` of the rows with each other spare their products, where they are known.
    """
    rows = rows.to(working_dtype(torch.float32, rows.device))
    numbers = torch.arange(len(rows), dtype=torch.int64, device=rows.device)
    labels = numbers
    for _ in range(ROUNDS):
        similar, nearest = _nearest_outside(rows, labels, cosines)
        best = torch.full_like(similar, -torch.inf).scatter_reduce_(0, labels, similar, "amax")
        joins = (similar == best[labels]).nonzero()[:, 0]  # of each group, the row that is nearest to another one
        first = torch.full_like(numbers, len(rows)).scatter_reduce_(0, labels[joins], joins, "amin")
        joins = first[first < len(rows)]
        edges = torch.cat([torch.stack([labels, numbers], dim=1), torch.stack([joins, nearest[joins]], dim=1)])
        labels = components(edges, len(rows))
    return labels


def _nearest_outside(rows: Tensor, labels: Tensor, cosines: Tensor | None) -> tuple[Tensor, Tensor]:
    """Cosine with, and number of, the nearest row of another group, each `(k,)`; of rows equally near, any one.

    If all took the first, whole grids would be one group.
    """
    found, chance = [], torch.Generator("cpu").manual_seed(0)
    for some in torch.arange(len(rows), device=rows.device).split(max(1, BLOCK // len(rows))):
        similar = rows[some] @ rows.T if cosines is None else cosines[some].to(rows.dtype)
        nearest = similar.masked_fill_(labels[some, None] == labels, -2.0).max(1)
        if bool(((similar == nearest.values[:, None]).sum(1) > 1).any()):
            drawn = torch.rand(similar.shape, generator=chance, dtype=torch.float32, device="cpu")
            nearest = similar.add_(drawn.to(similar.device), alpha=JITTER).max(1)
        found.append(nearest)
    return torch.cat([one.values for one in found]), torch.cat([one.indices for one in found])
