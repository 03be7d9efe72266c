"""Parallel anchors as both sides see them: normalisation, folds, copies."""

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irp_hf.maths.pairs import Pairs

FEW = settings(max_examples=15, derandomize=True, deadline=None)


def pairs(seed: int = 0, k: int = 12, dtype: torch.dtype = torch.float64) -> Pairs:
    random = np.random.RandomState(seed)
    return Pairs(torch.from_numpy(random.randn(k, 3) + 2).to(dtype), torch.from_numpy(random.randn(k, 5)).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_each_side_is_normalised_by_its_own_anchors_in_float64(dtype):
    """If it fails, a side is centred by the other's mean, or solves run in the storage precision."""
    found = pairs(dtype=dtype)
    for rows, anchors in ((found.source_rows, found.source), (found.target_rows, found.target)):
        assert rows.dtype == torch.float64
        np.testing.assert_allclose(rows, reference.normalize(anchors.numpy(), anchors.numpy()), rtol=1e-10, atol=1e-14)
    assert len(found) == 12


@pytest.mark.parametrize("k", [2, 256, 257, 700])
def test_cosines_are_those_of_all_rows_with_each_other(k):
    """If it fails, a kernel is fitted on similarities of other rows."""
    found = pairs(k=k)
    assert found.known_cosines is None
    torch.testing.assert_close(found.cosines, found.source_rows @ found.source_rows.T, rtol=0, atol=1e-14)
    assert found.known_cosines is found.cosines


def test_a_part_knows_nothing_of_the_rest():
    """If it fails, held-out anchors leak into a fold through the mean and the scale."""
    whole, held = pairs(), torch.tensor([1, 4, 7])
    train = whole.without(held)
    rest = [row for row in range(12) if row not in (1, 4, 7)]
    assert torch.equal(train.source, whole.source[rest])
    assert torch.equal(train.target, whole.target[rest])
    np.testing.assert_allclose(
        train.target_rows, reference.normalize(whole.target[rest].numpy(), whole.target[rest].numpy())
    )
    np.testing.assert_allclose(train.source_stats.mean, whole.source[rest].mean(0))
    assert torch.equal(whole.take(torch.tensor(rest)).target_rows, train.target_rows)


@FEW
@given(k=st.integers(2, 40), num_folds=st.integers(2, 10), seed=st.integers(0, 100))
def test_folds_hold_every_pair_once(k, num_folds, seed):
    """If it fails, a pair is never scored, or scored by a fit that saw it."""
    found = pairs(k=k)
    folds = found.folds(num_folds, seed)
    assert sorted(torch.cat(folds).tolist()) == list(range(k))
    assert len(folds) == min(k, num_folds)
    assert max(map(len, folds)) - min(map(len, folds)) <= 1
    assert all(torch.equal(a, b) for a, b in zip(folds, found.folds(num_folds, seed), strict=True))


def test_folds_of_some_rows_hold_each_once_and_keep_together_what_shares_something():
    """If it fails, a copy of a row that is held out is fitted on."""
    found, rows = pairs(k=40), torch.arange(39, 9, -1)
    assert sorted(torch.cat(found.folds_among(rows, 3, 0)).tolist()) == list(range(30))
    copied = Pairs(found.source, torch.cat([found.target[:30], found.target[20:30]]))
    folds = copied.folds_among(rows, 3, 0)
    assert sorted(torch.cat(folds).tolist()) == list(range(30))
    for fold in folds:
        held = set(rows[fold].tolist())
        assert all((row + 10 in held) == (row in held) for row in range(20, 30))


def test_seeds_give_other_folds():
    """If it fails, the seed is ignored, and sorted data sets make folds of one class each."""
    found = pairs(k=40)
    assert not torch.equal(found.permutation(0), found.permutation(1))
    assert found.permutation(0).tolist() != list(range(40))


@FEW
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=12),
)
def test_distinct_keeps_the_first_of_each_pair(items):
    """If it fails, copies stay and leak in leave-one-out, or pairs that differ on one side alone are lost."""
    source = torch.tensor([[float(a), 1.0] for a, _ in items])
    target = torch.tensor([[float(b)] for _, b in items])
    firsts = sorted({item: row for row, item in reversed(list(enumerate(items)))}.values())
    assert Pairs(source, target).distinct().tolist() == firsts


def test_distinct_takes_both_zeros_for_one():
    """If it fails, a copy whose zero has another sign leaks."""
    assert Pairs(torch.tensor([[0.0], [-0.0], [1.0]]), torch.tensor([[1.0], [1.0], [0.0]])).distinct().tolist() == [
        0,
        2,
    ]


def grouped(k: int = 12) -> Pairs:
    """Each source three times, with targets of its own."""
    random = np.random.RandomState(0)
    return Pairs(torch.from_numpy(random.randn(k, 6)).repeat_interleave(3, 0), torch.from_numpy(random.randn(3 * k, 5)))


@pytest.mark.parametrize("num_folds", [2, 5, 10])
def test_rows_that_share_a_source_are_in_one_fold(num_folds):
    """If it fails, the figures of a table with repeated items are those of rows that the fit has seen."""
    folds = grouped().folds(num_folds, 3)
    assert sorted(torch.cat(folds).tolist()) == list(range(36))
    assert len(folds) == num_folds
    for fold in folds:
        assert sorted(fold.tolist()) == sorted(
            3 * word + copy for word in {int(row) // 3 for row in fold} for copy in range(3)
        )


def test_groups_stay_what_they_are_in_a_part():
    """If it fails, a subset, whose own mean is another, parts rows that the whole set holds together."""
    part = grouped().take(torch.tensor([0, 2, 3, 9, 10, 20, 21]))
    assert [rows.tolist() for rows in part.copies] == [[[0, 1], [3, 4]]]
    assert part.shared is not None
    assert grouped().take(torch.tensor([0, 3, 6])).shared is None
    assert pairs().shared is None


def test_a_split_keeps_groups_whole():
    """If it fails, probes test on copies of what they were fitted on."""
    held, rest = grouped().split(7, 0)
    assert len(held) == 6
    assert not {int(row) // 3 for row in held} & {int(row) // 3 for row in rest}
    assert sorted(torch.cat([held, rest]).tolist()) == list(range(36))
    held, rest = pairs().split(4, 1)
    assert torch.equal(torch.cat([held, rest]), pairs().permutation(1))
    assert len(held) == 4
