"""Shares kept among more rows than were searched: right where the curve goes on, and humble where it need not."""

import math

import pytest
import torch

from irp_hf.maths.extrapolation import Pools, both_tails, extrapolate


def share(size: float, fitted: float = 1.0) -> float:
    """Of similarities that are Gaussian, with a correlation that grows with the anchors."""
    return float(both_tails(torch.tensor([10 / size], dtype=torch.float64), 0.8 + 0.05 * math.log(fitted)))


def pools(num_queries: int = 800, seed: int = 0) -> Pools:
    """Pools of up to 200 rows, by queries that each find a neighbour with the same chance."""
    kinds = [(rows, m, fitted) for fitted in (0.75, 0.5) for rows in (25.0, 50, 100, 200) for m in (1, 3, 10)]
    rows, nearest, fitted = torch.tensor(kinds, dtype=torch.float64).T
    draws = torch.Generator().manual_seed(seed)
    kept = []
    for n, m, part in kinds:
        chance = share(10 * n / m, part)
        chance = 1 / (1 + math.exp(0.17 * (m**-0.5 - 10**-0.5) / (1 - 10**-0.5)) * (1 - chance) / chance)
        kept.append((torch.rand(num_queries, m, generator=draws, dtype=torch.float64) < chance).double().mean(1))
    return Pools(rows, nearest, fitted, torch.stack(kept))


def test_the_tails_of_two_normal_variables():
    """Every promise for a larger index would rest on a wrong curve."""
    draws = torch.randn(2, 2_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one, other = draws[0], 0.7 * draws[0] + math.sqrt(1 - 0.7**2) * draws[1]
    for tail in (0.3, 0.02):
        edge = -float(torch.special.ndtri(torch.tensor(tail, dtype=torch.float64)))
        counted = float((other[one > edge] > edge).double().mean())
        assert float(both_tails(torch.tensor([tail], dtype=torch.float64), 0.7)) == pytest.approx(counted, abs=0.005)
    tails = torch.tensor([0.5, 0.1, 1e-6], dtype=torch.float64)
    assert torch.allclose(both_tails(tails, 0.0), tails)
    assert torch.allclose(both_tails(tails, 1.0), torch.ones(3, dtype=torch.float64), atol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_a_curve_that_goes_on_is_followed(seed: int):
    """A promise for a large index would be of the anchors' own size, of another number of anchors, or of one neighbour."""
    sizes = [200, 2000, 20_000]
    for size, (mean, low, high) in zip(sizes, extrapolate(pools(seed=seed), sizes).tolist(), strict=True):
        assert low < share(size) < high
        assert mean == pytest.approx(share(size), abs=0.02 * math.log10(size))


def test_the_farther_the_wider():
    """An interval that does not widen would be believed at a million rows."""
    found = extrapolate(pools(), [200, 2000, 20_000, 200_000, 2_000_000])
    widths = (found[:, 2] - found[:, 1]).tolist()
    assert widths == sorted(widths)
    assert widths[-1] > 5 * widths[0]
    more = extrapolate(pools(num_queries=100), [2000])[0]
    assert more[2] - more[1] > 1.5 * (found[1, 2] - found[1, 1])


def test_queries_without_such_a_pool_count_for_nothing():
    """NaN would spread, or count as nothing kept."""
    whole = pools()
    holes = whole.kept.clone()
    holes[:, 400:] = torch.nan
    half = Pools(whole.rows, whole.nearest, whole.fitted, whole.kept[:, :400])
    holed = Pools(whole.rows, whole.nearest, whole.fitted, holes)
    assert torch.allclose(extrapolate(holed, [50, 5000]), extrapolate(half, [50, 5000]))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_or_nothing_kept(value: float):
    """A logit of 0 or 1 is infinite."""
    whole = pools()
    found = extrapolate(
        Pools(whole.rows, whole.nearest, whole.fitted, torch.full_like(whole.kept, value)), [20, 200, 10**9]
    )
    assert found.isfinite().all()
    assert (found - 0.5).abs().max() <= 0.5
    assert abs(found[1, 0] - value) < 0.02


def test_a_small_index_is_told_by_small_pools():
    """Of 20 rows nearly all neighbours are kept, which the tail of large pools knows nothing of."""
    whole = pools()
    small = Pools(
        torch.cat([whole.rows, torch.tensor([20.0, 20.0], dtype=torch.float64)]),
        torch.cat([whole.nearest, torch.tensor([10.0, 10.0], dtype=torch.float64)]),
        torch.cat([whole.fitted, torch.tensor([0.75, 0.5], dtype=torch.float64)]),
        torch.cat([whole.kept, torch.full((2, 800), 0.9, dtype=torch.float64)]),
    )
    assert float(extrapolate(small, [20])[0, 0]) > 0.85
    assert torch.allclose(extrapolate(small, [2000]), extrapolate(whole, [2000]))
