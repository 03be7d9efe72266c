"""Direct translators agree with the public implementations that they stand for."""

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from irp_hf.baselines import (
    DirectMap,
    RidgePath,
    least_squares,
    orthogonalized_least_squares,
    procrustes,
    relative_decoder,
    ridge,
)
from irp_hf.baselines.closed_form import RIDGES
from irp_hf.errors import InputError

WIDTHS = [(6, 6), (5, 9), (9, 5)]
FITS = [procrustes, least_squares, orthogonalized_least_squares, ridge, relative_decoder]


def parallel(k: int, d_source: int, d_target: int, noise: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    """Two noisy linear views of the same items, off the origin."""
    generator = torch.Generator().manual_seed(k + 100 * d_source + d_target)
    items = torch.randn(k, max(d_source, d_target), generator=generator, dtype=torch.float64)
    mix = torch.randn(items.shape[1], d_target, generator=generator, dtype=torch.float64)
    blur = torch.randn(k, d_target, generator=generator, dtype=torch.float64)
    return items[:, :d_source] * 3 + 2, items @ mix + noise * blur - 1


def padded(x: np.ndarray, width: int) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, width - x.shape[1])))


@pytest.mark.parametrize("widths", WIDTHS)
def test_procrustes_is_scipys_on_zero_padded_sides(widths: tuple[int, int]):
    """The comparison would be with another map than the one that the literature calls Procrustes."""
    source, target = parallel(40, *widths)
    x, y = source.numpy() - source.numpy().mean(0), target.numpy() - target.numpy().mean(0)
    rotation, _ = orthogonal_procrustes(padded(x, max(widths)), padded(y, max(widths)))
    expected = (padded(x, max(widths)) @ rotation)[:, : widths[1]] * np.linalg.norm(y) / np.linalg.norm(x)
    np.testing.assert_allclose(procrustes(source, target)(source), expected + target.numpy().mean(0), atol=1e-10)


def test_procrustes_finds_a_similarity_exactly():
    """Rotation, scale or shift would be wrong: a rotated copy is the one case that it must solve."""
    source, _ = parallel(30, 6, 6)
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)).double()).Q
    target = 0.4 * source @ rotation + 5
    torch.testing.assert_close(procrustes(source[:20], target[:20])(source[20:]), target[20:])


@pytest.mark.parametrize(("k", "d"), [(40, 6), (10, 25)])
def test_least_squares_is_numpys(k: int, d: int):
    """It would not be the minimum-norm solution, and fail where there are more dimensions than pairs."""
    source, target = parallel(k, d, 7)
    x, y = source.numpy() - source.numpy().mean(0), target.numpy() - target.numpy().mean(0)
    expected, *_ = np.linalg.lstsq(x, y)
    np.testing.assert_allclose(least_squares(source, target).weight, expected, atol=1e-10)


@pytest.mark.parametrize(("k", "d", "noise"), [(60, 6, 0.3), (30, 40, 0.3), (30, 25, 5.0), (20, 20, 1.0)])
def test_ridge_is_sklearns(k: int, d: int, noise: float):
    """λ or the intercept would differ from the ridge regression that others report."""
    source, target = parallel(k, d, 8, noise)
    path = RidgePath(source, target)
    peer = RidgeCV(alphas=[value * path.unit for value in RIDGES]).fit(source.numpy(), target.numpy())
    assert path.best_ridge() * path.unit == pytest.approx(peer.alpha_)
    np.testing.assert_allclose(ridge(source, target)(source), peer.predict(source.numpy()), atol=1e-8)


@pytest.mark.parametrize(("k", "d"), [(16, 6), (10, 20), (13, 12)])
@pytest.mark.parametrize("value", [1e-6, 1e-2, 1.0])
def test_leave_one_out_is_a_refit_without_that_pair(k: int, d: int, value: float):
    """A held-out pair would leak through the mean, and a λ that only looks good would win."""
    source, target = parallel(k, d, 5)
    path = RidgePath(source, target)
    slow = []
    for row in range(k):
        others = torch.arange(k) != row
        fitted = RidgePath(source[others], target[others])
        slow.append(fitted.fit(value * path.unit / fitted.unit)(source[row : row + 1]))
    torch.testing.assert_close(path.leave_one_out(value), torch.cat(slow), rtol=1e-6, atol=1e-6)


def test_pure_noise_gets_the_largest_ridge():
    """Leave-one-out would leak: with as many dimensions as rows a tiny λ fits noise perfectly."""
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(50, 49, generator=generator)
    path = RidgePath(source, torch.randn(50, 20, generator=generator))
    assert path.best_ridge() == RIDGES[-1]


@pytest.mark.parametrize("fit", FITS)
def test_constant_and_single_precision_input_stay_finite(fit):
    """A dead encoder, or float32 vectors, would give NaN in a report."""
    flat = torch.ones(10, 4)
    mapped = fit(flat, torch.randn(10, 3, generator=torch.Generator().manual_seed(0)))(flat)
    assert mapped.shape == (10, 3)
    assert mapped.dtype == torch.float64
    assert mapped.isfinite().all()


