"""What chance gives: the mean cosine of translations with targets in any order, and what is ahead of another beyond it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.projection import unit_rows

QUANTILE = 2.326  # of the normal distribution: 99 % of all orders stay below
FEW = 20  # groups: of fewer the normal distribution may reach beyond what any order can


class Chance(NamedTuple):
    """A mean cosine, and what chance gives."""

    cosine: float
    """Of translations with their own targets, about the mean."""
    most: float
    """What 99 % of all orders of the targets stay below."""


def chance_of(directions: Tensor, target: Tensor, groups: Tensor) -> Chance:
    """The mean cosine of out-of-fold `directions (k, d)` with unit rows `target (k, d)`, and its 99 % quantile in any order.

    Over all permutations of n groups, which come as wholes (`groups (k,)` numbers them), the mean of `u_i · t_i` has the mean
    `ū · t̄` and, with both sides centred, the variance `|U Tᵀ|² / (n² (n - 1))`. Of few groups it is no more than what each
    translation has with the target that fits it best.
    """
    translated, true = (group_means(rows, groups) for rows in (unit_rows(directions), target))
    n, d = true.shape
    cosine = float((translated * true).sum(1).mean())
    middle = float(translated.mean(0) @ true.mean(0))
    single = working_dtype(torch.float32, true.device)  # a spread is asked, to a few digits
    left, right = ((rows - rows.mean(0)).to(single) for rows in (translated, true))
    products = (left.T @ left) * (right.T @ right) if d < n else (left @ right.T).square()
    deviation = math.sqrt(max(float(products.sum()), 0.0) / (n * n * max(n - 1, 1)))
    most = middle + QUANTILE * deviation
    if n < FEW:
        each = translated @ true.T
        cosine, most = float(each.diagonal().mean()), min(most, float(each.amax(1).mean()))
    return Chance(cosine, most)


def clearly_more(directions: Tensor, target: Tensor, groups: Tensor, least: float) -> bool:
    """Whether the cosine is above `least` and the most that chance could give, however rows spread: that asks for no products.

    By Cauchy and Schwarz, `|U Tᵀ|` is at most `|U| |T|`.
    """
    translated, true = (group_means(rows, groups) for rows in (unit_rows(directions), target))
    n = len(true)
    means = translated.mean(0), true.mean(0)
    spreads = [
        rows.square().sum() - n * mean.square().sum() for rows, mean in zip((translated, true), means, strict=True)
    ]
    most = means[0] @ means[1] + QUANTILE * (spreads[0] * spreads[1]).clamp(min=0).sqrt() / (
        n * math.sqrt(max(n - 1, 1))
    )
    return float((translated * true).sum() / n) > max(float(most), least)


def group_means(rows: Tensor, groups: Tensor) -> Tensor:
    """The mean of each group's rows `(k, d)`, shape (n, d)."""
    _, group, count = groups.unique(return_inverse=True, return_counts=True)
    if len(count) == len(rows):
        return rows
    sums = torch.zeros(len(count), rows.shape[1], dtype=rows.dtype, device=rows.device).index_add_(0, group, rows)
    means: Tensor = sums / count[:, None]
    return means


def is_ahead(one: Tensor, other: Tensor, labels: Tensor, errors: float) -> bool:
    """Whether the mean of `one (k,)` is above that of the `other (k,)` by so many standard errors of their difference.

    Rows of one of the groups `labels (k,)` count as one.
    """
    gains = group_means((one - other)[:, None], labels)[:, 0]
    return float(gains.mean()) > errors * float(gains.std(correction=0)) / math.sqrt(len(gains))
