"""Each half of an inverse chooses its hyper-parameters from its own side's anchors, and never sees the other's."""

import numpy as np
import pytest
import torch

from irp_hf.maths.halves import CHOSEN, half
from irp_hf.maths.inverses import INVERSES, KernelInverse, PrunedInverse, WhitenedInverse
from irp_hf.maths.metrics import cosines
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import normalize
from irp_hf.maths.request import Given
from irp_hf.maths.selection import select


def two_views(noise, k=400, widths=(40, 30), inner=12):
    """Two encoders' vectors of the same items: what both know, and as much `noise` of each one's own."""
    random = np.random.RandomState(4)
    items = random.randn(k + 300, inner) * np.linspace(2, 0.4, inner)
    views = []
    for width in widths:
        view = np.tanh(items @ random.randn(inner, width) / 3)
        views.append(torch.from_numpy(view + noise * view.std() * random.randn(*view.shape)))
    return views


def score(x, y, k, source, target):
    pairs = Pairs(x[:k], y[:k])
    z = source.relative(normalize(x[k:], pairs.source_stats), pairs.source_rows)
    return float(cosines(target.absolute(z, pairs.target_rows), normalize(y[k:], pairs.target_stats)).mean())


@pytest.mark.parametrize("noise", [0.1, 0.5])
@pytest.mark.parametrize("k", [40, 400])
@pytest.mark.parametrize("method", [name for name, inverse in INVERSES.items() if inverse.independent])
def test_halves_reach_nine_tenths_of_a_tuned_pair(method, k, noise):
    """Who has one side alone would get a translation that is of no use, at the defaults of some other data."""
    x, y = two_views(noise, k)
    halves = (half(method, Given(), one, side) for one, side in ((x[:k], "source"), (y[:k], "target")))
    fixed = Given(restoration=0.0) if method == "pruned" else Given(restoration=0.0, lift=0.0)
    (tuned,) = select(Pairs(x[:k], y[:k]), (method,), "cosine", fixed)
    assert score(x, y, k, *halves) > 0.9 * score(x, y, k, tuned.inverse, tuned.inverse)


def test_what_is_given_stays():
    """A hyper-parameter that the user fixed would be chosen anew."""
    x, _ = two_views(0.3)
    for side in ("source", "target"):
        assert half("whitened", Given(ridge=0.37, balance=0.2), x, side) == WhitenedInverse(balance=0.2, ridge=0.37)
        assert half("pruned", Given(pruning_threshold=0.33, seed=2), x, side) == PrunedInverse(0.33, seed=2)
        assert half("kernel", Given(gamma=3.0), x, side) == KernelInverse(gamma=3.0)
        chosen = half("whitened", Given(balance=0.2), x, side)
        assert (chosen.balance, chosen.lift) == (0.2, 0.0)
    few = half("pruned", Given(num_subspaces=2, seed=5), x, "target")
    assert (few.num_subspaces, few.seed) == (2, 5)
    assert half("pruned", Given(), x, "source") == PrunedInverse()  # its half has none to choose


@pytest.mark.parametrize(("method", "side"), list(CHOSEN))
def test_the_choice_is_always_the_same(method, side):
    """Two machines, or two days, would read the same coordinates as other vectors."""
    x, _ = two_views(0.3)
    chosen = half(method, Given(), x, side)
    assert chosen == half(method, Given(), x.float().double().clone(), side)
    assert chosen == half(method, Given(), 100 * x + 3, side)  # neither length nor origin is known to the other side


@pytest.mark.parametrize(("method", "side"), list(CHOSEN))
@pytest.mark.parametrize("shape", [(2, 3), (9, 5), (10, 1), (10, 200), (12, 2), (30, 30)])
def test_few_and_narrow_anchors(method, side, shape):
    """A small space would die, or choose from nothing."""
    x = torch.from_numpy(np.random.RandomState(1).randn(*shape))
    chosen = half(method, Given(), x, side)
    if shape[0] < 10:
        assert chosen == INVERSES[method]()
    assert half(method, Given(), torch.cat([x, x]), side) is not None  # every anchor twice
