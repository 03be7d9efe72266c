"""Runs of rows whose targets are those of other rows: a row that was inserted or lost on one side, blocks in another order.

A regression on other parts of the table predicts every target. Where a run of rows is predicted far better at a constant shift
than at its own place, it lost its step. Shifts far away, and one side in reverse, are found by the strength with which both
sides go together at every lag, all at once by Fourier transform, which asks for no fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.projection import unit_rows

LEAST_ROWS = 20  # fewer tell nothing
LEAST_RUN = 12  # rows of a run that is worth a word
NEAR = 8  # shifts up to here are always tried; rows so near to those that are predicted are not fitted on
FAR, MIRRORED = 4, 2  # lags besides, and lags of the reverse, that are tried where they stand out
STANDS_OUT = 6.0  # standard deviations of what unrelated sides have at a lag
SURE = 5.0  # standard errors by which a run must fit better elsewhere, its rows as alike as they are
BETTER = 1 / 3  # of the cosine elsewhere: so much must be missing at a run's own place
UNRELATED = 0.05  # of cosine about the mean: unrelated rows have 0
SOURCE_WIDTH, TARGET_WIDTH, LAG_WIDTH = 128, 64, 16  # principal coordinates that tell the rows apart
NUM_FOLDS, ROUNDS = 10, 4
RIDGES = (0.03, 0.3, 3.0)  # times the mean variance of a coordinate, over all rows
LEAST_PRICE = 1.0  # of summed cosine, for a change of step: where all fits are good, the best is no better
SLACK = 8.0  # of log-likelihood, beyond that of where a run may begin: what a change of step must gain


@dataclass(frozen=True)
class Run:
    """Rows `first` to `stop - 1`, whose sources fit the targets of other rows."""

    first: int
    stop: int
    offset: int
    """The source of row i fits the target of row `offset + i`, in reverse that of row `offset - i`."""
    reverse: bool
    own: float
    """Mean cosine about the mean with their own targets."""
    found: float
    """The same with the targets that they fit."""


class _Step(NamedTuple):
    """A way to pair rows: row i with row `offset + i`, or in reverse with `offset - i`."""

    offset: int
    reverse: bool


def coordinates(source: Tensor, target: Tensor, rows: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """What tells rows apart of `source (k, d_X)` and `target (k, d_Y)`, as they came: shapes `(k, p)` and `(k, q)`.

    Their unit `rows` about the mean may be known.
    """
    p, q = (min(width, len(source) // 3) for width in (SOURCE_WIDTH, TARGET_WIDTH))
    if rows is None:
        return principal(source, p), principal(target, q)
    return _principal(rows[0], p), _principal(rows[1], q)


def misaligned_runs(x: Tensor, y: Tensor) -> list[Run]:
    """The runs of rows that lost their step, in their order, by the `coordinates` `x (k, p)` and `y (k, q)` of both sides."""
    if len(x) < LEAST_ROWS:
        return []
    table = _Table(x, y)
    return [run for run in table.runs() if table.is_sure(run)]


def principal(x: Tensor, width: int) -> Tensor:
    """The first principal coordinates `(k, at most width)` of the centred unit rows of `x (k, d)`, nearly, longest first."""
    single = working_dtype(torch.float32, x.device)
    return _principal(unit_rows((x - x.mean(0, dtype=torch.float64)).to(single)), width)


def _principal(rows: Tensor, width: int) -> Tensor:
    """The same of unit `rows (k, d)` about the mean. Of many coordinates, the first are as good after one round."""
    rows = rows.to(working_dtype(torch.float32, rows.device))  # which directions they are is all that is asked
    rows = rows - rows.mean(0)
    generator = torch.Generator("cpu").manual_seed(0)
    start = torch.randn(rows.shape[1], width + NEAR, generator=generator, dtype=rows.dtype, device="cpu")
    start = start[:, : rows.shape[1]].to(rows.device)
    for _ in range(1 if width >= TARGET_WIDTH else 2):
        start = torch.linalg.qr(rows.T @ (rows @ start)).Q
    coordinates = (rows @ start).double()
    rotation: Tensor = torch.linalg.eigh(coordinates.T @ coordinates).eigenvectors
    return (coordinates @ rotation.flip(1))[:, :width]


def regression_on(x: Tensor) -> tuple[Tensor, list[float]]:
    """Inputs `(k, p + 1)` of a ridge regression on `x (k, p)`, with a constant as long as a coordinate; and its ridges."""
    unit = float(x.square().sum() / x.shape[1]) or 1.0
    return torch.cat([x, x.new_full((len(x), 1), math.sqrt(unit / len(x)))], dim=1), [ridge * unit for ridge in RIDGES]


def with_ridge(inner: Tensor, ridge: float, core: Tensor) -> Tensor:
    """Coefficients `(p, q)` of the ridge regression whose sums are `inner (p, p)` and `core (p, q)`.

    A ridge is a share of the mean variance: a Cholesky factor is exact, and a tenth of the price of a decomposition.
    """
    shifted = inner.clone()
    shifted.diagonal().add_(ridge)
    coefficients: Tensor = torch.cholesky_solve(core, torch.linalg.cholesky(shifted))
    return coefficients


def lags_that_stand_out(x: Tensor, y: Tensor, most: int) -> list[int]:
    """The lags s, strongest first, at which rows i of `x (k, p)` and i + s of `y (k, q)` go together.

    With both sides white, `|sum_i x_i y_(i+s)^T|^2` over the number of rows that meet is chi-squared, p q degrees of freedom,
    where they are unrelated.
    """
    k = len(x)
    white = [side[:, norms > norms[0] * 1e-6] / norms[norms > norms[0] * 1e-6] for side, norms in _with_norms(x, y)]
    if not all(side.shape[1] for side in white):  # a side that is constant
        return []
    size = 2 ** math.ceil(math.log2(2 * k))
    left, right = (torch.fft.rfft(side, size, dim=0) for side in white)
    power = torch.zeros(size, dtype=x.dtype, device=x.device)
    for column in left.T:
        power += torch.fft.irfft(column.conj()[:, None] * right, size, dim=0).square().sum(1)
    lags = torch.arange(-(k - 1), k, device=x.device)
    meet = (k - lags.abs()).to(x.dtype)
    degrees = left.shape[1] * right.shape[1]
    strength = (power[lags % size] * k * k / meet - degrees) / math.sqrt(2 * degrees)
    strength[meet < max(LEAST_ROWS, k / NEAR / 2)] = 0
    top = strength.topk(min(most, len(strength)))
    return [int(lags[place]) for value, place in zip(*top, strict=True) if value > STANDS_OUT]


def _stays(fits: Tensor, price: float) -> bool:
    """Whether no path through `fits (s, k)` of the steps is better than the first step throughout, by a bound that is quick.

    n runs of other steps make at least n changes, or n - 1 where they are the whole path: each would have to gain more than
    half of a change's price, or all rows at one step more than nothing.
    """
    sums = torch.nn.functional.pad((fits[1:] - fits[0]).cumsum(1), (1, 0))
    best = (sums - sums.cummin(1).values).amax()
    return bool(best <= price / 2) and bool(sums[:, -1].amax() <= 0)


def _with_norms(*sides: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Each side centred, with the norms of its columns."""
    centred = [side - side.mean(0) for side in sides]
    return [(side, torch.linalg.vector_norm(side, dim=0)) for side in centred]


