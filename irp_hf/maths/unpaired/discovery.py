"""A rotation between two spaces without any pair: starts from matched clusters, and what speaks for what they lead to.

Clusters of both sides are matched by how alike they are among themselves; from there on, rows are matched as beside pairs. A
start may lead astray, and nothing of one run tells. What tells is that starts of different clusters come to the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irp_hf.maths.clusters import cluster_numbers
from irp_hf.maths.projection import unit_rows
from irp_hf.maths.unpaired.assignment import assigned
from irp_hf.maths.unpaired.matching import Matcher, Schedule
from irp_hf.maths.unpaired.side import Side

DIMENSIONS = 128
STARTS = 6  # at most
RUNS, TRIES = 8, 20  # of clusters for one start, and of assignments for one run
CLUSTERS = (16, 18, 20, 22, 24, 26)
SUBSET = 1500  # rows of either side that are clustered, or matched, at once
WIDE = 30  # rows whose mean is a counterpart, where clusters alone tell
FIRST, ROUND = Schedule(20, 0.5, 0.5, 20), Schedule(15, 0.5, 0.0)
GAIN, PATIENCE, ROUNDS = 1.01, 2, 8
AGREE = 0.7  # mean cosine of what two starts make of the same rows, from which on they agree
JUDGING = 2000  # rows by which they are compared


@dataclass(frozen=True)
class Discovered:
    """The rotation that was found, and how sure it is."""

    rotation: Tensor
    """In reduced coordinates, shape (r, q)."""
    agreement: float
    """The mean cosine of what the best start makes of rows of the source with what the start nearest to it makes of them."""
    coincidence: float
    """The mean largest CSLS of the source's rows."""
    starts: int
    """How many were tried."""

    @property
    def is_sure(self) -> bool:
        """Whether starts agree."""
        return self.agreement >= AGREE


def discover(source: Side, target: Side, seed: int) -> Discovered:
    """The rotation between two sides that starts agree about, or the best one; it stops as soon as two agree."""
    found: list[tuple[float, Tensor]] = []
    agreement = 0.0
    for start in range(STARTS):
        matcher = Matcher(source, target, None, seed + start, min(SUBSET, len(source), len(target)))
        found.append(_settled(matcher, matcher.loop(by_clusters(matcher, seed + start), FIRST)))
        found.sort(key=lambda one: -one[0])
        best, *rest = [unit_rows(source.low[:JUDGING] @ rotation) for _, rotation in found]
        agreement = max([float((best * other).sum(1).mean()) for other in rest], default=0.0)
        if agreement >= AGREE:
            break
    return Discovered(found[0][1], agreement, found[0][0], len(found))


def by_clusters(matcher: Matcher, seed: int) -> Tensor:
    """A first rotation `(r, q)`, by clusters of both sides that are matched in several runs."""
    generator = torch.Generator("cpu").manual_seed(seed)
    centres: tuple[list[Tensor], list[Tensor]] = ([], [])
    for run in range(RUNS):
        one, other = (
            _centres(matcher.some(side), CLUSTERS[run % len(CLUSTERS)], seed * RUNS + run)
            for side in (matcher.source, matcher.target)
        )
        count = min(len(one), len(other))
        one, other = one[:count], other[:count]
        order, _ = assigned(_among(one), _among(other), TRIES, generator)
        centres[0].append(one)
        centres[1].append(other[order])
    return matcher.start(torch.cat(centres[0]), torch.cat(centres[1]), weight=0.0, count=WIDE)


def _centres(rows: Tensor, count: int, seed: int) -> Tensor:
    """Unit centres `(at most count, r)` of clusters of unit `rows (n, r)`, the largest first."""
    numbers = cluster_numbers(rows, count, seed)
    sums = rows.new_zeros(count, rows.shape[1]).index_add_(0, numbers, rows)
    sizes = numbers.bincount(minlength=count)
    order = sizes.argsort(descending=True, stable=True)
    return unit_rows(sums[order[sizes[order] > 0]])


def _among(centres: Tensor) -> Tensor:
    """Cosines `(n, n)` of unit `centres (n, r)` with each other, less their mean."""
    cosines = (centres @ centres.T).double()
    cosines.diagonal().fill_(1)
    return cosines - cosines.mean()


def _settled(matcher: Matcher, rotation: Tensor) -> tuple[float, Tensor]:
    """Loops until the clouds coincide no better, and how well they do."""
    best, score, idle = matcher.coincidence(rotation), 0.0, 0
    for _ in range(ROUNDS):
        rotation = matcher.loop(rotation, ROUND)
        score = matcher.coincidence(rotation)
        idle = 0 if score > GAIN * best else idle + 1
        best = max(best, score)
        if idle == PATIENCE:
            break
    return score, rotation
