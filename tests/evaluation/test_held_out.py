"""Means, intervals, costs and curves: the numbers that a report prints."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from says import says

from irp_hf import IRPAdapter
from irp_hf.baselines import least_squares, procrustes
from irp_hf.errors import FitWarning, InputError
from irp_hf.evaluation import Measure, Reliability, bootstrap, evaluate
from irp_hf.evaluation.costs import inverse_cost
from irp_hf.evaluation.held_out import bound_coverage, curve_sizes, learning_curve, out_of_fold
from irp_hf.evaluation.intervals import RESAMPLES, SEED, share, two_way_bootstrap
from irp_hf.evaluation.report import Report
from irp_hf.maths.inverses import describe
from irp_hf.maths.inverses.base import translator
from irp_hf.maths.inverses.kernel import KernelInverse
from irp_hf.maths.inverses.pruned import PrunedInverse
from irp_hf.maths.inverses.whitened import WhitenedInverse
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import denormalize, normalize
from irp_hf.maths.request import Given
from irp_hf.maths.selection import select


def vectors(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_interval_is_the_percentile_bootstrap():
    """The vectorised resampling would differ from the definition, written as a loop in numpy."""
    values = vectors(1, 50)
    drawn = torch.randint(50, (RESAMPLES, 50), generator=torch.Generator().manual_seed(SEED)).numpy()
    means = [values.numpy()[0][rows].mean() for rows in drawn]
    (measure,) = bootstrap(values)
    assert measure.mean == pytest.approx(float(values.mean()))
    assert (measure.low, measure.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])))


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """Readers would take chance for a difference: 95 % of the intervals must hold the true mean."""
    measures = bootstrap(vectors(400, 60) + 3)
    assert all(measure.low <= measure.mean <= measure.high for measure in measures)
    covered = sum(measure.low <= 3 <= measure.high for measure in measures) / len(measures)
    assert 0.91 < covered < 0.98


def test_many_rows_are_resampled_in_blocks(monkeypatch: pytest.MonkeyPatch):
    """A large evaluation would need 8,000 bytes per row, or give other numbers than a small block."""
    values = vectors(2, 40).abs()
    whole = bootstrap(values)
    monkeypatch.setattr("irp_hf.evaluation.intervals.BLOCK", 400)
    for ours, theirs in zip(bootstrap(values), whole, strict=True):
        assert ours.mean == theirs.mean
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_copies_make_no_bin_of_the_reliability_surer():
    """A table in which every row stands four times would draw its reliability with bars half as long."""
    once = torch.rand(2, 40, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    four = once.repeat_interleave(4, 1)
    sides = [tuple(side.tolist()) for side in four]
    plain, grouped = (Reliability(*sides, groups=groups).bins() for groups in (None, tuple(i // 4 for i in range(160))))
    (alone,) = {len(Reliability(*(tuple(side.tolist()) for side in once)).bins())}
    assert alone == len(grouped) == 10
    for (expected, measure), (same, narrow), (own, wide) in zip(
        grouped, plain, Reliability(*(tuple(side.tolist()) for side in once)).bins(), strict=True
    ):
        assert expected == pytest.approx(same)
        assert expected == pytest.approx(own)
        assert measure.mean == pytest.approx(narrow.mean)
        assert measure.high - measure.low > 1.5 * (narrow.high - narrow.low)
        assert (measure.low, measure.high) == pytest.approx((wide.low, wide.high), abs=0.05)


def test_copies_are_no_further_evidence():
    """A table in which every row stands four times would promise intervals half as wide."""
    values = vectors(1, 60)
    (once,), (four_times,) = (
        bootstrap(values),
        bootstrap(values.repeat_interleave(4, 1), torch.arange(60).repeat_interleave(4)),
    )
    assert four_times.mean == pytest.approx(once.mean)
    assert four_times.high - four_times.low == pytest.approx(once.high - once.low, rel=0.1)
    weights = torch.arange(1, 61)  # unequal groups count by their rows
    (uneven,) = bootstrap(values.repeat_interleave(weights, 1), torch.arange(60).repeat_interleave(weights))
    assert uneven.mean == pytest.approx(float((values[0] * weights).sum() / weights.sum()))
    assert uneven.low < uneven.mean < uneven.high


def test_subsets_and_groups_are_drawn_independently():
    """The budget's intervals would shrink by copies among the held-out pairs."""
    values = vectors(3, 50).reshape(1, 3, 50)
    groups = torch.arange(50).repeat_interleave(3)
    (once,), (three,) = two_way_bootstrap(values), two_way_bootstrap(values.repeat_interleave(3, 2), groups)
    assert (three.mean, three.low, three.high) == pytest.approx((once.mean, once.low, once.high))


