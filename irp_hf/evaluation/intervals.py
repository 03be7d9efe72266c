"""Means with their 95 % intervals, by the bootstrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from irp_hf.data.arrays import as_matrix
from irp_hf.evaluation.printed import number, signed

RESAMPLES = 1000
SEED = 0
BOUNDS = (0.025, 0.975)  # the central 95 %
BLOCK = 2**22  # row numbers drawn at once


@dataclass(frozen=True)
class Measure:
    """The mean of a per-row metric with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        """As `.552 ±.012`; the bounds themselves need not lie symmetrically."""
        return f"{number(self.mean)} {self._half()}"

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

    def measures(self) -> dict[str, Measure]:
        """The measures that were taken, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Measure)}


def bootstrap(values: Any) -> list[Measure]:
    """The mean of each row of `values (m, n)`, and the central 95 % of its means over seeded resamples.

    Raises `InputError` for what is no matrix of finite floating-point numbers.
    """
    values = as_matrix(values, "values")
    n = values.shape[1]
    generator = torch.Generator().manual_seed(SEED)
    means = []
    for resamples in torch.arange(RESAMPLES).split(max(1, BLOCK // n)):
        drawn = torch.randint(n, (len(resamples), n), generator=generator).to(values.device)
        means.append(torch.stack([row[drawn].mean(1) for row in values]))
    return _measures(values.mean(1), torch.cat(means, dim=1))


def two_way_bootstrap(values: Tensor) -> list[Measure]:
    """The mean of each of `values (m, r, n)`, r subsets and n pairs, and the central 95 % of its means over seeded resamples.

    Subsets and pairs are resampled independently: every subset met the same pairs.
    """
    _, r, n = values.shape
    generator = torch.Generator().manual_seed(SEED)
    shares = [
        torch.stack(
            [torch.randint(size, (size,), generator=generator).bincount(minlength=size) for _ in range(RESAMPLES)]
        )
        for size in (r, n)
    ]
    subsets, pairs = (share.to(values) / share.shape[1] for share in shares)
    return _measures(values.mean((1, 2)), torch.einsum("br,mrn,bn->mb", subsets, values, pairs))


def _measures(means: Tensor, resampled: Tensor) -> list[Measure]:
    """`means (m,)` with the interval of `resampled (m, b)`."""
    low, high = resampled.quantile(torch.tensor(BOUNDS).to(resampled), dim=1)
    return [Measure(*row) for row in torch.stack([means, low, high], dim=1).tolist()]
