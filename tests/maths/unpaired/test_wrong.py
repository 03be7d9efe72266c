"""Pairs that look wrong beside unpaired rows."""

import pytest
import torch

from irp_hf.maths.projection import unit_rows
from irp_hf.maths.unpaired.wrong import probably_wrong, standing_out


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_it_stands_out_by_the_spread_of_unpaired_rows():
    """If it fails, a target counts as wrong or right by what lies elsewhere."""
    rows, true = unit_rows(normal(4000, 16)), unit_rows(normal(5, 16, seed=1))
    standing = standing_out(3 * true, true, rows.float())
    cosines = true @ rows.T
    assert torch.allclose(standing.double(), (1 - cosines.mean(1)) / cosines.std(1), atol=1e-3)
    strangers = standing_out(unit_rows(normal(500, 16, seed=2)), unit_rows(normal(500, 16, seed=3)), rows)
    assert abs(float(strangers.mean())) < 0.15
    assert float(strangers.std()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("count", [8, 10, 30, 100])
@pytest.mark.parametrize("right", [2.0, 4.0])
def test_right_pairs_are_hardly_ever_named(count: int, right: float):
    """If it fails, every fit warns of pairs that are right."""
    wrong = torch.stack([probably_wrong(right + normal(count, seed=seed)) for seed in range(100)])
    assert float((wrong > 0.9).double().mean()) < 0.01
    assert float(wrong.mean()) < 0.1


@pytest.mark.parametrize("count", [12, 30, 99])
def test_a_third_of_wrong_ones_is_found(count: int):
    """If it fails, of thirty pairs ten are wrong, and nothing is said."""
    standing = torch.stack([normal(count, seed=seed) for seed in range(100)])
    standing[:, count // 3 :] += 5
    wrong = torch.stack([probably_wrong(one) for one in standing])
    assert float((wrong[:, : count // 3] > 0.9).double().mean()) > 0.9
    assert float((wrong[:, count // 3 :] > 0.9).double().mean()) < 0.01
    assert float(wrong.mean()) == pytest.approx(1 / 3, abs=0.02)


def test_their_order_tells_nothing():
    """If it fails, a pair is wrong by its place."""
    standing = normal(30) + torch.tensor([0.0] * 6 + [4.0] * 24)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(probably_wrong(standing)[order], probably_wrong(standing[order]))
