"""What a fit on many pairs settles from a sample of them, before it sums over all.

The sample gives the means and scales, the lift, the landmarks, γ, and the judges: pairs that are held out of the sums, with all
copies of theirs, until λ is chosen. No landmark is a judge: it would know itself. γ is chosen with few landmarks over a part of
the sample, since a kernel that all rows carry wants a larger one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.errors import refusal
from irp_hf.maths.climbing import climb, mean_cosine
from irp_hf.maths.groups import first_groups, tolerance_of
from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.inverses.hyperparameters import hyperparameters_of
from irp_hf.maths.inverses.kernel import INTERCEPT, KernelInverse
from irp_hf.maths.many.system import LandmarkSystem
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import Statistics, relative_projection
from irp_hf.maths.request import Given, Objective
from irp_hf.maths.tuning_kernel import GAMMAS, RIDGES, tune_lift

EXACT = 6000  # pairs up to which all of them carry the map: beyond, landmarks give more for the time
LANDMARKS = 4000  # twice as many give .03 of cosine, and cost four times as much
JUDGES = 3000  # pairs that are held out: a cosine's standard error is then below .005
LEAST = 12  # pairs that judge, and that carry a map
JUDGING = 5  # of so many pairs one at most judges
PILOT = 10_000, 500  # pairs and landmarks that choose γ
METHODS = ("kernel", "whitened")  # that are made of sums
ROUNDING = 16  # times the precision: what rounding of a squared distance may come to
COPIES_BLOCK = 2**23  # distances that are looked at at once


@dataclass(frozen=True)
class Request:
    """What was asked of a fit, checked."""

    methods: tuple[str, ...]
    objective: Objective
    given: Given


@dataclass(frozen=True)
class Plan:
    """What is settled before the sums: the same on every process that adds to them."""

    request: Request
    judges: Pairs
    """Held out, with means and scales of the sample."""
    lift: float
    copies: tuple[Copies, ...]
    """Which sources, and which targets where these tell anything, are copies of the judges'."""
    jointly: bool
    """Whether only a pair is a copy whose source and target both are: where else too little would be left."""
    landmarks: Tensor
    """Unit rows `(m, d_X)` at the lift; none, m = 0, where no kernel is asked for."""
    gamma: float = KernelInverse.gamma
    ridge: float = KernelInverse.ridge
    """Where the climb in λ begins."""
    usual: Tensor | None = None
    """Mean similarity with each landmark, `(m,)`: sums over what differs from it lose less to rounding."""

    def digest(self) -> str:
        """Sums can be added up where this is the same."""
        stats = *self.judges.source_stats, *self.judges.target_stats, self.judges.source, self.landmarks
        digest = hashlib.sha256(repr((self.request, self.gamma, self.lift)).encode())
        for tensor in stats:
            digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def held(self, source: Tensor, target: Tensor) -> Tensor:
        """Which rows `(n,)` of `source (n, d_X)` and `target (n, d_Y)` are judges, or copies of them."""
        found = torch.stack([copies.among(x) for copies, x in zip(self.copies, (source, target), strict=False)])
        return found.all(0) if self.jointly else found.any(0)


