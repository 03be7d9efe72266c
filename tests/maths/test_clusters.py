"""Clusters of anchors that are left out whole: which rows go together, and that nothing but the seed chooses them."""

import torch

from irp_hf.maths.clusters import LEAST, NUM_CLUSTERS, cluster_numbers, clusters_of
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import unit_rows


def blobs(sizes: list[int], width: int = 16, apart: float = 20.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows `(n, width)` in so many well separated clumps, in mixed order, and the clump of each."""
    generator = torch.Generator().manual_seed(3)
    centres = torch.linalg.qr(torch.randn(width, width, generator=generator)).Q[: len(sizes)] * apart
    clump = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    clump = clump[torch.randperm(len(clump), generator=generator)]
    return centres[clump] + torch.randn(len(clump), width, generator=generator), clump


def test_clumps_are_found():
    """A cluster that held out a half of two clumps would leave rows like its own to the fit."""
    rows, clump = blobs([40, 30, 20, 20, 10, 10, 10, 10, 10, 10])
    found = clusters_of(Pairs(rows, rows[:, :5]), 0)
    assert len(found) == NUM_CLUSTERS
    assert sorted(len(clump[cluster].unique()) for cluster in found) == [1] * NUM_CLUSTERS
    assert [*map(len, found)] == [40, 30, 20, 20, 10, 10, 10, 10, 10, 10]
    assert sorted(torch.cat(found).tolist()) == list(range(len(rows)))


def test_rows_of_one_item_are_in_one_cluster():
    """The fit would have seen the target of a row that is held out."""
    rows, _ = blobs([60, 60])
    target = torch.randn(120, 7, generator=torch.Generator().manual_seed(0))
    target[60:] = target[:60]  # whichever clumps their sources are of
    pairs = Pairs(rows, target)
    found = clusters_of(pairs, 0)
    assert len(found) > 1
    where = torch.empty(120, dtype=torch.int64)
    for number, cluster in enumerate(found):
        where[cluster] = number
    assert torch.equal(where[:60], where[60:])


def test_the_seed_alone_chooses_them():
    """Two reports of one adapter would differ."""
    random = torch.randn(300, 32, generator=torch.Generator().manual_seed(1)).double()
    pairs, state = Pairs(random, random[:, :9]), torch.get_rng_state()
    first, again = clusters_of(pairs, 7), clusters_of(Pairs(random, random[:, :9]), 7)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert [*map(len, clusters_of(pairs, 8))] != [*map(len, first)]
    assert torch.equal(torch.get_rng_state(), state)


def test_few_anchors_have_fewer_clusters_or_none():
    """A cluster of one row would be leave-one-out by another name."""
    random = torch.randn(100, 8, generator=torch.Generator().manual_seed(2)).double()
    counts = [len(clusters_of(Pairs(random[:k], random[:k, :3]), 0)) for k in (2, 2 * LEAST - 1, 2 * LEAST, 23, 100)]
    assert counts[:2] == [0, 0]
    assert counts[2] in (0, 2)
    assert 2 <= counts[3] <= 4
    assert 4 < counts[4] <= NUM_CLUSTERS


def test_rows_of_few_places_do_not_break_it():
    """Fewer places than clusters: a centre drawn among no distances would be no row at all."""
    places = unit_rows(torch.eye(3, dtype=torch.float64))
    numbers = cluster_numbers(places.repeat(40, 1), 10, 0)
    assert [len({*numbers[place::3].tolist()}) for place in range(3)] == [1, 1, 1]
    assert len(numbers.unique()) == 3
    one = torch.ones(50, 4, dtype=torch.float64)
    assert len(cluster_numbers(unit_rows(one), 5, 0).unique()) == 1
