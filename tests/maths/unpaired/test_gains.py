"""Whether unpaired rows are made use of: by what held-out pairs gain, pair by pair."""

import pytest
import torch

from irp_hf.maths.unpaired.gains import Gain, Gains


def rows(k: int, seed: int) -> torch.Tensor:
    return torch.randn(k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_pairs_are_compared_one_by_one():
    """If it fails, a gain that every pair has drowns in how hard pairs are, and a good background is thrown away."""
    alone, labels = rows(10, 0), torch.arange(10)
    gain = Gain.of(alone + 0.1 + 0.01 * rows(10, 1), alone, labels)
    assert gain.mean == pytest.approx(0.1, abs=0.02)
    assert gain.error < 0.01 < alone.std() / 10**0.5
    assert gain.is_sure
    swapped = Gain.of(alone, alone + 0.1 + 0.01 * rows(10, 1), labels)
    assert swapped == pytest.approx((-gain.mean, gain.error))


def test_the_error_is_how_far_means_scatter():
    """If it fails, what is called sure is chance more or less often than it says."""
    means = torch.tensor([Gain.of(rows(10, seed), torch.zeros(10), torch.arange(10)).mean for seed in range(400)])
    errors = torch.tensor([Gain.of(rows(10, seed), torch.zeros(10), torch.arange(10)).error for seed in range(400)])
    assert float(errors.mean()) == pytest.approx(float(means.std()), rel=0.1)


def test_copies_of_an_item_are_one_pair():
    """If it fails, a pair in four copies is four times as sure."""
    gained = rows(8, 3)
    once = Gain.of(gained, torch.zeros(8), torch.arange(8))
    assert Gain.of(gained.repeat(4), torch.zeros(32), torch.arange(8).repeat(4)) == pytest.approx(once)


@pytest.mark.parametrize(
    ("objective", "cosine", "used"),
    [
        (Gain(0.0, 0.0), Gain(0.05, 0.04), True),  # saturated: all neighbours are found by both
        (Gain(0.0, 0.0), Gain(-0.01, 0.04), False),
        (Gain(0.1, 0.01), Gain(-0.01, 0.04), True),
        (Gain(-0.1, 0.01), Gain(0.2, 0.01), False),
        (Gain(-0.1, 0.1), Gain(0.2, 0.01), True),
    ],
)
def test_the_cosine_decides_where_the_objective_does_not(objective: Gain, cosine: Gain, used: bool):
    """If it fails, neighbours of ten pairs, which everything finds, throw a good background away."""
    assert Gains(objective, cosine).are_used is used
