"""Scale restoration along the target's principal directions."""

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irp_hf.maths.projection import unit_rows
from irp_hf.maths.restoration import LARGEST, FoldRestoration, Restoration

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
    found = Restoration(translated, target).matrix(q)
    np.testing.assert_allclose(
        found, reference.restoration(translated.numpy(), target.numpy(), q), rtol=1e-8, atol=1e-12
    )


@FEW
@given(seed=st.integers(0, 10**6), d=st.integers(2, 6))
def test_the_ends_are_nothing_and_everything(seed, d):
    """If it fails, q = 0 is not the paper, or q = 1 does not give the translations the target's variances."""
    translated, target = shrunk(seed, d=d)
    restoration = Restoration(translated, target)
    torch.testing.assert_close(restoration.matrix(0.0), torch.eye(d, dtype=torch.float64))
    _, directions = np.linalg.eigh(target.numpy().T @ target.numpy())
    restored = (translated @ restoration.matrix(1.0)).numpy()
    wanted = np.mean((target.numpy() @ directions) ** 2, axis=0)
    np.testing.assert_allclose(np.mean((restored @ directions) ** 2, axis=0), wanted, rtol=1e-8)


@FEW
@given(seed=st.integers(0, 10**6), q=st.sampled_from([0.5, 1.0]))
def test_a_rotated_target_is_restored_alike(seed, q):
    """If it fails, restoration depends on the axes that the target encoder happens to have."""
    translated, target = shrunk(seed)
    rotation = torch.linalg.qr(torch.from_numpy(np.random.RandomState(seed).randn(5, 5)))[0]
    plain = translated @ Restoration(translated, target).matrix(q) @ rotation
    turned = (translated @ rotation) @ Restoration(translated @ rotation, target @ rotation).matrix(q)
    torch.testing.assert_close(turned, plain, rtol=1e-6, atol=1e-8)


def test_directions_without_anchors_or_predictions_stay_bounded():
    """If it fails, a dead target dimension, or one that nothing predicts, turns translations into noise or
    NaN."""
    translated, target = shrunk(1)
    target[:, 2], translated[:, 3] = 0, 0
    for q in (0.0, 0.5, 1.0):
        matrix = Restoration(translated, target).matrix(q)
        assert torch.isfinite(matrix).all()
        assert float(torch.linalg.matrix_norm(matrix, 2)) <= LARGEST ** (q / 2) * (1 + 1e-9)
        torch.testing.assert_close(matrix[2], torch.eye(5, dtype=torch.float64)[2])


def test_no_row_scales_itself():
    """If it fails, a row's own target shapes its restoration, and the scores that choose q are flattered."""
    translated, target = shrunk(2)
    folds = list(torch.randperm(30, generator=torch.Generator().manual_seed(0)).tensor_split(4))
    restorations = (0.0, 0.5, 1.0)
    found = FoldRestoration(target, folds).restore(translated * 3, restorations)
    for q, rows in zip(restorations, found, strict=True):
        for fold in folds:
            others = [row for row in range(30) if row not in fold.tolist()]
            matrix = reference.restoration(translated[others].numpy(), target[others].numpy(), q)
            np.testing.assert_allclose(rows[fold], (translated[fold] * 3).numpy() @ matrix, rtol=1e-7, atol=1e-10)
    wild = target.clone()
    wild[folds[0]] = unit_rows(wild[folds[0]] + 5)
    again = FoldRestoration(wild, folds).restore(translated * 3, restorations)
    assert torch.equal(again[1][folds[0]], found[1][folds[0]])
    assert not torch.equal(again[1][folds[1]], found[1][folds[1]])