@dataclass(frozen=True)
class Copies:
    """Which rows of one side are one item with one of some rows, to within rounding."""

    rows: Tensor
    """Those rows about the mean, shape (j, d)."""
    mean: Tensor
    axes: Tensor
    """A few orthonormal directions `(d, a)` that tell most rows apart: distances only shrink."""
    radius: Tensor
    """How near a copy is to each, shape (j,)."""

    @classmethod
    def of(cls, rows: Tensor, stats: Statistics, tolerance: float) -> Copies:
        """Of `rows (j, d)`; copies are nearer than this share of a row's length."""
        centred = rows - stats.mean
        axes: Tensor = torch.linalg.svd(centred, full_matrices=False)[2][:16].T.contiguous()
        slack = torch.finfo(torch.float32).eps * rows.abs().max() * rows.shape[1] ** 0.5
        norms: Tensor = torch.linalg.vector_norm(centred, dim=1)
        return cls(centred, stats.mean, axes, tolerance * norms + slack)

    def among(self, x: Tensor) -> Tensor:
        """Which rows `(n,)` of `x (n, d)` are copies."""
        found = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        centred = x.double() - self.mean
        single = working_dtype(torch.float32, x.device)
        mine, theirs = ((rows @ self.axes).to(single) for rows in (centred, self.rows))
        slack = ROUNDING * torch.finfo(single).eps
        # Squared distances less what they may be: |a|² - 2ab + |b|² - r², of which rounding may take a share of |a|² + |b|².
        reach = (1 - slack) * theirs.square().sum(1) - self.radius.square().to(single)
        for part in torch.arange(len(x), device=x.device).split(max(1, COPIES_BLOCK // len(theirs))):
            over = torch.addmm(reach, mine[part], theirs.T, alpha=-2)
            own = (slack - 1) * mine[part].square().sum(1)
            for row in (over.amin(1) <= own).nonzero()[:, 0].tolist():
                near = (over[row] <= own[row]).nonzero()[:, 0]
                apart = torch.linalg.vector_norm(self.rows[near] - centred[part[row]], dim=1)
                found[part[row]] = bool((apart <= self.radius[near]).any())
        return found


def num_judges(count: int) -> int:
    """How many of so many pairs are held out."""
    return min(JUDGES, count // JUDGING)


def sample_size(count: int, landmarks: int) -> int:
    """How many of so many pairs the sample of a fit holds."""
    return min(count, num_judges(count) + max(landmarks, PILOT[0]))


def make_plan(source: Tensor, target: Tensor, request: Request, judges: int, landmarks: int) -> tuple[Plan, Tensor]:
    """The plan from a sample in random order, `source (s, d_X)` and `target (s, d_Y)`, and which of its rows `(j,)` judge.

    Of pairs that share something all judge or none, the first in their order first, and `judges` at most; copies of pairs
    count once, so that few items in many copies are not all held out.
    """
    given, pairs = request.given, Pairs(source, target)
    rows = pairs.distinct()
    pairs = pairs if len(rows) == len(pairs) else pairs.take(rows)
    judging = first_groups(pairs.labels, min(judges, len(rows) // JUDGING))
    held, rest = judging.nonzero()[:, 0], (~judging).nonzero()[:, 0]
    if len(held) < LEAST or len(rest) < LEAST:
        expected = f"at least {LEAST} pairs that are held out, and as many that are none of their copies"
        got = f"{len(pairs.labels.unique())} groups of pairs that share a source or a target"
        advice = (
            f"Give pairs of more different items, or fit on at most {EXACT:,} of these by from_anchors, without num_landmarks: "
            "all of them then carry the map, however few items they are."
        )
        raise refusal("pairs", expected, got, advice)
    lifts = any("lift" in hyperparameters_of(INVERSES[name]) for name in request.methods)
    lift = tune_lift(pairs, given) if lifts else 0.0
    stats = pairs.source_stats, pairs.target_stats
    judge = Pairs(pairs.source[held], pairs.target[held], pairs.labels[held], stats)
    jointly, sides = pairs.groups.by == "row", (pairs.source, pairs.target)[: 1 if pairs.groups.by == "source" else 2]
    copies = tuple(
        Copies.of(whole[held], one, 0.0 if jointly else tolerance_of(whole))
        for whole, one in zip(sides, stats, strict=False)
    )
    unit = pairs.lifted(lift)
    if "kernel" not in request.methods:
        return Plan(request, judge, lift, copies, jointly, unit[:0]), rows[held]
    pilot, chosen = unit[rest[: PILOT[0]]], unit[rest[:landmarks]]
    gamma, ridge = _pilot(pilot, pairs.target_rows[rest[: PILOT[0]]], chosen[: PILOT[1]], judge, lift, given)
    usual = _usual(pilot, chosen, gamma)
    return Plan(request, judge, lift, copies, jointly, chosen, gamma, ridge, usual), rows[held]


def _usual(rows: Tensor, landmarks: Tensor, gamma: float) -> Tensor:
    parts = [relative_projection(rows, part, gamma).mean(0) for part in landmarks.split(PILOT[1])]
    return torch.cat(parts)


def _pilot(
    rows: Tensor, target: Tensor, landmarks: Tensor, judges: Pairs, lift: float, given: Given
) -> tuple[float, float]:
    """γ, and the λ that goes with it, by few landmarks over unit `rows (n, d_X)` and `target (n, d_Y)`."""
    start = KernelInverse.ridge if given.ridge is None else given.ridge
    ridges: dict[float, float] = {}

    def score(gamma: float) -> float:
        similar = relative_projection(rows, landmarks, gamma) + INTERCEPT
        own = relative_projection(landmarks, landmarks, gamma) + INTERCEPT
        system = LandmarkSystem(similar.T @ similar, similar.T @ target, own)
        seen = relative_projection(judges.lifted(lift), landmarks, gamma) + INTERCEPT

        def cosine(ridge: float) -> float:
            return mean_cosine(seen @ system.solve(ridge), judges.target_rows)

        if given.ridge is not None:
            ridges[gamma] = given.ridge
            return cosine(given.ridge)
        near = [*ridges.values()][-1] if ridges else start
        ridges[gamma], value = next(iter(climb(cosine, RIDGES, RIDGES.index(near)).items()))
        return value

    grid: Sequence[float] = GAMMAS if given.gamma is None else (given.gamma,)
    gamma = next(iter(climb(score, grid, grid.index(KernelInverse.gamma) if given.gamma is None else 0)))
    return gamma, ridges[gamma]
