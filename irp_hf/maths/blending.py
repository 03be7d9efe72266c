"""How much of the rigid part a map takes, ρ: out of three folds of the anchors, of a sample of 500 where they are more.

A little of it costs the cosine hardly anything, and tells items apart that a regression gives nearly the same translation. What
is held out is sought among rows that are held out with it: a map draws translations to the anchors that it was fitted on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.chance import is_ahead
from irp_hf.maths.climbing import SAMPLE, Candidate, climb
from irp_hf.maths.folds import FEW_FOLDS, NUM_FOLDS
from irp_hf.maths.identification import identified_by
from irp_hf.maths.inverses.base import Inverse
from irp_hf.maths.inverses.in_rows import left_out_by
from irp_hf.maths.metrics import neighbors_kept
from irp_hf.maths.objectives import depth_of
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import Statistics, denormalize, unit_rows
from irp_hf.maths.request import Given, Objective
from irp_hf.maths.rigid import rotated_left_out, rotation
from irp_hf.maths.tuning_kernel import sample_of, sampled

SHARES = (0.0, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
START = 0.25
WORTH = 0.01  # of what is missing to a cosine of 1: so much is given up where the cosine is what counts
SURE = 2.0  # standard errors by which it must gain something
QUICK = 400  # rows, or dimensions, up to which ten rotations cost a third of a fit at most
Score = Callable[[float], Tensor]
"""What is to be as large as can be, of each row `(n,)`, at a share."""


def chosen_share(candidate: Candidate, pairs: Pairs, given: Given, objective: Objective) -> float:
    """ρ for the candidate's inverse: above 0 where that surely gains something; 0 of one that takes no rigid part.

    What the cosine pays little for, and items are told apart by, is taken whatever the objective, unless another share is
    surely ahead by the objective itself.
    """
    if not candidate.inverse.blends:
        return 0.0
    if given.rigid is not None:
        return float(given.rigid)
    judged = _judged(candidate, pairs, given)
    if judged is None or len(judged.pools) < FEW_FOLDS:
        return 0.0
    true, groups, turned = pairs.target[judged.rows], pairs.labels[judged.rows], judged.turned
    if len(judged.rows) == len(pairs):
        turned = turned_left_out(pairs, candidate.inverse.lift, given.seed, objective)[judged.rows]

    shared = groups if pairs.copies else None
    told, kept = _scores(judged, true, pairs.target_stats, shared, objective, given.depth)
    # Of what the score will come from.
    cosines_at = cosines_of_sums(candidate.directions[judged.rows], turned, true, pairs.target_stats)

    @cache
    def near(share: float) -> float:
        return float(cosines_at(share).mean())

    def ahead(score: Score, instead: float, least: float = -1.0) -> float:
        """The best share whose mean cosine is not below the `least`, where it is surely better than this one."""
        rows = cache(score)

        def mean(share: float) -> float:
            # What is not near enough is below all that is, and rises towards it.
            return float(rows(share).mean()) if near(share) >= least else near(share) - 2

        best = next(iter(climb(mean, SHARES, SHARES.index(START))))
        return best if mean(best) > -1 and is_ahead(rows(best), rows(instead), groups, SURE) else instead

    share = ahead(told, 0.0, near(0.0) - WORTH * (1 - near(0.0)))
    if objective == "retrieval":
        return ahead(told, share)
    return ahead(kept, share) if objective in ("neighbors", "recall") else share


class _Judged(NamedTuple):
    """Rows by which ρ is chosen."""

    rows: Tensor
    """Their numbers `(n,)`."""
    pools: list[Tensor]
    """Those that were left out together, as numbers below n."""
    left_out: Tensor
    """What the inverse gives for them from all rows outside of their fold, shape (n, d_Y)."""
    turned: Tensor
    """What the rigid part gives, likewise."""


def _judged(candidate: Candidate, pairs: Pairs, given: Given) -> _Judged | None:
    """A sample by itself, where its similarities tell what it says; else some of each fold of all rows, by the solution."""
    inverse, seed = candidate.inverse, given.seed
    rows, sample = sample_of(pairs, seed), sampled(pairs, seed)
    pools, left_out = sample.folds(FEW_FOLDS, seed), left_out_of_sample(inverse, pairs, seed)
    if left_out is not None:
        turned = turned_by_folds(sample, FEW_FOLDS, seed, partial(pairs.products_of, rows))
    elif candidate.solved is not None:
        folds = pairs.folds(FEW_FOLDS, seed)
        some = [fold[: SAMPLE // FEW_FOLDS] for fold in folds]
        rows = torch.cat(some)
        numbers = torch.arange(len(rows), dtype=torch.int64, device=rows.device)
        pools = list(numbers.split([len(one) for one in some]))
        left_out, turned = candidate.solved.folds_left_out(folds)()[rows], turned_by_folds(pairs, FEW_FOLDS, seed)[rows]
    else:
        return None
    return _Judged(rows, pools, left_out, turned * lengths(pairs, inverse.lift)[rows, None])


def left_out_of_sample(inverse: Inverse, pairs: Pairs, seed: int) -> Tensor | None:
    """What an inverse gives for each of three folds of the sample by the others, `(n, d_Y)`, where `left_out_by` tells it."""

    def make() -> Tensor | None:
        rows, pools = sample_of(pairs, seed), sampled(pairs, seed).folds(FEW_FOLDS, seed)
        found = left_out_by(inverse, pairs, rows, pairs.target_rows[rows], [pools])
        return None if found is None else found[0]

    return pairs.once(("left out", inverse, seed), make)


def cosines_of_sums(one: Tensor, other: Tensor, true: Tensor, stats: Statistics) -> Callable[[float], Tensor]:
    """Of directions `one (n, d)` and a share of the `other`, as vectors, the cosines `(n,)` with the `true (n, d)`.

    Products of their rows tell those of all shares: `denormalize` gives a sum the scale as its length, and adds the mean.
    """
    sums, units = _Sums.of(one, other, stats), unit_rows(true)
    with_true, mean_true = [torch.linalg.vecdot(side, units) for side in (one, other)], units @ stats.mean

    def found(share: float) -> Tensor:
        factor, length = sums.at(share)
        cosine: Tensor = (factor * (with_true[0] + share * with_true[1]) + mean_true) / length
        return cosine

    return found


def tables_of_sums(
    one: Tensor, other: Tensor, true: Tensor, stats: Statistics, pools: Sequence[Tensor]
) -> Callable[[float], list[Tensor]]:
    """The same with all of the `true` of their pool (row numbers), `(m, m)` each, in single precision."""
    sums = _Sums.of(one, other, stats)
    single, units = working_dtype(torch.float32, true.device), unit_rows(true)
    mean_true = (units @ stats.mean).to(single)
    sides = [side.to(single) for side in (one, other)]
    units = units.to(single)
    products = [[side[pool] @ units[pool].T for side in sides] for pool in pools]

    def found(share: float) -> list[Tensor]:
        factor, length = sums.at(share)
        outer, shift = (factor / length).to(single)[:, None], (1 / length).to(single)[:, None]
        return [
            torch.add(*products_of, alpha=share).mul_(outer[pool]).addcmul_(shift[pool], mean_true[pool])
            for pool, products_of in zip(pools, products, strict=True)
        ]

    return found


class _Sums(NamedTuple):
    """What tells how long sums of rows come out, for any share of the second."""

    squares: list[Tensor]
    """Products `(n,)` of the first with itself and with the second, and of the second with itself."""
    with_mean: list[Tensor]
    """Of each with the mean."""
    stats: Statistics

    @classmethod
    def of(cls, one: Tensor, other: Tensor, stats: Statistics) -> _Sums:
        """Of rows `one (n, d)` and the `other`."""
        squares = [torch.linalg.vecdot(*sides) for sides in ((one, one), (one, other), (other, other))]
        return cls(squares, [side @ stats.mean for side in (one, other)], stats)

    def at(self, share: float) -> tuple[Tensor, Tensor]:
        """The factor `(n,)` that gives each sum the scale as its length, and how long it is with the mean added `(n,)`."""
        (own, between, others), (first, second), (mean, scale) = self
        least = torch.finfo(own.dtype).tiny
        factor = scale / (own + 2 * share * between + share**2 * others).clamp(min=least).sqrt()
        squares = scale**2 + 2 * factor * (first + share * second) + mean @ mean
        return factor, squares.clamp(min=least).sqrt()


def _scores(
    judged: _Judged, true: Tensor, stats: Statistics, groups: Tensor | None, objective: Objective, depth: int
) -> tuple[Score, Score]:
    """How surely the judged translations of `true (n, d_Y)` tell their item, and neighbours kept, each sought in its pool.

    By recall, that are those among the candidates.
    """
    pools = judged.pools
    tables = tables_of_sums(judged.left_out, judged.turned, true, stats, pools)

    def kept(share: float) -> Tensor:
        translated = denormalize(judged.left_out + share * judged.turned, stats)
        found = torch.empty_like(true[:, 0])
        for pool in pools:
            shared = None if groups is None else groups[pool]
            candidates = depth_of(objective, depth, len(pool))
            found[pool] = neighbors_kept(translated[pool], true[pool], groups=shared, depth=candidates)
        return found

    return lambda share: identified_by(tables(share), pools, len(true), groups), kept


def turned_left_out(pairs: Pairs, lift: float, seed: int, objective: Objective) -> Tensor:
    """What the rigid part gives for all rows out of fold, `(k, d_Y)`, each with the length that it has at this lift.

    Few folds are quick, and make it look worse than it is: where it may be all that counts, and of few rows or narrow ones,
    which are quick anyway, there are as many as for other inverses.
    """
    narrowest = min(*pairs.source.shape, pairs.target.shape[1])
    count = NUM_FOLDS if objective == "retrieval" or narrowest <= QUICK else FEW_FOLDS
    rows = torch.arange(len(pairs), dtype=torch.int64, device=pairs.source.device)
    turned = turned_by_folds(pairs, count, seed, partial(pairs.products_of, rows))
    return turned * lengths(pairs, lift)[:, None] if lift else turned


def turned_by_folds(pairs: Pairs, count: int, seed: int, products: Callable[[], Tensor] | None = None) -> Tensor:
    """The same at no lift, of so many folds; `products` as `rotated_left_out` takes them."""

    def make() -> Tensor:
        return rotated_left_out(pairs.source, pairs.target, pairs.folds(count, seed), products)

    return pairs.once(("turned", seed, count), make)


def rigid_part(pairs: Pairs, lift: float) -> Tensor:
    """`(d_X, d_Y)`, for unit rows at this lift, less the coordinate that lifts them: of mean length they have length 1 here."""
    turn = pairs.once("rotation", lambda: rotation(pairs.source_rows, pairs.target_rows))
    return turn * math.sqrt(1 + lift**2)


def lengths(pairs: Pairs, lift: float) -> Tensor:
    """Of what `rigid_part` is given of each row, `(k,)`."""
    own = torch.linalg.vector_norm(pairs.source - pairs.source_stats.mean, dim=1)
    if not lift:
        return torch.ones_like(own)
    share: Tensor = own / (own.square() + (lift * pairs.source_stats.scale).square()).sqrt()
    return share * math.sqrt(1 + lift**2)
