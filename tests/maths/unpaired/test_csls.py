"""CSLS: what is near to all is no counterpart, blocks change nothing, and both ways agree with the plain formula."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irp_hf.maths.projection import unit_rows
from irp_hf.maths.unpaired import csls
from irp_hf.maths.unpaired.csls import NEAREST, coincidence, counterparts, matched


def rows(seed, n, d):
    return unit_rows(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


def explicit(source, target):
    """`2 cos - r(x) - r(y)`, row by row."""
    cosines = source.numpy() @ target.numpy().T
    near_target = [np.sort(column)[-NEAREST:].mean() for column in cosines.T]
    near_source = [np.sort(row)[-NEAREST:].mean() for row in cosines]
    return 2 * cosines - np.array(near_source)[:, None] - np.array(near_target)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 60), st.integers(2, 60), st.integers(1, 8), st.integers(0, 99))
def test_matches_are_the_best_by_the_plain_formula(n, m, count, seed):
    """If it fails, rows are matched by something else than the CSLS that is documented."""
    source, target = rows(seed, n, 5), rows(seed + 1, m, 5)
    wanted = explicit(source, target)
    numbers, scores = matched(source, target, count)
    assert numbers.shape == scores.shape == (n, min(count, m))
    assert np.allclose(np.take_along_axis(wanted, numbers.numpy(), 1), scores.numpy())
    assert np.allclose(np.sort(wanted, axis=1)[:, ::-1][:, :count], scores.numpy())
    assert np.isclose(coincidence(source, target), wanted.max(1).mean())


def test_blocks_change_nothing(monkeypatch):
    """If it fails, large backgrounds are matched otherwise than small ones."""
    source, target = rows(0, 90, 6), rows(1, 70, 6)
    whole = matched(source, target, 5)
    monkeypatch.setattr(csls, "BLOCK", 200)
    for one, other in zip(whole, matched(source, target, 5), strict=True):
        assert torch.allclose(one.double(), other.double(), atol=1e-12)


def test_counterparts_are_means_of_matches_both_ways():
    """If it fails, the two directions of a step are of different rules, or of one alone."""
    source, target = rows(2, 80, 6), rows(3, 60, 6)
    there, back = counterparts(source @ target.T, source, target, 4)
    scores = torch.from_numpy(explicit(source, target))
    assert torch.allclose(there, unit_rows(target[scores.topk(4, 1).indices].mean(1)))
    assert torch.allclose(back, unit_rows(source[scores.T.topk(4, 1).indices].mean(1)))


def test_what_is_near_to_all_is_nobodys_counterpart():
    """If it fails, a hub, a row in the middle of all, is everybody's counterpart."""
    # Every target is far from its own source; one row lies in the middle of all, and is the nearest of many.
    middle = torch.eye(40, dtype=torch.float64)[:1]
    source = unit_rows(rows(4, 200, 40) + 1.0 * middle)
    target = torch.cat([unit_rows(source + rows(5, 200, 40)), middle])
    by_cosine = float(((source @ target.T).argmax(1) == 200).double().mean())
    by_csls = float((matched(source, target, 1)[0] == 200).double().mean())
    assert by_cosine > 0.4
    assert by_csls < by_cosine / 5


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 30), (30, 1), (3, 2)])
def test_few_rows_have_counterparts(n, m):
    """If it fails, small samples end in an error of torch."""
    there, back = counterparts(rows(0, n, 4) @ rows(1, m, 4).T, rows(0, n, 4), rows(1, m, 4), 10)
    assert there.shape == (n, 4)
    assert back.shape == (m, 4)
    assert there.isfinite().all()
    assert back.isfinite().all()
