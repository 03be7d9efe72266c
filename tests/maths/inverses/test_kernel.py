"""The kernel inverse: the solve, and closed-form leave-out predictions against explicit refits."""

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_pairs import pairs

from irp_hf.maths.inverses.kernel import KernelInverse
from irp_hf.maths.inverses.whitened import WhitenedInverse
from irp_hf.maths.pairs import Pairs

FEW = settings(max_examples=8, derandomize=True, deadline=None)
SHAPES = [(3, 5, 4), (8, 8, 8), (24, 8, 5), (24, 4, 8)]
LANDMARKS = [None, 3, 7]


def chosen(inverse: KernelInverse, anchors: Pairs) -> np.ndarray | None:
    """The landmarks that the reference needs, chosen by its own walk."""
    if inverse.num_landmarks is None or inverse.num_landmarks >= len(anchors):
        return None
    rows = anchors.source_rows.numpy()
    first = inverse.landmarks(anchors.source_rows)[0].numpy()
    start = int(np.abs(rows - first).sum(1).argmin())
    return rows[reference.pruning(rows, start, 0.0)[: inverse.num_landmarks]]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("num_landmarks", LANDMARKS)
@pytest.mark.parametrize(("gamma", "ridge"), [(0.5, 1e-1), (2.0, 1e-3), (8.0, 1.0)])
def test_it_is_kernel_ridge_regression(shape, num_landmarks, gamma, ridge):
    """If it fails, `kernel` is no kernel ridge regression with a penalised intercept over all k pairs."""
    anchors, rows = pairs(0, *shape)
    inverse = KernelInverse(gamma, ridge, num_landmarks)
    source, target = anchors.source_rows.numpy(), anchors.target_rows.numpy()
    expected = reference.kernel(rows.numpy(), source, target, gamma, ridge, chosen(inverse, anchors))
    np.testing.assert_allclose(
        inverse.fold(anchors.source_rows, anchors.target_rows)(rows), expected, rtol=1e-6, atol=1e-8
    )


@pytest.mark.parametrize("num_landmarks", LANDMARKS)
def test_the_fold_is_the_halves_in_a_row(num_landmarks):
    """If it fails, an adapter translates differently from two spaces that meet through relative
    coordinates."""
    anchors, rows = pairs(1, 24, 6, 5)
    inverse = KernelInverse(2.0, 1e-2, num_landmarks)
    coordinates = inverse.relative(rows, anchors.source_rows)
    assert coordinates.shape == (10, 24)
    folded = inverse.fold(anchors.source_rows, anchors.target_rows)
    torch.testing.assert_close(folded(rows), inverse.absolute(coordinates, anchors.target_rows))
    assert folded.landmarks.shape == (num_landmarks or 24, 6)


@pytest.mark.parametrize("num_landmarks", [24, 99])
def test_as_many_landmarks_as_anchors_are_all_of_them(num_landmarks):
    """If it fails, a budget that is larger than the anchor set crashes or drops anchors."""
    anchors, rows = pairs(1, 24, 6, 5)
    plain, capped = (
        KernelInverse(2.0, 1e-2, m).fold(anchors.source_rows, anchors.target_rows)(rows) for m in (None, num_landmarks)
    )
    assert torch.equal(plain, capped)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("num_landmarks", LANDMARKS)
@pytest.mark.parametrize(("gamma", "ridge"), [(0.5, 1e-1), (2.0, 1e-4), (8.0, 1.0)])
def test_leave_one_out_is_as_many_refits(shape, num_landmarks, gamma, ridge):
    """If it fails, γ and λ are chosen by numbers that no held-out anchor would give."""
    anchors, _ = pairs(2, *shape)
    inverse = KernelInverse(gamma, ridge, num_landmarks)
    path = inverse.path(anchors.source_rows)
    source, target = anchors.source_rows.numpy(), anchors.target_rows.numpy()
    singles = [[row] for row in range(len(anchors))]
    expected = reference.kernel_left_out(source, target, gamma, ridge, singles, chosen(inverse, anchors))
    found = path.leave_one_out(anchors.target_rows, ridge)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    shared = path.leave_one_out(anchors.target_rows, ridge, path.spectral(anchors.target_rows))
    assert torch.equal(found, shared)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("num_landmarks", LANDMARKS)
def test_leave_fold_out_is_as_many_refits(shape, num_landmarks):
    """If it fails, the kernel is compared with the other inverses on easier folds than theirs."""
    anchors, _ = pairs(3, *shape)
    inverse = KernelInverse(2.0, 1e-3, num_landmarks)
    folds = anchors.folds(3, seed=5)
    source, target = anchors.source_rows.numpy(), anchors.target_rows.numpy()
    lists = [fold.tolist() for fold in folds]
    expected = reference.kernel_left_out(source, target, 2.0, 1e-3, lists, chosen(inverse, anchors))
    found = inverse.path(anchors.source_rows).leave_fold_out(anchors.target_rows, 1e-3, folds)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[0] > 7])
