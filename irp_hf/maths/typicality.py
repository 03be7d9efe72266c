"""How like the source's anchors a vector is: noise is not, and neither is another encoder's vector.

The anchors tell where the vectors of their encoder lie: how long they are, in which directions they spread, on which side of
the origin they lie, and how near the nearest anchor is, all of it without a lift. What held-out anchors have of these is
compared with what vectors have that no encoder gave: noise of the anchors' lengths, and anchors whose coordinates were
shuffled, or whose sign was turned. A linear discriminant for each gives the odds. All of it comes from the source's anchors
alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import Statistics, unit_rows

RIDGE = 0.1  # of the anchors' covariance, in units of its mean variance: few anchors know little of small variances
SIDE_RIDGE = 1.0  # the same, of the regression that tells the side of the origin: one direction alone is asked for
NEGLIGIBLE = 1e-9  # share of a direction that is nothing but rounding
OWN = 0.1  # of the anchors' scatter beside that of strangers: anchors lie in clusters, and far apart
FEW = 10  # anchors: fewer tell lengths, and nothing of directions
PRIOR = 0.95  # of a vector to be the encoder's own
REACH = 3  # deviations up to which each kind reaches
SHARPEST = 1e-2  # scatter of either kind about its mean, as a share of how far apart both are
SURE = 4  # logarithm of the odds from which on there is no doubt
ORDINARY = 2.5  # deviations of a length from the mean that say nothing
LEAST_DEVIATION = 0.005  # of the logarithm of a length: to be rounded to half precision is no other encoder
NUM_STRANGERS = 256  # vectors of each kind that no encoder gave
SHORTEST = 1e-5  # mean lengths: the products of shorter rows are taken for rounding
NUM_ORDERS = 32  # of coordinates, in which they have those of anchors
ITSELF = 1 - 1e-9  # a landmark with a cosine above it is the anchor itself, or as good as that
A_COPY = 1 - 2.0**-13  # or, where anchors share an item, one to within rounding
WIDE = 256  # rows, and dimensions, up to which double precision costs nothing
EXACT = 128  # rows: of so few each one moves the mean, and lies nearly in the span of the others about it
FLATTEST = 1e-3  # share of a lifted row's length that is not lift, below which its direction is rounding
BLOCK = 2**22  # numbers that are computed with at once
SMALLEST = 1e-30  # length and similarity whose logarithm is taken, in float32 too


class Looks(NamedTuple):
    """What is looked at of vectors, each `(n,)`."""

    far: Tensor
    """Deviations of the logarithm of the length from the mean, about the origin or about the anchors' mean: the larger."""
    spread: Tensor
    """Minus the logarithm of the Mahalanobis distance from the anchors' mean, up to a constant."""
    nearest: Tensor
    """Cosine with the nearest landmark."""
    side: Tensor | None = None
    """On which side of the origin: 1 is the anchors', 0 says nothing."""

    def told(self) -> Tensor:
        """All but `far`, shape (3, n); without sides (2, n)."""
        return torch.stack([look for look in self[1:] if look is not None])


@dataclass(frozen=True)
class Typicality:
    """The odds that a vector is one of the encoder's own."""

    directions: Tensor
    """Directions in which the anchors' unit rows spread, shrunk by the ridge, shape (d_X, r)."""
    lengths: Tensor
    """Mean, and deviation, of the logarithm of the length: about the origin and about the mean, shape (2, 2)."""
    planes: Tensor
    """Weights of what is looked at, and an offset, against each kind of stranger, shape (3, 4); without sides (2, 3)."""
    sides: Tensor | None = None
    """Whose products with unit vectors about the origin tell their side, shape (d_X,); None of what was saved without."""

    def __call__(self, x: Tensor, mean: Tensor, nearest: Tensor) -> Tensor:
        """Typicality `(n,)`, 0 to 1, of `x (n, d_X)` with cosines `nearest (n,)` with the landmark that is nearest to each."""
        far = ((log_lengths(x, mean) - self.lengths[0]).abs() / self.lengths[1]).amax(1)
        looks = Looks(far, spread(unit_rows(x - mean), self.directions), nearest)
        if self.sides is not None:
            looks = looks._replace(side=unit_rows(x) @ self.sides)
        return self.of(looks)

    def of(self, looks: Looks) -> Tensor:
        """The same of what was looked at already."""
        odds = self.planes[:, :-1] @ looks.told() + self.planes[:, -1:]
        return odds.amin(0).sigmoid() * (-0.5 * (looks.far - ORDINARY).clamp(min=0).square()).exp()


