"""Scale restoration along the target's principal directions."""

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irp_hf.maths.projection import unit_rows
from irp_hf.maths.restoration import FEW as FEW_DIRECTIONS
from irp_hf.maths.restoration import LARGEST, LEADING, Restoration

EYE = torch.eye(6, dtype=torch.float64)
FEW = settings(max_examples=10, derandomize=True, deadline=None)


def shrunk(seed: int, k: int = 30, d: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Target rows, and translations of them that are too short in some directions."""
    random = np.random.RandomState(seed)
    target = random.randn(k, d) * np.linspace(1, 0.3, d)
    translated = target * np.linspace(1, 0.4, d) + 0.1 * random.randn(k, d)
    return unit_rows(torch.from_numpy(translated)), unit_rows(torch.from_numpy(target))


@pytest.mark.parametrize("q", [0.0, 0.25, 0.5, 1.0])
def test_it_stretches_each_principal_direction(q):
    """If it fails, the stretch is not `(w_j / v_j)^(q/2)` along the target's own principal directions."""
    translated, target = shrunk(0)
    found = Restoration(target, []).of(translated).stretch(q)(EYE[:5, :5])
    np.testing.assert_allclose(
        found, reference.restoration(translated.numpy(), target.numpy(), q), rtol=1e-8, atol=1e-12
    )


@FEW
@given(seed=st.integers(0, 10**6), d=st.integers(2, 6))
def test_the_ends_are_nothing_and_everything(seed, d):
    """If it fails, q = 0 is not the paper, or q = 1 does not give the translations the target's variances."""
    translated, target = shrunk(seed, d=d)
    restoration = Restoration(target, []).of(translated)
    torch.testing.assert_close(restoration.stretch(0.0)(EYE[:d, :d]), EYE[:d, :d])
    _, directions = np.linalg.eigh(target.numpy().T @ target.numpy())
    restored = restoration.stretch(1.0)(translated).numpy()
    wanted = np.mean((target.numpy() @ directions) ** 2, axis=0)
    np.testing.assert_allclose(np.mean((restored @ directions) ** 2, axis=0), wanted, rtol=1e-8)


@FEW
@given(seed=st.integers(0, 10**6), q=st.sampled_from([0.5, 1.0]))
def test_a_rotated_target_is_restored_alike(seed, q):
    """If it fails, restoration depends on the axes that the target encoder happens to have."""
    translated, target = shrunk(seed)
    rotation = torch.linalg.qr(torch.from_numpy(np.random.RandomState(seed).randn(5, 5)))[0]
    plain = translated @ Restoration(target, []).of(translated).stretch(q)(EYE[:5, :5]) @ rotation
    moved = translated @ rotation
    turned = moved @ Restoration(target @ rotation, []).of(moved).stretch(q)(EYE[:5, :5])
    torch.testing.assert_close(turned, plain, rtol=1e-6, atol=1e-8)


def test_directions_without_anchors_or_predictions_stay_bounded():
    """If it fails, a dead target dimension, or one that nothing predicts, turns translations into noise or
    NaN."""
    translated, target = shrunk(1)
    target[:, 2], translated[:, 3] = 0, 0
    for q in (0.0, 0.5, 1.0):
        matrix = Restoration(target, []).of(translated).stretch(q)(EYE[:5, :5])
        assert torch.isfinite(matrix).all()
        assert float(torch.linalg.matrix_norm(matrix, 2)) <= LARGEST ** (q / 2) * (1 + 1e-9)
        torch.testing.assert_close(matrix[2], torch.eye(5, dtype=torch.float64)[2])


def test_no_row_scales_itself():
    """If it fails, a row's own target shapes its restoration, and the scores that choose q are flattered."""
    translated, target = shrunk(2)
    folds = list(torch.randperm(30, generator=torch.Generator().manual_seed(0)).tensor_split(4))
    restorations = (0.0, 0.5, 1.0)
    found = Restoration(target, folds).of(translated * 3).rows(restorations)
    for q, rows in zip(restorations, found, strict=True):
        for fold in folds:
            others = [row for row in range(30) if row not in fold.tolist()]
            matrix = reference.restoration(translated[others].numpy(), target[others].numpy(), q)
            np.testing.assert_allclose(rows[fold], (translated[fold] * 3).numpy() @ matrix, rtol=1e-7, atol=1e-10)
    wild = target.clone()
    wild[folds[0]] = unit_rows(wild[folds[0]] + 5)
    again = Restoration(wild, folds).of(translated * 3).rows(restorations)
    assert torch.equal(again[1][folds[0]], found[1][folds[0]])
    assert not torch.equal(again[1][folds[1]], found[1][folds[1]])


def wide(seed: int = 0, k: int = 2 * FEW_DIRECTIONS, d: int = FEW_DIRECTIONS + 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of more directions than have a stretch of their own, and translations that are ever shorter along them."""
    random = np.random.RandomState(seed)
    axes = np.linalg.qr(random.randn(d, d))[0]
    lengths = np.arange(1, d + 1) ** -0.7
    target = random.randn(k, d) * lengths
    translated = target * np.geomspace(1, 0.03, d) + 0.02 * random.randn(k, d) * lengths
    return unit_rows(torch.from_numpy(translated @ axes)), unit_rows(torch.from_numpy(target @ axes))


@pytest.mark.slow
def test_of_many_directions_the_leading_ones_have_their_own_stretch():
    """If it fails, wide targets are restored along directions that are no principal ones, or not at all beyond them."""
    translated, target = wide()
    restoration = Restoration(target, []).of(translated)
    d, eye = target.shape[1], torch.eye(target.shape[1], dtype=torch.float64)
    assert restoration.stretch(1.0).directions.shape == (d, LEADING)
    torch.testing.assert_close(
        restoration.stretch(1.0).directions.T @ restoration.stretch(1.0).directions,
        eye[:LEADING, :LEADING],
        rtol=0,
        atol=1e-5,
    )
    sure = torch.linalg.eigh(target.T @ target).eigenvectors[:, -LEADING // 4 :]  # well apart from what is left
    kept = torch.linalg.vector_norm(restoration.stretch(1.0).directions.T @ sure, dim=0)
    torch.testing.assert_close(kept, torch.ones_like(kept), rtol=0, atol=1e-3)
    assert torch.equal(restoration.stretch(0.0)(translated), translated)
    matrix = restoration.stretch(1.0)(eye)
    torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=1e-5)
    exact = reference.restoration(translated.numpy(), target.numpy(), 1.0)
    restored, wanted = translated @ matrix, translated @ torch.from_numpy(exact)
    before, after = (torch.nn.functional.cosine_similarity(rows, wanted).mean() for rows in (translated, restored))
    assert after > 0.998 > 0.99 > before
    rest = restored - restored @ restoration.stretch(1.0).directions @ restoration.stretch(1.0).directions.T
    true = target - target @ restoration.stretch(1.0).directions @ restoration.stretch(1.0).directions.T
    torch.testing.assert_close(rest.square().sum(), true.square().sum(), rtol=1e-3, atol=0)


def test_fewer_rows_than_directions_are_restored_within_their_span():
    """If it fails, what lies outside of all anchors is blown up, or comes out as NaN."""
    translated, target = wide(k=60)
    for q in (0.5, 1.0):
        stretched = Restoration(target, []).of(translated).stretch(q)(unit_rows(torch.randn_like(target)))
        assert torch.isfinite(stretched).all()
        assert float(stretched.norm(dim=1).max()) <= LARGEST ** (q / 2)


def test_one_subspace_serves_all_folds_of_a_wide_target():
    """If it fails, what is restored out of fold along a subspace that all share is not what each fold would restore alone."""
    translated, target = wide()
    folds = list(torch.randperm(len(target), generator=torch.Generator().manual_seed(0)).tensor_split(2))
    (found,) = Restoration(target, folds).of(translated).rows([0.5])
    for fold, rest in zip(folds, folds[::-1], strict=True):
        alone = Restoration(target[rest], []).of(translated[rest]).stretch(0.5)(translated[fold])
        angles = torch.nn.functional.cosine_similarity(found[fold], alone)
        assert float(angles.min()) > 0.999
        assert float(torch.linalg.vector_norm(found[fold] - alone, dim=1).mean()) < 0.02 * float(
            alone.norm(dim=1).mean()
        )
