"""One space by its unpaired rows: its principal directions, and how many of them it spreads in."""

import pytest
import torch

from irp_hf.maths.projection import unit_rows
from irp_hf.maths.unpaired.side import Side


def drawn(width: int, directions: int, count: int = 4000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(count, directions, generator=generator) @ torch.randn(directions, width, generator=generator)
    return unit_rows(rows - rows.mean(0))


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_the_spread_is_the_participation_ratio(offset):
    """If it fails, rows of a few clusters count as spread, or a mean that is off 0 counts as a direction."""
    rows = drawn(30, 12) + offset
    spectrum = torch.linalg.svdvals((rows - rows.mean(0)).double()).square()
    wanted = float(spectrum.sum() ** 2 / spectrum.square().sum())
    assert Side.of(rows).spread == pytest.approx(wanted, rel=1e-4)


def test_rows_of_one_direction_spread_in_one():
    """If it fails, rounding counts as directions."""
    assert Side.of(drawn(20, 1)).spread == pytest.approx(1, abs=1e-3)


def test_more_columns_than_rows():
    """If it fails, wide encoders of few rows end in an error of arithmetic."""
    rows = drawn(500, 40, count=60)
    side = Side.of(rows)
    assert side.low.shape == (60, 59)
    assert 1 < side.spread < 40


def test_rows_that_are_left_out_change_nothing_else():
    """If it fails, rows that stand as pairs are matched as well, or the others are seen otherwise without them."""
    side = Side.of(drawn(30, 12))
    left = side.without(torch.tensor([0, 3]))
    assert torch.equal(left.low, side.low[[1, 2, *range(4, 4000)]])
    assert torch.equal(left.axes, side.axes)