def log_lengths(x: Tensor, mean: Tensor) -> Tensor:
    """Logarithms `(n, 2)` of the lengths of `x (n, d)` about the origin and about `mean (d,)`."""
    both = [torch.linalg.vector_norm(x, dim=1), torch.linalg.vector_norm(x - mean, dim=1)]
    return torch.stack(both, dim=1).clamp(min=SMALLEST).log()


def spread(rows: Tensor, directions: Tensor) -> Tensor:
    """Spread `(n,)` of unit `rows (n, d)`: with the shrunk directions, `1 - |row directions|²` is a Mahalanobis distance."""
    return _spread(1 - (rows @ directions).square().sum(1))


def nearest_of(similar: Tensor, gamma: float) -> Tensor:
    """Cosine `(n,)` with the nearest landmark, of rows whose radial similarities with all landmarks are `similar (n, m)`."""
    return 1 + similar.amax(1).clamp(min=SMALLEST).log() / gamma


def nearest_without_lift(products: Tensor, gamma: float, rows: Tensor, landmarks: Tensor, stretch: Tensor) -> Tensor:
    """Cosine `(n,)` with the nearest landmark, as if neither lifted `rows (n, d + 1)` nor `landmarks (m, d + 1)` were lifted.

    `products (n, m)` are their cosines times `gamma`, and `stretch (m,)` is `stretches` of the landmarks, over gamma. Lifted,
    short rows are near to one another, whatever their directions.
    """
    heights = rows[:, -1]
    flat = torch.addcmul(products, heights[:, None], landmarks[:, -1], value=-gamma)
    flat = flat * stretch if stretch.requires_grad else flat.mul_(stretch)
    return flat.amax(1) * stretches(heights)


def stretches(heights: Tensor) -> Tensor:
    """What gives lifted unit rows of these `heights (n,)` length 1 about the mean, shape (n,); less to those at the mean."""
    return (1 - heights.square()).clamp(min=FLATTEST**2).rsqrt()