@pytest.mark.parametrize("fit", FITS)
def test_sides_of_unequal_length_are_refused(fit, refusal):
    """Vectors of different items would be paired in silence."""
    text = refusal(fit, torch.ones(4, 3), torch.ones(5, 3), error=InputError)
    assert "(4, 3) and (5, 3)" in text
    assert "same order" in text


@pytest.mark.parametrize("fit", FITS)
def test_anchors_are_read_as_an_adapter_reads_them(fit, refusal):
    """Arrays would be refused by an error of torch's, and NaN would end in one of LAPACK's."""
    source, target = parallel(20, 6, 5)
    assert torch.equal(fit(source.numpy(), target.numpy())(source), fit(source, target)(source))
    text = refusal(fit, source * torch.nan, target, error=InputError)
    assert all(word in text for word in ("source anchors", "NaN", "0"))
    text = refusal(fit, source, target[:, 0], error=InputError)
    assert all(word in text for word in ("target anchors", "(20,)"))


def test_a_direct_map_is_affine():
    """The means would be applied on the wrong side."""
    weight = torch.tensor([[2.0], [3.0]])
    moved = DirectMap(weight, torch.tensor([1.0, 1.0]), torch.tensor([10.0]))(torch.tensor([[1.0, 2.0]]))
    assert moved.tolist() == [[13.0]]


@pytest.mark.parametrize("widths", WIDTHS)
def test_orthogonalized_least_squares_is_its_definition(widths: tuple[int, int]):
    """It would be another map than the `l-ortho` of arXiv 2311.00664: standardise, solve, set singular values to 1, undo."""
    source, target = parallel(60, *widths)
    x, y = (StandardScaler().fit(side.numpy()) for side in (source, target))
    solution, *_ = np.linalg.lstsq(x.transform(source.numpy()), y.transform(target.numpy()))
    left, _, right = np.linalg.svd(solution, full_matrices=False)
    expected = y.inverse_transform(x.transform(source.numpy()) @ left @ right)
    np.testing.assert_allclose(orthogonalized_least_squares(source, target)(source), expected, atol=1e-9)


def test_the_relative_decoder_never_sees_the_source():
    """Its decoder would be a direct translator in disguise."""
    (source, target), (other, _) = parallel(40, 6, 5), parallel(40, 8, 5)
    decoders = [relative_decoder(side, target).decoder.weight for side in (source, other)]
    assert torch.equal(*decoders)


def test_the_relative_decoder_is_exact_where_angles_are_kept():
    """A rotated and scaled copy of the space has the same cosines: source and target coordinates must be the same."""
    target, _ = parallel(40, 6, 6)
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)).double()).Q
    source = 3 * target @ rotation - 2
    decoder = relative_decoder(source, target)
    torch.testing.assert_close(decoder.relative(source[:5]), decoder.relative_target(target[:5]))
    assert torch.cosine_similarity(decoder(source) - target.mean(0), target - target.mean(0)).min() > 0.99


@pytest.mark.parametrize("fit", FITS)
def test_translate_has_the_face_of_an_adapter(fit, refusal):
    """A baseline could not stand where an adapter stands: numpy in, numpy out, in its dtype, and bad input refused."""
    source, target = parallel(30, 6, 5)
    fitted = fit(source, target)
    translated = fitted.translate(source.numpy().astype(np.float32))
    assert (type(translated), translated.dtype, translated.shape) == (np.ndarray, np.float32, (30, 5))
    np.testing.assert_allclose(translated, fitted(source), rtol=1e-4, atol=1e-4)
    text = refusal(fitted.translate, target, error=InputError)
    assert "5" in text
    assert "6" in text
    assert "NaN" in refusal(fitted.translate, source * torch.nan, error=InputError)


@pytest.mark.parametrize("fit", FITS)
def test_translations_beyond_float16_are_refused(fit, refusal):
    """Infinity would come back in silence, where an adapter refuses."""
    source, target = parallel(30, 6, 5)
    fitted = fit(source, 1e6 * target)
    assert fitted.translate(source.float()).abs().max() > 65504
    text = refusal(fitted.translate, source.half(), error=InputError)
    assert "float16" in text
    assert "65504" in text


def test_ridge_leaves_copies_of_an_item_out_together():
    """The smallest λ would look best, since a copy of every held-out row had been fitted on."""
    source, target = parallel(30, 12, 4)
    copies = torch.arange(30).repeat_interleave(torch.tensor([1, 2, 3]).repeat(10))
    source, target = source[copies], target[copies]
    path = RidgePath(source, target)
    for ridge_ in (1e-4, 0.1):
        predicted = path.leave_one_out(ridge_)
        for item in range(30):
            rows = copies == item
            x, y = source[~rows], target[~rows]
            x_mean, y_mean = x.mean(0), y.mean(0)
            x = x - x_mean
            weight = torch.linalg.solve(x.T @ x + ridge_ * path.unit * torch.eye(12).double(), x.T @ (y - y_mean))
            torch.testing.assert_close(predicted[rows], (source[rows] - x_mean) @ weight + y_mean)
