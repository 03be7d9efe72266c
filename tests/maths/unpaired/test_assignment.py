"""The quadratic assignment: an order that is hidden is found again, and an exchange gains what it promises."""

from itertools import permutations

import pytest
import torch

from irp_hf.maths.projection import unit_rows
from irp_hf.maths.unpaired.assignment import assigned


def cosines(seed, n, d=6, noise=0.0):
    generator = torch.Generator().manual_seed(seed)
    rows = unit_rows(torch.randn(n, d, generator=generator, dtype=torch.float64))
    moved = unit_rows(rows + noise * torch.randn(n, d, generator=generator, dtype=torch.float64))
    hidden = torch.randperm(n, generator=generator)
    one, other = rows @ rows.T, (moved @ moved.T)[hidden[:, None], hidden]
    return one - one.mean(), other - other.mean(), hidden.argsort()


def total(one, other, order):
    order = torch.as_tensor(order)
    return float((one * other[order[:, None], order]).sum())


@pytest.mark.parametrize(("n", "noise"), [(1, 0.0), (2, 0.0), (5, 0.0), (16, 0.0), (26, 0.0), (16, 0.1), (26, 0.1)])
def test_a_hidden_order_is_found_again(n, noise):
    """If it fails, clusters of two spaces that are alike are matched at random."""
    one, other, hidden = cosines(n, n, noise=noise)
    order, found = assigned(one, other, 20, torch.Generator().manual_seed(0))
    assert sorted(order.tolist()) == list(range(n))
    assert found == pytest.approx(total(one, other, order))
    assert found >= total(one, other, hidden) - 1e-9
    if n > 2:
        assert torch.equal(order, hidden)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_best_of_all_orders(seed):
    """If it fails, exchanges stop too soon, or their gain is another than is computed."""
    one, _, _ = cosines(seed, 6)
    other, _, _ = cosines(seed + 50, 6)
    order, found = assigned(one, other, 20, torch.Generator().manual_seed(0))
    assert found == pytest.approx(max(total(one, other, each) for each in permutations(range(6))))
    assert found == pytest.approx(total(one, other, order))
