"""What chance gives, in closed form, against permutations."""

import numpy as np
import pytest
import torch

from irp_hf.maths.chance import chance_of, clearly_more
from irp_hf.maths.projection import unit_rows


def rows(k: int, d: int, seed: int) -> torch.Tensor:
    return unit_rows(torch.randn(k, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.3)


@pytest.mark.parametrize(("k", "d"), [(40, 6), (40, 60), (300, 20)])
def test_the_quantile_is_that_of_permutations(k: int, d: int):
    """A useless fit would pass for a weak one, or a weak one for useless."""
    translated, target = rows(k, d, 0), rows(k, d, 1)
    chance = chance_of(translated, target, torch.arange(k))
    random = np.random.RandomState(0)
    orders = [float((translated * target[random.permutation(k)]).sum(1).mean()) for _ in range(4000)]
    assert chance.cosine == pytest.approx(float((translated * target).sum(1).mean()))
    assert chance.most == pytest.approx(np.quantile(orders, 0.99), abs=0.15 * np.std(orders))


def test_copies_are_no_further_evidence():
    """Each row four times would make a cosine significant that chance gives."""
    translated, target = rows(50, 8, 2), rows(50, 8, 3)
    once = chance_of(translated, target, torch.arange(50))
    four = chance_of(translated.repeat(4, 1), target.repeat(4, 1), torch.arange(50).repeat(4))
    assert four == pytest.approx(once)


def test_two_rows_and_equal_rows_have_a_chance():
    """The smallest fits would end in a division by zero."""
    assert np.isfinite(chance_of(rows(2, 4, 0), rows(2, 4, 1), torch.arange(2))).all()
    assert np.isfinite(chance_of(torch.ones(5, 3).double(), torch.zeros(5, 3).double(), torch.zeros(5))).all()


@pytest.mark.parametrize("k", [2, 3, 5, 8])
def test_few_rows_reach_no_more_than_any_order_can(k: int):
    """A cosine of 1.055 would be said to come of three rows in any order."""
    translated, target = rows(k, 12, k), rows(k, 12, 9)
    chance = chance_of(translated, target, torch.arange(k))
    assert chance.most <= float((translated @ target.T).amax(1).mean())
    same = chance_of(target, target, torch.arange(k))
    assert same.most <= same.cosine == pytest.approx(1)


@pytest.mark.parametrize("share", [0.0, 0.03, 0.1, 0.2, 0.4, 0.8])
@pytest.mark.parametrize(("k", "d"), [(5, 3), (40, 6), (40, 60), (400, 20)])
def test_what_is_clearly_more_is_more(k: int, d: int, share: float):
    """Sides that are unrelated would be passed without a word, since nobody looked closely."""
    target = rows(k, d, 0)
    translated, numbers = (1 - share) * rows(k, d, 1) + share * target, torch.arange(k) // 2
    chance = chance_of(translated, target, numbers)
    clearly = clearly_more(translated, target, numbers, 0.05)
    assert not clearly or chance.cosine > max(chance.most, 0.05)
    assert not clearly_more(translated, target, numbers, chance.cosine + 1e-6)
    assert clearly or share < 0.8 or k < 40  # what is plain is seen
