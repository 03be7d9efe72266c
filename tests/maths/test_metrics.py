"""Cosines, neighbours kept and reciprocal ranks against loops."""

from itertools import pairwise

import numpy as np
import pytest
import reference
import torch

import irp_hf.maths.metrics
from irp_hf.maths.metrics import (
    classes_found,
    cosines,
    depth_among,
    neighbors_among,
    neighbors_found,
    neighbors_kept,
    reciprocal_ranks,
)


def vectors(seed: int, n: int, d: int = 6, noise: float = 0.7) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.RandomState(seed)
    true = random.randn(n, d)
    return torch.from_numpy(true + noise * random.randn(n, d)), torch.from_numpy(true)


@pytest.fixture(params=[1024, 7])
def block(request, monkeypatch):
    """Blocks larger and smaller than the data, with a rest."""
    monkeypatch.setattr(irp_hf.maths.metrics, "BLOCK", request.param)


@pytest.mark.parametrize(
    "dtypes", [(torch.float64, torch.float64), (torch.float64, torch.float32), (torch.float32,) * 2]
)
def test_cosines_are_those_of_the_directions(dtypes):
    """If it fails, what every choice is judged by depends on lengths, or sides of two dtypes cannot be compared."""
    translated, true = (rows.to(dtype) for rows, dtype in zip(vectors(2, 25), dtypes, strict=True))
    translated[3], true[4] = 0, 0
    found = cosines(1000 * translated, true / 8)
    wanted = torch.nn.functional.cosine_similarity(translated.double(), true.double())
    assert found.dtype == torch.promote_types(*dtypes)
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=1e-6)
    assert not found[3:5].any()


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("count", [1, 3, 10])
def test_neighbors_kept_match_the_loops(count):
    """If it fails, `neighbors` selects by another share than the one the README reports."""
    translated, true = vectors(0, 25)
    found = neighbors_kept(translated, true, count)
    np.testing.assert_allclose(found, reference.neighbors_kept(translated.numpy(), true.numpy(), count))
    assert 0 < float(found.mean()) < 1


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize(("count", "depth"), [(1, 4), (3, 3), (10, 12), (10, 20), (10, 4)])
def test_neighbors_among_the_candidates_match_the_loops(count, depth):
    """If it fails, `recall` selects by another share than a second stage could keep."""
    translated, true = vectors(7, 40, noise=1.2)
    found = neighbors_kept(translated, true, count, depth=depth)
    expected = reference.neighbors_kept(translated.numpy(), true.numpy(), count, depth)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert 0 < float(found.mean()) < 1
    assert torch.equal(neighbors_found(translated, true, true, count, depth=depth), found)


@pytest.mark.usefixtures("block")
def test_more_candidates_hold_no_fewer_neighbours():
    """If it fails, a deeper first stage would lose what a shallower one had found."""
    translated, true = vectors(8, 60, noise=1.5)
    found = [neighbors_kept(translated, true, depth=depth) for depth in (10, 11, 20, 40, 57, 58, 59, 1000)]
    assert torch.equal(found[0], neighbors_kept(translated, true))
    assert all(bool((more >= less).all()) for less, more in pairwise(found))
    assert float(found[0].mean()) < float(found[-2].mean()) < 1  # one of all others can always be missed
    assert torch.equal(found[-1], found[-3])


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("depth", [6, 14, 200])
def test_candidates_are_of_other_groups(depth):
    """If it fails, copies of an item stand among its candidates, or take the places of others."""
    random = np.random.RandomState(9)
    translated, true = (torch.from_numpy(random.randn(36, 6)) for _ in range(2))
    groups = torch.arange(36).clamp(max=28)  # eight rows are one item
    found = neighbors_kept(translated, true, 6, groups, depth)
    for row in range(36):
        others = (groups != groups[row]).nonzero()[:, 0]
        first, own = (unit(side[[row]]) @ unit(true[others]).T for side in (translated, true))
        first, own = (
            side[0].argsort(descending=True)[:most] for side, most in ((first, min(depth, len(others) - 1)), (own, 6))
        )
        assert float(found[row]) == pytest.approx(len({*first.tolist()} & {*own.tolist()}) / 6)
    alone = torch.randperm(36)
    assert torch.equal(
        neighbors_kept(translated, true, 6, alone, depth), neighbors_kept(translated, true, 6, depth=depth)
    )


