"""The paper's inverse against the paper's equations."""

import numpy as np
import pytest
import reference
import torch
from synthetic_pairs import pairs

from irp_hf.maths.inverses.pruned import PrunedInverse, PrunedPath, condition_number, pseudo_inverse
from irp_hf.maths.pairs import Pairs

SHAPES = [(3, 5, 4), (6, 8, 8), (8, 8, 8), (30, 8, 5), (30, 5, 8)]  # k < d, k = d, k > d, different widths


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("threshold", "num_subspaces"), [(0.0, 1), (0.3, 8), (0.7, 8), (0.9, 3)])
def test_it_is_the_mean_pseudo_inverse_of_pruned_subspaces(shape, threshold, num_subspaces):
    """If it fails, `pruned` is not the paper's inverse: wrong subspaces, wrong pinv, or no plain mean over
    ω."""
    anchors, rows = pairs(0, *shape)
    inverse = PrunedInverse(threshold, num_subspaces, seed=3)
    subspaces = [kept.tolist() for kept in inverse.path(anchors.target_rows).subspaces(threshold)]
    target = anchors.target_rows.numpy()
    if threshold == 0:  # keeps all anchors, whatever the start
        assert subspaces == [list(range(len(target)))]
    else:
        assert len(subspaces) == num_subspaces
        assert subspaces == [reference.pruning(target, kept[0], threshold) for kept in subspaces]
    expected = reference.pruned(rows.numpy(), anchors.source_rows.numpy(), target, subspaces)
    found = inverse.fold(anchors.source_rows, anchors.target_rows)(rows)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7 * np.abs(expected).max())


@pytest.mark.parametrize("shape", SHAPES)
def test_the_fold_is_the_halves_in_a_row(shape):
    """If it fails, an adapter translates differently from two spaces that meet through relative
    coordinates."""
    anchors, rows = pairs(1, *shape)
    inverse = PrunedInverse(0.4, 5, seed=1)
    halves = inverse.absolute(inverse.relative(rows, anchors.source_rows), anchors.target_rows)
    torch.testing.assert_close(inverse.fold(anchors.source_rows, anchors.target_rows)(rows), halves)
    assert inverse.relative(rows, anchors.source_rows).shape == (10, shape[0])


def test_pruning_looks_at_the_target_alone():
    """If it fails, the target's half depends on the source, and spaces published apart cannot meet."""
    anchors, _ = pairs(2, 12, 4, 5)
    other, _ = pairs(3, 12, 7, 5)
    coordinates = torch.eye(12, dtype=torch.float64)
    inverse = PrunedInverse(0.5, 4)
    half = inverse.absolute(coordinates, anchors.target_rows)
    matrix = inverse.fold(other.source_rows, anchors.target_rows).weight
    torch.testing.assert_close(matrix, other.source_rows.T @ half)


@pytest.mark.parametrize(("m", "d", "rank"), [(4, 9, 4), (9, 9, 9), (40, 9, 9), (9, 9, 4), (5, 12, 3), (40, 9, 2)])
def test_the_fast_pseudo_inverse_is_numpys(m, d, rank):
    """If it fails, the Cholesky route serves anchors that it must not, and noise is blown up."""
    random = np.random.RandomState(m + d + rank)
    anchors = reference.unit_rows(random.randn(m, rank) @ random.randn(rank, d))
    expected = reference.pinv(anchors.T)
    found = pseudo_inverse(torch.from_numpy(anchors)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("exponent", [2, 4, 6, 9])
@pytest.mark.parametrize(("m", "d"), [(20, 20), (20, 30), (60, 20)])
def test_ill_conditioned_anchors_keep_the_digits_of_float32(exponent, m, d):
    """If it fails, the Cholesky route loses more than anchors stored in float32 lose anyway."""
    random = np.random.RandomState(exponent)
    left, right = (np.linalg.qr(random.randn(n, 20))[0] for n in (m, d))
    anchors = (left * np.logspace(0, -exponent, 20)) @ right.T
    expected = (left / np.logspace(0, -exponent, 20)) @ right.T
    found = pseudo_inverse(torch.from_numpy(anchors)).numpy()
    lost = np.abs(found - expected).max() / np.abs(expected).max()
    assert lost < max(1e-9, 10**exponent * 1e-7)


def test_copies_of_an_anchor_are_pruned_or_shared():
    """If it fails, duplicate anchors make the inverse infinite."""
    anchors, rows = pairs(4, 8, 4, 4)
    source, target = anchors.source_rows.repeat(2, 1), anchors.target_rows.repeat(2, 1)
    for threshold in (0.0, 1e-6):
        doubled = PrunedInverse(threshold, 1).fold(source, target)(rows)
        single = PrunedInverse(0.0, 1).fold(anchors.source_rows, anchors.target_rows)(rows)
        torch.testing.assert_close(doubled, single, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES[1:])
def test_condition_numbers_are_numpys(shape):
    """If it fails, the figure that shows what pruning cures is another."""
    anchors, _ = pairs(5, *shape)
    inverse = PrunedInverse(0.3, 4)
    target = anchors.target_rows
    kept = inverse.path(target).subspaces(0.3)
    assert min(map(len, kept)) > 1
    for found, rows in zip(inverse.condition_numbers(target), kept, strict=True):
        values = np.linalg.svd(target[rows].numpy(), compute_uv=False)
        values = values[values > 1e-13 * values[0]]
        assert found == pytest.approx(values[0] / values[-1], rel=1e-6)
    full = torch.from_numpy(np.random.RandomState(0).randn(5, 9))
    assert condition_number(full) == pytest.approx(np.linalg.cond(full.numpy()), rel=1e-9)


def test_pruning_conditions_the_anchors():
    """If it fails, pruning makes the anchors no better conditioned, and the paper's cure is none."""
    random = np.random.RandomState(0)
    manifold = torch.from_numpy(np.tanh(random.randn(60, 3) @ random.randn(3, 20)) + 0.05 * random.randn(60, 20))
    target = Pairs(manifold, manifold).target_rows
    loose, tight = (PrunedInverse(threshold, 4).condition_numbers(target) for threshold in (0.0, 0.6))
    assert max(tight) < min(loose) / 5


def test_one_path_serves_every_threshold():
    """If it fails, what tuning scored for a δ is not what the chosen δ fits."""
    anchors, _ = pairs(6, 25, 6, 6)
    path = PrunedPath(anchors.target_rows, 4, 7, until=0.2)
    for threshold in (0.2, 0.5, 0.9):
        torch.testing.assert_close(path.inverse(threshold), PrunedInverse(threshold, 4, 7).inverse(anchors.target_rows))
