"""Sums over parts of many pairs: threads, processes and pickles lose nothing, and what speaks against a part is told."""

import pickle
import re
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from many_pairs import sample
from says import says

from irp_hf import IRPAdapter
from irp_hf.errors import FitWarning, InputError
from irp_hf.models.many import PairSums

X, Y = (side.numpy().astype(np.float32) for side in sample(6000))
FIXED = dict(method="kernel", num_landmarks=50, gamma=0.5, lift=0.0, ridge=0.1)


def sums_of(*parts: slice, wrong: np.ndarray | None = None) -> PairSums:
    sums = PairSums(X[:2000], Y[:2000], **FIXED)
    for part in parts:
        sums.add(X[part], (Y if wrong is None else wrong)[part])
    return sums


def told(call) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return [str(one.message) for one in found if issubclass(one.category, FitWarning)]


@pytest.mark.slow
def test_threads_lose_nothing():
    """If it fails, pairs that two threads add at once are missing from the sums, and nobody is told."""
    parts = [slice(start, start + 20) for start in range(0, len(X), 20)]
    for _ in range(3):
        sums = sums_of()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda part, sums=sums: sums.add(X[part], Y[part]), parts))
        assert len(sums) == len(X)
    again = pickle.loads(pickle.dumps(sums))
    again.add(X[:1], Y[:1] + 1)
    assert (len(again), len(sums)) == (len(X) + 1, len(X))


def test_what_speaks_against_a_part_is_told_of_the_whole():
    """If it fails, pairs out of step are told by the process that has them and by no other, or are looked for elsewhere."""
    good, bad = sums_of(slice(0, 3000)), sums_of(slice(3000, 6000), wrong=np.roll(Y, 1, axis=0))
    for whole in (good + bad, bad + good, pickle.loads(pickle.dumps(good + bad)), sum([good, bad])):
        assert len(whole) == 6000
        words = told(lambda whole=whole: IRPAdapter.from_sums(whole))
        assert says(words[0], "In a part of 3,000 pairs, its rows counted from 0: From row 0 on", "1 row later")
    assert not told(lambda: IRPAdapter.from_sums(good))


def test_a_part_that_counts_twice_is_told():
    """If it fails, every process adds all pairs, or one is added again after it failed elsewhere, without a word."""
    sums = sums_of(slice(0, 3000))
    assert says(told(lambda: sums.add(X[:3000], Y[:3000]))[0], "One part", "a second time")
    assert not told(lambda: sums_of(slice(0, 3000), slice(3000, 6000)))
    one, same, other = sums_of(slice(0, 3000)), sums_of(slice(0, 3000)), sums_of(slice(3000, 6000))
    assert says(told(lambda: one + same)[0], "a second time")
    assert not told(lambda: one + other)


@pytest.mark.parametrize("given", [3, None, "sums", [1]])
def test_what_are_no_sums_is_refused(given):
    """If it fails, a wrong argument ends in an error of Python that names no remedy."""
    with pytest.raises(InputError) as error:
        IRPAdapter.from_sums(given)
    assert says(str(error.value), "PairSums")
    with pytest.raises(InputError):
        sums_of() + given


@pytest.mark.slow
@pytest.mark.parametrize(("items", "times"), [(500, 13), (1600, 4)])
def test_copies_leave_landmarks(items, times):
    """If it fails, few items in many copies are refused as too few, or nearly all of them are held out."""
    x, y = np.tile(X[:items], (times, 1)), np.tile(Y[:items], (times, 1))
    config = IRPAdapter.from_anchors(x, y, **FIXED | {"num_landmarks": None}).config
    assert config.num_pairs == len(x)
    assert config.num_landmarks == items - items // 5
    assert config.num_anchors == items // 5


@pytest.mark.parametrize(("side", "scale"), [(0, 1e6), (1, 1e6), (1, 1e9)])
def test_a_row_far_off_is_told_whoever_judges(side, scale):
    """If it fails, one broken row among many spoils means and scales without a word, since it does not judge."""
    x, y = np.tile(X, (2, 1)), np.tile(Y, (2, 1))
    x, y = x + np.float32(0.1) * np.random.RandomState(1).randn(*x.shape).astype(np.float32), y.copy()
    (x, y)[side][9000] *= scale
    words = told(lambda: IRPAdapter.from_anchors(x, y, **FIXED))
    assert any(says(one, "Row 9000", ("sources", "targets")[side], "far off") for one in words)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "stop", "count"), [(3000, 6000, 9000), (10_000, 20_000, 20_000), (2500, 9000, 15_000)]
)
def test_where_rows_lost_their_step_is_found(first, stop, count):
    """If it fails, rows that lost their step in the middle are fitted without a word, or are said to begin far from there."""
    x, y = (side.numpy().astype(np.float32) for side in sample(count, seed=3))
    order = np.arange(count)
    order[first:stop] = np.roll(order[first:stop], 1)
    words = told(lambda: IRPAdapter.from_anchors(x, y[order], **FIXED))
    named = [int(row) for row in re.findall(r"row (\d+)", words[0])]
    assert abs(named[0] - first) < 20
    assert says(words[0], f"From row {named[0]} on") if stop == count else abs(named[1] - stop) < 20


@pytest.mark.parametrize("items", [3, 20, 50])
def test_few_items_are_refused_with_what_works(items):
    """If it fails, who has many pairs of few items is sent away without a way to fit on them."""
    x, y = (np.tile(side[:items], (6600 // items, 1)) for side in (X, Y))
    with pytest.raises(InputError) as error:
        IRPAdapter.from_anchors(x, y, **FIXED)
    assert says(str(error.value), f"{items} groups", "at most 6,000 of these by from_anchors, without num_landmarks")
    adapter = IRPAdapter.from_anchors(x[:6000], y[:6000], method="kernel", gamma=0.5, lift=0.0, ridge=0.1)
    assert np.isfinite(adapter.translate(x[:3])).all()