def test_rows_of_one_true_vector_are_no_rivals():
    """An index that holds an item twice would look half as good, and its copies be found as neighbours."""
    true = vectors(40, 6)
    twice = evaluate(true.repeat(2, 1), true.repeat(2, 1))
    assert {name: measure.mean for name, measure in twice.measures().items()} == pytest.approx(
        {"cosine": 1, "neighbors": 1, "mrr": 1}, abs=0.05
    )
    assert twice.mrr.mean == 1


def test_a_fold_is_searched_by_itself():
    """MRR would be that of another pool than its name says."""
    true, folds = vectors(40, 6), list(torch.randperm(40, generator=torch.Generator().manual_seed(1)).split(8))
    translated = true + vectors(40, 6, 1)
    found, whole = evaluate(translated, true, folds=folds), evaluate(translated, true)
    parts = [evaluate(translated[fold], true[fold]).mrr for fold in folds]
    assert found.mrr is not None
    assert found.mrr.mean == pytest.approx(sum(part.mean for part in parts if part) / 5)
    assert (found.mrr_among, whole.mrr_among) == (8, None)
    assert (found.cosine, found.neighbors) == (whole.cosine, whole.neighbors)
    assert "neighbours among 40 " in str(found)
    assert "MRR among 8 " in str(found)


def test_methods_find_their_rows_in_the_order_in_which_later_rows_are_found():
    """The report would set an orthogonal map before the kernel, which finds later rows better.

    A fit draws translations to the rows that it had, and the more so the more it bends: among all anchors its held-out rows
    look lost.
    """
    random = torch.Generator().manual_seed(0)
    hidden = torch.randn(1000, 40, generator=random, dtype=torch.float64)
    noise = 1.5 * torch.randn(1000, 60, generator=random, dtype=torch.float64)
    mixed = [torch.randn(40, width, generator=random, dtype=torch.float64) / 5 for width in (50, 60)]
    source, target = torch.tanh(hidden @ mixed[0]), torch.tanh(1.5 * hidden @ mixed[1]) + noise
    anchors, later = Pairs(source[:400], target[:400]), Pairs(source[400:800], target[400:800])
    folds, (choice,) = anchors.folds(10, 0), select(anchors, ("kernel",), "cosine", Given())
    held_out = choice.fold_translated, out_of_fold(anchors, procrustes, folds)
    fits = choice.translator(anchors), procrustes(anchors.source, anchors.target)
    pools = torch.arange(400).split(40)
    promised = [evaluate(translated, anchors.target, folds=folds).mrr for translated in held_out]
    found = [evaluate(translate(later.source), later.target, folds=pools).mrr for translate in fits]
    means = [[measure.mean for measure in measures if measure] for measures in (promised, found)]
    assert means[0] == pytest.approx(means[1], abs=0.05)
    assert all(kernel > rigid + 0.03 for kernel, rigid in means)


