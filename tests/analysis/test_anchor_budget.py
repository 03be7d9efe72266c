"""The anchor budget: subsets, intervals, what is enough, and the words and the picture."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Digits
from hypothesis import given, settings
from hypothesis import strategies as st

from irp_hf import IRPAdapter
from irp_hf.analysis import anchor_budget as module
from irp_hf.analysis.anchor_budget import AnchorBudget, BudgetPoint, anchor_budget, budget_sizes
from irp_hf.analysis.inputs import hold_out
from irp_hf.errors import InputError
from irp_hf.evaluation import Measure
from irp_hf.evaluation.intervals import RESAMPLES, SEED, two_way_bootstrap
from irp_hf.maths.pairs import Pairs, distinct_pairs


@given(most=st.integers(4, 10**6))
def test_sizes_are_halves_of_halves(most: int):
    """If it fails, the steps of the curve are no doublings, or its first points are too few anchors to fit on."""
    sizes = budget_sizes(most)
    assert sizes[-1] == most
    assert 1 <= len(sizes) <= 6
    assert all(few == most // 2**step and few >= 20 for step, few in enumerate(sizes[::-1]) if step)


def test_the_interval_resamples_pairs_and_subsets():
    """If it fails, the vectorised resampling differs from the definition, written as a loop in numpy."""
    values = torch.randn(2, 3, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    generator = torch.Generator().manual_seed(SEED)
    subsets = [torch.randint(3, (3,), generator=generator).numpy() for _ in range(RESAMPLES)]
    pairs = [torch.randint(20, (20,), generator=generator).numpy() for _ in range(RESAMPLES)]
    for row, measure in zip(values.numpy(), two_way_bootstrap(values), strict=True):
        means = [row[np.ix_(some, others)].mean() for some, others in zip(subsets, pairs, strict=True)]
        assert measure.mean == pytest.approx(row.mean())
        assert (measure.low, measure.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])))


def test_the_interval_covers_what_subsets_and_pairs_bring():
    """If it fails, readers take the chance of a subset for a difference: most intervals must hold the true mean."""
    generator = torch.Generator().manual_seed(1)
    subsets = torch.randn(300, 12, 1, generator=generator, dtype=torch.float64)
    pairs = torch.randn(300, 1, 40, generator=generator, dtype=torch.float64)
    measures = two_way_bootstrap(3 + subsets + pairs)
    assert 0.88 < sum(m.low <= 3 <= m.high for m in measures) / 300 < 0.99


@pytest.mark.parametrize("method", ["kernel", "whitened"])
def test_the_last_point_is_the_adapter_of_all_anchors(digits: Digits, method: str):
    """If it fails, the curve ends elsewhere than the adapter that the user then has."""
    budget = anchor_budget(digits.source, digits.target, sizes=[96], method=method, head=_head, progress=False)
    pairs = distinct_pairs(torch.from_numpy(digits.source), torch.from_numpy(digits.target))
    anchors, held = hold_out(pairs, 0.2, 0)
    adapter = IRPAdapter.from_anchors(anchors.source, anchors.target, method=method)
    expected = adapter.evaluate(held.source, held.target, head=_head)
    (point,) = budget.points
    assert (point.num_anchors, point.num_fits, budget.num_held_out) == (96, 1, 24)
    for name, measure in point.measures().items():
        assert measure.mean == pytest.approx(expected.measures()[name].mean, abs=0.02 if name == "neighbors" else 1e-3)


def _head(vectors: torch.Tensor) -> torch.Tensor:
    return vectors[:, :4]


def test_more_anchors_are_better_on_pairs_that_none_of_them_is(digits: Digits):
    """If it fails, subsets are not what they are said to be, or held-out pairs are fitted on."""
    budget = anchor_budget(digits.source, digits.target, sizes=[96, 6, 24], num_repeats=3, progress=False)
    assert [(p.num_anchors, p.num_fits) for p in budget.points] == [(6, 3), (24, 3), (96, 1)]
    for few, more in pairwise(budget.points):
        assert few.cosine.mean < more.cosine.mean
    random = np.random.RandomState(0)
    unrelated = anchor_budget(random.randn(60, 40), random.randn(60, 30), num_repeats=2, progress=False)
    assert all(abs(point.cosine.mean) < 0.3 for point in unrelated.points)


def test_subsets_are_random_nested_and_never_held_out(digits: Digits, monkeypatch: pytest.MonkeyPatch):
    """If it fails, repeats bring no chance of their own, or a subset holds what it is tested on."""
    seen, measured = [], module._measured

    def recorded(few: Pairs, held: Pairs, *options: Any) -> torch.Tensor:
        seen.append({tuple(row) for row in few.source.tolist()})
        assert not seen[-1] & {tuple(row) for row in held.source.tolist()}
        return measured(few, held, *options)

    monkeypatch.setattr(module, "_measured", recorded)
    anchor_budget(digits.source, digits.target, sizes=[5, 10], num_repeats=2, progress=False)
    assert list(map(len, seen)) == [5, 5, 10, 10]
    assert seen[0] < seen[2]
    assert seen[1] < seen[3]
    assert seen[2] != seen[3]


def test_a_second_run_is_the_same(digits: Digits):
    """If it fails, a published curve cannot be made again."""
    options: dict[str, Any] = {"sizes": [10, 20], "num_repeats": 2, "progress": False}
    once = anchor_budget(digits.source, digits.target, **options)
    assert anchor_budget(digits.source, digits.target, **options) == once
    assert anchor_budget(digits.source, digits.target, seed=1, **options) != once


def budget(means: list[float], sizes: list[int], agreement: bool = False) -> AnchorBudget:
    points = []
    for size, mean in zip(sizes, means, strict=True):
        cosine = Measure(mean, mean - 0.02, mean + 0.02)
        neighbors = Measure(mean / 2, mean / 2 - 0.01, mean / 2 + 0.01)
        points.append(BudgetPoint(size, 5, cosine, neighbors, cosine if agreement else None))
    return AnchorBudget("kernel", 100, 256, 384, tuple(points))


@settings(max_examples=60, derandomize=True)
@given(means=st.lists(st.sampled_from([0.1, 0.105, 0.112, 0.2, 0.208, 0.3]), min_size=1, max_size=6))
def test_enough_is_where_no_later_doubling_is_worth_it(means: list[float]):
    """If it fails, users encode too many anchors, or stop at a flat place before the curve rises again."""
    sizes = [20 * 2**step for step in range(len(means))]
    enough = None
    for place, size in enumerate(sizes[:-1]):
        gains = [more - few for few, more in pairwise(means[place:])]
        if enough is None and all(gain < 0.01 for gain in gains):
            enough = size
    assert budget(means, sizes).enough() == enough


def test_a_step_is_counted_in_doublings():
    """If it fails, sizes of the user's own make the last step look larger or smaller than a doubling."""
    assert budget([0.1, 0.2], [20, 80]).doublings() == pytest.approx([0.05])
    assert budget([0.1, 0.2], [20, 80]).doublings("neighbors") == pytest.approx([0.025])
    assert budget([0.1, 0.2], [20, 80]).enough(worthwhile=0.06) == 20


