"""The whitened inverse against the loops, and what its three named balances are."""

import numpy as np
import pytest
import reference
import torch
from synthetic_pairs import pairs

from irp_hf.maths.inverses.pruned import PrunedInverse
from irp_hf.maths.inverses.whitened import Spectrum, WhitenedInverse, WhitenedPath

SHAPES = [(3, 5, 4), (6, 8, 8), (8, 8, 8), (9, 8, 8), (30, 8, 5), (30, 5, 8)]  # rank-deficient up to k = d


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("balance", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("ridge", [0.0, 1e-3, 0.1, 10.0])
def test_it_is_the_whitening_of_the_table(shape, balance, ridge):
    """If it fails, `whitened` is not `X̂ C_X^(-b) Â_Xᵀ Â_Y C_Y^(-(1-b)) / k`, or divides by directions no
    anchor has."""
    anchors, rows = pairs(0, *shape)
    source, target = anchors.source_rows.numpy(), anchors.target_rows.numpy()
    expected = reference.whitened(rows.numpy(), source, target, balance, ridge)
    inverse = WhitenedInverse(balance, ridge)
    halves = inverse.absolute(inverse.relative(rows, anchors.source_rows), anchors.target_rows)
    folded = inverse.fold(anchors.source_rows, anchors.target_rows)(rows)
    for found in (halves, folded):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


def test_known_cosines_spare_products_and_change_nothing():
    """If it fails, the map of wide rows comes from the cosines of other rows."""
    source, target = (torch.randn(30, d, generator=torch.Generator().manual_seed(d)).double() for d in (50, 7))
    inverse = WhitenedInverse(1.0, 0.1)
    torch.testing.assert_close(
        inverse.fold(source, target, source @ source.T).weight, inverse.fold(source, target).weight
    )


@pytest.mark.parametrize("shape", [(30, 8, 5), (30, 5, 8), (20, 6, 6)])
def test_balance_one_is_ridge_regression(shape):
    """If it fails, b = 1 is no ridge regression, and the comparison with that peer means nothing."""
    anchors, rows = pairs(1, *shape)
    source, target = anchors.source_rows.numpy(), anchors.target_rows.numpy()
    penalty = 0.1 * np.trace(source.T @ source) / source.shape[1]
    weight = np.linalg.solve(source.T @ source + penalty * np.eye(source.shape[1]), source.T @ target)
    found = WhitenedInverse(1.0, 0.1).fold(anchors.source_rows, anchors.target_rows)(rows)
    np.testing.assert_allclose(found, rows.numpy() @ weight, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_balance_zero_without_ridge_is_the_plain_inverse(shape):
    """If it fails, b = 0 is not the paper's inverse of all anchors."""
    anchors, rows = pairs(2, *shape)
    plain = PrunedInverse(0.0, 1).fold(anchors.source_rows, anchors.target_rows)(rows)
    found = WhitenedInverse(0.0, 0.0).fold(anchors.source_rows, anchors.target_rows)(rows)
    torch.testing.assert_close(found, plain, rtol=1e-6, atol=1e-7 * float(plain.abs().max()))


@pytest.mark.parametrize("shape", [(30, 8, 5), (6, 8, 8)])
def test_balance_one_half_is_a_parseval_frame(shape):
    """If it fails, b = ½ is not the frame of condition number 1 (arXiv 2507.17835): coordinates stretch
    some directions."""
    anchors, _ = pairs(3, *shape)
    frame = anchors.source_rows @ Spectrum.of(anchors.source_rows).power(-0.5, 0.0)
    values = np.linalg.svd(frame.numpy(), compute_uv=False)
    values = values[values > 1e-6 * values[0]]
    assert len(values) == min(shape[0] - 1, shape[1])
    np.testing.assert_allclose(values, values[0], rtol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
def test_one_path_serves_every_balance_and_ridge(shape):
    """If it fails, what tuning scored is not what the chosen (b, λ) fits."""
    anchors, rows = pairs(4, *shape)
    path = WhitenedPath.of(anchors.source_rows, anchors.target_rows)
    for balance, ridge in [(0.0, 0.1), (0.5, 0.0), (0.75, 1e-3), (1.0, 10.0)]:
        found = path.directions(path.rotate_source(rows), balance, ridge)
        expected = WhitenedInverse(balance, ridge).fold(anchors.source_rows, anchors.target_rows)(rows)
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize("ridge", [0.0, 1e-3])
def test_copies_of_all_anchors_change_nothing(ridge):
    """If it fails, the ridge or the division by k counts anchors instead of measuring their variance."""
    anchors, rows = pairs(5, 12, 4, 5)
    single = WhitenedInverse(0.5, ridge).fold(anchors.source_rows, anchors.target_rows)(rows)
    twice = WhitenedInverse(0.5, ridge).fold(anchors.source_rows.repeat(2, 1), anchors.target_rows.repeat(2, 1))(rows)
    torch.testing.assert_close(twice, single)


def test_a_constant_column_is_a_direction_that_is_not_there():
    """If it fails, one dead dimension (common in real encoders) fills the translation with infinities."""
    anchors, rows = pairs(6, 12, 4, 5)

    def widened(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, torch.zeros(len(x), 1, dtype=x.dtype)], 1)

    for balance in (0.0, 0.5, 1.0):
        inverse = WhitenedInverse(balance, 0.0)
        plain = inverse.fold(anchors.source_rows, anchors.target_rows)(rows)
        dead = inverse.fold(widened(anchors.source_rows), widened(anchors.target_rows))(widened(rows))
        torch.testing.assert_close(dead, widened(plain), rtol=1e-8, atol=1e-9)
