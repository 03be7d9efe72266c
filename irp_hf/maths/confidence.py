"""Expected cosine of a translation to the vector that the target encoder would have given, and a lower bound of it.

Two things tell how well a vector is translated: the norm of the inverse's output, which a regression shrinks where it knows
little, and how well its neighbours among the anchors were translated out of fold. The latter is a kernel regression of
those cosines: one more column for a kernel inverse, at some of its landmarks. Both are multiplied by the typicality, which is 0
for what the source's encoder does not give, and combined by least squares on the anchors, out of fold. What is beyond the best
that held-out anchors reached is bent. The errors that are left on held-out anchors give lower bounds (split conformal).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import cast

import torch
from torch import Tensor

from irp_hf.maths.climbing import climb
from irp_hf.maths.inverses.base import KernelMap
from irp_hf.maths.inverses.carriers import Carriers
from irp_hf.maths.inverses.kernel import INTERCEPT, KernelInverse
from irp_hf.maths.metrics import cosines
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import among
from irp_hf.maths.selection import Choice
from irp_hf.maths.typicality import FEW, Typicality, learn_typicality, stretches

NUM_LANDMARKS = 1000  # for inverses that have no kernel of their own
NUM_CARRIERS = 500  # landmarks of whom the regression makes use: with all, it finds cosines that held it out itself
BEST = 0.01  # share of the anchors, those of whom most was expected, whose mean cosine is the ceiling; but at least FEW
BEND = 0.05  # above the ceiling to which what is expected comes at most
ALIKE = 1e-6  # share of the features' spread below which they are one: norms of a pure rotation are all alike
NUM_ERRORS = 999  # that are kept: lower bounds to a thousandth of coverage
RIDGES = tuple(10.0 ** (e / 2) for e in range(-6, 7))


@dataclass(frozen=True)
class Confidence:
    """A calibrated kernel regression of the cosines, from unit rows and the norm of the inverse's output."""

    landmarks: Tensor
    """Unit rows, shape (m, d_X); lifted (m, d_X + 1)."""
    coefficients: Tensor
    """Shape (m,)."""
    gamma: float
    bias: Tensor
    """Shape ()."""
    norm_slope: Tensor
    """Shape ()."""
    typicality: Typicality | None = None
    """None of adapters that were saved before there was one; so are the other two."""
    ceiling: Tensor | None = None
    """What the best of the held-out anchors reached, shape (): what is expected above it is bent."""
    errors: Tensor | None = None
    """What true cosines were above the expected ones, rising, shape (e,): all independent anchors', or as many quantiles."""
    stretch: Tensor | None = None
    """By which lifted landmarks are seen without the lift, shape (m,); None without one, and of what was saved before."""

    def of_similarities(self, similar: Tensor, norms: Tensor, typical: Tensor | float = 1.0) -> Tensor:
        """Expected cosine `(n,)` of rows whose similarities with the landmarks are `similar (n, m)`.

        Their translations had `norms (n,)` before the row norm, and their typicality is `typical (n,)`.
        """
        expected = self.bias + self.norm_slope * norms + similar @ self.coefficients
        if self.ceiling is not None:
            expected = bent(expected * typical, self.ceiling)
        return expected.clamp(-1, 1)

    @staticmethod
    def shapes(
        num_landmarks: int, source: int, lifted: int, rank: int, num_errors: int, kinds: int
    ) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the tensors that an adapter stores of it; no errors or no kinds: of one saved before."""
        first = {
            "landmarks": (num_landmarks, lifted),
            "confidence_coefficients": (num_landmarks,),
            "confidence_bias": (),
            "confidence_norm_slope": (),
        }
        later = {
            "confidence_ceiling": (),
            "confidence_errors": (num_errors,),
            "typical_directions": (source, rank),
            "typical_lengths": (2, 2),
            "typical_planes": (kinds, 4) if kinds else (2, 3),
            **({"typical_sides": (source,)} if kinds else {}),
        }
        return {**first, **(later if num_errors else {})}

    def tensors(self) -> dict[str, Tensor]:
        """Those tensors."""
        stored = {
            "landmarks": self.landmarks,
            "confidence_coefficients": self.coefficients,
            "confidence_bias": self.bias,
            "confidence_norm_slope": self.norm_slope,
        }
        if self.typicality is not None and self.ceiling is not None and self.errors is not None:
            stored |= {"confidence_ceiling": self.ceiling, "confidence_errors": self.errors}
            known = vars(self.typicality).items()
            stored |= {f"typical_{name}": tensor for name, tensor in known if tensor is not None}
        return stored

    @classmethod
    def stored(
        cls, get: Callable[[str], Tensor], gamma: float, judged: bool, sided: bool, unlifted: bool
    ) -> Confidence:
        """The confidence of the tensors that `get` gives by name; `judged` and then `sided` where there are later ones."""
        names = ("landmarks", "confidence_coefficients", "confidence_bias", "confidence_norm_slope")
        landmarks, coefficients, bias, slope = map(get, names)
        if not judged:
            return cls(landmarks, coefficients, gamma, bias, slope)
        sides = get("typical_sides") if sided else None
        typicality = Typicality(get("typical_directions"), get("typical_lengths"), get("typical_planes"), sides)
        bounds = get("confidence_ceiling"), get("confidence_errors")
        return cls(
            landmarks, coefficients, gamma, bias, slope, typicality, *bounds, _stretch(landmarks, gamma, unlifted)
        )


def _stretch(landmarks: Tensor, gamma: float, unlifted: bool) -> Tensor | None:
    return stretches(landmarks[:, -1]) / gamma if unlifted else None


def bent(expected: Tensor, ceiling: Tensor) -> Tensor:
    """Values `(n,)`, those above `ceiling ()` bent: they keep their order, and end a little above it and below 1."""
    width = ((1 - ceiling) / 2).clamp(torch.finfo(expected.dtype).eps, BEND)
    over = (expected - ceiling).clamp(min=0)
    return expected - over + width * (1 - (-over / width).exp())


def calibrate(choice: Choice, pairs: Pairs) -> tuple[Confidence, Tensor]:
    """The confidence of a choice, and its out-of-fold values `(k,)` on the pairs themselves."""
    landmarks, gamma = _landmarks(choice, pairs)
    carriers = _some(len(landmarks), NUM_CARRIERS, landmarks.device)
    true = cosines(choice.translated, pairs.target)
    wanted, missing = (true - true.mean())[:, None], float((true - true.mean()).square().sum()) or 1.0
    norms = torch.linalg.vector_norm(choice.directions, dim=1)
    known = _known_cosines(choice, pairs, landmarks)
    similar = pairs.lifted(choice.inverse.lift) @ landmarks.T if known is None else known
    seen, cosines_seen = choice.rows_seen(pairs, landmarks, similar)
    typicality, typical = learn_typicality(seen, choice.inverse.lift, landmarks, gamma, cosines_seen)
    typical = typical[: len(pairs)]
    own = landmarks[carriers] @ landmarks[carriers].T if known is None else among(known, carriers)
    nearby_of = Carriers(similar[:, carriers], own, gamma, wanted, pairs.copies)

    @cache
    def regression(ridge: float) -> tuple[Tensor, Tensor]:
        nearby = nearby_of.leave_one_out(ridge)[:, 0]
        return _least_squares(torch.stack([torch.ones_like(true), norms, nearby], dim=1) * typical[:, None], true)

    def explained(ridge: float) -> float:
        return 1 - float((regression(ridge)[1] - true).square().sum()) / missing

    ridge = next(iter(climb(explained, RIDGES, RIDGES.index(1.0))))
    (bias, slope, weight), expected = regression(ridge)
    ceiling = _ceiling(expected, true)
    expected = bent(expected, ceiling).clamp(-1, 1)

    column = nearby_of.coefficients(ridge)[:, 0]
    coefficients = landmarks.new_zeros(len(landmarks))
    coefficients[carriers] = weight * column
    confidence = Confidence(
        landmarks=landmarks,
        coefficients=coefficients,
        gamma=gamma,
        bias=bias + weight * INTERCEPT * column.sum(),
        norm_slope=slope,
        typicality=typicality,
        ceiling=ceiling,
        errors=kept_errors(true - expected, pairs.shared),
        stretch=_stretch(landmarks, gamma, bool(choice.inverse.lift)),
    )
    return confidence, expected


def _ceiling(expected: Tensor, true: Tensor) -> Tensor:
    """The mean `()` of the `true (k,)` of whom most was `expected (k,)`: of the best, or of twice as many, to all.

    The largest of these, since the best few tell nothing where what was expected does not.
    """
    count, ranked = len(true), true[expected.argsort(descending=True)]
    least = max(FEW, round(BEST * count))
    sizes = [least << doubled for doubled in range(count.bit_length()) if least << doubled < count]
    return torch.stack([ranked[:size].mean() for size in (*sizes, count)]).amax()


def _least_squares(features: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Weights `(3,)` of `features (k, 3)` for `wanted (k,)`, and the fit `(k,)` of each row by the others, closed form.

    The last feature, what neighbours tell, has no weight below 0 (Breiman 1996, "Stacked regressions"). Where they tell nothing
    it is the mean of the others, which falls as a row's own value rises: turned about, it would give every anchor its own.
    """
    if len(features) < FEW:  # which tell a mean, and no slopes
        mean = wanted.mean()
        return torch.stack([mean, *mean.new_zeros(2)]), (len(wanted) * mean - wanted) / (len(wanted) - 1)
    weights = torch.linalg.lstsq(features, wanted[:, None], rcond=ALIKE, driver="gelsd").solution[:, 0]
    if weights[2] < 0:
        features = features[:, :2]
        weights = torch.linalg.lstsq(features, wanted[:, None], rcond=ALIKE, driver="gelsd").solution[:, 0]
        weights = torch.cat([weights, weights.new_zeros(1)])
    basis, values, _ = torch.linalg.svd(features, full_matrices=False)
    basis = basis[:, values > values[0] * ALIKE]
    residual = wanted - basis @ (basis.T @ wanted)
    left_out = wanted - residual / (1 - basis.square().sum(1)).clamp(min=1 / len(features))
    return weights, left_out


