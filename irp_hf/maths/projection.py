"""Relative projection: a vector is described by its angles with the anchors.

Notation of *Latent Space Translation via Inverse Relative Projection* (arXiv 2406.15057): `anchors (k, d)` are k
encodings by one encoder. A hat, here `rows`, marks vectors that were centred by the anchor mean and scaled to unit length.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SHORT = 128  # square roots of the least normal number: up to a width of 4,096 nothing shorter comes out too long
LEAST_NORM = {dtype: SHORT * torch.finfo(dtype).tiny ** 0.5 for dtype in (torch.float32, torch.float64)}
UNIT = 1e-3  # how far a length may be off
PANEL = 256  # rows whose products with those before them are made at once


class Statistics(NamedTuple):
    """What one side must know of its own anchors to leave, and to return to, its absolute space."""

    mean: Tensor
    """Anchor mean μ, shape (d,)."""
    scale: Tensor
    """Mean norm of the centred anchors s, shape ()."""


def statistics(anchors: Tensor) -> Statistics:
    """Anchor mean μ and mean scale s of `anchors (k, d)`, in the anchors' dtype."""
    mean = anchors.mean(0)
    return Statistics(mean, torch.linalg.vector_norm(anchors - mean, dim=1).mean())


def unit_rows(x: Tensor) -> Tensor:
    """Rows of `x (n, d)` at unit length, shape (n, d); a zero row has no direction and stays zero.

    So does, by degrees, one that is so short that the squares of its numbers are lost (1e-17 in float32).
    """
    return x / norms(x)


def norms(x: Tensor) -> Tensor:
    """Lengths `(n, 1)` of the rows of `x (n, d)`, by which they have a direction: of too short ones, the least that counts."""
    lengths: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return lengths.clamp(min=LEAST_NORM[x.dtype])


def has_unit_length(rows: Tensor) -> bool:
    """Whether all `rows (n, d)` are of length 1, to within what half precision rounds."""
    return bool(((torch.linalg.vector_norm(rows.double(), dim=1) - 1).abs() <= UNIT).all())


def inner_products(rows: Tensor) -> Tensor:
    """Of `rows (k, d)` with each other, shape (k, k): those above the diagonal are those below it."""
    found = rows.new_empty(len(rows), len(rows))
    for start in range(0, len(rows), PANEL):
        stop = start + PANEL
        found[start:stop, :stop] = rows[start:stop] @ rows[:stop].T
        found[:start, start:stop] = found[start:stop, :start].T
    return found


def among(matrix: Tensor, rows: Tensor) -> Tensor:
    """`matrix (k, k)` between these `rows (n,)` alone, shape (n, n)."""
    return matrix.index_select(0, rows).index_select(1, rows)


def cosines_about(products: Tensor, rows: Tensor) -> Tensor:
    """Cosines `(k, n)` of all rows with these `rows (n,)`, seen from the mean of the latter, by all `products (k, k)`.

    0 of a row that, but for rounding, is that mean.
    """
    found, squares = products.index_select(1, rows), products.diagonal()
    means = found.mean(1)
    middle = means[rows].mean()
    rounding = SHORT * torch.finfo(found.dtype).eps * (squares + 2 * means.abs() + middle)
    squares = squares - 2 * means + middle
    factors = torch.where(squares > rounding, squares, torch.inf).rsqrt()
    return found.sub_(means[:, None]).sub_(means[rows] - middle).mul_(factors[:, None]).mul_(factors[rows])


def lifted_cosines(cosines: Tensor, lengths: Tensor, height: Tensor) -> Tensor:
    """Cosines `(n, n)` of rows of these `lengths (n,)`, lifted to a `height ()`, from their `cosines (n, n)` without it."""
    lifted = (lengths.square() + height.square()).sqrt().clamp(min=torch.finfo(cosines.dtype).tiny)
    lengths, heights = lengths / lifted, height / lifted
    return cosines * lengths[:, None] * lengths + heights[:, None] * heights


def is_short(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Which rows of `x (n, d)` are so short that in `dtype` they have no direction, and no gradient, shape (n, 1)."""
    norms: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    short: Tensor = norms < LEAST_NORM[dtype]
    return short


def centre(x: Tensor, mean: Tensor, height: Tensor | None = None) -> Tensor:
    """`x (n, d)` less the anchor mean `(d,)`; with a `height ()` that as one more coordinate, shape (n, d + 1)."""
    centred = x - mean
    return centred if height is None else torch.cat([centred, height.expand(x.shape[0], 1)], dim=1)


def normalize(x: Tensor, stats: Statistics, lift: float = 0.0) -> Tensor:
    """Centre `x (n, d)` by the anchor mean and scale its rows to unit length: angles stay, scale goes.

    A `lift` above 0 lets lengths tell something too: all rows are first lifted by so many mean scales, along one more
    coordinate, shape (n, d + 1). A short row then points up, a long one sideways, and only lengths far beyond the lift
    look alike.
    """
    return unit_rows(centre(x, stats.mean, lift * stats.scale if lift else None))


def denormalize(x: Tensor, stats: Statistics, length: float = 1.0) -> Tensor:
    """Give directions `x (n, d)` the anchors' mean scale and mean (paper, section 3: decoders are scale invariant).

    Or so many times that scale.
    """
    return unit_rows(x) * (length * stats.scale) + stats.mean


def relative_projection(rows: Tensor, anchors: Tensor, gamma: float | None = None) -> Tensor:
    """Similarity of every row with every anchor, `(n, d), (k, d) -> (n, k)`, both given as unit rows.

    Without `gamma` it is the cosine `rows @ anchors.T`, the paper's relative projection; with it, the radial similarity
    `exp(gamma * (cos - 1))` of the same cosines, which is 1 for equal directions.
    """
    if gamma is None:
        return rows @ anchors.T
    return ((gamma * rows) @ anchors.T).sub_(gamma).exp_()
