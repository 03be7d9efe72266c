"""How like the source's anchors a vector is: noise is not, and neither is another encoder's vector.

The anchors tell where the vectors of their encoder lie: how long they are, in which directions they spread, and how near
the nearest anchor is. What held-out anchors have of these is compared with what vectors have that no encoder gave: noise of
the anchors' lengths, and anchors whose coordinates were shuffled. A linear discriminant for each gives the odds. All of it
comes from the source's anchors alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import Statistics, normalize, unit_rows

RIDGE = 0.1  # of the anchors' covariance, in units of its mean variance: few anchors know little of small variances
NEGLIGIBLE = 0.05  # directions that the ridge shrinks to less than this share are left out
FEW = 10  # anchors: fewer tell lengths, and nothing of directions
PRIOR = 0.98  # of a vector to be the encoder's own
REACH = 3  # deviations up to which each kind reaches
SURE = 4  # logarithm of the odds from which on there is no doubt
ORDINARY = 2.5  # deviations of a length from the mean that say nothing
LEAST_DEVIATION = 0.005  # of the logarithm of a length: to be rounded to half precision is no other encoder
NUM_STRANGERS = 512  # vectors of each kind that no encoder gave
ITSELF = 1 - 1e-9  # a landmark with a cosine above it is the anchor itself, or as good as that
A_COPY = 1 - 2.0**-13  # or, where anchors share an item, one to within rounding
SMALLEST = 1e-30  # length and similarity whose logarithm is taken, in float32 too


class Looks(NamedTuple):
    """What is looked at of vectors, each `(n,)`."""

    far: Tensor
    """Deviations of the logarithm of the length from the mean, about the origin or about the anchors' mean: the larger."""
    spread: Tensor
    """Minus the logarithm of the Mahalanobis distance from the anchors' mean, up to a constant."""
    nearest: Tensor
    """Cosine with the nearest landmark."""


@dataclass(frozen=True)
class Typicality:
    """The odds that a vector is one of the encoder's own."""

    directions: Tensor
    """Principal directions of the anchors' unit rows, each shrunk by the ridge, shape (d_X, r)."""
    lengths: Tensor
    """Mean, and deviation, of the logarithm of the length: about the origin and about the mean, shape (2, 2)."""
    planes: Tensor
    """Weights of spread and nearest, and an offset, against each kind of stranger, shape (2, 3)."""

    def __call__(self, x: Tensor, mean: Tensor, nearest: Tensor) -> Tensor:
        """Typicality `(n,)`, 0 to 1, of `x (n, d_X)` with cosines `nearest (n,)` with the landmark that is nearest to each."""
        far = ((log_lengths(x, mean) - self.lengths[0]).abs() / self.lengths[1]).amax(1)
        return self.of(Looks(far, spread(unit_rows(x - mean), self.directions), nearest))

    def of(self, looks: Looks) -> Tensor:
        """The same of what was looked at already."""
        odds = self.planes[:, :2] @ torch.stack([looks.spread, looks.nearest]) + self.planes[:, 2:]
        return odds.amin(0).sigmoid() * (-0.5 * (looks.far - ORDINARY).clamp(min=0).square()).exp()


def log_lengths(x: Tensor, mean: Tensor) -> Tensor:
    """Logarithms `(n, 2)` of the lengths of `x (n, d)` about the origin and about `mean (d,)`."""
    both = [torch.linalg.vector_norm(x, dim=1), torch.linalg.vector_norm(x - mean, dim=1)]
    return torch.stack(both, dim=1).clamp(min=SMALLEST).log()


def spread(rows: Tensor, directions: Tensor) -> Tensor:
    """Spread `(n,)` of unit `rows (n, d)`: with the shrunk directions, `1 - |row directions|²` is a Mahalanobis distance."""
    return -(1 - (rows @ directions).square().sum(1)).clamp(min=SMALLEST).log()


def nearest_of(similar: Tensor, gamma: float) -> Tensor:
    """Cosine `(n,)` with the nearest landmark, of rows whose radial similarities with all landmarks are `similar (n, m)`."""
    return 1 + similar.amax(1).clamp(min=SMALLEST).log() / gamma


