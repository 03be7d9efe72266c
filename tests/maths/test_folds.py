"""K folds, and what the others tell of means and scales."""

import pytest
import torch

from irp_hf.maths.folds import fold_statistics, gathered
from irp_hf.maths.pairs import others
from irp_hf.maths.projection import statistics


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (1e4, 1.0), (0.0, 1e-30), (0.0, 1e30)])
def test_statistics_without_a_fold_are_those_of_the_others(shift, scale):
    """If it fails, out-of-fold vectors have a mean or a scale that their own rows shaped, or that rounding did."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.randn(23, 6, generator=generator, dtype=torch.float64) + shift) * scale
    folds = list(torch.randperm(23, generator=generator).tensor_split(4))
    for fold, found in zip(folds, fold_statistics(x, folds), strict=True):
        expected = statistics(x[others(fold, 23)])
        torch.testing.assert_close(found.mean, expected.mean, rtol=1e-10, atol=0)
        torch.testing.assert_close(found.scale, expected.scale, rtol=1e-7, atol=0)


def test_parts_come_back_in_the_order_of_the_rows():
    """If it fails, a row is compared with the translation of another."""
    x = torch.arange(10.0)[:, None]
    folds = list(torch.randperm(10, generator=torch.Generator().manual_seed(1)).tensor_split(3))
    assert torch.equal(gathered(folds, [x[fold] for fold in folds]), x)
