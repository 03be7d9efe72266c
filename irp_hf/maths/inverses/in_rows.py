"""Inverses over all anchors that are a ridge regression in what their rows share: the similarities alone tell any held-out row.

The kernel is one in its similarities. The whitened inverse at balance 1 is one in the cosines themselves, since
`X (XᵀX + λI)⁻¹ Xᵀ = XXᵀ (XXᵀ + λI)⁻¹`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from irp_hf.maths.inverses.base import Inverse
from irp_hf.maths.inverses.kernel import KernelInverse, similarities
from irp_hf.maths.inverses.kernel_system import between
from irp_hf.maths.inverses.solving import rough_inverse
from irp_hf.maths.inverses.whitened import WhitenedInverse
from irp_hf.maths.leaving_out import leave_folds_out
from irp_hf.maths.pairs import Pairs


def left_out_by(
    inverse: Inverse, pairs: Pairs, rows: Tensor, target: Tensor, ways: Sequence[Sequence[Tensor]]
) -> list[Tensor] | None:
    """What some `rows (n,)` of `pairs` say of each other's `target (n, q)`: for each way to part them, each fold by the others.

    All have the means of all pairs. None of an inverse that the rows' similarities alone do not tell.
    """
    if isinstance(inverse, KernelInverse) and inverse.takes_all(pairs.source):
        similar, ridge = similarities(pairs.cosines_of(rows, inverse.lift), inverse.gamma), inverse.ridge
    elif isinstance(inverse, WhitenedInverse) and inverse.balance == 1 and inverse.ridge:
        similar, width = pairs.cosines_of(rows, inverse.lift), pairs.source.shape[1] + bool(inverse.lift)
        ridge = inverse.ridge * len(rows) * (1 - 1 / len(ways[0])) / width  # of unit rows, per dimension
    else:
        return None
    solving = rough_inverse(similar, ridge)
    rough = target.to(solving.dtype)
    solved = solving @ rough
    return [leave_folds_out(rough, solved, folds, partial(between, solving)).to(target.dtype) for folds in ways]
