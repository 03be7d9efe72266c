"""The confidence is the cosine to expect: right on average, rising with the true one, low for strangers."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.stats import spearmanr

from irp_hf import IRPAdapter
from irp_hf.maths.confidence import RIDGES, calibrate
from irp_hf.maths.inverses.kernel import KernelInverse
from irp_hf.maths.metrics import cosines
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.request import Given
from irp_hf.maths.selection import select


def true_cosines(adapter: IRPAdapter, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    translated, true = adapter.translate(x), y
    return (translated * true).sum(1) / np.linalg.norm(translated, axis=1) / np.linalg.norm(true, axis=1)


@pytest.fixture(scope="module")
def strangers(digits) -> np.ndarray:
    """Random directions around the anchors' mean, as far from it as pictures are."""
    directions = np.random.RandomState(1).randn(400, 64)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    mean = digits.source.mean(0)
    return (mean + directions * np.linalg.norm(digits.source - mean, axis=1).mean()).astype(np.float32)


def test_it_is_right_on_average(adapter, digits):
    """Users would trust translations more, or less, than they deserve."""
    expected = adapter.confidence(digits.held_source)
    true = true_cosines(adapter, digits.held_source, digits.held_target)
    assert abs(expected.mean() - true.mean()) < 0.03


def test_it_ranks_translations(adapter, digits):
    """It could not tell a good translation from a bad one."""
    expected = adapter.confidence(digits.held_source)
    true = true_cosines(adapter, digits.held_source, digits.held_target)
    assert spearmanr(expected, true).statistic > 0.3


def test_it_is_low_for_input_unlike_the_anchors(adapter, digits, strangers):
    """Input of another domain would pass as well translated."""
    assert np.median(adapter.confidence(strangers)) < np.quantile(adapter.confidence(digits.held_source), 0.1)


def test_it_is_a_cosine(adapter, digits, strangers):
    """An expected cosine above 1 or below -1 would be nonsense."""
    for x in (digits.held_source, strangers, -100 * strangers, np.zeros((3, 64))):
        expected = adapter.confidence(x)
        assert expected.shape == (len(x),)
        assert (np.abs(expected) <= 1).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_it_keeps_kind_and_dtype(adapter, digits, dtype):
    """The same rules as for translations would not hold."""
    x = torch.from_numpy(digits.held_source[:20]).to(dtype)
    expected = adapter.confidence(x)
    assert (expected.dtype, expected.shape) == (dtype, (20,))
    reference = adapter.confidence(digits.held_source[:20])
    np.testing.assert_allclose(expected.float(), reference, atol=1e-2)
    if dtype != torch.bfloat16:
        found = adapter.confidence(x.numpy())
        assert (type(found), found.dtype) == (np.ndarray, x.numpy().dtype)
        np.testing.assert_array_equal(found, expected)
    column = pa.FixedSizeListArray.from_arrays(pa.array(digits.held_source[:20].reshape(-1)), 64)
    assert adapter.confidence(column).type == pa.float32()


def test_copies_in_the_anchors_do_not_make_it_sure(digits):
    """A held-out anchor whose copy stays would look perfectly translated."""
    once = IRPAdapter.from_anchors(digits.source, digits.target, "kernel")
    twice = IRPAdapter.from_anchors(np.tile(digits.source, (2, 1)), np.tile(digits.target, (2, 1)), "kernel")
    np.testing.assert_array_equal(twice.confidence(digits.held_source), once.confidence(digits.held_source))


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_it_ignores_the_size_of_the_input(adapter, digits, scale):
    """The confidence would depend on how far from the centre a vector lies, which the translation ignores."""
    mean = adapter.source_mean.double().numpy()
    far = (digits.held_source - mean) * scale + mean
    np.testing.assert_allclose(adapter.confidence(far), adapter.confidence(digits.held_source), atol=1e-4)


def test_it_is_the_regression_that_was_calibrated(digits):
    """What is stored would be another function than the one whose out-of-fold values were checked."""
    pairs = Pairs(torch.from_numpy(digits.source), torch.from_numpy(digits.target))
    choice = select(pairs, ("kernel",), "cosine", Given(gamma=1.0, ridge=1e-3, lift=0.5))[0]
    confidence, expected = calibrate(choice, pairs)
    rows = pairs.lifted(0.5)
    path = KernelInverse(1.0, 1e-3).path(rows)
    true = cosines(choice.translated, pairs.target)
    wanted = (true - true.mean())[:, None]
    norms, inside = torch.linalg.vector_norm(choice.directions, dim=1), expected.abs() < 1
    fits = []
    for ridge in RIDGES:
        features = torch.stack([torch.ones_like(norms), norms, path.leave_one_out(wanted, ridge)[:, 0]], dim=1)
        weights = torch.linalg.lstsq(features[inside], expected[inside, None], driver="gelsd").solution[:, 0]
        fits.append((float((features @ weights - expected)[inside].abs().max()), ridge, weights))
    error, ridge, (bias, slope, weight) = min(fits, key=lambda fit: fit[0])
    assert error < 1e-9
    by_hand = bias + slope * norms + weight * path.fold(wanted, ridge)(rows)[:, 0]
    torch.testing.assert_close(confidence(rows, norms), by_hand.clamp(-1, 1))