def test_of_folds_that_hold_one_item_there_is_no_search():
    """Every row would be the first of one, and the worst translation have an MRR of 1."""
    true = vectors(12, 4)
    assert evaluate(-true, true, folds=torch.arange(12).split(1)).mrr is None
    copies = torch.arange(6).repeat_interleave(2)
    assert evaluate(-true, true, groups=copies, folds=torch.arange(12).split(2)).mrr is None
    found = evaluate(-true, true, groups=copies, folds=torch.arange(12).split(4))
    assert found.mrr is not None
    assert found.mrr.mean < 1
    assert "MRR" not in str(evaluate(-true, true, folds=torch.arange(12).split(1)))


def test_a_perfect_translation_scores_one_everywhere():
    """A metric would be computed against the wrong rows."""
    true = vectors(40, 6)
    found = evaluate(3 * true, true, labels=lambda y: y.argmax(1))
    assert {name: measure.mean for name, measure in found.measures().items()} == pytest.approx(
        {"cosine": 1, "neighbors": 1, "mrr": 1, "agreement": 1}
    )
    assert found.num_rows == 40


def test_labels_come_from_the_head_alone():
    """Agreement would compare with something else than what the head says of the true vector."""
    true = vectors(10, 4)
    translated = torch.cat([true[:7], -true[7:]])
    found = evaluate(translated, true, labels=lambda y: y[:, 0] > 0)
    assert found.agreement is not None
    assert found.agreement.mean == pytest.approx(0.7)
    assert evaluate(translated, true).agreement is None


def test_an_evaluation_prints_one_measure_a_line():
    """`print(adapter.evaluate(x, y))` would show a repr of nested dataclasses."""
    true = vectors(40, 6)
    assert str(evaluate(true, true)) == (
        "cosine              1.000 ±.044\n"
        "neighbours among 40 1.000 ±.044\n"
        "MRR among 40        1.000 ±.044\n"
        "40 rows, ± half the 95 % interval"
    )
    assert str(Measure(0.552, 0.54, 0.564)) == ".552 ±.012"


@pytest.mark.parametrize("sizes", [(21, 1, 1, 1), (60, 30, 8, 1, 1), (100, 100)])
def test_groups_of_very_unequal_size_have_a_report_that_can_be_read_again(sizes):
    """It would be refused in words about vectors that nobody gave, or have two points of one size and be refused when read."""
    items, random = np.repeat(np.arange(len(sizes)), sizes), np.random.RandomState(0)
    source = random.randn(len(sizes), 12)
    target = source[items] @ random.randn(12, 9) + 0.3 * random.randn(len(items), 9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        adapter = IRPAdapter.from_anchors(source[items], target, method="kernel", gamma=0.5, ridge=0.1, lift=0.0)
        report = adapter.report(progress=False, baselines=[])
    assert Report.from_dict(report.to_dict()) == report


@pytest.mark.parametrize("source", ["one number", "one line", "a cube"])
@pytest.mark.parametrize("method", ["pruned", "whitened", "kernel"])
def test_sources_that_lie_equally_near_are_fitted(source, method):
    """A look at the rows would end the fit in a ZeroDivisionError, or call the corners of a cube noisy copies."""
    random = np.random.RandomState(0)
    x = {
        "one number": random.randn(100, 1),
        "one line": random.randn(120, 1) * random.randn(40),
        "a cube": 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1) - 1,
    }[source]
    y = np.tanh(x @ random.randn(x.shape[1], 5) / 3) + 0.01 * random.randn(len(x), 5)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        IRPAdapter.from_anchors(x, y, method=method)
    if source == "a cube":
        assert not any("most like them" in str(one.message) for one in told)


@pytest.mark.parametrize(("n", "m"), [(5, 4), (1, 1)])
def test_rows_that_do_not_match_are_refused(refusal, n: int, m: int):
    """Vectors of different items would be compared in silence."""
    text = refusal(evaluate, vectors(n, 3), vectors(m, 3), error=InputError)
    assert f"{(n, 3)} and {(m, 3)}" in text


def test_other_widths_are_refused(refusal):
    """Vectors before their translation would be compared with those of the other space."""
    assert says(refusal(evaluate, vectors(5, 3), vectors(5, 4), error=InputError), "width", "expected 4", "got 3")
    assert says(refusal(evaluate, vectors(5, 3)[0], vectors(5, 3), error=InputError), "(3,)", "(5, 3)")


