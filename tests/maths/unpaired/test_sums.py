"""Weighted sums over pairs and pseudo-pairs are the regressions that they stand for, row by row."""

import numpy as np
import pytest
import torch
from reference import kernel, power, relative

from irp_hf.maths.projection import unit_rows
from irp_hf.maths.unpaired.sums import KernelSums, Part


def part(seed=0, k=12, n=40, source=6, target=5):
    generator = torch.Generator().manual_seed(seed)
    shapes = ((k, source), (k, target), (n, source), (n, target))
    rows = [unit_rows(torch.randn(*shape, generator=generator, dtype=torch.float64)) for shape in shapes]
    return Part(*rows)


@pytest.mark.parametrize("weight", [0.0, 0.1, 1.0])
def test_the_kernel_is_a_weighted_ridge_regression(weight):
    """If it fails, pseudo-pairs count otherwise than their weight says."""
    one, gamma, ridge = part(), 2.0, 0.05
    landmarks = torch.cat([one.rows, one.unpaired])
    sums = KernelSums(one.rows, one.unpaired, landmarks, gamma)
    kept = torch.arange(len(one.rows))
    found = sums.map(sums.system(one, kept, weight).solve(ridge))
    weights = np.array([1.0] * len(one.rows) + [weight] * len(one.unpaired))
    similar = relative(landmarks.numpy(), landmarks.numpy(), gamma) + 1
    target = torch.cat([one.true, one.matched]).numpy()
    left = (similar * weights) @ similar + ridge * similar
    wanted = similar @ np.linalg.solve(left, similar @ (weights[:, None] * target))
    assert np.allclose(found(landmarks).numpy(), wanted, atol=1e-5)
    if not weight:
        alone = kernel(one.rows.numpy(), one.rows.numpy(), one.true.numpy(), gamma, ridge)
        assert np.allclose(found(one.rows).numpy(), alone, atol=1e-5)
    if weight == 1:
        together = kernel(one.rows.numpy(), landmarks.numpy(), target, gamma, ridge)
        assert np.allclose(found(one.rows).numpy(), together, atol=1e-5)


def test_a_fold_that_is_left_out_has_no_part():
    """If it fails, a pair is judged by a fit that had it."""
    one = part()
    landmarks = torch.cat([one.rows, one.unpaired])
    sums, kept = KernelSums(one.rows, one.unpaired, landmarks, 2.0), torch.arange(4, len(one.rows))
    rest = Part(one.rows[kept], one.true[kept], one.unpaired, one.matched)
    found = sums.system(rest, kept, 0.1).solve(0.05)
    anew = KernelSums(rest.rows, rest.unpaired, landmarks, 2.0).system(rest, torch.arange(len(kept)), 0.1).solve(0.05)
    assert torch.allclose(found, anew)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_the_whitened_inverse_takes_weighted_moments(balance):
    """If it fails, linear maps know other pseudo-pairs than the kernel."""
    one, weight, ridge = part(), 0.5, 0.1
    path = one.path(weight)
    found = path.directions(path.rotate_source(one.rows), balance, ridge).numpy()
    # Twice every pair and once every pseudo-pair weigh the same.
    source, target = (torch.cat([a, a, b]).numpy() for a, b in ((one.rows, one.unpaired), (one.true, one.matched)))
    wanted = one.rows.numpy() @ power(source, -balance, ridge) @ (source.T @ target / len(source))
    assert np.allclose(found, wanted @ power(target, balance - 1, ridge), atol=1e-8)


def test_the_rotation_is_of_the_weighted_cross_covariance():
    """If it fails, the rigid part is of the pairs alone, which at ten turn it anyhow."""
    one = part(n=4000)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q[:, :5]
    matched = Part(one.rows[:2], one.true[:2], one.unpaired, unit_rows(one.unpaired @ turn))
    assert (unit_rows(one.unpaired @ matched.rotation(0.1)) * matched.matched).sum(1).mean() > 0.95
