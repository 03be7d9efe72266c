"""Groups by nearness alone: rows and those that are most like them, however like that is."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irp_hf.maths.linking import linked_groups
from irp_hf.maths.projection import unit_rows


def rows(k: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(k, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow(x: torch.Tensor) -> list[int]:
    """Two rounds of single linkage, pair by pair."""
    labels = list(range(len(x)))
    for _ in range(2):
        joins = []
        for group in set(labels):
            pairs = [
                (float(x[i] @ x[j]), i, j)
                for i in range(len(x))
                for j in range(len(x))
                if labels[i] == group != labels[j]
            ]
            joins += [max(pairs)[1:]] if pairs else []
        for i, j in joins:
            old, new = labels[i], labels[j]
            labels = [new if label == old else label for label in labels]
    return labels


@settings(derandomize=True, deadline=None)
@given(st.integers(2, 24), st.integers(2, 8), st.integers(0, 1000))
def test_it_is_single_linkage(k: int, d: int, seed: int):
    """Rows would be held out with others than those that are most like them."""
    x = unit_rows(rows(k, d, seed))
    found, expected = linked_groups(x).tolist(), slow(x)
    assert [[a == b for b in found] for a in found] == [[a == b for b in expected] for a in expected]
    cosines = x @ x.T
    known = cosines.clone()
    assert linked_groups(x, known).tolist() == found
    assert torch.equal(known, cosines)


def test_noisy_copies_stay_together_at_any_noise():
    """Copies farther apart than some distance would be taken for items of their own, and promise what no other item keeps."""
    items = torch.arange(60) // 6
    for noise in (0.05, 0.3, 0.6):
        x = unit_rows(unit_rows(rows(10, 200))[items] + noise * unit_rows(rows(60, 200, 1)))
        groups = linked_groups(x)
        assert all(len(groups[items == item].unique()) == 1 for item in range(10))
        assert 1 < len(groups.unique()) < 10


def test_rows_equally_near_make_no_chain():
    """The corners of a cube would all be one group, of which nothing is left to fit on."""
    cube = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 7)
    assert int(linked_groups(unit_rows(cube)).unique(return_counts=True)[1].max()) < 64