def test_it_says_how_many_are_enough():
    """If it fails, the words or the table changed: look at them, then update this text."""
    assert str(budget([0.3, 0.5, 0.515], [100, 200, 400])) == (
        "kernel, 256 → 384 wide, fitted on random subsets of the anchors and tested on the same 100 pairs,\n"
        "which are in none of them. ± is half the 95 % interval over pairs and subsets. Neighbours are\n"
        "searched among the held-out pairs alone.\n\n"
        "                             neighbours\n"
        "  anchors  fits      cosine   among 100\n"
        "  100         5  .300 ±.020  .150 ±.010\n"
        "  200         5  .500 ±.020  .250 ±.010\n"
        "  400         5  .515 ±.020  .258 ±.010\n\n"
        "cosine: still rising at 400 anchors, the last doubling brought +.015. More would help.\n\n"
        "neighbours among 100: from 200 anchors on, a doubling brings less than .010."
    )
    assert "▸ 100" in str(budget([0.3, 0.301], [100, 200]))
    assert budget([0.3], [100]).conclusions() == []


def test_a_measure_that_was_not_taken_is_refused(refusal):
    """If it fails, a KeyError would not say that a head is lacking."""
    text = refusal(budget([0.3, 0.4], [100, 200]).enough, "agreement", error=InputError)
    assert all(word in text for word in ("measure", "'cosine', 'neighbors'", "got 'agreement'", "head"))