def test_arrays_of_any_kind_are_compared(refusal):
    """Who evaluates stored vectors would end in an AttributeError of numpy's."""
    translated, true = vectors(40, 6), vectors(40, 6, 1)
    assert evaluate(translated.numpy(), true.tolist()) == evaluate(translated, true)
    assert bootstrap(true.numpy()) == bootstrap(true)
    assert "'vectors.npy'" in refusal(evaluate, "vectors.npy", true, error=InputError)


def test_out_of_fold_never_sees_the_row_that_it_translates():
    """A direct translator would look better than it is: here it could memorise every row."""
    pairs = Pairs(vectors(60, 59, 1), vectors(60, 4, 2))
    seen = evaluate(least_squares(pairs.source, pairs.target)(pairs.source), pairs.target)
    unseen = evaluate(out_of_fold(pairs, least_squares, pairs.folds(10, seed=0)), pairs.target)
    assert seen.cosine.mean > 0.99
    assert abs(unseen.cosine.mean) < 0.3


def test_the_curve_grows_on_nested_anchors_and_one_test_set():
    """Its points would differ by their test rows and not by the number of anchors."""
    pairs, seen = Pairs(vectors(200, 5, 1), vectors(200, 5, 2)), []

    def fit(few: Pairs):
        seen.append(few.source)
        return procrustes(few.source, few.target)

    points = list(learning_curve(pairs, fit, None, seed=3))
    assert [point.num_anchors for point in points] == curve_sizes(200) == [25, 50, 100, 160]
    assert {point.evaluation.num_rows for point in points} == {40}
    for few, more in pairwise(seen):
        assert torch.equal(more[: len(few)], few)
    held = pairs.folds(5, 3)[-1]
    assert not torch.isin(seen[-1], pairs.source[held]).any()


def test_the_curve_holds_whole_groups_out():
    """Its points would be tested on copies of what they were fitted on, or say more anchors than they had."""
    source = vectors(70, 5, 1).repeat_interleave(3, 0)
    source = torch.cat([source, source[:1].expand(90, 5)])  # one source stands there 93 times
    pairs, seen = Pairs(source, vectors(300, 5, 2)), []

    def fit(few: Pairs):
        seen.append(few.source)
        return procrustes(few.source, few.target)

    points = list(learning_curve(pairs, fit, None, seed=3))
    assert [point.num_anchors for point in points] == [len(one) for one in seen]
    held = pairs.source[pairs.folds(5, 3)[-1]]
    assert points[0].evaluation.num_rows == len(held)
    assert not (torch.cdist(seen[-1], held) == 0).any()
    assert len(seen[0].unique(dim=0)) > 5  # a seeded sample of them, and not the first group


def test_too_few_anchors_have_no_curve():
    """A point on three anchors says nothing, and a tuner may refuse it."""
    assert curve_sizes(24) == [20]
    assert curve_sizes(20) == []


@pytest.mark.parametrize("inverse", [KernelInverse(num_landmarks=30), WhitenedInverse(), PrunedInverse()])
def test_costs_count_the_map_that_translates(inverse: KernelInverse | WhitenedInverse | PrunedInverse):
    """The report would advertise another speed or size than the stored map has."""
    pairs = Pairs(vectors(50, 6), vectors(50, 8, 1))
    kernel = isinstance(inverse, KernelInverse)
    counted = inverse_cost(inverse.fold(pairs.source_rows, pairs.target_rows), pairs)
    assert counted.multiply_adds == (30 * 6 + 30 * 8 if kernel else 6 * 8)
    weights = 30 * 6 + 30 * 8 + 8 if kernel else 6 * 8
    assert counted.stored_bytes == 4 * (weights + 6 + 8 + 1)
    assert 0 < counted.microseconds < 1000


