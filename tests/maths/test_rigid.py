"""The rigid part: a damped rotation from both sides' anchors, and what it gives for rows that it had not seen."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irp_hf.maths.projection import unit_rows
from irp_hf.maths.rigid import DAMPING, rotated_left_out, rotation


def sides(k, source, target, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(k, min(source, target), generator=generator, dtype=torch.float64)
    wide = [
        shared @ torch.randn(shared.shape[1], d, generator=generator, dtype=torch.float64) for d in (source, target)
    ]
    return [unit_rows(one + 0.3 * torch.randn(one.shape, generator=generator, dtype=torch.float64)) for one in wide]


def explicit(source, target):
    """`U s/√(s² + ε²) Vᵀ` by numpy's singular values."""
    left, values, right = np.linalg.svd(source.numpy().T @ target.numpy(), full_matrices=False)
    damping = DAMPING * values.sum() / min(source.shape[1], target.shape[1])
    return (left * (values / np.maximum(np.hypot(values, damping), 1e-30))) @ right


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 40), st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
def test_the_rotation_is_the_damped_polar_factor(k, source, target, seed):
    """If it fails, the rigid part is another map than the one that is documented, where rows are few or wide, say."""
    x, y = sides(k, source, target, seed)
    assert torch.allclose(rotation(x, y), torch.from_numpy(explicit(x, y)), atol=1e-7)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 12), st.integers(0, 99))
def test_a_rotation_is_found_again(d, seed):
    """If it fails, spaces that differ by a rotation alone are not brought together."""
    generator = torch.Generator().manual_seed(seed)
    x = unit_rows(torch.randn(50 * d, d, generator=generator, dtype=torch.float64))
    turn = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64)).Q
    found = unit_rows(x @ rotation(x, x @ turn))
    assert (found * (x @ turn)).sum(1).min() > 0.999


@pytest.mark.parametrize(
    ("k", "source", "target"), [(40, 6, 9), (40, 9, 6), (12, 30, 20), (20, 30, 8), (300, 270, 280)]
)
def test_a_fold_is_rotated_as_the_others_tell(k, source, target):
    """If it fails, ρ is chosen, and scores are told, by rotations that saw the rows that they are judged by."""
    x, y = sides(k, source, target)
    folds = torch.randperm(k, generator=torch.Generator().manual_seed(0)).tensor_split(3)
    found = rotated_left_out(x, y, folds)
    for fold in folds:
        rest = np.setdiff1d(np.arange(k), fold.numpy())
        rows, true = (unit_rows(side - side[rest].mean(0)) for side in (x, y))
        if min(source, target) > k:  # a mean of all that is not that of these rows serves as well
            moved = (x - x[:3].mean(0)) @ (x - x[:3].mean(0)).T
            assert torch.allclose(rotated_left_out(x, y, folds, lambda known=moved: known), found, atol=2e-4)
        assert torch.allclose(found[fold], rows[fold] @ torch.from_numpy(explicit(rows[rest], true[rest])), atol=2e-4)


@pytest.mark.parametrize("num_folds", [3, 10])
def test_noise_is_not_foretold(num_folds):
    """If it fails, few rows in many dimensions tell their own targets, for their sum is 0, and noise looks good."""
    generator = torch.Generator().manual_seed(0)
    for k in (20, 60):
        x, y = (torch.randn(k, 400, generator=generator, dtype=torch.float64) for _ in range(2))
        folds = torch.randperm(k, generator=generator).tensor_split(num_folds)
        found = rotated_left_out(x, y, folds)
        assert (unit_rows(found) * unit_rows(y)).sum(1).mean().abs() < 0.05


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_copies_and_rows_of_zeros_are_rotated_alike_where_dimensions_are_many(dtype):
    """If it fails, a fit of wide anchors ends in an error of a factor where some of them are alike."""
    x, y = (side.to(dtype) for side in sides(40, 70, 60))
    for side, some in ((x, slice(0, 8)), (y, slice(4, 20))):
        side[some] = side[some.start]
        side[30:33] = 0
    found, wanted = rotation(x, y), torch.from_numpy(explicit(x.double(), y.double()))
    assert torch.allclose(x @ found, x @ wanted.to(dtype), atol=1e-6 if dtype == torch.float64 else 1e-2)
    assert rotation(x, torch.zeros_like(y)).eq(0).all()


def test_rows_of_zeros_make_no_numbers_of_their_own():
    """If it fails, anchors at the mean turn a whole map into NaN."""
    x, y = sides(10, 4, 3)
    assert rotation(torch.zeros_like(x), y).eq(0).all()
    x[0] = 0
    assert rotation(x, y).isfinite().all()
