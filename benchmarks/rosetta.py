"""The method of *Shared Geometry as a Rosetta Stone* (arXiv 2610.09411), small: a baseline for few pairs, or none.

An orthogonal W and a permutation T are sought for which Tr(X W Yᵀ Tᵀ) is largest, over centred unit rows X and Y: T by the
Hungarian method for this W, W as the polar factor for this T, and so on. Pairs that are known stand beside the b rows that are
matched, each with the weight b / p. Without any, 30 restarts of k-means centres are matched by a quadratic assignment of
their cosines, and the start with the largest trace goes on.

The paper matches 10⁴ rows a hundred times. Here at most `ROWS` of either side are matched, other ones each time, `STEPS` times;
both sides are reduced to their `DIMENSIONS` leading principal directions, and how the paper assigns its centres is our reading.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment, quadratic_assignment
from sklearn.cluster import KMeans
from torch import Tensor

from irp_hf.maths.projection import Statistics, denormalize, normalize, statistics, unit_rows
from irp_hf.maths.unpaired.matching import polar
from irp_hf.maths.unpaired.side import Side

ROWS, STEPS, DIMENSIONS = 1000, 40, 512
RESTARTS, CENTRES, FIRST = 30, 30, 5
"""Starts, clusters of each, and steps after which the starts are compared."""


@dataclass(frozen=True)
class Space:
    """Unpaired rows of a space and pairs' rows, centred and at unit length, in its leading principal directions."""

    stats: Statistics
    side: Side
    pairs: Tensor
    """Shape (p, r)."""

    @classmethod
    def of(cls, rows: Tensor, pairs: Tensor) -> Space:
        """Of unpaired `rows (n, d)` and those of the `pairs (p, d)`."""
        stats = statistics(torch.cat([rows, pairs]).double())
        side = Side.of(unit_rows(normalize(rows.double(), stats)).float(), DIMENSIONS)
        space = cls(stats, side, side.low[:0])
        return cls(stats, side, space.enter(pairs))

    def enter(self, rows: Tensor) -> Tensor:
        """Unit rows `(n, r)` for raw `rows (n, d)`."""
        return self.side.enter(unit_rows(normalize(rows.double(), self.stats)).float())

    def leave(self, rows: Tensor) -> Tensor:
        """Raw rows `(n, d)`, at the mean length, for `rows (n, r)`."""
        return denormalize(unit_rows(rows @ self.side.axes.T).double(), self.stats).float()


def rosetta(x: Space, y: Space, seed: int) -> Tensor:
    """W, shape (r, q)."""
    draw = torch.Generator().manual_seed(seed)
    if len(x.pairs):
        return refined(x, y, polar(x.pairs.T @ y.pairs), STEPS, draw)[0]
    starts = [refined(x, y, by_centres(x.side.low, y.side.low, seed + start), FIRST, draw) for start in range(RESTARTS)]
    return refined(x, y, max(starts, key=lambda one: one[1])[0], STEPS, draw)[0]


def refined(x: Space, y: Space, rotation: Tensor, steps: int, draw: torch.Generator) -> tuple[Tensor, float]:
    """W after so many steps, and the mean cosine of what was matched last."""
    count, cosine = min(len(x.side), len(y.side), ROWS), 0.0
    for _ in range(steps):
        one, other = (side.low[torch.randperm(len(side), generator=draw)[:count]] for side in (x.side, y.side))
        cosines = (one @ rotation @ other.T).numpy()
        rows, columns = linear_sum_assignment(cosines, maximize=True)
        cosine = float(cosines[rows, columns].mean())
        moment = one.T @ other[columns]
        if len(x.pairs):
            moment = moment + count / len(x.pairs) * x.pairs.T @ y.pairs
        rotation = polar(moment)
    return rotation, cosine


def by_centres(x: Tensor, y: Tensor, seed: int) -> Tensor:
    """A first W, by centres of both sides that are alike in how they lie among themselves."""
    one, other = (
        KMeans(CENTRES, n_init=1, random_state=seed).fit(side[: 2 * ROWS].numpy()).cluster_centers_ for side in (x, y)
    )
    among = [centres @ centres.T for centres in (unit_rows(torch.from_numpy(one)), unit_rows(torch.from_numpy(other)))]
    options = {"maximize": True, "P0": "randomized", "rng": np.random.default_rng(seed)}
    order = quadratic_assignment(*(cosines.double().numpy() for cosines in among), options=options).col_ind
    return polar(torch.from_numpy(one).T @ torch.from_numpy(other[order]))
