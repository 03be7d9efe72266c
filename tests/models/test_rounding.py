"""A row is translated to the same vector in any batch and dtype: a kernel's coefficients amplify rounding of float32."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from irp_hf import IRPAdapter
from irp_hf.errors import FitWarning
from irp_hf.maths.tuning_kernel import GAMMAS, RIDGES
from irp_hf.maths.tuning_pruned import THRESHOLDS
from irp_hf.maths.tuning_whitened import BALANCES

RANDOM = np.random.RandomState(0)
LATENT = RANDOM.randn(140, 3)  # few, and no noise: the kernel then chooses a tiny ridge
X, Y = (np.tanh(LATENT @ RANDOM.randn(3, width) / 2).astype(np.float32) for width in (12, 10))
NOISY = np.tanh(X @ RANDOM.randn(12, 10)) + 0.3 * RANDOM.randn(140, 10).astype(np.float32)
K = 120
FITS: list[dict[str, Any]] = [
    *(dict(method="kernel", gamma=g, ridge=r) for g in GAMMAS[::10] for r in RIDGES[::9]),
    *(dict(method="whitened", balance=b, ridge=r) for b in BALANCES[::4] for r in (0.0, 1e2)),
    *(dict(method="pruned", pruning_threshold=t) for t in THRESHOLDS[::7]),
    dict(method="kernel"),
]


def fit(target: np.ndarray, **options: Any) -> IRPAdapter:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return IRPAdapter.from_anchors(X[:K], target[:K], **options)


@pytest.mark.parametrize("target", [Y, NOISY], ids=["exact", "noisy"])
@pytest.mark.parametrize("options", FITS, ids=str)
def test_a_translation_does_not_depend_on_its_batch(target, options, tmp_path):
    """An index that was translated in batches would not be found by queries that come one by one."""
    adapter = fit(target, **options)
    scale = float(adapter.target_scale) + float(adapter.target_mean.abs().max())
    batch, sure = adapter.translate(X[K:], return_confidence=True)
    alone = [adapter.translate(row[None], return_confidence=True) for row in X[K:]]
    assert np.abs(np.concatenate([rows for rows, _ in alone]) - batch).max() < 1e-5 * scale
    assert np.abs(np.concatenate([one for _, one in alone]) - sure).max() < 1e-4
    assert np.abs(adapter.translate(X[K:].astype(np.float64)) - batch).max() < 1e-5 * scale
    assert torch.equal(adapter(torch.from_numpy(X[K:])).translated, torch.from_numpy(batch))
    adapter.save_pretrained(tmp_path)
    np.testing.assert_array_equal(IRPAdapter.from_pretrained(tmp_path).translate(X[K:]), batch)


def test_float64_is_kept_for_maps_that_need_it():
    """Every translation would take twice the time."""
    assert fit(Y, method="kernel", gamma=2.0, ridge=1e-6).config.double
    for options in (dict(gamma=2.0, ridge=1.0), dict(method="whitened"), dict(method="pruned")):
        config = fit(NOISY, **{"method": "kernel", **options}).config
        assert config.double is None
        assert "double" not in config.to_dict()


def test_a_map_that_float32_cannot_hold_says_so():
    """The score, in float64, would promise what the stored tensors cannot give."""
    with pytest.warns(FitWarning, match="moves translations by .* of the target's scale. Give a larger ridge or gamma"):
        IRPAdapter.from_anchors(X[:K], Y[:K], method="kernel", gamma=1e-3, ridge=1e-12)