class _Table:
    """Both sides, and how well each row fits at each step."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        k, width = len(x), min(LAG_WIDTH, max(2, len(x) // 10))
        ahead = lags_that_stand_out(x[:, :width], y[:, :width], FAR)
        mirrored = lags_that_stand_out(x[:, :width], y[:, :width].flip(0), MIRRORED)
        strong = [_Step(lag, False) for lag in ahead] + [_Step(k - 1 - lag, True) for lag in mirrored]
        near = [_Step(lag, False) for lag in sorted(range(-NEAR, NEAR + 1), key=abs)]
        self.steps = list(dict.fromkeys([*near, *strong]))
        """None first."""
        self.starts = sorted({0, *map(self.steps.index, strong)})
        self.targets = unit_rows(y)
        self.rows = torch.arange(k, device=x.device)
        self.inputs, self.ridges = regression_on(x)
        places = torch.stack([step.offset + (-self.rows if step.reverse else self.rows) for step in self.steps])
        self.exists = (places >= 0) & (places < k)
        self.places = places.clamp(0, k - 1)

    def runs(self) -> list[Run]:
        """The likeliest steps, with a fit on the rows so paired, again until both stay the same; it begins at the best step."""
        starts = [self._predicted(torch.full_like(self.rows, number)) for number in self.starts]
        self.own = (starts[0][0] * self.targets).sum(1)
        predicted = max(starts, key=lambda start: start[1])[0]
        chosen = torch.zeros_like(self.rows)
        for _ in range(ROUNDS):
            self.fits = torch.stack([(predicted * self.targets[places]).sum(1) for places in self.places])
            before, chosen = chosen, self._likeliest(chosen)
            if torch.equal(before, chosen):
                break
            predicted = self._predicted(chosen)[0]
        return self._runs(chosen)

    def is_sure(self, run: Run) -> bool:
        """Whether a run fits so much better elsewhere that chance, and what neighbouring rows share, cannot tell."""
        gain = self._gains(run)
        n = len(gain)
        too_few = n < LEAST_RUN or n * self._share_of_news(run) < LEAST_RUN
        if too_few or run.found < UNRELATED or run.found - run.own < BETTER * run.found:
            return False
        apart = gain - gain.mean()
        spread = float(apart.square().mean())
        window = int(n**0.5)
        for lag in range(1, window + 1):  # Newey and West's: rows in a row may be alike
            spread += 2 * (1 - lag / (window + 1)) * float(apart[lag:] @ apart[:-lag]) / n
        return float(gain.mean()) > SURE * math.sqrt(max(spread, 1e-12) / n)

    def _predicted(self, chosen: Tensor) -> tuple[Tensor, float]:
        """Unit predictions `(k, q)` of every target, and how well they fit; `chosen (k,)` are the steps that pair the rows.

        Folds are parts of the table as it stands, since near rows may be alike, and whatever a row is compared with, at any
        step, is not fitted on.
        """
        pairs, exists = self.places[chosen, self.rows], self.exists[chosen, self.rows]
        paired, targets = self.inputs * exists[:, None], self.targets[pairs]
        second, cross = paired.T @ self.inputs, paired.T @ targets
        parts: dict[float, list[Tensor]] = {ridge: [] for ridge in self.ridges}
        for fold in self.rows.tensor_split(NUM_FOLDS):
            apart = (self.rows < fold[0] - NEAR) | (self.rows > fold[-1] + NEAR)
            unseen = torch.ones_like(apart)
            unseen[self.places[:, fold].flatten()] = False
            left_out = (exists & ~(apart & unseen[pairs])).nonzero()[:, 0]
            inputs = self.inputs[left_out]
            inner, core = second - inputs.T @ inputs, cross - inputs.T @ targets[left_out]
            for ridge, predicted in parts.items():
                predicted.append(self.inputs[fold] @ with_ridge(inner, ridge, core))
        fits = []
        for predicted in parts.values():
            directions = unit_rows(torch.cat(predicted))
            fits.append((directions, float((directions * targets).sum(1)[exists].sum()) / len(self.rows)))
        return max(fits, key=lambda fit: fit[1])

    def _likeliest(self, before: Tensor) -> Tensor:
        """The number of every row's step, shape (k,): the path of largest summed fit, where a change of step has its price.

        The price is what a log-likelihood asks, of normal fits with the means at and off the step and one spread.
        """
        own = self.fits[before, self.rows][self.exists[before, self.rows]]
        off = self.fits[1 : 2 * NEAR + 1][self.exists[1 : 2 * NEAR + 1]].mean()
        gain = max(float(own.mean() - off), UNRELATED / 2)
        price = max((math.log(self.fits.numel()) + SLACK) * float(own.var()) / gain, LEAST_PRICE)
        missing = float(self.fits[self.exists].mean())
        fits = torch.where(self.exists, self.fits, missing)
        if _stays(fits, price):
            return torch.zeros_like(before)
        table = fits.T.tolist()
        total, back = table[0], []
        for fits in table[1:]:
            best = max(total)
            there, entry = total.index(best), best - price
            back.append([number if value >= entry else there for number, value in enumerate(total)])
            total = [max(value, entry) + fit for value, fit in zip(total, fits, strict=True)]
        path = [total.index(max(total))]
        for came_from in reversed(back):
            path.append(came_from[path[-1]])
        return torch.tensor(path[::-1], dtype=torch.long, device=before.device)

    def _runs(self, chosen: Tensor) -> list[Run]:
        """The runs of one step each, but for those that stand where they should."""
        bounds = [0, *((chosen[1:] != chosen[:-1]).nonzero()[:, 0] + 1).tolist(), len(chosen)]
        found = []
        for first, stop in pairwise(bounds):
            number = int(chosen[first])
            if number:
                fits = self.fits[number, first:stop][self.exists[number, first:stop]]
                elsewhere = float(fits.mean()) if len(fits) else 0.0
                found.append(Run(first, stop, *self.steps[number], float(self._own(first, stop).mean()), elsewhere))
        return found

    def _share_of_news(self, run: Run) -> float:
        """How many independent rows a row of the run counts for: few in a series whose every row is much like the last."""
        most = 0.0
        for side in (unit_rows(self.inputs[:, :-1]), self.targets):
            rows = side[run.first : run.stop]
            window = int(len(rows) ** 0.5)
            alike = [float((rows[lag:] * rows[:-lag]).sum(1).mean()) for lag in range(1, window + 1)]
            weights = [1 - lag / (window + 1) for lag in range(1, window + 1)]
            most = max(most, sum(max(one, 0) * weight for one, weight in zip(alike, weights, strict=True)))
        return 1 / (1 + 2 * most)

    def _gains(self, run: Run) -> Tensor:
        """By how much each row of a run that can fits better elsewhere."""
        number = self.steps.index(_Step(run.offset, run.reverse))
        exists = self.exists[number, run.first : run.stop]
        return (self.fits[number, run.first : run.stop] - self._own(run.first, run.stop))[exists]

    def _own(self, first: int, stop: int) -> Tensor:
        """How well rows fit at their own places: by what was fitted last, or on all where they stand, if that is better."""
        return max((self.fits[0, first:stop], self.own[first:stop]), key=lambda fits: float(fits.mean()))
