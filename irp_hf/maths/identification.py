"""How well translations tell their own item from others: it does not saturate where the true one is first already."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.climbing import climb
from irp_hf.maths.projection import unit_rows

SHARPNESSES = tuple(2.0 ** (e / 2) for e in range(-4, 23))


def identified(translated: Tensor, true: Tensor, pools: Sequence[Tensor], groups: Tensor | None = None) -> Tensor:
    """`1 + log p / log m` `(n,)` of each translation, both `(n, d)`, whose true vector is sought in a pool of m rows.

    p is its probability, a softmax of the cosines with all of its pool (row numbers) at the sharpness that makes p the greatest
    on the whole. 1 is to be sure of the true one, 0 to know nothing; to be sure of another is below 0. Rows of one of the
    `groups (n,)` are no rivals of each other. Of a pool of one nothing is asked: 1.
    """
    dtype = working_dtype(torch.float32, true.device)
    translated, true = unit_rows(translated).to(dtype), unit_rows(true).to(dtype)
    return identified_by([translated[pool] @ true[pool].T for pool in pools], pools, len(true), groups)


def identified_by(
    tables: Sequence[Tensor], pools: Sequence[Tensor], count: int, groups: Tensor | None = None
) -> Tensor:
    """The same of so many rows, by the cosines `(m, m)` of the translations of each pool, down, with its true vectors."""
    searched = [_among_rivals(table, groups, pool) for table, pool in zip(tables, pools, strict=True)]

    def found(sharpness: float) -> Tensor:
        told = torch.ones(count, dtype=torch.float64, device=tables[0].device)
        for pool, cosines in zip(pools, searched, strict=True):
            if len(pool) > 1:
                own = cosines.diagonal() * sharpness
                told[pool] += ((own - (cosines * sharpness).logsumexp(1)) / math.log(len(pool))).double()
        return told

    return _at_the_best(found)


def identified_among(translated: Tensor, true: Tensor, rows: Tensor) -> Tensor:
    """The same where each true vector is sought among other `rows (m, d)`, which are none of the true ones."""
    dtype = working_dtype(torch.float32, true.device)
    translated, true, rows = (unit_rows(side).to(dtype) for side in (translated, true, rows))
    cosines = torch.cat([torch.linalg.vecdot(translated, true)[:, None], translated @ rows.T], 1)

    def found(sharpness: float) -> Tensor:
        surely = cosines[:, 0] * sharpness - (cosines * sharpness).logsumexp(1)
        return 1 + surely.double() / math.log(cosines.shape[1])

    return _at_the_best(found)


def _at_the_best(found: Callable[[float], Tensor]) -> Tensor:
    """What is `found` at the sharpness at which that is the most."""
    return found(next(iter(climb(lambda one: float(found(one).mean()), SHARPNESSES, len(SHARPNESSES) // 2))))


def _among_rivals(cosines: Tensor, groups: Tensor | None, pool: Tensor) -> Tensor:
    if groups is None:
        return cosines
    rival = groups[pool][:, None] != groups[pool]
    rival.fill_diagonal_(True)
    return cosines.masked_fill(~rival, -torch.inf)
