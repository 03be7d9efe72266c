"""What share of its neighbours a vector keeps among more rows than were ever searched, with an interval.

The m nearest of n rows lie in the tail of the similarities beyond their quantile m/n. So the share kept depends on n/m: the ten
nearest of 5,000 rows keep about as many as the one nearest of 500, and pools of n rows tell of indexes of 10 n. Were a
translation's similarities Gaussian about the true ones, with correlation ρ, the share would be the chance to be in one tail
given the other, and ρ would tell of any size. Real ones depart from that, and ever more: so the logit of the share is
that of the Gaussian, and a curve of x = log(n/m) whose slope begins near 0 and wanders, an integrated Wiener process, the prior
behind a cubic smoothing spline. Its interval widens with the distance to the power 3/2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from irp_hf.maths.metrics import NEIGHBORS

SLOPE = 0.1  # how far the slope is from the Gaussian's: it was up to .08 on TREC and on English sentences of Tatoeba
WANDER = 0.08  # how far it wanders while x grows by 1
MISFIT = 0.05  # of a logit: what the curve itself leaves open
# Logits that the nearest one keeps less than the nearest of many at the same n/m: .1 to .25 of pools.
FEWER = (0.17, 0.1)
LEVEL = 5.0  # so wide that the points alone decide
MORE_ANCHORS, FLATTER = 0.5, 0.15  # how much the logarithm of the number of anchors may move the level and the slope
TAIL = 5.0  # n/m from which on the m nearest are a tail
REFERENCE = 30.0  # n/m that all pools tell of
ROLES = 2  # an anchor that chance has drawn asks, and was fitted or is searched, too: its noise counts twice
QUANTILE = 1.96  # of the central 95 %
STEPS = 400  # of an integral


@dataclass(frozen=True)
class Pools:
    """Shares kept in `p` kinds of pools by `n` queries."""

    rows: Tensor
    """How many rows were searched, shape (p,)."""
    nearest: Tensor
    """How many of the nearest count, shape (p,)."""
    fitted: Tensor
    """The share of the anchors that the fit had, shape (p,)."""
    kept: Tensor
    """The share kept by each query, NaN where it did not search such a pool, shape (p, n)."""


def extrapolate(pools: Pools, sizes: Sequence[int]) -> Tensor:
    """The share of the ten nearest that an index of each of `sizes` keeps with all anchors, and its bounds, `(len(sizes), 3)`.

    Universal kriging of the logits, their covariance taken from the queries. The bounds hold 95 %.
    """
    found = torch.empty(len(sizes), 3, dtype=torch.float64, device="cpu")
    wanted = torch.tensor(sizes, dtype=torch.float64, device="cpu") / NEIGHBORS
    tail = _at_least(pools, TAIL)
    near = float(_krige(tail, wanted.new_tensor([REFERENCE]), 0.0)[0, 0])
    correlation = _correlation(1 / REFERENCE, near)
    small = wanted < TAIL  # pools that small are no tail, and tell of themselves alone
    for chosen, among in ((small, pools), (~small, tail)):
        if chosen.any():
            found[chosen] = _krige(among, wanted[chosen], correlation)
    return found


def both_tails(tail: Tensor, correlation: float) -> Tensor:
    """The chance that one of two normal variables is in its upper `tail (n,)` of that chance, given that the other is."""
    edge = -torch.special.ndtri(tail)
    angles = torch.linspace(0, math.asin(correlation), STEPS + 1, dtype=tail.dtype, device=tail.device)
    heights = torch.exp(-(edge[:, None] ** 2) / (1 + angles.sin())) / (2 * math.pi)
    return (torch.trapezoid(heights, angles) + tail**2) / tail


def _correlation(tail: float, chance: float) -> float:
    """The correlation at which `both_tails` of that `tail` is `chance`."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        below = float(both_tails(torch.tensor([tail], dtype=torch.float64, device="cpu"), middle)) < chance
        low, high = (middle, high) if below else (low, middle)
    return low


def _at_least(pools: Pools, least: float) -> Pools:
    kept = pools.rows / pools.nearest >= least
    return Pools(pools.rows[kept], pools.nearest[kept], pools.fitted[kept], pools.kept[kept])


def _krige(pools: Pools, ratios: Tensor, correlation: float) -> Tensor:
    """Shares and bounds `(n, 3)` at these n/m, `(n,)`, about what a Gaussian of that correlation keeps."""
    logits, noise = _logits(pools.kept)
    measured = len(logits)
    ratio = torch.cat([pools.rows / pools.nearest, ratios])
    x, none = ratio.log(), torch.zeros_like(ratios)
    few = torch.cat([(pools.nearest.rsqrt() - NEIGHBORS**-0.5) / (1 - NEIGHBORS**-0.5), none])
    anchors = torch.cat([pools.fitted.log(), none])
    start = x - x.min()
    features = (
        (torch.ones_like(x), 0.0, LEVEL),
        (x - math.log(REFERENCE), 0.0, SLOPE if correlation else LEVEL),
        (-few, *FEWER),
        (anchors, 0.0, MORE_ANCHORS),
        (anchors * (x - math.log(NEIGHBORS)), 0.0, FLATTER),
    )
    prior = both_tails(1 / ratio, correlation).logit() if correlation else torch.zeros_like(x)
    covariance = _wandering(start)
    for feature, mean, deviation in features:
        prior = prior + mean * feature
        covariance = covariance + deviation**2 * feature[:, None] * feature
    known = covariance[:measured, :measured] + noise + MISFIT**2 * torch.eye(measured, dtype=x.dtype, device=x.device)
    across = covariance[:measured, measured:]
    weights = torch.linalg.solve(known, across)
    mean = prior[measured:] + weights.T @ (logits - prior[:measured])
    variance = covariance[measured:, measured:].diagonal() - (across * weights).sum(0)
    reach = QUANTILE * variance.clamp(min=0).sqrt()
    return torch.stack([mean, mean - reach, mean + reach], dim=1).sigmoid()


def _wandering(start: Tensor) -> Tensor:
    """Covariance of an integrated Wiener process at `start (n,)`, distances from where it begins."""
    least = torch.minimum(start[:, None], start)
    apart = (start[:, None] - start).abs()
    covariance: Tensor = WANDER**2 * (least**3 / 3 + apart * least**2 / 2)
    return covariance


def _logits(kept: Tensor) -> tuple[Tensor, Tensor]:
    """Logits `(p,)` of the mean shares, and their covariance `(p, p)` by what each query adds to them."""
    searched = ~kept.isnan()
    counts = searched.sum(1, keepdim=True)
    shares = kept.nanmean(1, keepdim=True).clamp(0.5 / counts, 1 - 0.5 / counts)
    influence = torch.where(searched, kept - shares, 0.0) / (counts * shares * (1 - shares))
    return shares[:, 0].logit(), ROLES * influence @ influence.T