@pytest.mark.parametrize("inverse", [KernelInverse(), WhitenedInverse()])
def test_a_translator_is_the_inverse_between_both_normalisations(inverse: KernelInverse | WhitenedInverse):
    """Leaving out the input's norm is exact for a linear map and wrong for a kernel."""
    pairs, x = Pairs(vectors(50, 6), vectors(50, 8, 1)), vectors(9, 6, 2)
    folded = inverse.fold(pairs.source_rows, pairs.target_rows)
    expected = denormalize(folded(normalize(x, pairs.source_stats)), pairs.target_stats)
    torch.testing.assert_close(translator(folded, pairs.source_stats, pairs.target_stats)(x), expected)


def test_settings_are_said_as_connect_takes_them():
    """A reader could not pass them on to `connect`."""
    assert (
        describe(KernelInverse(2.0, 10**-2.5, num_landmarks=500), 0.5)
        == "gamma=2, ridge=0.00316, num_landmarks=500, restoration=0.5"
    )
    assert describe(WhitenedInverse(0.25, 0.1), 0.0) == "balance=0.25, ridge=0.1, restoration=0"
    assert describe(PrunedInverse(0.85, 8), 0.0) == "pruning_threshold=0.85, num_subspaces=8, restoration=0"


def test_reliability_groups_by_what_was_expected():
    """The picture would show a calibrated confidence where there is none, or the reverse."""
    expected = torch.linspace(0, 1, 100, dtype=torch.float64)
    exact = Reliability(tuple(expected.tolist()), tuple(expected.tolist()))
    assert [said for said, _ in exact.bins()] == pytest.approx([true.mean for _, true in exact.bins()])
    assert len(exact.bins()) == 10
    assert exact.rank_correlation() == pytest.approx(1)
    wrong = Reliability(exact.expected, tuple((1 - expected).tolist()))
    assert wrong.rank_correlation() == pytest.approx(-1)
    assert Reliability((0.5,) * 20, tuple(expected[:20].tolist())).rank_correlation() == 0


def test_of_few_rows_no_rank_correlation_is_told():
    """A report of eight anchors says -1.000 of confidences that are right in the mean, or 1.000 of wrong ones."""
    rising = tuple(range(60))
    few, many = (tuple(value / 100 for value in rising[:count]) for count in (19, 20))
    assert Reliability(few, few).rank_correlation() is None
    assert Reliability(many, many).rank_correlation() == pytest.approx(1)
    copies = tuple(value % 19 for value in rising)
    assert Reliability(*([value / 100 for value in rising],) * 2, groups=copies).rank_correlation() is None


def test_rank_correlation_is_scipys():
    """Ties would be ranked by their place and not by their mean rank."""
    from scipy.stats import spearmanr

    sides = (vectors(2, 80) * 3).round()
    assert Reliability(*(tuple(side.tolist()) for side in sides)).rank_correlation() == pytest.approx(
        spearmanr(*sides.numpy()).statistic
    )


def test_bounds_are_checked_on_rows_that_nothing_saw():
    """Bounds would be held against the rows that made them, and so be right by construction."""
    x = vectors(400, 6)
    y = torch.tanh(x @ vectors(6, 5, seed=1)) + 0.3 * vectors(400, 5, seed=2)
    pairs = Pairs(x, y)
    *train, held = pairs.folds(5, seed=0)
    few = pairs.take(torch.cat(train))
    (choice,) = select(few, ("kernel",), "cosine", Given(gamma=1.0, ridge=0.1, lift=0.0))
    found = bound_coverage(choice, few, pairs, seed=0)
    assert abs(found.mean - 0.9) < 0.08
    worse = y.clone()
    worse[held] = -y[held]  # only where nothing was fitted
    assert bound_coverage(choice, few, Pairs(x, worse), seed=0).mean < 0.5
    tiny = pairs.take(torch.arange(8))
    (choice,) = select(tiny, ("kernel",), "cosine", Given(gamma=1.0, ridge=0.1, lift=0.0))
    assert bound_coverage(choice, tiny, pairs, seed=0) is None