def test_few_rows_have_few_candidates():
    """If it fails, among few anchors all is found, every inverse is as good, and the choice is one by chance."""
    counts = (5, 99, 110, 300, 999, 1000, 9999)
    assert [depth_among(100, count) for count in counts] == [10, 10, 11, 30, 99, 100, 100]
    assert [depth_among(12, count) for count in counts] == [10, 10, 11, 12, 12, 12, 12]
    noise, true = (torch.from_numpy(np.random.RandomState(seed).randn(300, 20)) for seed in (0, 1))
    assert float(neighbors_kept(noise, true, depth=depth_among(10**6, 300)).mean()) == pytest.approx(0.1, abs=0.02)


@pytest.mark.usefixtures("block")
def test_neighbors_among_others_match_the_loops():
    """A background would be judged by neighbours that are no one's."""
    random = np.random.RandomState(0)
    translated, true, rows = (torch.from_numpy(random.randn(count, 6)) for count in (30, 30, 200))
    similar = [
        (side / side.norm(dim=1, keepdim=True)) @ (rows / rows.norm(dim=1, keepdim=True)).T
        for side in (translated, true)
    ]
    found, wanted = ([set(one.argsort(descending=True)[:10].tolist()) for one in side] for side in similar)
    kept = [len(one & other) / 10 for one, other in zip(found, wanted, strict=True)]
    assert neighbors_among(translated, true, rows).tolist() == pytest.approx(kept)
    candidates = [set(one.argsort(descending=True)[:35].tolist()) for one in similar[0]]
    kept = [len(one & other) / 10 for one, other in zip(candidates, wanted, strict=True)]
    assert neighbors_among(translated, true, rows, depth=35).tolist() == pytest.approx(kept)
    assert neighbors_among(true, true, rows).tolist() == [1.0] * 30


def test_neighbors_among_others_and_their_own_kind_match_those_among_all():
    """A row would be its own neighbour, or its copy would be: every background would look perfect."""
    random = np.random.RandomState(1)
    translated, true, rows = (torch.from_numpy(random.randn(count, 6)) for count in (12, 12, 40))
    groups = torch.tensor([0, 0, *range(2, 12)])
    found = neighbors_among(translated, true, rows, groups=groups)
    for row in range(12):
        pool = torch.cat([true[groups != groups[row]], rows])
        assert found[row] == neighbors_among(translated[[row]], true[[row]], pool)[0]
    assert neighbors_among(true, true, rows, groups=groups).tolist() == [1.0] * 12
    assert 0 < float(found.mean()) < 1


def test_reciprocal_ranks_match_the_loops():
    """If it fails, self-retrieval is reported wrong."""
    translated, true = vectors(1, 25)
    found = reciprocal_ranks(translated, true)
    np.testing.assert_allclose(found, reference.reciprocal_ranks(translated.numpy(), true.numpy()))
    assert float(found.min()) < 1


def test_cosines_match_the_loops():
    """If it fails, the default objective is no cosine."""
    translated, true = vectors(2, 9)
    expected = [reference.cosine(a, b) for a, b in zip(translated.numpy(), true.numpy(), strict=True)]
    np.testing.assert_allclose(cosines(translated, true), expected, rtol=1e-12)
    assert cosines(torch.zeros(1, 3), torch.ones(1, 3)).tolist() == [0.0]


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_a_perfect_translation_is_perfect(scale):
    """If it fails, a row counts as its own neighbour, or lengths matter where only angles should."""
    _, true = vectors(3, 20)
    for value in (
        neighbors_kept(true * scale, true),
        reciprocal_ranks(true * scale, true),
        cosines(true * scale, true),
    ):
        torch.testing.assert_close(value, torch.ones(20, dtype=torch.float64))


def test_unrelated_vectors_keep_what_chance_keeps():
    """If it fails, some information leaks from the true vectors into the score of noise."""
    random = np.random.RandomState(4)
    translated, true = (torch.from_numpy(random.randn(400, 20)) for _ in range(2))
    assert float(neighbors_kept(translated, true).mean()) == pytest.approx(10 / 399, abs=0.01)
    assert float(cosines(translated, true).mean()) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("n", [2, 3, 5, 11])
