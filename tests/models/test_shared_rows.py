"""Anchors some of which share a source or a target: what is promised is kept on items that nobody has seen."""

import numpy as np
import pytest

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.analysis.anchor_budget import anchor_budget
from irp_hf.analysis.compatibility import compatibility
from irp_hf.errors import FitWarning

RANDOM = np.random.default_rng(0)
MAP = RANDOM.normal(size=(40, 30))
WORDS, FRESH = RANDOM.normal(size=(100, 40)), RANDOM.normal(size=(2000, 40))


def target_of(x: np.ndarray) -> np.ndarray:
    """The target's vectors, which differ a little each time."""
    return np.tanh(x @ MAP / 6) + 0.05 * RANDOM.normal(size=(len(x), 30))


def noisy(x: np.ndarray) -> np.ndarray:
    """The source's vectors, which differ a little each time."""
    return x + 0.3 * RANDOM.normal(size=x.shape)


TRUE, ONCE = target_of(FRESH), target_of(WORDS)
THREE = np.repeat(WORDS, 3, 0)
HALF = np.concatenate([WORDS, WORDS.astype(np.float16), WORDS * (1 + 1e-5)])
SHUFFLED = RANDOM.permutation(300)
CASES = {
    "exact": (THREE, target_of(THREE)),
    "in another order": (THREE[SHUFFLED], target_of(THREE[SHUFFLED])),
    "to within rounding": (HALF, target_of(np.tile(WORDS, (3, 1)))),
    "of the target": (noisy(THREE), np.repeat(ONCE, 3, 0)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_what_is_promised_is_kept(case: str):
    """Items that repeat would promise .995 where .89 comes true, and choose a map that is worse than with each item once."""
    method = "auto" if case == "exact" else "kernel"
    adapter = IRPAdapter.from_anchors(*CASES[case], method=method)
    fresh, words = (noisy(FRESH), noisy(WORDS)) if case == "of the target" else (FRESH, WORDS)
    truth = adapter.evaluate(fresh, TRUE).cosine.mean
    once = IRPAdapter.from_anchors(words, ONCE, method=method).evaluate(fresh, TRUE).cosine.mean
    assert adapter.config.score == pytest.approx(truth, abs=0.02)
    assert float(adapter.fitted.expected.mean()) == pytest.approx(truth, abs=0.02)
    assert truth > once - 0.01


@pytest.mark.slow
def test_every_figure_of_the_report_is_honest():
    """The table, the curve or the confidences would be of rows whose copies were fitted on."""
    report = IRPAdapter.from_anchors(*CASES["exact"], method="whitened").report(progress=False)
    truth = 0.935
    for row in report.rows:
        assert row.evaluation.cosine.mean < truth + 0.01
    assert report.learning_curve[-1].evaluation.cosine.mean == pytest.approx(truth, abs=0.03)
    assert np.mean(report.reliability.true) == pytest.approx(truth, abs=0.02)
    chosen = report.rows[0].evaluation.cosine
    assert chosen.high - chosen.low > 0.008  # of a hundred groups, and not of three hundred rows


@pytest.mark.parametrize("method", ["kernel", "whitened"])
@pytest.mark.parametrize("objective", ["cosine", "neighbors"])
def test_every_method_and_objective_is_honest(method: str, objective: str):
    """One of them would hold out rows whose copies it keeps."""
    source, target = CASES["exact"]
    adapter = IRPAdapter.from_anchors(source, target, method=method, objective=objective)
    found = adapter.evaluate(FRESH[:300], TRUE[:300])  # as many rows as there are anchors
    assert adapter.config.score <= getattr(found, objective).mean + 0.06
    assert found.cosine.mean > 0.91


@pytest.mark.slow
def test_the_report_counts_them(tmp_path):
    """A user would not know that a table of 310 rows holds a hundred items."""
    source, target = CASES["exact"]
    adapter = IRPAdapter.from_anchors(
        np.concatenate([source, source[:10]]),
        np.concatenate([target, target[:10]]),
        method="kernel",
        gamma=0.1,
        ridge=0.01,
    )
    adapter.save_pretrained(tmp_path)  # what was saved before this was counted, too
    report = IRPAdapter.from_pretrained(tmp_path).report(progress=False, baselines=[])
    said = " ".join(str(report).split())
    assert "300 parallel anchors" in said
    assert "10 more are copies of another, and left out." in said
    assert "100 distinct sources and 300 distinct targets" in said
    assert "held out together, 100 groups in all" in said
    assert type(report).from_dict(report.to_dict()) == report


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 30])
def test_anchors_are_no_test(kind: type, count: int):
    """The rows of the fit itself would be taken for a test: .999 where .94 is true."""
    adapter = IRPAdapter.from_anchors(WORDS, ONCE, method="kernel")
    x, y = (np.concatenate([a[:50], b[:count]]).astype(kind) for a, b in ((FRESH, WORDS), (TRUE, ONCE)))
    with pytest.warns(FitWarning) as caught:
        adapter.evaluate(x, y)
    (told,) = (each for each in caught if "of this adapter" in str(each.message))
    assert told.filename == __file__
    assert f"{count} of the {50 + count} rows {'is an anchor' if count == 1 else 'are anchors'}" in str(told.message)
    assert "report(), which holds them out" in str(told.message)