def test_the_picture_shows_every_point(tmp_path: Path):
    """If it fails, lines belong to other measures than the legend says."""
    (axes,) = budget([0.3, 0.5, 0.505], [100, 200, 400], agreement=True).plot(tmp_path / "budget.png").axes
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}
    assert lines["cosine"] == lines["agreement"] == [0.3, 0.5, 0.505]
    assert lines["neighbours among 100"] == [0.15, 0.25, 0.2525]
    assert "enough for the cosine: 200" in lines
    assert (tmp_path / "budget.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_repeats": 0}, ["num_repeats", "from 1 to 1000", "got 0"]),
        ({"num_repeats": 10**12}, ["num_repeats", "from 1 to 1000", f"got {10**12}"]),
        ({"num_repeats": 2.5}, ["num_repeats", "a whole number", "got 2.5"]),
        ({"sizes": 20}, ["sizes", "got 20"]),
        ({"sizes": [20, 97]}, ["sizes", "from 4 to 96", "got 97", "held out"]),
        ({"sizes": [20, "40"]}, ["sizes", "got '40'"]),
        ({"sizes": []}, ["sizes", "at least 1", "got 0"]),
        ({"method": "best"}, ["method", "'auto', 'kernel', 'whitened', 'rigid', 'pruned'", "got 'best'"]),
        ({"held_out": 0}, ["held_out", "above 0", "below 1", "got 0"]),
        ({"held_out": "some"}, ["held_out", "got 'some'"]),
        ({"held_out": 0.999}, ["held_out", "at least 4 of 120", "got 0.999", "leaves 3"]),
    ],
)
def test_what_cannot_be_measured_is_refused_in_words(
    digits: Digits, options: dict[str, Any], words: list[str], refusal
):
    """If it fails, the user reads a traceback from deep inside, or waits for an error."""
    text = refusal(anchor_budget, digits.source, digits.target, error=InputError, **options)
    assert all(word in text for word in words)


def test_a_head_that_fails_does_so_before_the_fits(digits: Digits, monkeypatch: pytest.MonkeyPatch, refusal):
    """If it fails, the user waits for a fit to learn that the head reads other vectors."""
    monkeypatch.setattr("irp_hf.analysis.anchor_budget.select", lambda *_, **__: pytest.fail("a fit began"))
    text = refusal(anchor_budget, digits.source, digits.target, head=torch.nn.Linear(1, 2), error=InputError)
    assert "head" in text
    assert "24" in text


def test_numpy_numbers_and_no_seed_are_understood(digits: Digits):
    """If it fails, a seed or a share from an array ends in a traceback."""
    options: dict[str, Any] = {"sizes": [10], "num_repeats": 1, "method": "whitened", "progress": False}
    found = anchor_budget(digits.source, digits.target, seed=np.int64(0), held_out=np.float32(0.25), **options)
    assert found.points == anchor_budget(digits.source, digits.target, seed=None, held_out=0.25, **options).points


def test_measures_and_gains_that_are_none_are_refused(refusal):
    """If it fails, a mistyped name ends in a traceback, or a gain in nonsense."""
    found = budget([0.1, 0.2], [20, 80])
    assert refusal(found.doublings, "mrr") == refusal(found.enough, "mrr")
    assert "got 'mrr'" in refusal(found.doublings, "mrr", error=InputError)
    for bad in ("much", None, True, 0, float("nan")):
        text = refusal(found.enough, worthwhile=bad, error=InputError)
        assert all(word in text for word in ("worthwhile", "above 0", f"got {bad!r}"))