def test_bounds_of_a_report_hold_as_often_as_on_later_rows():
    """A report would promise that bounds at 90 % hold for all that is left out, where they hold for .90 of later rows."""
    random = np.random.RandomState(0)
    traits = random.randn(300, 24) * np.linspace(2, 0.3, 24)
    x, y = (torch.from_numpy(traits @ random.randn(24, d) + 0.5 * random.randn(300, d)) for d in (64, 48))
    given, held = Given(gamma=1.0, ridge=0.01, lift=0.0), []
    for seed in range(8):
        pairs = Pairs(x, y)
        *train, _ = pairs.folds(5, seed)
        few = pairs.take(torch.cat(train))
        (choice,) = select(few, ("kernel",), "cosine", given)
        held.append(bound_coverage(choice, few, pairs, seed).mean)
    assert 0.86 < np.mean(held) < 0.94


@pytest.mark.parametrize("n", [2, 5, 12, 40])
def test_figures_at_a_bound_are_not_sure(n: int):
    """`MRR 1.000 ±.000` of two rows would be read as perfect."""
    true = vectors(n, 6)
    for found in (evaluate(true, true), evaluate(true + 1e-4 * vectors(n, 6, 1), true)):
        for measure in found.measures().values():
            assert measure.mean > 0.999
            assert (measure.low, measure.high) == (pytest.approx(0.025 ** (1 / n), abs=0.001), pytest.approx(1))
    twice = evaluate(true.repeat(2, 1), true.repeat(2, 1))  # copies are no further evidence
    assert twice.cosine.low == pytest.approx(0.025 ** (1 / n))
    few, trivial = ("tell hardly anything", n < 20), ("neighbours are high whatever", n < 12)
    assert all((words in str(found).replace("\n", " ")) == told for words, told in (few, trivial))


def test_neighbours_among_few_are_high_whatever_the_translation():
    """The sentence on few rows would be wrong."""
    for n in range(8, 12):
        assert evaluate(vectors(n, 6, 1), vectors(n, 6)).neighbors.mean >= (n - 3) / (n - 2)
    assert evaluate(vectors(60, 6, 1), vectors(60, 6)).neighbors.mean < 0.4


def test_intervals_are_opened_where_values_have_no_spread_at_a_bound_and_only_there():
    """All at 1 or at 0 say that it is sure; a difference of 0 has no bound there, and what differs is the bootstrap's."""
    ones, zeros, half = (torch.full((1, 30), value, dtype=torch.float64) for value in (1.0, 0.0, 0.5))
    least = 0.025 ** (1 / 30)
    (one,), (none,), (equal,) = bootstrap(ones), bootstrap(zeros), bootstrap(zeros, bounded=False)
    assert (one.low, one.high) == (pytest.approx(least), 1)
    assert (none.low, none.high) == (0, pytest.approx(1 - least))
    assert (equal.low, equal.high) == (0, 0)
    assert bootstrap(half)[0] == Measure(0.5, 0.5, 0.5)
    (two_way,) = two_way_bootstrap(ones[:, None].expand(1, 3, 30))
    assert (two_way.low, two_way.high) == (pytest.approx(least), 1)
    (grouped,) = bootstrap(ones, torch.arange(30) // 3)
    assert grouped.low == pytest.approx(0.025**0.1)


def test_a_share_of_all_rows_is_not_sure():
    """`1.000 ±.000` of twenty rows says that no later row can fail."""
    rows = torch.arange(20)
    assert str(share(rows >= 0, rows)) == "1.000 ±.084"  # 0.025 ** (1 / 20) is .832
    low = share(rows < 0, rows // 2)
    assert (low.mean, low.low) == (0, 0)
    assert low.high == pytest.approx(1 - 0.025**0.1)  # ten groups
    assert share(rows < 15, rows) == bootstrap((rows < 15).double()[None])[0]
