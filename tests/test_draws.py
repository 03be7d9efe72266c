"""Tests that draw from a generator of their module draw the same in any order, and on any worker."""

import numpy as np
import pytest
import torch

SEED = 5
RANDOM, DRAWS, GENERATOR = np.random.default_rng(SEED), np.random.RandomState(SEED), torch.Generator()
GENERATOR.manual_seed(SEED)
FIRST = [np.random.default_rng(SEED).random(), np.random.RandomState(SEED).rand()]


@pytest.mark.parametrize("turn", range(3))
def test_each_test_draws_as_if_it_were_alone(turn):
    """If it fails, a test passes alone and fails once in a while behind others."""
    assert [RANDOM.random(), DRAWS.rand()] == FIRST
    assert float(torch.rand(1, generator=GENERATOR)) == float(
        torch.rand(1, generator=torch.Generator().manual_seed(SEED))
    )
    assert float(torch.rand(1)) == float(torch.rand(1, generator=torch.Generator().manual_seed(0)))
    assert np.random.rand() == np.random.RandomState(0).rand()