@pytest.mark.slow
@pytest.mark.filterwarnings("error:.*of this adapter")
def test_rows_that_are_no_anchors_are_a_test(digits):
    """A warning that always comes is never read: of plain numbers and lines too, which lie near each other by chance."""
    IRPAdapter.from_anchors(WORDS, ONCE, method="kernel").evaluate(FRESH, TRUE)
    IRPAdapter.from_anchors(digits.source, digits.target, method="whitened").evaluate(
        digits.held_source, digits.held_target
    )
    line = np.random.default_rng(1).normal(size=(900, 1))
    flat = np.concatenate([line, line**2], 1)
    IRPAdapter.from_anchors(line[:300], flat[:300], method="kernel").evaluate(line[300:], flat[300:])


@pytest.mark.slow
@pytest.mark.parametrize(("items", "copies", "rounding"), [(30, 4, 0), (30, 4, 1e-4), (40, 3, 1e-4), (60, 2, 0)])
def test_copies_are_told_at_the_fit(items: int, copies: int, rounding: float):
    """A hundred and twenty rows would be taken for as many items, of which there are thirty."""
    rows = np.repeat(np.arange(items), copies)
    source, target = FRESH[rows], TRUE[rows] + 0.01 * RANDOM.normal(size=(len(rows), 30))
    source = source * (1 + rounding * RANDOM.normal(size=source.shape))
    with pytest.warns(FitWarning, match=f"120 anchors are {items} independent ones") as caught:
        adapter = IRPAdapter.from_anchors(source, target, method="whitened")
    (told,) = caught
    assert str(told.message) in " ".join(str(adapter.report(progress=False, baselines=[])).split())


@pytest.mark.slow
@pytest.mark.parametrize(("items", "copies", "noise"), [(30, 4, 0.03), (30, 4, 0.1), (40, 2, 0.03), (40, 2, 0.1)])
def test_noisy_copies_are_told_at_the_fit(tmp_path, items: int, copies: int, noise: float):
    """Variants of few items would promise .99, where other items reach .2."""
    rows = np.repeat(np.arange(items), copies)
    wide = np.random.default_rng(4).normal(size=(40, 200))
    source, target = (np.tanh(FRESH @ wide / 4)[rows], TRUE[rows])
    source, target = (side + noise * side.std(0) * RANDOM.normal(size=side.shape) for side in (source, target))
    with pytest.warns(FitWarning, match=f"{items * copies} anchors lie in {items} tight groups") as caught:
        adapter = IRPAdapter.from_anchors(source, target, method="whitened")
    (told,) = caught
    adapter.save_pretrained(tmp_path)
    again = IRPAdapter.from_pretrained(tmp_path).report(progress=False, baselines=[])
    assert str(told.message) in " ".join(str(again).split())


