"""A quick map from a sample of many pairs, by which every pair is looked at, at the price of two thin products."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.alignment import NEAR, regression_on
from irp_hf.maths.projection import unit_rows

ROWS = 4000  # of the sample: more make it no better
SOURCE_WIDTH, TARGET_WIDTH = 128, 32  # principal coordinates
RIDGE = 1  # of those that such a regression tries, the middle one


@dataclass(frozen=True)
class Prefit:
    """A ridge regression between the first principal coordinates of both sides, about medians, which few rows far off move."""

    centres: tuple[Tensor, Tensor]
    weight: Tensor
    """From the source's unit rows to what the target's coordinates have beyond their mean, shape (d_X, q)."""
    bias: Tensor
    axes: Tensor
    """Of the target, shape (d_Y, q)."""
    mean: Tensor
    """Of the target's coordinates, shape (q,)."""

    @classmethod
    def of(cls, source: Tensor, target: Tensor) -> Prefit:
        """By `source (s, d_X)` and `target (s, d_Y)`, in random order, of which the first are enough."""
        single = working_dtype(torch.float32, source.device)
        sides = [side[:ROWS].double() for side in (source, target.to(source.device))]
        centres = [side.median(0).values for side in sides]
        units = [unit_rows(side - centre).to(single) for side, centre in zip(sides, centres, strict=True)]
        axes = [_axes(unit, width) for unit, width in zip(units, (SOURCE_WIDTH, TARGET_WIDTH), strict=True)]
        x, y = ((unit @ side).double() for unit, side in zip(units, axes, strict=True))
        inputs, ridges = regression_on(x - x.mean(0))
        inputs = inputs[:, :-1]  # both sides are centred
        second = inputs.T @ inputs
        second.diagonal().add_(ridges[RIDGE])
        core = torch.linalg.solve(second, inputs.T @ (y - y.mean(0)))
        weight, bias = axes[0].double() @ core, -x.mean(0) @ core
        kept = (*centres, weight, bias, y.mean(0))
        first, last, weight, bias, mean = (tensor.to(single) for tensor in kept)
        return cls((first, last), weight, bias, axes[1], mean)

    def predicted(self, source: Tensor) -> Tensor:
        """Unit directions `(n, q)` in which the targets of `source (n, d_X)` should lie from the mean of all."""
        x = source.to(self.weight) - self.centres[0]
        return unit_rows(torch.addmm(self.bias, unit_rows(x), self.weight))

    def true(self, target: Tensor) -> Tensor:
        """Those in which `target (n, d_Y)` lie."""
        y = target.to(self.weight) - self.centres[1]
        return unit_rows(torch.addmm(-self.mean, unit_rows(y), self.axes))


def _axes(rows: Tensor, most: int) -> Tensor:
    """The first principal directions `(d, at most so many)` of unit `rows (s, d)`, nearly."""
    centred = rows - rows.mean(0)
    width = min(most, len(rows) // 3, rows.shape[1])
    generator = torch.Generator("cpu").manual_seed(0)
    start = torch.randn(rows.shape[1], width + NEAR, generator=generator, dtype=torch.float32, device="cpu")
    start = start[:, : rows.shape[1]].to(rows)
    for _ in range(2):
        start = torch.linalg.qr(centred.T @ (centred @ start)).Q
    found = centred @ start
    rotation: Tensor = torch.linalg.eigh((found.T @ found).double()).eigenvectors
    return start @ rotation.flip(1)[:, :width].to(start)
