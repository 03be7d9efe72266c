"""Whether unpaired rows are made use of: by what held-out pairs gain, pair by pair."""

import pytest
import torch
from unpaired_rows import spaces

from irp_hf.maths.inverses.base import translator
from irp_hf.maths.metrics import cosines, neighbors_among
from irp_hf.maths.pairs import distinct_pairs, others
from irp_hf.maths.selection import select
from irp_hf.maths.unpaired.gains import Gain, Gains, gains, left_out


def rows(k: int, seed: int) -> torch.Tensor:
    return torch.randn(k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_pairs_are_compared_one_by_one():
    """If it fails, a gain that every pair has drowns in how hard pairs are, and a good background is thrown away."""
    alone, labels = rows(10, 0), torch.arange(10)
    gain = Gain.of(alone + 0.1 + 0.01 * rows(10, 1), alone, labels)
    assert gain.mean == pytest.approx(0.1, abs=0.02)
    assert gain.error < 0.01 < alone.std() / 10**0.5
    assert gain.is_sure
    swapped = Gain.of(alone, alone + 0.1 + 0.01 * rows(10, 1), labels)
    assert swapped == pytest.approx((-gain.mean, gain.error))


def test_the_error_is_how_far_means_scatter():
    """If it fails, what is called sure is chance more or less often than it says."""
    means = torch.tensor([Gain.of(rows(10, seed), torch.zeros(10), torch.arange(10)).mean for seed in range(400)])
    errors = torch.tensor([Gain.of(rows(10, seed), torch.zeros(10), torch.arange(10)).error for seed in range(400)])
    assert float(errors.mean()) == pytest.approx(float(means.std()), rel=0.1)


def test_copies_of_an_item_are_one_pair():
    """If it fails, a pair in four copies is four times as sure."""
    gained = rows(8, 3)
    once = Gain.of(gained, torch.zeros(8), torch.arange(8))
    assert Gain.of(gained.repeat(4), torch.zeros(32), torch.arange(8).repeat(4)) == pytest.approx(once)


UP, FLAT, DOWN, SURELY_DOWN = Gain(0.3, 0.2), Gain(0.0, 0.0), Gain(-0.01, 0.2), Gain(-0.1, 0.01)
HARDLY = Gain(0.1, 0.2)


@pytest.mark.parametrize(
    ("cosine", "retrieval", "neighbors", "used"),
    [
        (UP, UP, UP, True),
        (UP, FLAT, FLAT, True),  # saturated: all is found by both
        (FLAT, UP, UP, False),  # nothing speaks for them
        (DOWN, UP, UP, False),
        (Gain(0.1, 0.01), DOWN, UP, False),
        (Gain(0.1, 0.01), UP, SURELY_DOWN, False),
        (FLAT, FLAT, FLAT, False),
    ],
)
def test_nothing_may_fall(cosine: Gain, retrieval: Gain, neighbors: Gain, used: bool):
    """If it fails, rows of another domain, which raise the cosine of everything, cost known items, an index, or heads."""
    assert Gains(cosine, retrieval, neighbors).are_used is used


@pytest.mark.parametrize(
    ("retrieval", "neighbors", "used"),
    [(HARDLY, HARDLY, False), (HARDLY, FLAT, False), (UP, UP, True), (Gain(0.3, 0.1), HARDLY, True)],
)
def test_a_gain_of_chance_is_none(retrieval: Gain, neighbors: Gain, used: bool):
    """If it fails, a background that ten pairs say nothing about is taken by luck, and every later row pays for it."""
    assert Gains(HARDLY, retrieval, neighbors).are_used is used


def test_what_speaks_most_against_them_is_named():
    """If it fails, the warning blames a figure that did not decide."""
    assert Gains(UP, DOWN, SURELY_DOWN).falling == ("neighbors", SURELY_DOWN)
    assert Gains(UP, Gain(-0.1, 0.0), SURELY_DOWN).falling == ("retrieval", Gain(-0.1, 0.0))
    assert Gains(UP, UP, FLAT).falling is None


@pytest.mark.parametrize(
    ("asked", "used"), [(Gain(0.1, 0.01), True), (SURELY_DOWN, False), (Gain(0.1, 0.2), False), (FLAT, False)]
)
def test_what_was_asked_for_decides_where_it_is_sure(asked: Gain, used: bool):
    """If it fails, a head that surely gains is given up for a cosine, or one that hardly knows decides."""
    assert Gains(DOWN, UP, UP, ("agreement", asked)).are_used is used


def test_a_drift_towards_the_middle_is_no_gain():
    """If it fails, the cosine alone decides: it rises by whatever brings all translations nearer to the mean."""
    generator = torch.Generator().manual_seed(0)
    middle = 2 * torch.randn(40, generator=generator, dtype=torch.float64)
    target = middle + torch.randn(60, 40, generator=generator, dtype=torch.float64)
    noise = torch.randn(60, 40, generator=generator, dtype=torch.float64)
    alone, others = target + noise, middle + torch.randn(200, 40, generator=generator, dtype=torch.float64)
    drawn = middle + 0.2 * (alone - middle) + 0.2 * torch.randn(60, 40, generator=generator, dtype=torch.float64)
    found = gains(drawn, alone, distinct_pairs(target, target), others, "cosine", None)
    assert found.cosine.mean > 0
    assert found.cosine.is_sure
    assert found.retrieval.mean < 0
    assert not found.are_used


def test_pairs_alone_are_fitted_about_the_mean_of_those_that_are_left():
    """If it fails, ten pairs alone look far worse than they are, held out, and any background is better."""
    pairs = distinct_pairs(*(torch.from_numpy(side) for side in spaces(0, num_pairs=10, rows=10).pairs))
    folds, choice = pairs.folds(5, 0), select(pairs, ("kernel",))[0]
    found = left_out(choice, pairs, folds)
    for fold in folds:
        kept = others(fold, len(pairs))
        again = distinct_pairs(pairs.source[kept], pairs.target[kept])
        inverse = choice.inverse.fold(again.source_rows, again.target_rows)
        assert choice.rigid == 0
        expected = translator(inverse.then(choice.stretch), again.source_stats, again.target_stats)(pairs.source[fold])
        torch.testing.assert_close(found[fold], expected)
    assert float(cosines(found, pairs.target).mean()) > float(cosines(choice.fold_translated, pairs.target).mean())


def test_candidates_are_those_of_the_unpaired_rows():
    """If it fails, what was asked for is judged among a dozen pairs, of which any translation finds nearly all."""
    found = spaces(0, num_pairs=40, rows=400, noise=0.4)
    source, target = (torch.from_numpy(side).double() for side in found.pairs)
    rows_ = torch.from_numpy(found.background[1]).double()
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    near, far = target + 0.2 * noise, target + noise
    pairs = distinct_pairs(source, target)
    name, asked = gains(near, far, pairs, rows_, "recall", None, 30).asked
    shares = [neighbors_among(side, target, rows_, groups=pairs.labels, depth=30) for side in (near, far)]
    assert name == "recall"
    assert asked == Gain.of(*shares, pairs.labels)
    assert asked.mean > 0
    deep, tenth = (gains(near, far, pairs, rows_, "recall", None, depth).asked for depth in (10**6, len(rows_) // 10))
    assert deep == tenth != ("recall", asked)
