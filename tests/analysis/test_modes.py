"""Modes are counted as an eye would: near values are one, far groups are several, tails and strays are none."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from irp_hf.analysis.modes import num_modes, prominent_peaks


def gaussian(n: int, mean: float = 0, seed: int = 0) -> Tensor:
    return mean + torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("n", [50, 500, 5000])
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_groups_that_lie_apart_are_counted(n: int, groups: int):
    """Two kinds of vectors with scales of their own would pass for one."""
    assert num_modes(torch.cat([gaussian(n, 6 * group, seed=group) for group in range(groups)])) == groups


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(100, 800))
def test_a_gaussian_sample_has_one_mode(seed: int, n: int):
    """Chance alone would make modes, and a good space would be called a bad one."""
    assert num_modes(gaussian(n, seed=seed)) == 1


def test_strays_and_long_tails_are_no_modes():
    """One odd row, or the skewness of every norm, would count as a second kind of vectors."""
    strays = torch.tensor([40.0, 41.0, 1e9], dtype=torch.float64)
    assert num_modes(torch.cat([gaussian(500), strays])) == 1
    assert num_modes(gaussian(2000).exp()) == 1


def test_half_the_values_may_be_the_same():
    """The bandwidth would be zero where the quartiles fall together."""
    same = torch.ones(300, dtype=torch.float64)
    assert num_modes(torch.cat([same, torch.tensor([1.5, 0.5])])) == 1
    assert num_modes(torch.cat([same, 1 + same])) == 2


@settings(max_examples=15, deadline=None)
@given(st.floats(1e-6, 1e6), st.floats(-1e3, 1e3), st.integers(1, 3))
def test_the_unit_does_not_matter(scale: float, shift: float, groups: int):
    """Embeddings in another unit would have other modes."""
    values = torch.cat([gaussian(200, 6 * group, seed=group) for group in range(groups)])
    assert num_modes(scale * (values + shift)) == groups


@pytest.mark.parametrize(
    ("heights", "peaks"),
    [([0, 5, 0], 1), ([0, 10, 7, 10, 0], 2), ([0, 10, 9, 10, 0], 1), ([0, 10, 10, 0], 1), ([0, 10, 0, 1, 0], 1)],
)
def test_a_peak_rises_a_fifth_of_the_highest_above_its_valleys(heights: list[float], peaks: int):
    """A ripple would count, or a real second peak would not."""
    assert prominent_peaks(torch.tensor(heights)) == peaks
