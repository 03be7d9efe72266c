"""Pools of many sizes: their rows are searched whole, whatever the blocks in which they come."""

import pytest
import torch

from irp_hf.maths.pairs import Pairs
from irp_hf.maths.pools import gallery_pools, held_out_pools
from irp_hf.maths.projection import unit_rows
from irp_hf.maths.selection import Choice, select


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(160, 12, generator=draws, dtype=torch.float64)
    return Pairs(x, torch.tanh(x @ torch.randn(12, 20, generator=draws, dtype=torch.float64)))


@pytest.fixture(scope="module")
def choice(pairs: Pairs) -> Choice:
    return select(pairs, ("whitened",))[0]


def test_blocks_of_a_gallery_are_one_gallery(pairs: Pairs, choice: Choice):
    """A memory map would be told as so many small indexes."""
    rows = torch.randn(500, 20, generator=torch.Generator().manual_seed(2))
    whole, parts = (
        gallery_pools(choice, pairs, ((slice(i, i + size), rows[i : i + size]) for i in range(0, 500, size)), 500, 0)
        for size in (500, 7)
    )
    level = whole.rows == 500
    assert int(level.sum()) == 6
    assert torch.equal(whole.kept[level], parts.kept[parts.rows == 500])
    assert whole.rows.min() < 200  # smaller pools tell how the share falls


def test_a_query_never_meets_itself(pairs: Pairs, choice: Choice):
    """Its own row would be its nearest neighbour before and after, and count as kept."""
    once = gallery_pools(choice, pairs, [(slice(0, 160), pairs.target.half())], 160, 0)
    assert once.rows.max() == 159
    pools = held_out_pools(choice, pairs, 0)
    assert {round(rows) for rows in pools.queries.rows.tolist()} >= {79, 39}
    assert all(torch.equal(pools.queries.rows, other.rows) for other in (pools.moved, pools.asked, pools.mixed))
    assert {round(rows) for rows in pools.nothing.rows.tolist()} >= {159, 80}


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shift", [0.0, 3.0])
@pytest.mark.parametrize("unit", [True, False])
def test_a_query_never_meets_itself_at_another_length(
    pairs: Pairs, choice: Choice, kind: torch.dtype, shift: float, unit: bool
):
    """An index of unit vectors, in half precision too, was promised .688 of its neighbours and kept .645."""
    target = pairs.target + shift
    moved = Pairs(pairs.source, target)
    rows = (unit_rows(target) if unit else 7 * target).to(kind)
    found = gallery_pools(choice, moved, [(slice(0, 160), rows)], 160, 0)
    assert found.rows.max() == 159  # its own row is hidden, and no other


def test_a_perfect_translation_keeps_everything():
    """Queries, pool and truth would be of different rows."""
    x = torch.randn(120, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(4), dtype=torch.float64)).Q
    same = Pairs(x, x @ turn)
    for pools in vars(held_out_pools(select(same, ("whitened",))[0], same, 0)).values():
        assert float(pools.kept.nanmean()) > 0.97


def test_whose_neighbours_are_the_truth(pairs: Pairs, choice: Choice):
    """If it fails, doing nothing is compared with a translation that had another truth."""
    pools = held_out_pools(choice, pairs, 0, weight=0)
    own = [unit_rows(side).float() for side in (pairs.source, pairs.target)]
    nearest = [(side @ side.T).fill_diagonal_(-9).topk(10).indices for side in own]
    both = (nearest[0][:, :, None] == nearest[1][:, None]).any(2).double().mean(1)
    whole = (pools.nothing.rows > 158) & (pools.nothing.nearest == 10)
    assert pools.nothing.kept[whole][0].tolist() == pytest.approx(both.tolist())
    assert not torch.equal(pools.asked.kept, pools.queries.kept)  # the source's ten are others
    assert float(pools.mixed.kept.nanmean()) == pytest.approx(float(pools.nothing.kept.nanmean()), abs=0.05)
