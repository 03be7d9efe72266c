"""The distribution of scales: numbers against scipy, words, and what encoders that normalise look like."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from irp_hf.analysis.scale_distribution import ScaleDistribution, scale_distribution
from irp_hf.errors import InputError
from irp_hf.maths.projection import statistics, unit_rows


def vectors(n: int = 400, d: int = 12, seed: int = 0) -> Tensor:
    """Directions at random, with norms 5 ± 0.5 or so after centring."""
    generator = torch.Generator().manual_seed(seed)
    scales = 5 + torch.randn(n, 1, generator=generator, dtype=torch.float64) / 2
    return scales * unit_rows(torch.randn(n, d, generator=generator, dtype=torch.float64)) + 1


@settings(max_examples=10, deadline=None)
@given(st.integers(20, 300), st.integers(2, 9), st.integers(0, 10**6))
def test_every_number_is_the_one_of_scipy(n: int, d: int, seed: int):
    """A user would judge the space by wrong moments."""
    x = vectors(n, d, seed)
    norms = np.linalg.norm(x.numpy() - x.numpy().mean(0), axis=1)
    found = scale_distribution(x).centered
    assert found.shape is not None
    assert (found.mean, found.std) == pytest.approx((norms.mean(), norms.std()))
    assert found.shape.skewness == pytest.approx(stats.skew(norms))
    assert found.shape.excess_kurtosis == pytest.approx(stats.kurtosis(norms))
    assert found.shape.distance == pytest.approx(stats.kstest((norms - norms.mean()) / norms.std(), "norm").statistic)
    assert found.within_tenth == pytest.approx(np.mean(np.abs(norms / norms.mean() - 1) <= 0.1))
    assert found.within_fifth == pytest.approx(np.mean(np.abs(norms / norms.mean() - 1) <= 0.2))


@settings(max_examples=10, deadline=None)
@given(st.floats(1e-3, 1e3), st.integers(0, 10**6))
def test_the_unit_and_the_origin_do_not_matter(unit: float, seed: int):
    """The verdict on a space would change with a factor or a shift that the method takes away."""
    x = vectors(seed=seed)
    one, other = scale_distribution(x).centered, scale_distribution(unit * (x + 3)).centered
    assert other.mean == pytest.approx(unit * one.mean)
    assert other.factors == pytest.approx(one.factors)
    assert other.variation == pytest.approx(one.variation)
    assert other.shape == one.shape or vars(other.shape) == pytest.approx(vars(one.shape), abs=1e-9)


def test_the_mean_scale_is_the_one_that_translation_restores():
    """The probe would speak of another number than the method uses."""
    x = vectors()
    assert scale_distribution(x).centered.mean == pytest.approx(float(statistics(x).scale))


@pytest.mark.parametrize("n", [7, 40, 399])
def test_the_factors_are_those_of_the_central_rows(n: int):
    """Users would test their head on a range of α that their vectors do not meet, or miss some that they do."""
    x = vectors(n)
    norms = torch.linalg.vector_norm(x - x.mean(0), dim=1)
    low, high = scale_distribution(x).centered.factors
    factors = norms.mean() / norms
    inside = ((factors >= low * (1 - 1e-12)) & (factors <= high * (1 + 1e-12))).double().mean()
    assert 0.95 <= inside <= 1
    assert low < 1 < high


def test_an_encoder_that_normalises_is_seen_through():
    """Raw norms of 1 would look like the best of all spaces; a half-precision one like a narrow distribution."""
    for x in (unit_rows(vectors()), unit_rows(vectors()).half()):
        found = scale_distribution(x)
        assert found.raw.shape is None
        assert len(found.raw.counts) == 1
        assert found.centered.shape is not None
        assert "The encoder gives all its vectors the norm 1, so that their raw norms say nothing." in str(found)
        assert len(found.plot().axes) == 1
    assert "raw norms say nothing" not in str(scale_distribution(vectors()))


def spread(relative: float) -> ScaleDistribution:
    """Of norms `5 (1 ± relative)` in opposite directions, so that the mean is nought."""
    scales = torch.linspace(1 - relative, 1 + relative, 500, dtype=torch.float64)[:, None]
    half = 5 * scales * unit_rows(torch.randn(500, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    return scale_distribution(torch.cat([half, -half]))


def test_the_words_follow_the_numbers():
    """A user would read that one number is enough where it is not."""
    assert spread(0.15).conclusions() == [
        "One number is enough: the scales have one mode, and 66 % of the rows lie within 10 %, 100 % within 20 % of the "
        "mean scale 5. For 95 % of the rows, to be given the mean scale is to be multiplied by α from 0.88 to 1.17; "
        "scale_invariance(head, x, center=x.mean(0)) tells what your head does there."
    ]
    assert (
        spread(0.5)
        .conclusions()[0]
        .startswith("One number restores these scales only roughly: the scales have one mode")
    )
    assert not spread(0.5).is_enough()


def test_two_kinds_of_vectors_are_not_enough():
    """A space of two scales would be restored by a number that no vector has."""
    directions = vectors(300, 8) - 1
    both = torch.cat([unit_rows(directions) * scale for scale in (0.85, 1.15)])
    found = scale_distribution(torch.cat([both, -both]) * (1 + torch.randn(1200, 1, generator=torch.Generator()) / 100))
    assert found.centered.within_fifth > 0.9
    assert not found.is_enough()
    assert "the scales have 2 modes" in found.conclusions()[0]


def test_far_rows_that_pull_the_mean_are_named():
    """The mean scale would be that of a few odd rows, and nobody would know."""
    x = vectors()
    x[:4] *= 100
    found = scale_distribution(x)
    assert "A few rows far from the others pull the mean" in found.conclusions()[1]
    low, high = found.plot().axes[0].get_xlim()
    assert high < found.centered.edges[-1] / 10
    assert low > 0


def test_the_histogram_holds_every_row():
    """Rows would be lost from the picture, or one far row would ask for millions of bins."""
    x = vectors()
    x[0] *= 1e8
    for num_bins in (None, 1, 17):
        norms = scale_distribution(x, num_bins=num_bins).raw
        assert sum(norms.counts) == len(x)
        assert len(norms.edges) == len(norms.counts) + 1
        assert len(norms.counts) == num_bins or (num_bins is None and 1 < len(norms.counts) <= 1000)


def test_the_drawn_density_has_the_area_of_the_gaussian():
    """Bars and curve would not be comparable."""
    axes = scale_distribution(vectors()).plot().axes[0]
    (bars,) = axes.patches
    values, edges, _ = bars.get_data()
    assert np.sum(values * np.diff(edges)) == pytest.approx(1)
    gauss = next(line for line in axes.lines if line.get_label() == "Gaussian")
    assert np.trapezoid(gauss.get_ydata(), gauss.get_xdata()) == pytest.approx(1, abs=0.01)


def test_the_table_names_both_kinds_of_norms():
    """The centred norms, which the method uses, would be missing or mixed up with the raw ones."""
    found = scale_distribution(vectors())
    (table,) = found.tables()
    assert table[0] == ["", "raw", "centred"]
    assert table[1] == ["mean", f"{found.raw.mean:.4g}", f"{found.centered.mean:.4g}"]
    assert {line[0] for line in table} >= {"deviation over mean", "modes", "share within 20 % of the mean"}
    assert all(text in found.to_markdown() for text in ("| modes |", found.caption()))


@pytest.mark.parametrize("x", [torch.ones(5, 3), torch.ones(1, 3), torch.zeros(4, 2), torch.full((9, 3), 0.1)])
def test_one_vector_has_no_distribution(x: Tensor, refusal):
    """Everything would be divided by zero, or rounding would be called a distribution."""
    text = refusal(scale_distribution, x, error=InputError)
    assert all(word in text for word in ("embeddings", "same vector", f"{len(x)} in all"))


@pytest.mark.parametrize("num_bins", [0, -1, 1001, 2.0, True, "auto"])
def test_a_number_of_bins_out_of_range_is_refused(num_bins: object, refusal):
    """Numpy's own error would come from deep inside."""
    text = refusal(scale_distribution, vectors(), num_bins=num_bins, error=InputError)
    assert all(word in text for word in ("num_bins", "from 1 to 1000", f"got {num_bins!r}"))


def test_numbers_that_are_not_finite_are_refused(refusal):
    """NaN would spread to every number."""
    x = vectors()
    x[3, 1] = torch.nan
    text = refusal(scale_distribution, x, error=InputError)
    assert all(word in text for word in ("embeddings", "NaN", "3"))