def kept_errors(errors: Tensor, groups: Tensor | None = None) -> Tensor:
    """`errors (k,)` rising; of more than `NUM_ERRORS` those at equal shares, each not above its share.

    Those of one of the `groups (k,)` weigh as much as one, and there are as many errors as groups: copies of an item tell no
    more of what a new one may be.
    """
    if groups is not None:
        errors = _one_of_each(errors, groups)
    errors, count = errors.sort().values, len(errors)
    if count <= NUM_ERRORS:
        return errors
    shares = torch.arange(1, NUM_ERRORS + 1, dtype=torch.int64, device=errors.device)
    return errors[shares * (count + 1) // (NUM_ERRORS + 1) - 1]


def _one_of_each(errors: Tensor, groups: Tensor) -> Tensor:
    """As many of `errors (k,)` as there are `groups (k,)`: the i-th has errors of less than i groups in all below it."""
    _, group, count = groups.unique(return_inverse=True, return_counts=True)
    order = errors.argsort()
    weights = 1 / count[group[order]].double()
    below = weights.cumsum(0) - weights
    ranks = torch.arange(len(count), dtype=below.dtype, device=below.device)
    return errors[order][torch.searchsorted(below, ranks + 1e-6, right=True) - 1]


def error_at(errors: Tensor, coverage: float) -> Tensor | None:
    """The error `()` that a new one is above with probability `coverage`; None where `errors (e,)` are too few to tell.

    Of e held-out errors and a new one, each is as likely as any other to have any rank: the j-th smallest lies below the
    new one with probability 1 - j / (e + 1).
    """
    rank = int((1 - coverage) * (len(errors) + 1) + 1e-9)
    return errors[rank - 1] if rank else None


def _landmarks(choice: Choice, pairs: Pairs) -> tuple[Tensor, float]:
    """Those of the map `(m, d_X)` and its γ, where it has any, so that they are stored, and compared with, once."""
    if choice.inverse.folds_to is KernelMap:
        folded = cast(KernelMap, choice.unstretched(pairs))
        return folded.landmarks, folded.gamma
    rows = pairs.lifted(choice.inverse.lift)
    return rows[_some(len(rows), NUM_LANDMARKS, rows.device)], KernelInverse.gamma


def _known_cosines(choice: Choice, pairs: Pairs, landmarks: Tensor) -> Tensor | None:
    """Those of the rows with each other `(k, k)`, where all of them are landmarks and somebody has computed them."""
    if choice.solved is not None and choice.solved.cosines is not None:
        return choice.solved.cosines
    if pairs.known_cosines is None or not torch.equal(pairs.lifted(choice.inverse.lift), landmarks):
        return None
    return pairs.cosines_at(choice.inverse.lift)


def _some(count: int, most: int, device: torch.device) -> Tensor:
    """Numbers below `count`, rising: all of them, or `most` that are drawn, the same ones each time."""
    generator = torch.Generator("cpu").manual_seed(0)
    return torch.randperm(count, generator=generator, dtype=torch.int64, device="cpu")[:most].sort().values.to(device)
