"""Anchor pruning: one nested walk for every threshold, seeded starts, landmarks."""

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irp_hf.maths.projection import unit_rows
from irp_hf.maths.pruning import farthest_points, landmarks, prefix

FEW = settings(max_examples=15, derandomize=True, deadline=None)


def directions(seed: int, k: int, d: int) -> torch.Tensor:
    return unit_rows(torch.from_numpy(np.random.RandomState(seed).randn(k, d)))


@pytest.mark.parametrize(("k", "d"), [(2, 3), (12, 3), (12, 12), (9, 30)])
@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.8, 0.95])
def test_every_pruning_is_a_prefix_of_one_walk(k, d, threshold):
    """If it fails, tuning δ on one walk gives other subspaces than the paper's greedy pruning for that δ."""
    rows = directions(k + d, k, d)
    for order, distance in zip(*farthest_points(rows, 3, seed=1), strict=True):
        kept = prefix(order, distance, threshold).tolist()
        assert kept == reference.pruning(rows.numpy(), int(order[0]), threshold)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_ending_a_walk_early_changes_no_pruning_above(threshold):
    """If it fails, the δ that tuning tried and the δ that is fitted afterwards keep different anchors."""
    rows = directions(0, 20, 4)
    whole, early = farthest_points(rows, 4, seed=2), farthest_points(rows, 4, seed=2, until=0.2)
    assert early[0].shape[1] < whole[0].shape[1]
    for start in range(4):
        expected = prefix(whole[0][start], whole[1][start], threshold)
        assert torch.equal(prefix(early[0][start], early[1][start], threshold), expected)


@FEW
@given(seed=st.integers(0, 10**6), k=st.integers(2, 15), d=st.integers(1, 6))
def test_a_walk_takes_every_anchor_once_and_ever_nearer(seed, k, d):
    """If it fails, an anchor is twice in a subspace (a singular Gram matrix), or a larger δ could keep
    more anchors."""
    order, distance = farthest_points(directions(seed, k, d), 2, seed)
    assert order.sort(1).values.tolist() == [list(range(k))] * 2
    assert (distance[:, 1:] <= distance[:, :-1]).all()
    assert torch.isinf(distance[:, 0]).all()
    assert (distance >= 0).all()


def test_duplicate_and_opposite_anchors_are_at_distance_zero():
    """If it fails, pruning keeps copies (or mirrored copies) of an anchor, the very thing it is there to
    drop."""
    rows = directions(1, 4, 3)
    rows = torch.cat([rows, rows, -rows])
    for order, distance in zip(*farthest_points(rows, 12, seed=0), strict=True):
        assert len(prefix(order, distance, 1e-9)) == 4
        assert len(prefix(order, distance, 0.0)) == 12


def test_starts_are_seeded_and_all_different():
    """If it fails, anchor subspaces are copies of each other (ω buys nothing), or a second run prunes
    differently."""
    rows = directions(2, 10, 4)
    first, again, other = (farthest_points(rows, 10, seed)[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert first[:, 0].tolist() != other[:, 0].tolist()
    assert sorted(first[:, 0].tolist()) == list(range(10))
    assert torch.equal(farthest_points(rows, 3, 0)[0], first[:3])  # more subspaces extend fewer


def test_more_subspaces_than_anchors_start_again():
    """If it fails, a small anchor set with the default ω crashes."""
    order, _ = farthest_points(directions(3, 3, 4), 8, seed=0)
    assert order.shape == (8, 3)
    assert sorted(order[:3, 0].tolist()) == [0, 1, 2]


def test_landmarks_are_the_start_of_the_walk():
    """If it fails, landmarks are not chosen by the paper's pruning."""
    rows = directions(4, 15, 4)
    found = landmarks(rows, 6, seed=3).tolist()
    assert found == reference.pruning(rows.numpy(), found[0], 0.0)[:6]
    assert landmarks(rows, 99, seed=3).tolist() == reference.pruning(rows.numpy(), found[0], 0.0)


def test_of_many_rows_the_same_points_are_taken(monkeypatch):
    """If it fails, landmarks of many anchors, whose distances are not all kept, are others than they should be."""
    rows = unit_rows(torch.randn(300, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    order, apart = farthest_points(rows, 3, seed=1, most=40)
    monkeypatch.setattr("irp_hf.maths.pruning.MOST_AT_ONCE", 10)
    found = farthest_points(rows, 3, seed=1, most=40)
    assert torch.equal(order, found[0])
    assert torch.allclose(apart[:, 1:], found[1][:, 1:])
