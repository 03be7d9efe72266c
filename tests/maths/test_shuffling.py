"""A part of the rows in another order makes a fit worse without a word: it must be named, and sound tables must not be."""

import pytest
import torch

from irp_hf.maths.alignment import coordinates
from irp_hf.maths.shuffling import Block
from irp_hf.maths.shuffling import shuffled_block as block_by


def table(k: int, seed: int = 0, noise: float = 0.5) -> tuple[torch.Tensor, torch.Tensor]:
    """Two noisy views of the same items."""
    random = torch.Generator().manual_seed(seed)
    hidden = torch.randn(k, 12, generator=random)
    sides = [(hidden @ torch.randn(12, width, generator=random) / 3).tanh() for width in (24, 16)]
    source, target = (side + noise * torch.randn(side.shape, generator=random) for side in sides)
    return source, target


def shuffled_block(source: torch.Tensor, target: torch.Tensor) -> Block | None:
    return block_by(*coordinates(source, target))


def in_any_order(rows: torch.Tensor, first: int, stop: int, seed: int = 0) -> torch.Tensor:
    order = torch.arange(len(rows))
    order[first:stop] = first + torch.randperm(stop - first, generator=torch.Generator().manual_seed(seed))
    return rows[order]


@pytest.mark.parametrize(("k", "first", "stop"), [(200, 0, 60), (200, 140, 200), (300, 150, 300), (600, 250, 350)])
@pytest.mark.parametrize("seed", range(3))
def test_a_block_in_another_order_is_found(k, first, stop, seed):
    """Without its place a user could but look through all rows."""
    source, target = table(k, seed)
    block = shuffled_block(source, in_any_order(target, first, stop, seed))
    assert block is not None
    assert abs(block.first - first) <= 8
    assert abs(block.stop - stop) <= 8
    assert block.own < 0.15 < block.elsewhere
    swapped = shuffled_block(in_any_order(source, first, stop, seed), target)
    assert swapped is not None
    assert abs(swapped.first - first) <= 8


@pytest.mark.parametrize("k", [20, 60, 150, 600])
@pytest.mark.parametrize("seed", range(4))
def test_a_sound_table_is_left_in_peace(k, seed):
    """A false alarm would send users after a fault that there is not."""
    source, target = table(k, seed)
    assert shuffled_block(source, target) is None
    by_likeness = (target @ target[0]).argsort()
    assert shuffled_block(source[by_likeness], target[by_likeness]) is None


@pytest.mark.parametrize("seed", range(4))
def test_a_change_of_subject_is_no_other_order(seed):
    """Rows of another kind, which what the others tell does not predict, still belong together."""
    (source, target), (other, others) = table(300, seed), table(120, seed + 50)
    assert shuffled_block(torch.cat([source, other]), torch.cat([target, others])) is None


def test_of_what_tells_nothing_nothing_is_said():
    """Unrelated, constant and equal sides have no block that is unlike the rest."""
    source, target = table(200)
    for x, y in (
        (source, in_any_order(target, 0, 200)),
        (torch.ones(200, 4), target),
        (source, torch.ones(200, 4)),
        (source[:1].expand(200, -1), target),
    ):
        assert shuffled_block(x, y) is None
    assert shuffled_block(source, source) is None
