"""Means with their 95 % intervals, by the bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irp_hf.evaluation.printed import number


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
    means = torch.einsum("br,mrn,bn->mb", subsets, values, pairs)
    bounds = torch.tensor([0.025, 0.975]).to(values)
    low, high = means.quantile(bounds, dim=1)
    return [Measure(*row) for row in torch.stack([values.mean((1, 2)), low, high], dim=1).tolist()]


RESAMPLES = 1000
SEED = 0
BLOCK = 2**22  # row numbers drawn at once


@dataclass(frozen=True)
class Measure:
    """The mean of a per-row metric with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        """As `.552 ±.012`; the bounds themselves need not lie symmetrically."""
        return f"{number(self.mean)} ±{number((self.high - self.low) / 2)}"

    def signed(self) -> str:
        """A difference with its sign, as `+.012 ±.003`."""
        return ("+" if self.mean >= 0 else "") + str(self)

    def is_sure(self) -> bool:
        """Whether the interval of a difference leaves out zero."""
        return self.low > 0 or self.high < 0


class Measured:
    """A dataclass some of whose fields are measures."""

    def measures(self) -> dict[str, Measure]:
        """The measures that were taken, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Measure)}


def bootstrap(values: Tensor) -> list[Measure]:
    """The mean of each row of `values (m, n)`, and the central 95 % of its means over seeded resamples."""
    n = values.shape[1]
    generator = torch.Generator().manual_seed(SEED)
    means = []
    for resamples in torch.arange(RESAMPLES).split(max(1, BLOCK // n)):
        drawn = torch.randint(n, (len(resamples), n), generator=generator).to(values.device)
        means.append(torch.stack([row[drawn].mean(1) for row in values]))
    bounds = torch.tensor([0.025, 0.975], dtype=values.dtype, device=values.device)
    low, high = torch.cat(means, dim=1).quantile(bounds, dim=1)
    return [Measure(*row) for row in torch.stack([values.mean(1), low, high], dim=1).tolist()]