def test_few_rows_leave_something_to_miss(n):
    """If it fails, with few anchors all others are neighbours, the score is 1 for noise, and selection is
    blind."""
    translated, true = vectors(5, n)
    count = max(1, n - 2) if n < 12 else 10
    found = neighbors_kept(translated, true)
    assert found.shape == (n,)
    np.testing.assert_allclose(found, reference.neighbors_kept(translated.numpy(), true.numpy(), min(count, 10)))


@pytest.mark.parametrize("metric", [cosines, neighbors_kept, reciprocal_ranks])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_metrics_keep_dtype_and_input(metric, dtype):
    """If it fails, evaluating changes the vectors evaluated, or mixes dtypes further on."""
    translated, true = (x.to(dtype) for x in vectors(6, 15))
    before = translated.clone(), true.clone()
    found = metric(translated, true)
    assert found.dtype == dtype
    assert found.shape == (15,)
    assert torch.equal(translated, before[0])
    assert torch.equal(true, before[1])


def test_a_tie_counts_against_the_translation():
    """If it fails, translations that say nothing at all retrieve perfectly."""
    true = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)).double()
    assert float(reciprocal_ranks(torch.zeros_like(true), true).mean()) == pytest.approx(1 / 40)


@pytest.mark.usefixtures("block")
def test_copies_are_neither_neighbours_nor_rivals():
    """If it fails, an item that is there three times finds two of its ten neighbours for nothing, and is its own rival."""
    translated, true = vectors(4, 12)
    groups = torch.arange(12).repeat_interleave(3)
    several = translated.repeat_interleave(3, 0), true.repeat_interleave(3, 0)
    alone = reciprocal_ranks(translated, true)
    assert torch.equal(reciprocal_ranks(*several, groups)[::3], 1 / (3 * (1 / alone - 1) + 1))
    noise = 1e-3 * torch.randn(36, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = neighbors_kept(several[0] + noise, several[1] + noise, 6, groups)
    near = [unit(side + noise) @ unit(several[1] + noise).T for side in several]
    got, wanted = (
        [set(row.topk(6)[1].tolist()) for row in side.masked_fill(groups[:, None] == groups, -2)] for side in near
    )
    expected = [len(found & own) / 6 for found, own in zip(got, wanted, strict=True)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def unit(x: torch.Tensor) -> torch.Tensor:
    return x / x.norm(dim=1, keepdim=True)


@pytest.mark.usefixtures("block")
def test_no_row_has_more_neighbours_than_there_are_others():
    """If it fails, the rows of a large group find hidden rows, and count them as kept."""
    translated, true = vectors(5, 30)
    groups = torch.arange(30).clamp(max=4)  # 26 rows are one group, which has four others
    found = neighbors_kept(translated, true, 10, groups)
    assert set(found[4:].tolist()) <= {0.0, 1 / 3, 2 / 3, 1.0} | {
        float(torch.tensor(1 / 3)),
        float(torch.tensor(2 / 3)),
    }
    assert (neighbors_kept(true, true, 10, groups) == 1).all()


@pytest.mark.usefixtures("block")
def test_groups_of_one_change_nothing():
    """If it fails, the figures of anchors without copies are others than they were."""
    translated, true = vectors(6, 25)
    groups = torch.randperm(25)
    assert torch.equal(neighbors_kept(translated, true, 5, groups), neighbors_kept(translated, true, 5))
    assert torch.equal(reciprocal_ranks(translated, true, groups), reciprocal_ranks(translated, true))


def test_what_is_found_of_a_class():
    """If it fails, a translation is praised or blamed for classes that other rows have, or a row finds itself."""
    generator = torch.Generator().manual_seed(5)
    queries, index = (torch.randn(30, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    classes = torch.randint(3, (30,), generator=generator)
    found = classes_found(queries, index, classes, 4)
    for row in range(30):
        others = [other for other in range(30) if other != row]
        similar = torch.nn.functional.cosine_similarity(queries[row][None], index[others])
        nearest = [others[place] for place in similar.topk(4).indices]
        assert float(found[row]) == sum(bool(classes[one] == classes[row]) for one in nearest) / 4
