"""Relative projection: statistics, unit rows, the way to and from the absolute space, both similarities."""

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irp_hf.maths.projection import cosines_about, denormalize, normalize, relative_projection, statistics, unit_rows

FEW = settings(max_examples=15, derandomize=True, deadline=None)


def vectors(seed: int, n: int, d: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(seed).randn(n, d) * 2 + 0.7).to(dtype)


def test_statistics_match_the_paper():
    """If it fails, both sides centre by the wrong mean or restore the wrong scale (the mean of norms, not
    their RMS)."""
    anchors = vectors(0, 7, 4)
    mean, scale = reference.mean_and_scale(anchors.numpy())
    found = statistics(anchors)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(found.scale, scale, rtol=1e-12)
    assert found.mean.shape == (4,)
    assert found.scale.shape == ()


def test_normalize_and_denormalize_match_the_paper():
    """If it fails, vectors enter or leave the relative space by another centre or scale than the paper's."""
    anchors, x = vectors(1, 6, 5), vectors(2, 9, 5)
    stats = statistics(anchors)
    np.testing.assert_allclose(normalize(x, stats), reference.normalize(x.numpy(), anchors.numpy()), rtol=1e-12)
    np.testing.assert_allclose(denormalize(x, stats), reference.denormalize(x.numpy(), anchors.numpy()), rtol=1e-12)


@pytest.mark.parametrize("gamma", [None, 0.0625, 2.0, 64.0])
def test_relative_projection_matches_the_loops(gamma):
    """If it fails, coordinates are no cosines (paper, equation 1), or the kernel is no radial similarity
    of them."""
    rows, anchors = unit_rows(vectors(3, 8, 5)), unit_rows(vectors(4, 6, 5))
    before = rows.clone(), anchors.clone()
    found = relative_projection(rows, anchors, gamma)
    np.testing.assert_allclose(found, reference.relative(rows.numpy(), anchors.numpy(), gamma), rtol=1e-10, atol=1e-14)
    assert torch.equal(rows, before[0])  # it works in place, but on its own numbers
    assert torch.equal(anchors, before[1])


def test_the_kernel_is_one_for_equal_directions():
    """If it fails, the ridge is not in units of κ(x, x) = 1."""
    rows = unit_rows(vectors(5, 6, 4))
    diagonal = relative_projection(rows, rows, 3.0).diagonal()
    torch.testing.assert_close(diagonal, torch.ones(6, dtype=torch.float64))


def test_a_zero_row_stays_zero():
    """If it fails, an anchor at the mean (or an all-zero embedding) becomes NaN and spoils every solve."""
    rows = unit_rows(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    assert rows[0].tolist() == [0.0, 0.0]
    torch.testing.assert_close(rows[1], torch.tensor([0.6, 0.8]))
    stats = statistics(torch.ones(3, 2))
    assert denormalize(torch.zeros(1, 2), stats).tolist() == [[1.0, 1.0]]


@FEW
@given(
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([1e-3, 0.5, 40.0]),
    shift=st.sampled_from([0.0, -3.0, 100.0]),
)
def test_angles_ignore_scale_and_shift(seed, scale, shift):
    """If it fails, two encoders that differ by a scale and a shift have different relative spaces."""
    anchors, x = vectors(seed, 6, 3), vectors(seed + 1, 4, 3)
    plain = normalize(x, statistics(anchors))
    moved = normalize(x * scale + shift, statistics(anchors * scale + shift))
    torch.testing.assert_close(moved, plain, rtol=1e-9, atol=1e-9)


@FEW
@given(seed=st.integers(0, 10**6), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_a_round_trip_keeps_the_direction_and_gives_the_mean_scale(seed, dtype):
    """If it fails, translated vectors do not lie on the target's shell, and heads see a scale they never
    saw."""
    anchors, x = vectors(seed, 6, 4, dtype), vectors(seed + 1, 5, 4, dtype)
    stats = statistics(anchors)
    back = denormalize(normalize(x, stats), stats)
    assert back.dtype == dtype
    torch.testing.assert_close(normalize(back, stats), normalize(x, stats), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close((back - stats.mean).norm(dim=1), stats.scale.expand(5), rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 30), st.integers(2, 40), st.floats(0, 1e3), st.integers(0, 99))
def test_products_tell_cosines_about_any_mean(k, d, off, seed):
    """If it fails, wide rows are judged by rotations about another mean than narrow ones."""
    generator = torch.Generator().manual_seed(seed)
    x = off + torch.randn(k, d, generator=generator, dtype=torch.float64)
    x[0] = x[1:].mean(0)  # which has no direction
    rows = torch.arange(1, k)
    told = unit_rows(x[1:] - x[1:].mean(0))
    found = cosines_about(x @ x.T, rows)
    assert torch.allclose(found[1:], told @ told.T, atol=1e-6)
    assert found[0].eq(0).all()