def learn_typicality(pairs: Pairs, lift: float, landmarks: Tensor, gamma: float) -> tuple[Typicality, Tensor]:
    """The typicality of the source of `pairs`, and its values `(k,)` on the anchors, each held out.

    `landmarks (m, d_X)` are unit rows at this lift, and `gamma` that of the similarity with them.
    """
    stats, k = pairs.source_stats, len(pairs)
    doubt = math.sqrt((k + 1) / max(k - 5, 1))  # by how much deviations that few rows show are too small
    logs = log_lengths(pairs.source, stats.mean)
    logs[:, 1] += math.log(k / (k - 1))  # about the mean of the others
    lengths, far = _lengths(logs, doubt)
    directions, held_out = shrunk_directions(pairs.source_rows)
    cosines = pairs.lifted(lift) @ landmarks.T
    itself = cosines > (A_COPY if pairs.copies else ITSELF)
    own = Looks(far, held_out, _nearest(cosines.masked_fill(itself, -1), gamma))

    generator = torch.Generator("cpu").manual_seed(0)
    picked = (
        torch.randperm(k, generator=generator, dtype=torch.int64, device="cpu")
        .repeat(-(-100 // k))[:NUM_STRANGERS]
        .to(cosines.device)
    )
    planes = []
    for strangers in (_noise, _shuffled):
        found = strangers(pairs.source[picked], stats, generator)
        nearest = _nearest(normalize(found, stats, lift) @ landmarks.T, gamma)
        kind = Looks(far, spread(normalize(found, stats), directions), nearest)
        planes.append(_plane(own, kind, doubt))
    typicality = Typicality(directions, lengths, torch.stack(planes))
    return typicality, typicality.of(own)


def _lengths(logs: Tensor, doubt: float) -> tuple[Tensor, Tensor]:
    """Mean and deviation `(2, 2)` of `logs (k, 2)`, and how far `(k,)` each lies: one in a hundred may be extraordinary."""
    mean = logs.mean(0)
    deviation = (logs - mean).square().mean(0).sqrt().clamp(min=LEAST_DEVIATION) * doubt
    far = ((logs - mean).abs() / deviation).amax(1)
    wider = (far.quantile(0.99) / ORDINARY).clamp(min=1)
    return torch.stack([mean, deviation * wider]), far / wider


def shrunk_directions(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Shrunk principal directions `(d, r)` of unit `rows (k, d)`, and each row's spread `(k,)` by the others, closed form."""
    k, d = rows.shape
    inner = rows.T @ rows if d <= k else rows @ rows.T
    values, vectors = torch.linalg.eigh(inner / (k - 1))
    ridge = RIDGE * float(values.clamp(min=0).sum()) / d
    share = values / (values + ridge)
    kept = share > NEGLIGIBLE
    values, share, vectors = values[kept], share[kept], vectors[:, kept]
    if d > k:
        vectors = rows.T @ (vectors / ((k - 1) * values).sqrt())
    directions = vectors * share.sqrt()
    distance = (1 - (rows @ directions).square().sum(1)) / ridge
    left_out = distance / (1 - distance * k / (k - 1) ** 2).clamp(min=SMALLEST)
    return directions, -(ridge * left_out).clamp(min=SMALLEST).log()


def _nearest(cosines: Tensor, gamma: float) -> Tensor:
    """What `nearest_of` makes of rows with `cosines (n, m)`."""
    return cosines.amax(1).clamp(min=1 + math.log(SMALLEST) / gamma)


def _noise(anchors: Tensor, stats: Statistics, generator: torch.Generator) -> Tensor:
    """Random directions about the mean, as long as `anchors (n, d)`."""
    random = torch.randn(anchors.shape, generator=generator, dtype=torch.float64, device="cpu").to(anchors)
    lengths: Tensor = torch.linalg.vector_norm(anchors - stats.mean, dim=1, keepdim=True)
    return stats.mean + lengths * unit_rows(random)


def _shuffled(anchors: Tensor, stats: Statistics, generator: torch.Generator) -> Tensor:
    """`anchors (n, d)` with the coordinates of each in an order of its own."""
    order: Tensor = torch.rand(anchors.shape, generator=generator, dtype=torch.float64, device="cpu").argsort(1)
    return anchors.gather(1, order.to(anchors.device))


def _plane(own: Looks, strangers: Looks, doubt: float) -> Tensor:
    """Weights of spread and nearest, and an offset, `(3,)`: the logarithm of the odds to be the encoder's own.

    Fisher's discriminant, in which only what is less spread, or less near, than the anchors speaks against a vector. Where
    both kinds lie far apart, the odds turn near the strangers, and gently: a vector between them may be the encoder's own,
    of something else than the anchors.
    """
    if own.spread.numel() < FEW:
        return torch.tensor([0.0, 0.0, SURE], dtype=own.spread.dtype, device=own.spread.device)
    sides = [torch.stack(looks[1:]) for looks in (own, strangers)]
    means = [side.mean(1, keepdim=True) for side in sides]
    scatters = [(side - mean) @ (side - mean).T / side.shape[1] for side, mean in zip(sides, means, strict=True)]
    scatter = (scatters[0] + scatters[1]) / 2 * doubt**2
    scatter += torch.eye(2, dtype=scatter.dtype, device=scatter.device) * (1e-6 * scatter.trace() + 1e-12)
    weights = torch.linalg.solve(scatter, means[0] - means[1])[:, 0].clamp(min=0)
    middles = [float(weights @ mean[:, 0]) for mean in means]
    reaches = [REACH * doubt * math.sqrt(float(weights @ one @ weights)) for one in scatters]
    turn, slope = sum(middles) / 2 - math.log(PRIOR / (1 - PRIOR)), 1.0
    gap = (middles[0] - reaches[0]) - (middles[1] + reaches[1])
    if gap > 0:
        turn = min(turn, middles[1] + reaches[1] + gap / 4)
        slope = min(slope, SURE / (gap / 4))
    return torch.cat([weights, torch.tensor([-turn], dtype=weights.dtype, device=weights.device)]).mul(slope)
