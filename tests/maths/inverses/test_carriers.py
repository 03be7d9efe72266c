"""Regression on some landmarks by Cholesky factors, against the decomposition that serves every λ."""

import pytest
import torch

from irp_hf.maths.inverses.carriers import Carriers
from irp_hf.maths.inverses.kernel import KernelPath
from irp_hf.maths.projection import unit_rows


def sides(k: int = 90, d: int = 12):
    generator = torch.Generator().manual_seed(0)
    return unit_rows(torch.randn(k, d, generator=generator).double()), torch.randn(k, 2, generator=generator).double()


@pytest.mark.parametrize("ridge", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("gamma", [0.0625, 2.0, 64.0])
@pytest.mark.parametrize("m", [30, 90])
def test_it_is_the_regression_of_the_decomposition(m: int, gamma: float, ridge: float):
    """What held-out anchors tell of the confidence, and what is stored of it, would be those of another regression."""
    rows, wanted = sides()
    groups = [torch.tensor([[0, 5], [7, 80]]), torch.tensor([[1, 2, 3]])]
    landmarks = rows if m == len(rows) else rows[:m]
    path = KernelPath(rows, landmarks, gamma, groups)
    carriers = Carriers(rows @ landmarks.T, landmarks @ landmarks.T, gamma, wanted, groups)
    torch.testing.assert_close(carriers.leave_one_out(ridge), path.leave_one_out(wanted, ridge), rtol=1e-3, atol=1e-4)
    folded = path.fold(wanted, ridge)
    coefficients = carriers.coefficients(ridge)
    found = (gamma * (rows @ landmarks.T - 1)).exp() @ coefficients + coefficients.sum(0)
    torch.testing.assert_close(found, folded(rows), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("ridge", [1e-3, 1.0, 1e3])
def test_many_rows_in_single_precision_tell_as_few_in_double(ridge: float):
    """Expected cosines of many anchors would be off by rounding."""
    rows, wanted = sides(400)
    groups = [torch.tensor([[0, 5], [7, 80]])]
    carriers = Carriers(rows @ rows[:200].T, rows[:200] @ rows[:200].T, 2.0, wanted, groups)
    expected = KernelPath(rows, rows[:200], 2.0, groups).leave_one_out(wanted, ridge)
    found = carriers.leave_one_out(ridge)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_a_flat_kernel_of_many_rows_has_a_factor():
    """Rows of two dimensions make a singular kernel: the fit would end in an error of the factor."""
    rows, wanted = sides(700, 2)
    carriers = Carriers(rows @ rows[:500].T, rows[:500] @ rows[:500].T, 2.0**-4, wanted, [])
    for ridge in (1e-3, 1e3):
        assert carriers.leave_one_out(ridge).isfinite().all()
        assert carriers.coefficients(ridge).isfinite().all()
