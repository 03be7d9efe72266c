"""What a fit says of rows that it had not seen, from a fit on all rows: closed form for ridge regressions of any kind.

Such a fit leaves `G y` of its targets, `G = I - H`. Without the rows F it predicts them as `y_F - G_FF⁻¹ (G y)_F`; G may have
any scale, that of an inverse `(K + λI)⁻¹ = G / λ`, say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

BLOCK = 2**23  # numbers of rows that are left out together, copied at once
Blocks = Callable[[Tensor], Tensor]
"""G between rows `(..., m)`, shape (..., m, m)."""


def leave_one_out(
    target: Tensor, residual: Tensor, diagonal: Tensor, groups: Sequence[Tensor], blocks: Blocks, rank: int
) -> Tensor:
    """Every row of `target (k, d)` as the others predict it; `residual (k, d)` is G y, `diagonal (k,)` that of G.

    Rows of one of the `groups`, row numbers `(n, m)` of n groups of m rows each, are predicted from those outside of it.
    `rank` is how many numbers `blocks` reads of each row.
    """
    predicted = target - residual / diagonal[:, None]
    for together in groups:
        for rows in together.split(max(1, BLOCK // (together.shape[1] * rank))):
            predicted[rows] = target[rows] - torch.linalg.solve(blocks(rows), residual[rows])
    return predicted


def leave_folds_out(target: Tensor, residual: Tensor, folds: Sequence[Tensor], blocks: Blocks) -> Tensor:
    """Every fold (row numbers) of `target (k, d)` as the others predict it; `residual (k, d)` is G y."""
    return FoldsLeftOut(target, residual, folds, blocks)()


class FoldsLeftOut:
    """What `leave_folds_out` gives, when it is called: it keeps no more of G than what the folds ask for."""

    def __init__(self, target: Tensor, residual: Tensor, folds: Sequence[Tensor], blocks: Blocks) -> None:
        self.target, self.residual, self.folds = target, residual, folds
        self.blocks = [blocks(fold) for fold in folds]

    def __call__(self) -> Tensor:
        """Directions `(k, d)`."""
        predicted = self.target.clone()
        for fold, block in zip(self.folds, self.blocks, strict=True):
            predicted[fold] -= _solved(block, self.residual[fold])
        return predicted


def _solved(block: Tensor, residual: Tensor) -> Tensor:
    """`G_FF⁻¹ r (m, d)` of a `block (m, m)` and a `residual (m, d)`; of a wide one by a product, which is quicker."""
    if residual.shape[1] > len(block):
        wide: Tensor = torch.linalg.inv(block) @ residual
        return wide
    narrow: Tensor = torch.linalg.solve(block, residual)
    return narrow
