"""The whitened inverse without each fold, from sums over all rows, against explicit refits."""

import numpy as np
import pytest
import reference
import torch
from synthetic_pairs import pairs

from irp_hf.maths.inverses.left_out_whitened import RidgePath, paths_without
from irp_hf.maths.pairs import others

SHAPES = [
    (24, 8, 5),
    (24, 5, 8),
    (24, 40, 8),
    (24, 8, 40),
    (24, 40, 40),
    (24, 22, 22),
]  # narrower and wider than k, and near it


def folds_of(k: int, num_folds: int) -> list[torch.Tensor]:
    return list(torch.randperm(k, generator=torch.Generator().manual_seed(0)).tensor_split(num_folds))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("balance", "ridge"), [(0.0, 1e-2), (0.5, 1e-1), (1.0, 1.0)])
def test_sums_less_a_fold_are_the_sums_of_the_others(shape, balance, ridge):
    """If it fails, balance and λ are chosen by fits on other rows than are said."""
    anchors, _ = pairs(0, *shape)
    source, target, folds = anchors.source_rows, anchors.target_rows, folds_of(24, 5)
    for fold, path in zip(folds, paths_without(source, target, folds), strict=True):
        rest = others(fold, 24)
        expected = reference.whitened(source[fold].numpy(), source[rest].numpy(), target[rest].numpy(), balance, ridge)
        found = path.directions(path.rotate_source(source[fold]), balance, ridge)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ridge", [1e-3, 1e-1, 10.0])
def test_ridge_regression_without_a_fold_is_a_refit(shape, ridge):
    """If it fails, λ is chosen by what a regression that had seen the fold says of it, or at another number of rows."""
    anchors, _ = pairs(1, *shape)
    source, target, folds = anchors.source_rows, anchors.target_rows, folds_of(24, 4)
    path = RidgePath(source, folds)
    found = path.leave_fold_out(target, ridge)
    for fold in folds:
        rest = others(fold, 24)
        expected = reference.whitened(source[fold].numpy(), source[rest].numpy(), target[rest].numpy(), 1.0, ridge)
        np.testing.assert_allclose(found[fold], expected, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(path.leave_fold_out(target, ridge, path.spectral(target)), found)