def learn_typicality(
    pairs: Pairs, lift: float, landmarks: Tensor, gamma: float, cosines: Tensor | None = None
) -> tuple[Typicality, Tensor]:
    """The typicality of the source of `pairs`, and its values `(k,)` on the anchors, each held out.

    `landmarks (m, d_X)` are unit rows, with one more coordinate where there is a `lift`, `gamma` that of the similarity with
    them, and `cosines (k, m)` those of the anchors, where they are known.
    """
    stats, k = pairs.source_stats, len(pairs)
    doubt = math.sqrt((k + 1) / max(k - 5, 1))  # by how much deviations that few rows show are too small
    logs = log_lengths(pairs.source, stats.mean)
    logs[:, 1] += math.log(k / (k - 1))  # about the mean of the others
    lengths, far = _lengths(logs, doubt)
    first, alike = _first_of_each(pairs)
    rows = pairs.source_rows if len(first) == k else pairs.source_rows[first]
    lengths_about = torch.linalg.vector_norm(pairs.source[first] - stats.mean, dim=1)
    about_origin = unit_rows(pairs.source)
    lifted = pairs.lifted(lift)
    cosines = lifted @ landmarks.T if cosines is None else cosines
    inner: tuple[Tensor | None, Tensor | None] = None, None
    if len(first) == k < rows.shape[1] and torch.equal(
        lifted, landmarks
    ):  # then their products need none of such width
        inner = _inner_products(pairs, lengths_about, cosines, lift)
    spreads = Spreads(rows, lengths_about, inner[0])
    sides = Sides(about_origin if len(first) == k else about_origin[first], inner[1])
    itself = cosines > (A_COPY if pairs.copies else ITSELF)
    rough = working_dtype(torch.float32, cosines.device) if len(landmarks) > WIDE else landmarks.dtype
    if lift:
        landmarks = unit_rows(landmarks[:, :-1])
        cosines = pairs.source_rows.to(rough) @ landmarks.to(rough).T
    own = Looks(
        far,
        spreads.without(pairs.source_rows, alike),
        _nearest(cosines.masked_fill(itself, -1), gamma).to(rows.dtype),
        sides.without(about_origin, alike),
    )

    generator = torch.Generator("cpu").manual_seed(0)
    picked = (
        torch.randperm(k, generator=generator, dtype=torch.int64, device="cpu")
        .repeat(-(-100 // k))[:NUM_STRANGERS]
        .to(cosines.device)
    )
    found = [strangers(pairs.source[picked], stats, generator) for strangers, _ in STRANGERS]
    # In mean lengths, of which single precision keeps the directions of all but what lies at the mean.
    scaled = (torch.cat(found) - stats.mean) / stats.scale.clamp(min=SMALLEST)
    directions, times = unit_rows(scaled.to(spreads.rows.dtype)), len(STRANGERS)
    similar = (directions.to(rough) @ landmarks.to(rough).T).to(rows.dtype)
    similar.masked_fill_(itself[picked].repeat(times, 1), -1)
    spreading = spreads.without(directions, alike[picked].repeat(times)).to(rows.dtype).chunk(times)
    near, planes, told = _nearest(similar, gamma).chunk(times), [], own.told()
    for place, (_, looks) in enumerate(STRANGERS):
        kind = [spreading[place], near[place]]
        if looks > len(kind):
            kind.append(sides.without(unit_rows(found[place]), alike[picked]))
        plane = _plane(told[:looks], torch.stack(kind), doubt)
        planes.append(torch.cat([plane[:-1], plane.new_zeros(3 - looks), plane[-1:]]))
    typicality = Typicality(spreads.directions, lengths, torch.stack(planes), sides.towards)
    return typicality, typicality.of(own)


def _first_of_each(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Row numbers `(g,)` of one of each group of rows that share something, and which of these each row goes with `(k,)`.

    They rise, whatever the groups' numbers, which stay with rows that were taken in another order.
    """
    labels, group = torch.unique(pairs.labels, return_inverse=True)
    first = torch.full_like(labels, len(pairs))
    rows = torch.arange(len(pairs), dtype=labels.dtype, device=labels.device)
    first = first.scatter_reduce(0, group, rows, "amin")
    return first.sort().values, first.argsort().argsort()[group]


def _lengths(logs: Tensor, doubt: float) -> tuple[Tensor, Tensor]:
    """Mean and deviation `(2, 2)` of `logs (k, 2)`, and how far `(k,)` each lies: one in a hundred may be extraordinary."""
    mean = logs.mean(0)
    deviation = (logs - mean).square().mean(0).sqrt().clamp(min=LEAST_DEVIATION) * doubt
    far = ((logs - mean).abs() / deviation).amax(1)
    wider = (far.quantile(0.99) / ORDINARY).clamp(min=1)
    return torch.stack([mean, deviation * wider]), far / wider


class Spreads:
    """In which directions unit rows spread, and how spread vectors are by all rows but one: of many rows in closed form.

    Any `D` serves whose `D Dᵀ` is `C (C + ρI)⁻¹`, of the covariance C and the ridge ρ: factors are cheaper than directions.
    """

    def __init__(self, rows: Tensor, lengths: Tensor, inner: Tensor | None = None) -> None:
        """Of `rows (k, d)` about the anchors' mean, which had these `lengths (k,)` before they were unit rows.

        `inner (k, k)` are the products of wide ones with each other, where they are known.
        """
        k, d = rows.shape
        self.given, self.lengths, rows = rows, lengths, _rough(rows)
        inner = (_inner(rows) if inner is None else inner) / (k - 1)
        ridge = RIDGE * float(inner.trace()) / d or 1.0
        eye = torch.eye(len(inner), dtype=inner.dtype, device=inner.device)
        factor = torch.linalg.cholesky(inner + ridge * eye)
        self.rows, self.ridge, self.inverse = rows, ridge, torch.cholesky_inverse(factor)
        if d <= k:
            root = _root(eye - ridge * self.inverse)
            self.own = self._distance(rows, root)
        else:
            root = torch.linalg.solve_triangular(factor.T, rows.T, upper=True, left=False) / math.sqrt(k - 1)
            # With `A = R Rᵀ / (k - 1) + ρI`, `R root rootᵀ Rᵀ / (k - 1)` is `A - 2ρI + ρ² A⁻¹`: no row has to be projected.
            self.own = (k - 1) * ridge * (1 - ridge * self.inverse.diagonal())
        self.root, self.directions = root, root.to(self.given.dtype)
        """Directions that are shrunk by the ridge, shape (d, r)."""
        self.weight = k / (k - 1) ** 2 / ridge  # of one row in the covariance of all, whose mean moves without it too

    @cached_property
    def _few(self) -> _FewRows:
        return _FewRows(self.rows, self.lengths)

    def without(self, found: Tensor, left_out: Tensor) -> Tensor:
        """Spread `(n,)` of unit rows `found (n, d)`, each by all rows but that one which `left_out (n,)` names.

        The rows themselves, as they were given, are found each by all others.
        """
        if len(self.rows) <= EXACT:
            return _spread(self._few.distances(found, left_out))
        if found is self.given:
            own = across = distance = self.own
        else:
            rows = found.to(self.rows.dtype)
            own, distance = self.own[left_out], self._distance(rows, self.root)
            some, place = left_out.unique(return_inverse=True)
            across = (rows * self._solved(some)[place]).sum(1)
        left = (1 - self.weight * own).clamp(
            min=1 / len(self.rows)
        )  # one of k rows has no more leverage than that leaves
        return _spread(distance + self.weight * across.square() / left).to(found.dtype)

    def _distance(self, rows: Tensor, root: Tensor) -> Tensor:
        """What `(n,)` of the squares of `rows (n, d)` the covariance with its ridge leaves: a distance, times the ridge."""
        return rows.square().sum(1) - (rows @ root).square().sum(1)

    def _solved(self, numbers: Tensor) -> Tensor:
        """`ρ (C + ρI)⁻¹ x (n, d)` of the rows x of these numbers `(n,)`: what their products are under the same."""
        wide = self.rows.shape[1] > len(self.rows)
        return self.ridge * (self.inverse[numbers] @ self.rows if wide else self.rows[numbers] @ self.inverse)


class _FewRows:
    """Few rows without each in turn, and how far vectors are from all others.

    All are unit rows about the mean of all, and are moved to that of the others. In closed form the row that is left out
    would lie in the span of the others, since all together have the mean 0: each of 30 rows of 256 numbers would look as near
    as what was fitted on, and every later vector strange.
    """

    def __init__(self, rows: Tensor, lengths: Tensor) -> None:
        """Of `rows (k, d)`, which had these `lengths (k,)`."""
        k, d = rows.shape
        self.rows = rows
        products, lengths = rows @ rows.T, lengths.clamp(min=SMALLEST)
        self.steps = steps = lengths[:, None] / lengths / (k - 1)  # by how much of row i each other moves without it
        left = torch.stack([products + steps * products.diagonal()[:, None], steps], dim=2)
        moved = torch.baddbmm(products.expand(k, k, k), left, torch.stack([steps, products], dim=1))
        squares = moved.diagonal(dim1=1, dim2=2)
        weights = squares.clamp(min=SMALLEST).rsqrt() * (squares > NEGLIGIBLE * (1 + steps).square())
        self.weights = weights.fill_diagonal_(0)  # the row itself has none, as what then lies at the mean
        moved.mul_(weights[:, :, None]).mul_(weights[:, None])
        moved.diagonal(dim1=1, dim2=2).add_(RIDGE * (k - 1) / d)
        self.factors = torch.linalg.cholesky(moved)

    def distances(self, found: Tensor, left_out: Tensor) -> Tensor:
        """Mahalanobis distance `(n,)` of `found (n, d)` from all rows but the one that `left_out (n,)` names for each.

        What is found has the length of that row.
        """
        k, rows = len(self.rows), self.rows
        found = unit_rows(found + rows[left_out] / (k - 1))
        across = found @ rows.T + self.steps[left_out] * (found * rows[left_out]).sum(1, keepdim=True)
        across = self.weights[left_out] * across
        explained = torch.empty_like(across[:, 0])
        for part in torch.arange(len(found), device=rows.device).split(max(1, BLOCK // k**2)):
            factors = self.factors[left_out[part]]
            solved = torch.linalg.solve_triangular(factors, across[part, :, None], upper=False)
            explained[part] = solved.square().sum((1, 2))
        return 1 - explained


def _rough(rows: Tensor) -> Tensor:
    """Unit `rows (k, d)`, of many and wide ones in single precision: a ridge keeps what is inverted far from singular."""
    return rows.to(working_dtype(torch.float32, rows.device)) if min(rows.shape) > WIDE else rows


def _inner(rows: Tensor) -> Tensor:
    """The products of the columns of `rows (k, d)` with each other, or of the rows where these are fewer."""
    return rows.T @ rows if rows.shape[1] <= len(rows) else rows @ rows.T


def _inner_products(pairs: Pairs, lengths: Tensor, cosines: Tensor, lift: float) -> tuple[Tensor, Tensor]:
    """Products `(k, k)` of the source's unit rows with each other, about their mean and about the origin.

    They come from the `cosines (k, k)` at this lift and the `lengths (k,)` about the mean, which tell `c_i · c_j`; and
    `x_i · x_j` is `(c_i + μ) · (c_j + μ)`.
    """
    mean, scale = pairs.source_stats
    height, along = lift * scale, pairs.source @ mean - mean @ mean
    about_origin = torch.linalg.vector_norm(pairs.source, dim=1)
    lifted = (lengths.square() + height.square()).sqrt()
    products = (cosines * lifted[:, None]).mul_(lifted).sub_(height.square())
    about = (products + along[:, None]).add_(along + mean @ mean)
    # Of rows at the mean, or at the origin, nothing is left but rounding, which stays small.
    own, origin = (norms.clamp(min=float(SHORTEST * scale)) for norms in (lengths, about_origin))
    return _rough(products.div_(own[:, None]).div_(own)), _rough(about.div_(origin[:, None]).div_(origin))


def _root(matrix: Tensor) -> Tensor:
    """Some `D (d, r)` with `D Dᵀ` the positive semi-definite `matrix (d, d)`."""
    root: Tensor
    root, failed = torch.linalg.cholesky_ex(matrix)
    if failed:
        values, vectors = torch.linalg.eigh(matrix)
        kept = values > NEGLIGIBLE
        root = vectors[:, kept] * values[kept].sqrt()
    return root


def _spread(distance: Tensor) -> Tensor:
    """Spread `(n,)` of what has that Mahalanobis `distance (n,)`."""
    return -distance.clamp(min=SMALLEST).log()


class Sides:
    """On which side of the origin vectors lie: a ridge regression of 1 on unit rows, without intercept; closed form, too."""

    def __init__(self, rows: Tensor, inner: Tensor | None = None) -> None:
        """Of `rows (k, d)` about the origin, and their products as `Spreads` takes them."""
        k, d = rows.shape
        self.given, rows = rows, _rough(rows)
        inner = _inner(rows) if inner is None else inner
        ridge = SIDE_RIDGE * float(inner.trace()) / d
        inner.diagonal().add_(ridge)
        self.rows, self.factor = rows, torch.linalg.cholesky(inner)
        if d <= k:
            half = torch.linalg.solve_triangular(self.factor.T, rows, upper=True, left=False)
            leverage = half.square().sum(1)
            towards = torch.linalg.solve_triangular(self.factor.T, half.sum(0)[:, None], upper=True)[:, 0]
        else:
            self.inverse = torch.cholesky_inverse(self.factor)
            leverage = 1 - ridge * self.inverse.diagonal()
            towards = rows.T @ self.inverse.sum(0)
        error = (1 - rows @ towards) / (1 - leverage).clamp(min=SMALLEST)  # of each row, by the others
        self.leverage, self.error = leverage.to(self.given.dtype), error.to(self.given.dtype)
        self.towards = towards.to(self.given.dtype)
        """The regression's coefficients, shape (d,)."""

    def without(self, found: Tensor, left_out: Tensor) -> Tensor:
        """Side `(n,)` of unit rows `found (n, d)`, each by all rows but that one which `left_out (n,)` names."""
        pull = self.leverage if found is self.given else (found * self._solved(left_out)).sum(1)
        side: Tensor = found @ self.towards - pull * self.error[left_out]
        return side

    def _solved(self, rows: Tensor) -> Tensor:
        """What each of these rows, by number `(n,)`, adds to the coefficients where it is predicted as 1, shape (n, d)."""
        if self.rows.shape[1] > len(self.rows):
            return (self.inverse[rows] @ self.rows).to(self.given.dtype)
        return torch.cholesky_solve(self.rows[rows].T, self.factor).T.to(self.given.dtype)


def _nearest(cosines: Tensor, gamma: float) -> Tensor:
    """What `nearest_of` makes of rows with `cosines (n, m)`."""
    return cosines.amax(1).clamp(min=1 + math.log(SMALLEST) / gamma)


def _noise(anchors: Tensor, stats: Statistics, generator: torch.Generator) -> Tensor:
    """Random directions about the mean, as long as `anchors (n, d)`."""
    random = torch.randn(anchors.shape, generator=generator, dtype=torch.float32, device="cpu").to(anchors)
    lengths: Tensor = torch.linalg.vector_norm(anchors - stats.mean, dim=1, keepdim=True)
    return stats.mean + lengths * unit_rows(random)


def _shuffled(anchors: Tensor, stats: Statistics, generator: torch.Generator) -> Tensor:
    """`anchors (n, d)` with the coordinates of each in one of some orders."""
    n, d = anchors.shape
    orders: Tensor = torch.rand(NUM_ORDERS, d, generator=generator, dtype=torch.float32, device="cpu").argsort(1)
    order = orders.repeat(-(-n // NUM_ORDERS), 1)[:n]
    return anchors.gather(1, order.to(anchors.device))


def _turned(anchors: Tensor, stats: Statistics, generator: torch.Generator) -> Tensor:
    """`anchors (n, d)` with the opposite sign."""
    return -anchors


STRANGERS = ((_noise, 2), (_shuffled, 2), (_turned, 3))
"""Kinds that no encoder gave, and how many looks speak against each. The side does against the opposite sign alone: text of
another domain may have no side either."""


def _plane(own: Tensor, strange: Tensor, doubt: float) -> Tensor:
    """Weights of w looks, and an offset, `(w + 1,)`: the logarithm of the odds to be the encoder's own.

    `own (w, k)` and `strange (w, n)` are what is looked at. Fisher's discriminant, in the direction that leads away from the
    strangers, who lie closer together; only less than the anchors have speaks against a vector.
    """
    if own.shape[1] < FEW:
        return torch.tensor([0.0] * len(own) + [SURE], dtype=own.dtype, device=own.device)
    apart = own.mean(1) - strange.mean(1)
    weights = _weights(apart, torch.cov(strange, correction=0) + OWN * torch.cov(own, correction=0))
    slope, offset = _odds(weights @ own, weights @ strange, doubt)
    return torch.cat([weights * slope, torch.tensor([offset], dtype=weights.dtype, device=weights.device)])


def _odds(own: Tensor, strange: Tensor, doubt: float) -> tuple[float, float]:
    """Slope and offset of the logarithm of the odds that a value is one of `own (k,)`, and not of `strange (n,)`.

    Between their means, where alone it matters, own values are as normal as those below their mean, and strange ones as those
    above theirs: own ones scatter much more, and most of it far from the strangers. The odds are those that both have where
    they turn. Where both lie far apart, they turn near the strangers, and gently: a vector between them may be the encoder's
    own, of something else than the anchors.
    """
    low, high = float(strange.mean()), float(own.mean())
    apart = high - low
    if not apart > 0:
        return 0.0, math.log(PRIOR / (1 - PRIOR))
    below, above = (
        max(doubt * math.sqrt(float(beyond.square().sum() / (beyond > 0).sum().clamp(min=1))), SHARPEST * apart)
        for beyond in ((high - own).clamp(min=0), (strange - low).clamp(min=0))
    )
    # The odds' logarithm at u above the strangers' mean: curve u² / 2 + rise u + least.
    curve, rise = above**-2 - below**-2, apart / below**2
    least = math.log(PRIOR / (1 - PRIOR) * above / below) - apart * rise / 2
    turn = 0.0
    if least < 0:
        root = math.sqrt(max(rise**2 - 2 * curve * least, 0))
        turn, least = min(-2 * least / (rise + root), apart), 0.0
    slope = curve * turn + rise
    reaches = [REACH * doubt * float(values.std(correction=0)) for values in (strange, own)]
    gap = apart - sum(reaches)
    if gap > 0:
        turn, slope, least = reaches[0] + gap / 4, min(slope, SURE / (gap / 4)), 0.0
    return slope, least - slope * (low + turn)


def _weights(apart: Tensor, scatter: Tensor) -> Tensor:
    """Fisher's weights `(w,)` for means so far `apart (w,)` and a `scatter (w, w)`; none is below 0."""
    unit = torch.eye(len(scatter), dtype=scatter.dtype, device=scatter.device)
    scatter = scatter + unit * (1e-6 * scatter.trace() + 1e-12)
    weights, kept = torch.zeros_like(apart), torch.ones_like(apart, dtype=torch.bool)
    while kept.any():
        found = torch.linalg.solve(scatter[kept][:, kept], apart[kept])
        if bool((found >= 0).all()):
            weights[kept] = found
            break
        kept[kept.clone()] = found > 0
    return weights