@pytest.mark.parametrize("num_landmarks", LANDMARKS)
@pytest.mark.parametrize("ridge", [1e-4, 1e-1])
def test_leave_one_out_leaves_whole_groups_out(shape, num_landmarks, ridge, monkeypatch):
    """If it fails, γ, λ and the confidence are chosen by rows whose copies the fit has seen."""
    anchors, _ = pairs(3, *shape)
    copies = [torch.tensor([[0, 4], [7, 2]]), torch.tensor([[1, 3, 5]])]
    groups = [[0, 4], [7, 2], [1, 3, 5], *([row] for row in range(len(anchors)) if row not in (0, 1, 2, 3, 4, 5, 7))]
    inverse = KernelInverse(2.0, ridge, num_landmarks)
    source, target = anchors.source_rows.numpy(), anchors.target_rows.numpy()
    expected = reference.kernel_left_out(source, target, 2.0, ridge, groups, chosen(inverse, anchors))
    path = inverse.path(anchors.source_rows, copies)
    found = path.leave_one_out(anchors.target_rows, ridge)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    monkeypatch.setattr("irp_hf.maths.leaving_out.BLOCK", 1)  # a group at a time
    torch.testing.assert_close(path.leave_one_out(anchors.target_rows, ridge), found, rtol=1e-9, atol=1e-12)


@FEW
@given(seed=st.integers(0, 10**6), num_landmarks=st.sampled_from(LANDMARKS))
def test_folds_of_one_are_leave_one_out(seed, num_landmarks):
    """If it fails, the two closed forms disagree about the same question."""
    anchors, _ = pairs(seed, 12, 4, 3)
    path = KernelInverse(1.0, 1e-2, num_landmarks).path(anchors.source_rows)
    before = anchors.target_rows.clone()
    folds = list(torch.arange(12).split(1))
    one, fold = path.leave_one_out(before, 1e-2), path.leave_fold_out(anchors.target_rows, 1e-2, folds)
    torch.testing.assert_close(fold, one, rtol=1e-7, atol=1e-9)
    assert torch.equal(anchors.target_rows, before)


def test_few_landmarks_lose_little_and_all_lose_nothing():
    """If it fails, landmarks are solved over themselves instead of all k pairs, or approach another map."""
    anchors, rows = pairs(4, 60, 4, 5)
    whole = KernelInverse(1.0, 1e-1).fold(anchors.source_rows, anchors.target_rows)(rows)
    gaps = []
    for m in (5, 15, 59):
        few = KernelInverse(1.0, 1e-1, m).fold(anchors.source_rows, anchors.target_rows)(rows)
        gaps.append(float((few - whole).norm() / whole.norm()))
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-3


def test_a_huge_ridge_shrinks_the_intercept_too():
    """If it fails, the intercept is not penalised: centring in disguise, which leaks in leave-one-out."""
    anchors, rows = pairs(5, 20, 4, 5)
    folded = KernelInverse(1.0, 1e8).fold(anchors.source_rows, anchors.target_rows + 3)
    assert float(folded(rows).abs().max()) < 1e-5


def test_a_tiny_gamma_is_linear_regression():
    """If it fails, the kernel does not contain linear maps, its promise to be no worse than ridge
    regression."""
    anchors, rows = pairs(6, 40, 4, 5)
    kernel = KernelInverse(1e-6, 1e-9).fold(anchors.source_rows, anchors.target_rows)(rows)
    features = np.c_[np.ones(40), anchors.source_rows.numpy()]
    weight = np.linalg.lstsq(features, anchors.target_rows.numpy(), rcond=None)[0]
    np.testing.assert_allclose(kernel, np.c_[np.ones(10), rows.numpy()] @ weight, atol=1e-3)


@pytest.mark.parametrize("num_landmarks", LANDMARKS)
@pytest.mark.parametrize("ridge", [1e-7, 1e-2])
def test_copies_of_anchors_stay_finite(num_landmarks, ridge):
    """If it fails, one anchor that is there twice makes K singular and the whole adapter NaN."""
    anchors, rows = pairs(7, 12, 4, 5)
    source, target = anchors.source_rows.repeat(2, 1), anchors.target_rows.repeat(2, 1)
    path = KernelInverse(2.0, ridge, num_landmarks).path(source)
    folds = list(torch.arange(24).split(5))
    for found in (
        path.fold(target, ridge)(rows),
        path.leave_one_out(target, ridge),
        path.leave_fold_out(target, ridge, folds),
    ):
        assert torch.isfinite(found).all()


def test_copies_of_anchors_leak_in_leave_one_out():
    """If it fails, `Pairs.distinct` guards against nothing: a copy no longer tells its twin."""
    random = np.random.RandomState(8)
    source, target = (torch.from_numpy(random.randn(30, 6)) for _ in range(2))
    honest, leaky = Pairs(source, target), Pairs(source.repeat(2, 1), target.repeat(2, 1))

    def cosine(pairs: Pairs) -> float:
        found = KernelInverse(2.0, 1e-3).path(pairs.source_rows).leave_one_out(pairs.target_rows, 1e-3)
        return float(torch.nn.functional.cosine_similarity(found, pairs.target_rows).mean())

    assert cosine(leaky) > 0.9
    assert cosine(honest) < 0.2
    assert cosine(leaky.take(leaky.distinct())) == pytest.approx(cosine(honest))


def test_the_map_with_a_matrix_is_the_map_then_the_matrix():
    """If it fails, scale restoration is folded into the coefficients but not into the intercept."""
    anchors, rows = pairs(9, 20, 4, 5)
    matrix = torch.from_numpy(np.random.RandomState(0).randn(5, 5))
    for inverse in (KernelInverse(2.0, 1e-2, 7), WhitenedInverse(0.5, 1e-2)):
        folded = inverse.fold(anchors.source_rows, anchors.target_rows + 1)
        torch.testing.assert_close(folded.then(lambda rows: rows @ matrix)(rows), folded(rows) @ matrix)