@pytest.mark.filterwarnings("error")
def test_near_rows_that_are_no_copies_are_not_doubted():
    """A warning that always comes is never read: of a line or a plane, of some near duplicates, of classes that are alike."""
    x = RANDOM.normal(size=(300, 2))
    IRPAdapter.from_anchors(x, np.concatenate([x, x**2], 1), method="kernel", gamma=1.0, ridge=1e-2)
    near = np.concatenate([FRESH[:240], FRESH[:60] + 0.05 * RANDOM.normal(size=(60, 40))])
    IRPAdapter.from_anchors(near, target_of(near), method="whitened")
    loose = FRESH[np.repeat(np.arange(150), 2)] + 0.05 * RANDOM.normal(size=(300, 40))
    IRPAdapter.from_anchors(loose, target_of(loose), method="whitened")  # what holds for new items, too


def test_anchors_of_which_none_repeats_are_not_counted(adapter):
    """Every report would have a sentence more that says nothing."""
    assert "distinct" not in str(adapter.report(progress=False, baselines=[]))


def test_probes_hold_whole_groups_out():
    """The probes would promise what the report no longer does."""
    source, target = CASES["exact"]
    found = compatibility({"x": source, "y": target}, method="kernel", progress=False)
    assert found.get("x", "y").mean < 0.95
    budget = anchor_budget(source, target, sizes=[200], num_repeats=1, progress=False)
    assert budget.points[0].cosine.mean < 0.95


def of_a_group(shared: str, method: str, count: int) -> tuple[IRPAdapter, np.ndarray]:
    """An adapter of sixty anchors of which so many share their source or their target, and the sources."""
    random = np.random.default_rng(count)
    source, target = WORDS[:30, :8].repeat(2, 0) + 0.2 * random.normal(size=(60, 8)), random.normal(size=(60, 5))
    side = source if shared == "source" else target
    side[:count] = side[0]
    return IRPAdapter.from_anchors(source, target, method=method), source


@pytest.mark.parametrize("shared", ["source", "target"])
@pytest.mark.parametrize("method", ["kernel", "whitened", "pruned"])
@pytest.mark.parametrize("count", [2, 6, 30, 58, 59])
def test_a_group_of_any_size_breaks_no_fit(shared: str, method: str, count: int):
    """One prototype for a class, or a constant answer to half of the items, would end in an error of torch's."""
    adapter, source = of_a_group(shared, method, count)
    assert np.isfinite(adapter.translate(source)).all()
    assert np.isfinite(adapter.config.score)


# A report measures every inverse, whichever was chosen: each size and each choice are tried every day, all of both seldom.
DAILY = {"kernel": 2, "whitened": 30, "pruned": 59}
SIZES = [
    pytest.param(method, count, marks=[] if DAILY[method] == count else [pytest.mark.slow])
    for method in DAILY
    for count in DAILY.values()
]


@pytest.mark.slow
@pytest.mark.parametrize("shared", ["source", "target"])
@pytest.mark.parametrize(("method", "count"), SIZES)
def test_a_group_of_any_size_breaks_no_report(shared: str, method: str, count: int):
    """The table or the curve would end in an error of torch's, where the fit did not."""
    adapter, _ = of_a_group(shared, method, count)
    assert str(adapter.report(progress=False, baselines=["ridge"]))


def test_what_is_stored_is_what_it_was():
    """A space or an adapter that holds groups would be saved otherwise than others, and not load elsewhere."""
    source, target = CASES["exact"]
    adapter = IRPAdapter.connect(
        AnchoredSpace.from_embeddings(source), AnchoredSpace.from_embeddings(target), method="whitened"
    )
    assert adapter.config.num_anchors == 300
    assert adapter.source_anchors.shape == (300, 40)
