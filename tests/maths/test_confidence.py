"""The confidence is the cosine to expect: right on average, rising with the true one, low for strangers."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.stats import spearmanr

from irp_hf import IRPAdapter
from irp_hf.errors import InputError
from irp_hf.maths.climbing import FLAT
from irp_hf.maths.confidence import NUM_CARRIERS, RIDGES, bent, calibrate, error_at, kept_errors
from irp_hf.maths.inverses.kernel import KernelInverse
from irp_hf.maths.metrics import cosines
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import relative_projection
from irp_hf.maths.request import Given
from irp_hf.maths.selection import select
from irp_hf.maths.typicality import learn_typicality


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


@pytest.mark.parametrize("scale", [1e-2, 1e2])
def test_another_length_is_no_vector_of_the_encoder(adapter, digits, scale):
    """Vectors that somebody scaled, or forgot to scale, would pass as well translated."""
    mean = adapter.source_mean.double().numpy()
    far = (digits.held_source - mean) * scale + mean
    assert adapter.confidence(far).max() < 0.01 < np.quantile(adapter.confidence(digits.held_source), 0.01)


def test_it_is_the_regression_that_was_calibrated(digits):
    """What is stored would be another function than the one whose out-of-fold values were checked."""
    pairs = Pairs(torch.from_numpy(digits.source), torch.from_numpy(digits.target))
    choice = select(pairs, ("kernel",), "cosine", Given(gamma=1.0, ridge=1e-3, lift=0.5))[0]
    confidence, expected = calibrate(choice, pairs)
    rows = pairs.lifted(0.5)
    path = KernelInverse(1.0, 1e-3).path(rows)
    true = cosines(choice.translated, pairs.target)
    wanted = (true - true.mean())[:, None]
    norms = torch.linalg.vector_norm(choice.directions, dim=1)
    _, typical = learn_typicality(pairs, 0.5, rows, 1.0)
    fits, explained = [], {}
    ceiling_sizes = [*(10 * 2**i for i in range(20) if 10 * 2**i < len(pairs)), len(pairs)]
    for ridge in RIDGES:
        nearby = path.leave_one_out(wanted, ridge)[:, 0]
        features = torch.stack([torch.ones_like(norms), norms, nearby], 1) * typical[:, None]
        weights, left_out = by_the_others(features, true)
        ranked = true[left_out.argsort(descending=True)]
        best = torch.stack([ranked[:size].mean() for size in ceiling_sizes]).max()
        explained[ridge] = 1 - float((left_out - true).square().sum() / (true - true.mean()).square().sum())
        fits.append((float((bent(left_out, best) - expected).abs().max()), ridge, weights, best))
    error, ridge, (bias, slope, weight), best = min(fits, key=lambda fit: fit[0])
    assert error < 1e-9
    place = RIDGES.index(ridge)
    for near in RIDGES[max(place - 1, 0) : place + 2]:
        assert explained[near] - explained[ridge] <= FLAT * (1 - explained[ridge])
    linear = bias + slope * norms + weight * path.fold(wanted, ridge)(rows)[:, 0]
    similar = relative_projection(rows, confidence.landmarks, 1.0)
    torch.testing.assert_close(
        confidence.of_similarities(similar, norms, typical), bent(linear * typical, best).clamp(-1, 1)
    )


def by_the_others(features, wanted):
    """Least squares over all rows, and for each row what least squares over the others give it."""
    left_out = torch.empty_like(wanted)
    for row in range(len(wanted)):
        others = torch.arange(len(wanted)) != row
        weights = torch.linalg.lstsq(features[others], wanted[others, None], driver="gelsd").solution[:, 0]
        left_out[row] = features[row] @ weights
    return torch.linalg.lstsq(features, wanted[:, None], driver="gelsd").solution[:, 0], left_out


def test_little_more_is_expected_than_held_out_anchors_reached():
    """A question that is no anchor would be promised a cosine of 1.000, and all good ones the same."""
    expected, ceiling = torch.linspace(-1, 3, 200, dtype=torch.float64), torch.tensor(0.9, dtype=torch.float64)
    found = bent(expected, ceiling)
    assert (found.diff() >= 0).all()
    assert found[expected < 1.2].diff().min() > 0
    assert found.max() <= 0.95 + 1e-12
    torch.testing.assert_close(found[expected < 0.9], expected[expected < 0.9])
    perfect = bent(torch.tensor([0.5, 1.0, 1.5]), torch.tensor(1.0))
    torch.testing.assert_close(perfect, torch.tensor([0.5, 1.0, 1.0]))


def test_high_cosines_are_expected_as_they_come():
    """Where all cosines are high and alike, all would lie near the ceiling, and be promised too little."""
    random = np.random.RandomState(0)
    source = random.randn(1200, 12)
    target = np.tanh(source @ random.randn(12, 9) / 6) + 0.1 * random.randn(1200, 9)
    adapter = IRPAdapter.from_anchors(source[:200], target[:200], "kernel", gamma=0.2, ridge=0.01, lift=4.0)
    true = true_cosines(adapter, source[200:], target[200:])
    assert abs(adapter.confidence(source[200:]).mean() - true.mean()) < 0.01
    assert abs(float(adapter.fitted.expected.mean()) - true.mean()) < 0.01


def test_an_anchor_itself_is_not_certain(adapter, digits):
    """The value for an anchor would be that of the row that was fitted, not of one that is met later."""
    reached = true_cosines(adapter, digits.held_source, digits.held_target)
    assert adapter.confidence(digits.source).max() < 1
    assert adapter.confidence(digits.held_source).max() < reached.max() + 0.01


@pytest.mark.parametrize("count", [1, 9, 500, 999, 1000, 7777])
def test_errors_are_kept_by_their_ranks(count):
    """A bound would hold less often than it says, as soon as there are more anchors than numbers that are kept."""
    errors = torch.randn(count, dtype=torch.float64, generator=torch.Generator().manual_seed(count))
    kept = kept_errors(errors)
    assert len(kept) == min(count, 999)
    assert (kept.diff() >= 0).all()
    for coverage in (0.05, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999):
        rank = int((1 - coverage) * (count + 1) + 1e-9)
        found = error_at(kept, coverage)
        if not rank:
            assert found is None
        elif count <= 999:
            assert found == errors.sort().values[rank - 1]
        else:  # and not far below
            assert coverage - 1e-3 <= (errors > found).double().mean() <= coverage + 2e-3


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_a_bound_holds_as_often_as_it_says(coverage):
    """Who relies on the lower bound is let down more often than was promised, or it is needlessly low."""
    random = np.random.RandomState(3)
    mix = random.randn(12, 9) / 3
    source = (random.randn(2300, 12) * np.linspace(2, 0.3, 12)).astype(np.float32)
    target = (np.tanh(source @ mix) + 0.3 * random.randn(2300, 9)).astype(np.float32)
    adapter = IRPAdapter.from_anchors(source[:300], target[:300], "kernel", gamma=1.0, ridge=0.1, lift=0.0)
    true = true_cosines(adapter, source[300:], target[300:])
    assert abs((true >= adapter.confidence(source[300:], coverage=coverage)).mean() - coverage) < 0.05
    found = adapter.evaluate(source[300:], target[300:]).coverage
    assert abs(found.mean - 0.9) < 0.04


def test_a_higher_coverage_is_a_lower_bound(adapter, digits):
    """Bounds would cross, or be above what is expected."""
    x = digits.held_source
    bounds = [adapter.confidence(x, coverage=coverage) for coverage in (0.2, 0.5, 0.9, 0.99)]
    assert all((high >= low).all() for high, low in itertools.pairwise(bounds))
    assert (bounds[2] <= adapter.confidence(x)).all()
    assert (bounds[3] >= -1).all()
    half = adapter.confidence(torch.from_numpy(x[:4]).half(), coverage=0.9)
    assert half.dtype == torch.float16
    np.testing.assert_allclose(half, bounds[2][:4], atol=2e-3)


@pytest.mark.parametrize("coverage", [0, 1, 1.5, -0.1, float("nan"), True, "0.9", [0.9]])
def test_what_is_no_coverage_is_refused(adapter, digits, coverage, refusal):
    """A bound would be made of nonsense."""
    words = refusal(adapter.confidence, digits.held_source, coverage=coverage, error=InputError)
    assert words.startswith("coverage: expected a number above 0 and below 1, got ")


def test_few_anchors_allow_little_coverage(digits, refusal):
    """Five anchors would promise what only ten can show."""
    adapter = IRPAdapter.from_anchors(digits.source[:5], digits.target[:5], "kernel")
    assert (adapter.confidence(digits.held_source, coverage=0.8) <= adapter.confidence(digits.held_source)).all()
    words = refusal(adapter.confidence, digits.held_source, coverage=0.9, error=InputError)
    assert "at most 5/6" in words
    assert "got 0.9" in words
    assert adapter.evaluate(digits.held_source, digits.held_target).coverage is None


def test_a_bound_needs_independent_anchors(digits, refusal):
    """Five items, each four times, would promise what twenty can show."""
    target = digits.target[:5].repeat(4, 0) + 0.01 * np.random.RandomState(0).randn(20, 24).astype(np.float32)
    adapter = IRPAdapter.from_anchors(digits.source[:5].repeat(4, 0), target, "kernel")
    assert len(adapter.confidence_errors) == 5
    words = refusal(adapter.confidence, digits.held_source, coverage=0.9, error=InputError)
    assert "at most 5/6, as 5 independent anchors allow" in words


def test_one_error_is_kept_of_each_group():
    """A group of many would decide the bound for all; or copies would move a bound that each item once gives."""
    errors = torch.tensor([0.3, -0.2, 0.1, -0.5], dtype=torch.float64)
    assert kept_errors(errors, torch.arange(4)).tolist() == kept_errors(errors).tolist() == [-0.5, -0.2, 0.1, 0.3]
    assert kept_errors(errors.repeat(3), torch.arange(4).repeat(3)).tolist() == [-0.5, -0.2, 0.1, 0.3]
    many = torch.cat([errors, torch.full((96,), -0.9, dtype=torch.float64)])
    assert kept_errors(many, torch.cat([torch.arange(4), torch.full((96,), 4)])).tolist() == [
        -0.9,
        -0.5,
        -0.2,
        0.1,
        0.3,
    ]
    mixed = kept_errors(torch.tensor([-0.2, 0.1, 0.5], dtype=torch.float64), torch.tensor([0, 0, 1]))
    assert mixed.tolist() == [-0.2, 0.5]  # where a group straddles a rank, the lower one


@pytest.mark.parametrize("seed", range(3))
def test_what_tells_nothing_lowers_no_confidence(seed: int):
    """Where three rows in ten cannot be foretold, the ten of whom most was expected were ten of these: all later rows were
    promised no more than they reached, -.004 where .659 is true."""
    random = np.random.RandomState(seed)
    source, weights = random.randn(1600, 20), random.randn(20, 12) / 4
    target = np.where(random.rand(1600, 1) < 0.3, random.randn(1600, 12), np.tanh(source @ weights))
    adapter = IRPAdapter.from_anchors(source[:600], target[:600], "kernel", gamma=0.5, ridge=0.3, lift=0.0)
    true = true_cosines(adapter, source[600:], target[600:])
    assert abs(adapter.confidence(source[600:]).mean() - true.mean()) < 0.05


@pytest.mark.parametrize("method", ["kernel", "whitened"])
def test_neighbors_that_tell_nothing_do_not_tell_an_anchor_its_own_cosine(method: str):
    """The mean of the others falls as a row's own value rises: turned about, it told each anchor what was to be held out of
    it, and bounds that were to hold for 90 % of later rows held for 66 %."""
    random = np.random.RandomState(1)
    weights, source = random.randn(40, 30) / 6, random.randn(120, 40)
    target = np.tanh(source @ weights) + 0.05 * random.randn(120, 30)
    pairs = Pairs(torch.from_numpy(source), torch.from_numpy(target))
    choice = select(pairs, (method,))[0]
    true = cosines(choice.translated, pairs.target)
    expected = calibrate(choice, pairs)[1]
    assert (expected - true).square().sum() > 0.5 * (true - true.mean()).square().sum()


def test_how_local_the_confidence_is_comes_from_the_anchors(monkeypatch):
    """The ridge would stay where its search began, and stripes that are translated badly would be promised the mean."""
    random = np.random.RandomState(0)
    source = random.randn(400, 3)
    hard = np.sin(6 * source[:, :1]) > 0
    target = np.where(hard, random.randn(400, 9), np.tanh(source @ random.randn(3, 9)))
    pairs = Pairs(torch.from_numpy(source), torch.from_numpy(target))
    choice = select(pairs, ("kernel",), given=Given(gamma=16.0, ridge=1e-2, lift=2.0, rigid=0.0))[0]
    true = cosines(choice.translated, pairs.target)

    def missing() -> float:
        return float((calibrate(choice, pairs)[1] - true).square().sum() / (true - true.mean()).square().sum())

    free = missing()
    monkeypatch.setattr("irp_hf.maths.confidence.RIDGES", (1.0,))
    assert free < 0.95 * missing()


def test_some_landmarks_carry_the_confidence_of_many():
    """A fit of thousands of anchors would decompose them all for one column, which finds what it was itself held out of."""
    random = np.random.RandomState(0)
    source = random.randn(NUM_CARRIERS + 100, 6)
    target = np.tanh(source @ random.randn(6, 5)) + 0.3 * random.randn(len(source), 5)
    pairs = Pairs(torch.from_numpy(source), torch.from_numpy(target))
    for method in ("kernel", "whitened"):
        confidence, expected = calibrate(select(pairs, (method,))[0], pairs)
        assert len(confidence.landmarks) == len(expected) == len(source)
        assert int((confidence.coefficients != 0).sum()) == NUM_CARRIERS
