"""Means with their 95 % intervals, by the bootstrap; where all rows are at a bound, by the binomial distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from irp_hf.arithmetic import own_arithmetic
from irp_hf.data.arrays import as_matrix
from irp_hf.evaluation.from_dict import ROUNDING, Check, within
from irp_hf.evaluation.printed import number, signed

RESAMPLES = 1000
SEED = 0
BOUNDS = (0.025, 0.975)  # the central 95 %
BLOCK = 2**22  # row numbers drawn at once
AT_BOUND = 0.0005  # what is no farther from 0 or 1 is shown as that


@dataclass(frozen=True)
class Measure:
    """The mean of a per-row metric with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        """As `.552 ±.012`; the bounds themselves need not lie symmetrically."""
        return f"{number(self.mean)} {self._half()}"

    def checks(self) -> list[Check]:
        """Whether what was read can be true."""
        bounds = [self.low, self.mean, self.high]
        fits = self.low - ROUNDING <= self.mean <= self.high + ROUNDING
        return [(fits, "mean", "a number from low to high", bounds)]

    def signed(self) -> str:
        """A difference with its sign, as `+.012 ±.003`."""
        return f"{signed(self.mean)} {self._half()}"

    def is_sure(self) -> bool:
        """Whether the interval of a difference leaves out zero."""
        return self.low > 0 or self.high < 0

    def _half(self) -> str:
        return f"±{number((self.high - self.low) / 2)}"


class Measured:
    """A dataclass some of whose fields are measures."""

    def checks_of_measures(self) -> list[Check]:
        """That every measure lies where its kind can."""
        return [
            within(f"{name}.{bound}", getattr(measure, bound), -1 if name == "cosine" else 0, 1)
            for name, measure in self.measures().items()
            for bound in ("low", "mean", "high")
        ]

    def measures(self) -> dict[str, Measure]:
        """The measures that were taken, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Measure)}


@own_arithmetic()
def bootstrap(values: Any, groups: Tensor | None = None, bounded: bool = True) -> list[Measure]:
    """The mean of each row of `values (m, n)`, and the central 95 % of its means over seeded resamples.

    Values of one of the `groups (n,)` are drawn together: copies are no further evidence. Where values are all 1, or all 0,
    resamples say that this is sure; then the other bound is what so many rows, or groups, leave open: with all at 1 the mean
    of others is above .025 ** (1 / n), as the exact binomial interval has it of a share, and as holds for whatever lies from
    0 to 1. `bounded` is False for differences, of which 0 is no bound.

    Raises `InputError` for what is no matrix of finite floating-point numbers.
    """
    values = as_matrix(values, "values")
    if groups is not None:
        return _group_bootstrap(values, groups, bounded)
    n = values.shape[1]
    generator = torch.Generator().manual_seed(SEED)
    means = []
    for resamples in torch.arange(RESAMPLES, dtype=torch.int64, device="cpu").split(max(1, BLOCK // n)):
        drawn = _rows(n, (len(resamples), n), generator).to(values.device)
        means.append(torch.stack([row[drawn].mean(1) for row in values]))
    found = _measures(values.mean(1), torch.cat(means, dim=1))
    return _opened(found, values, n) if bounded else found


@own_arithmetic()
def share(holds: Tensor, groups: Tensor) -> Measure:
    """The share of rows that `holds (n,)` is true of, with its interval; of one of the `groups (n,)` all are drawn together."""
    (found,) = bootstrap(holds.double()[None], groups if len(groups.unique()) < len(groups) else None)
    return found


def _opened(measures: list[Measure], values: Tensor, independent: int) -> list[Measure]:
    """The same, of `values (m, ...)`; where all of a row are at a bound, with what so many independent ones leave open."""
    least = (1 - BOUNDS[1]) ** (1 / independent)
    low, high = values.flatten(1).aminmax(dim=1)
    opened = []
    for measure, lowest, highest in zip(measures, low.tolist(), high.tolist(), strict=True):
        if 1 - AT_BOUND < lowest <= highest < 1 + AT_BOUND:
            opened.append(Measure(measure.mean, min(measure.low, least), max(measure.high, 1.0)))
        elif -AT_BOUND < lowest <= highest < AT_BOUND:
            opened.append(Measure(measure.mean, min(measure.low, 0.0), max(measure.high, 1 - least)))
        else:
            opened.append(measure)
    return opened


def _group_bootstrap(values: Tensor, groups: Tensor, bounded: bool) -> list[Measure]:
    """The same where whole groups are drawn: sums over drawn groups, over how many values they hold."""
    _, group = groups.unique(return_inverse=True)
    count = group.bincount().to(values)
    sums = torch.zeros(len(values), len(count), dtype=values.dtype, device=values.device).index_add_(1, group, values)
    drawn = _drawn(len(count), torch.Generator().manual_seed(SEED)).to(values)
    found = _measures(values.mean(1), (sums @ drawn.T) / (drawn @ count))
    return _opened(found, values, len(count)) if bounded else found


def _drawn(size: int, generator: torch.Generator) -> Tensor:
    """How often each of `size` is drawn in every resample, shape (b, size)."""
    return torch.stack([_rows(size, (size,), generator).bincount(minlength=size) for _ in range(RESAMPLES)])


@own_arithmetic()
def two_way_bootstrap(values: Tensor, groups: Tensor | None = None) -> list[Measure]:
    """The mean of each of `values (m, r, n)`, r subsets and n pairs, and the central 95 % of its means over seeded resamples.

    Subsets and pairs are resampled independently: every subset met the same pairs. Pairs of one of the `groups (n,)` are drawn
    together.
    """
    _, r, n = values.shape
    group = (
        torch.arange(n, dtype=torch.int64, device="cpu")
        if groups is None
        else groups.cpu().unique(return_inverse=True)[1]
    )
    generator = torch.Generator().manual_seed(SEED)
    drawn = [_drawn(r, generator), _drawn(int(group.max()) + 1, generator)[:, group]]
    subsets, pairs = (share.to(values) / share.sum(1, keepdim=True).to(values) for share in drawn)
    found = _measures(values.mean((1, 2)), torch.einsum("br,mrn,bn->mb", subsets, values, pairs))
    return _opened(found, values, int(group.max()) + 1)


def _rows(count: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Random row numbers below `count`."""
    return torch.randint(count, shape, generator=generator, dtype=torch.int64, device="cpu")


def _measures(means: Tensor, resampled: Tensor) -> list[Measure]:
    """`means (m,)` with the interval of `resampled (m, b)`."""
    low, high = resampled.quantile(torch.tensor(BOUNDS, dtype=torch.float32, device="cpu").to(resampled), dim=1)
    return [Measure(*row) for row in torch.stack([means, low, high], dim=1).tolist()]
