"""The kernel over all anchors by a Cholesky factor: its map and what it leaves out, against explicit refits."""

import numpy as np
import pytest
import reference
import torch
from synthetic_pairs import pairs

from irp_hf.maths.climbing import FLAT
from irp_hf.maths.inverses.kernel import KernelInverse, KernelPath, similarities
from irp_hf.maths.inverses.kernel_system import KernelSystem
from irp_hf.maths.inverses.solving import FEW, inverse_with_ridge, last_left_out, rough_inverse, solved_with_ridge
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import unit_rows
from irp_hf.maths.request import Given
from irp_hf.maths.tuning_kernel import tune_kernel

SHAPES = [(3, 5, 4), (8, 8, 8), (24, 8, 5), (24, 4, 8)]


def system(anchors: Pairs, gamma: float, ridge: float, groups=()) -> KernelSystem:
    rows = anchors.source_rows
    return KernelSystem(rows, rows @ rows.T, KernelInverse(gamma, ridge), anchors.target_rows, groups)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("gamma", "ridge"), [(0.5, 1e-1), (2.0, 1e-4), (8.0, 1.0)])
def test_its_map_and_what_it_leaves_out_are_refits(shape, gamma, ridge):
    """If it fails, λ is chosen by numbers that no held-out anchor would give, or another map is stored than was judged."""
    anchors, rows = pairs(2, *shape)
    source, target = anchors.source_rows.numpy(), anchors.target_rows.numpy()
    found = system(anchors, gamma, ridge)
    expected = reference.kernel(rows.numpy(), source, target, gamma, ridge)
    np.testing.assert_allclose(found.fold()(rows), expected, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(
        KernelInverse(gamma, ridge).fold(anchors.source_rows, anchors.target_rows)(rows), found.fold()(rows)
    )
    singles = [[row] for row in range(len(anchors))]
    for left_out, lists in (
        (found.leave_one_out(), singles),
        (found.leave_fold_out(anchors.folds(3, 5)), [fold.tolist() for fold in anchors.folds(3, 5)]),
    ):
        expected = reference.kernel_left_out(source, target, gamma, ridge, lists)
        np.testing.assert_allclose(left_out, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("ridge", [1e-4, 1e-1])
def test_it_leaves_whole_groups_out(ridge, monkeypatch):
    """If it fails, λ of many anchors is chosen by rows whose copies the fit has seen."""
    anchors, _ = pairs(3, 24, 8, 5)
    groups = [torch.tensor([[0, 4], [7, 2]]), torch.tensor([[1, 3, 5]])]
    lists = [[0, 4], [7, 2], [1, 3, 5], [6], *([row] for row in range(8, 24))]
    source, target = anchors.source_rows.numpy(), anchors.target_rows.numpy()
    expected = reference.kernel_left_out(source, target, 2.0, ridge, lists)
    found = system(anchors, 2.0, ridge, groups).leave_one_out()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    monkeypatch.setattr("irp_hf.maths.leaving_out.BLOCK", 1)  # a group at a time
    torch.testing.assert_close(system(anchors, 2.0, ridge, groups).leave_one_out(), found, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("ridge", [1e-12, 1e-9, 1e-3])
def test_copies_and_tiny_ridges_are_solved_as_by_a_decomposition(ridge):
    """If it fails, a factor of a matrix that is singular up to rounding gives noise for coefficients."""
    anchors, _ = pairs(7, 12, 4, 5)
    source, target = anchors.source_rows.repeat(2, 1), anchors.target_rows.repeat(2, 1)
    similar = similarities(source @ source.T, 2.0)
    path = KernelPath(source, source, 2.0)
    expected = path.fold(target, ridge)(source)
    torch.testing.assert_close(similar @ solved_with_ridge(similar, ridge, target), expected, rtol=1e-5, atol=1e-7)
    assert torch.isfinite(inverse_with_ridge(similar, ridge)).all()
    (chosen,), _ = tune_kernel(Pairs(source, target), Given(gamma=2.0, ridge=ridge, lift=0.0))
    decomposed = KernelInverse(2.0, ridge).path(chosen.solved.fold().landmarks, Pairs(source, target).copies)
    torch.testing.assert_close(chosen.directions, decomposed.leave_one_out(chosen.true, ridge), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("width", [2, 12])
@pytest.mark.parametrize("ridge", [1e-7, 4e-5, 3e-4, 1e-2, 1.0])
def test_a_rough_inverse_compares_as_an_exact_one(width, ridge):
    """If it fails, λ is chosen by the rounding of single precision; or it is never single, and a fit takes twice as long."""
    generator = torch.Generator().manual_seed(0)
    rows = unit_rows(torch.randn(2 * FEW, width, generator=generator, dtype=torch.float64))
    target = torch.tanh(rows @ torch.randn(width, 9, generator=generator, dtype=torch.float64))
    target = unit_rows(target + 0.1 * torch.randn(2 * FEW, 9, generator=generator, dtype=torch.float64))
    similar = similarities(rows @ rows.T, 1.0)
    rough, exact = rough_inverse(similar, ridge), inverse_with_ridge(similar, ridge)
    assert rough.dtype == torch.float32 or ridge < 1e-2
    left_out = [target - (one.double() @ target) / one.double().diagonal()[:, None] for one in (rough, exact)]
    cosines = [torch.nn.functional.cosine_similarity(one, target).mean() for one in left_out]
    assert abs(cosines[0] - cosines[1]) < FLAT / 10 * (1 - cosines[1])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.float64, 1e-9)])
@pytest.mark.parametrize("count", [1, 7, 24])
def test_the_last_rows_are_left_out_as_all_are(count, dtype, tolerance):
    """If it fails, λ of many anchors is chosen by predictions that saw their own row."""
    anchors, _ = pairs(2, 24, 8, 5)
    rows, target = anchors.source_rows, anchors.target_rows
    similar = similarities(rows @ rows.T, 2.0)
    found = last_left_out(similar.to(dtype), 0.1, target.to(dtype), count)
    expected = reference.kernel_left_out(rows.numpy(), target.numpy(), 2.0, 0.1, [[row] for row in range(24)])
    np.testing.assert_allclose(found, expected[-count:], rtol=tolerance, atol=tolerance)
    assert last_left_out(similar.float(), 1e-9, target.float(), count) is None  # nothing but rounding would be left


def test_products_that_are_rounded_are_not_relied_on():
    """If it fails, a process that rounds float32 before it multiplies chooses another λ."""
    generator = torch.Generator().manual_seed(0)
    rows = unit_rows(torch.randn(2 * FEW, 6, generator=generator, dtype=torch.float64))
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert rough_inverse(similarities(rows @ rows.T, 1.0), 1.0).dtype == torch.float64
    finally:
        torch.set_float32_matmul_precision(before)
