"""Adapters of few pairs with unpaired rows behind them: what they gain, what is kept, and what is refused or said."""

import copy
import io
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from says import says
from unpaired_rows import WIDTHS, found_first, spaces

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.errors import FitWarning, InputError
from irp_hf.evaluation.printed import number
from irp_hf.evaluation.report import Report
from irp_hf.maths.unpaired import choosing, matching
from irp_hf.maths.unpaired.background import LEAST, MOST
from irp_hf.models.background import drawn, read_background, taken
from irp_hf.models.cards import adapter_card

FEW = spaces(0, num_pairs=8, rows=200)


def fit(found=FEW, **options):
    background = dict(zip(("source_background", "target_background"), found.background, strict=True))
    return IRPAdapter.from_anchors(*found.pairs, **{**background, **options})


@pytest.fixture(scope="module")
def adapter():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return fit()


def test_unpaired_rows_do_what_pairs_would(adapter):
    """If it fails, ten pairs are worth no more than they were without backgrounds."""
    alone = IRPAdapter.from_anchors(*FEW.pairs)
    x, y = FEW.new
    assert found_first(adapter.translate(x), y) > found_first(alone.translate(x), y) + 0.3
    assert {name: adapter.config.background[name] for name in ("source", "target")} == {"source": 200, "target": 200}
    assert adapter.config.background["alone"] < adapter.config.score
    true = np.mean(
        (adapter.translate(x) * y).sum(1) / np.linalg.norm(y, axis=1) / np.linalg.norm(adapter.translate(x), axis=1)
    )
    assert abs(adapter.config.score - true) < 0.1
    assert abs(adapter.confidence(x).mean() - true) < 0.1
    assert "8 anchors before 200 and 200 unpaired rows" in repr(adapter)


def test_it_loads_and_translates_bit_for_bit(adapter, tmp_path):
    """If it fails, what was saved gives other vectors than what was fitted, or cannot be opened."""
    adapter.save_pretrained(tmp_path)
    loaded = IRPAdapter.from_pretrained(tmp_path)
    assert loaded.config.background == adapter.config.background
    for mine, theirs in zip(
        adapter.translate(FEW.new[0], return_confidence=True),
        loaded.translate(FEW.new[0], return_confidence=True),
        strict=True,
    ):
        assert np.array_equal(mine, theirs)
    assert loaded.checksum() == adapter.checksum()
    measured = loaded.report(progress=False)
    assert measured.score == adapter.config.score
    assert measured.reliability is None
    report = " ".join(str(measured).split())
    assert "too few to tell" not in report
    assert says(
        report, f"kernel, {number(adapter.config.score)} by folds of the anchors, of which none had a part in what was"
    )
    assert says(report, "200 rows of the source", "Unpaired rows are not stored", "fits on the pairs alone")
    assert says(report, "it was chosen with unpaired rows, which are not stored")
    assert "with a head" not in report
    assert adapter_card(loaded.config, "me/loaded", measured).data.eval_results is None
    fresh = adapter_card(adapter.config, "me/fitted", adapter.report(progress=False)).data.eval_results
    assert fresh[0].metric_value == pytest.approx(adapter.config.score, abs=1e-4)


@pytest.fixture
def hurried(monkeypatch):
    """For what does not hang on how well rows are matched: a third of the steps."""
    for name in ("COARSE", "FINE"):
        monkeypatch.setattr(matching, name, replace(getattr(matching, name), steps=10))


class Terminal(io.StringIO):
    """What was written to it, as to a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def again():
    """A second fit of the same rows, and what it showed on a terminal."""
    shown = Terminal()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.stderr", shown)
        return fit(), shown.getvalue()


def test_the_same_rows_give_the_same_adapter(adapter, again):
    """If it fails, a fit cannot be repeated."""
    assert torch.equal(adapter.coefficients, again[0].coefficients)


def test_matching_shows_how_far_it_is(again):
    """If it fails, a fit stands still for half a minute, and nobody knows whether it ends."""
    assert says(again[1], "Matching unpaired rows", "/6 [")


def test_the_report_is_of_the_pairs_alone(adapter):
    """If it fails, a report counts matched rows as if somebody had paired them, or measures a fit that had the pairs."""
    report = adapter.report(progress=False)
    assert report.num_anchors == 8
    assert report.rows[0].evaluation.num_rows == 8
    assert report.score == adapter.config.score
    assert report.backing is not None
    assert (report.backing.measured, report.backing.folds) == (("kernel",), 5)
    assert report.learning_curve == ()
    assert report.unlike is None
    assert says(" ".join(str(report).split()), "200 rows of the source and 200 of the target", "with the pairs alone")
    assert says(" ".join(str(report).split()), "by folds of the anchors, of which none had a part in what was matched")
    assert says(
        " ".join(str(report).split()),
        "kernel had them, matched anew for every fit on the other 4 of 5 folds",
        "Without unpaired rows, every anchor was translated by a fit on the other 7 of 8 folds",
    )
    assert "by leave-one-out" not in str(report)
    assert "rank correlation" not in str(report)
    assert Report.from_dict(report.to_dict()) == report
    with pytest.raises(InputError, match="index_size: expected an adapter of pairs alone"):
        adapter.report(index_size=100, progress=False)


def test_held_out_pairs_have_no_part_in_what_they_are_judged_by(adapter):
    """If it fails, a wrong pair looks right: its own fold was matched with its help."""
    found = FEW
    target = found.pairs[1].copy()
    target[[0, 1, 2, 3, 4, 5, 6, 7]] = target[[3, 5, 0, 6, 1, 7, 4, 2]]
    with pytest.warns(FitWarning) as told:
        shuffled = fit(found._replace(pairs=(found.pairs[0], target)))
    assert shuffled.config.score < adapter.config.score - 0.2
    assert any("few to tell" in str(one.message) for one in told)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("method", ["kernel", "whitened", "rigid"])
def test_every_inverse_of_sums_has_one(method):
    """If it fails, an inverse leaves the background out, or the pairs."""
    found = spaces(3, num_pairs=8, rows=150, noise=0.3)
    adapter = fit(found, method=method)
    assert adapter.config.method == method
    assert adapter.config.background is not None
    assert found_first(adapter.translate(found.new[0]), found.new[1]) > 0.5


@pytest.mark.usefixtures("hurried")
def test_what_is_given_is_kept():
    """If it fails, options are left out without a word where there is a background."""
    adapter = fit(method="kernel", gamma=0.5, ridge=0.2, rigid=0.0, restoration=0.0)
    assert (adapter.config.gamma, adapter.config.ridge, adapter.config.restoration) == (0.5, 0.2, 0.0)
    assert adapter.config.rigid is None
    assert adapter.config.given == ["gamma", "restoration", "ridge", "rigid"]


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("num_pairs", [8, 20])
@pytest.mark.parametrize("objective", ["neighbors", "recall", "retrieval"])
def test_other_objectives_choose_too(objective, num_pairs):
    """If it fails, a background is of use to heads alone: among few pairs whatever is asked for finds nearly all of them."""
    found = spaces(0, num_pairs=num_pairs, rows=200, noise=0.4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapter, alone = fit(found, objective=objective), IRPAdapter.from_anchors(*found.pairs, objective=objective)
    assert adapter.config.objective == objective
    assert adapter.config.background is not None
    x, y = found.new
    assert found_first(adapter.translate(x), y) >= found_first(alone.translate(x), y)


@pytest.mark.slow
def test_the_confidence_is_that_of_later_rows():
    """If it fails, whatever lies beyond a dozen pairs looks strange, and noise like the encoder's own."""
    found = spaces(1, num_pairs=14, rows=400, noise=0.4)
    (x, y), adapter = found.new, fit(found)
    translated, expected = adapter.translate(x, return_confidence=True)
    true = np.mean((translated * y).sum(1) / np.linalg.norm(translated, axis=1) / np.linalg.norm(y, axis=1))
    assert abs(expected.mean() - true) < 0.03
    noise = np.random.RandomState(0).randn(200, x.shape[1]) * x.std(0) + x.mean(0)
    assert adapter.confidence(noise).mean() < 0.2


@pytest.mark.slow
def test_wrong_pairs_are_named():
    """If it fails, a third of the pairs is wrong, the fit is the worse for it, and nobody says a word."""
    found = spaces(0, num_pairs=30, rows=200, noise=0.4)
    target, wrong = found.pairs[1].copy(), np.arange(10) * 2
    target[wrong] = target[np.roll(wrong, 1)]
    # A copy of the first pair in front: rows are named as the user has them.
    sides = (np.concatenate([side[:1], side]) for side in (found.pairs[0], target))
    with pytest.warns(FitWarning, match="look wrong") as told:
        adapter = fit(found._replace(pairs=tuple(sides)))
    said = next(str(one.message) for one in told if "look wrong" in str(one.message))
    named = {int(row) for row in said.split(" (rows")[0].removeprefix("Pairs ").split(", ")}
    assert len(named & ({0} | set(wrong + 1))) >= max(2, len(named) - 1)
    assert "may be wrong" in str(adapter.report(progress=False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(found)


@pytest.mark.usefixtures("hurried")
def test_of_many_pairs_some_carry_the_map(monkeypatch):
    """If it fails, a fit on thousands of pairs takes minutes, or leaves most of them out."""
    found = spaces(0, num_pairs=25, rows=150, noise=0.2)
    whole = fit(found, method="kernel", restoration=0.0)
    monkeypatch.setattr(choosing, "OF_PAIRS", 20)
    some = fit(found, method="kernel", restoration=0.0)
    assert (whole.config.num_landmarks, some.config.num_landmarks) == (175, 170)
    near = (whole.translate(found.new[0]) * some.translate(found.new[0])).sum(1)
    lengths = [np.linalg.norm(one.translate(found.new[0]), axis=1) for one in (whole, some)]
    assert (near / lengths[0] / lengths[1]).mean() > 0.99


@pytest.mark.usefixtures("hurried")
def test_rows_of_another_domain_are_left_out_and_it_is_said():
    """If it fails, a background that misleads makes the adapter worse without a word."""
    found, random = spaces(0, num_pairs=40, rows=120), np.random.RandomState(5)
    strange = [random.randn(120, width).astype(np.float32) * 3 for width in WIDTHS]
    alone = IRPAdapter.from_anchors(*found.pairs)
    with pytest.warns(
        FitWarning,
        match="have no part in this fit: held out, .* lower with 120 rows of the source and 120 of the target",
    ):
        adapter = fit(found._replace(background=tuple(strange)))
    assert adapter.config.background is None
    assert adapter.config.score == alone.config.score
    assert np.array_equal(adapter.translate(found.new[0]), alone.translate(found.new[0]))


def test_anchors_and_copies_among_them_do_no_harm():
    """If it fails, copies crowd out all others, or anchors make a fold know what it holds out."""
    sides = [
        np.concatenate([rows, rows[:30], rows[:30], pairs])
        for rows, pairs in zip(FEW.background, FEW.pairs, strict=True)
    ]
    anchors = tuple(map(torch.from_numpy, FEW.pairs))
    kept, plain = (read_background(*rows, anchors, 0) for rows in (sides, FEW.background))
    for one, other in zip(kept, plain, strict=True):
        assert {row.tobytes() for row in one.numpy()} == {row.tobytes() for row in other.numpy()}
        assert len(one) == 200


@pytest.mark.usefixtures("hurried")
def test_sides_may_be_of_any_length_and_kind():
    """If it fails, one side must have as many rows as the other, or numpy alone is read."""
    source, target = FEW.background
    adapter = fit(FEW._replace(background=(torch.from_numpy(source).double(), target[:120].tolist())))
    assert adapter.config.background["target"] == 120
    assert found_first(adapter.translate(FEW.new[0]), FEW.new[1]) > 0.7


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        (
            None,
            FEW.background[1],
            "source_background: expected rows, since there are some in target_background, got None",
        ),
        (
            FEW.background[0],
            None,
            "target_background: expected rows, since there are some in source_background, got None",
        ),
        (FEW.background[1], FEW.background[0], "source_background: expected width 20, got width 24. .*look swapped"),
        (FEW.background[0][:, :7], FEW.background[1], "source_background: expected width 20, got width 7"),
        (
            FEW.background[0][:50],
            FEW.background[1],
            f"source_background: expected at least {LEAST} different rows .* got 50 of 50",
        ),
        (
            FEW.background[0],
            np.repeat(FEW.background[1][:9], 40, 0),
            "target_background: expected at least .* got 9 of 360 rows",
        ),
        (FEW.background[0][0], FEW.background[1], "source_background: expected a matrix"),
        ("rows.npy", FEW.background[1], "source_background: expected"),
        (
            np.full((200, 20), np.nan),
            FEW.background[1],
            "Row .* of source_background: expected finite numbers, got NaN",
        ),
        (np.zeros((200, 20)), FEW.background[1], "source_background: expected"),
        (np.zeros((200, 20), int), FEW.background[1], "source_background: expected"),
    ],
)
def test_what_is_no_background_is_refused(source, target, words):
    """If it fails, what cannot be used ends in an error of another library, or is left out without a word."""
    with pytest.raises(InputError, match=words):
        fit(FEW._replace(background=(source, target)))


@pytest.mark.parametrize("factor", [1e-8, 1e-3, 1e3, 1e8])
def test_rows_in_other_units_are_called_that(factor):
    """If it fails, rows that were encoded otherwise are called copies, or all of them are one beside the anchors."""
    source, target = FEW.background
    with pytest.raises(InputError, match="target_background: expected rows that spread about as far as the anchors"):
        fit(FEW._replace(background=(source, target * np.float32(factor))))
    with pytest.raises(InputError, match="source_background: expected rows that spread about as far as the anchors"):
        fit(FEW._replace(background=(np.concatenate([FEW.pairs[0]] * 20) * np.float32(factor), target)))


def test_one_row_that_is_far_out_is_named():
    """If it fails, all others beside it are called copies of one."""
    source, target = FEW.background
    source = source.copy()
    source[17] *= 1e6
    with pytest.raises(InputError, match="Row 17 of source_background: expected a row of the size of the anchors"):
        fit(FEW._replace(background=(source, target)))


def test_one_row_that_is_rather_far_out_is_told():
    """If it fails, one row in thousands switches a whole background off, and nobody is told which."""
    source, target = FEW.background
    pairs, source = FEW.pairs[0], source.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_background(source, target, tuple(map(torch.from_numpy, FEW.pairs)), 0)
    source[17] = pairs.mean(0) + 300 * (pairs[0] - pairs.mean(0))
    with pytest.warns(FitWarning, match=r"Row 17 of source_background: up to .* mean scales"):
        read_background(source, target, tuple(map(torch.from_numpy, FEW.pairs)), 0)
    source[150] = pairs.mean(0) - 900 * (pairs[0] - pairs.mean(0))
    with pytest.warns(FitWarning, match="Rows 150, 17 of source_background"):
        read_background(source, target, tuple(map(torch.from_numpy, FEW.pairs)), 0)


def test_a_space_is_no_background(refusal):
    """If it fails, whoever hands a space in is told to give its anchors, which are no background."""
    source, target = FEW.background
    space = AnchoredSpace.from_embeddings(FEW.pairs[0], background=source)
    words = refusal(fit, FEW._replace(background=(space, target)), error=InputError)
    assert says(words, "source_background", "an AnchoredSpace", "Give x.background_rows")
    bare = AnchoredSpace.from_embeddings(FEW.pairs[0])
    words = refusal(fit, FEW._replace(background=(bare, target)), error=InputError)
    assert says(words, "It holds none")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"method": "pruned"},
            "method: expected one that unpaired rows can be fitted with, with a background, got 'pruned'",
        ),
        ({"folds": "clusters"}, "folds: expected 'rows', with a background"),
        ({"num_landmarks": 5, "method": "kernel"}, "num_landmarks: expected none, with a background"),
        ({"lift": 1.0, "method": "kernel"}, "lift: expected 0, with a background"),
    ],
)
def test_options_that_do_not_go_with_it_are_refused(options, words):
    """If it fails, an option has no effect, and nothing says so."""
    with pytest.raises(InputError, match=words):
        fit(**options)


@pytest.mark.parametrize("count", [2, 5])
def test_too_few_pairs_are_refused(count):
    """If it fails, five pairs are asked whether backgrounds help, which they cannot tell."""
    with pytest.raises(
        InputError, match=f"pairs: expected at least 6 independent ones, beside a background, got {count}"
    ):
        fit(FEW._replace(pairs=tuple(side[:count] for side in FEW.pairs)))
    copied = tuple(np.concatenate([side[:count]] * 6) for side in FEW.pairs)
    with pytest.raises(InputError, match="pairs: expected at least 6 independent ones"):
        fit(FEW._replace(pairs=copied))


def test_of_very_many_rows_a_sample_is_taken(tmp_path):
    """If it fails, a corpus of millions is read whole, or the row that is wrong is misnamed."""
    from irp_hf.data.arrays import Rows

    rows = np.random.RandomState(0).randn(MOST + 500, 3).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    mapped = Rows(np.load(tmp_path / "rows.npy", mmap_mode="r"), "source_background")
    found = taken(mapped, drawn(mapped.num_rows, 0))
    assert found.shape == (MOST, 3)
    assert torch.equal(found, taken(mapped, drawn(mapped.num_rows, 0)))
    assert not torch.equal(found, taken(mapped, drawn(mapped.num_rows, 1)))
    wrong = rows.copy()
    wrong[[7, 9]] = np.inf
    with pytest.raises(InputError, match=r"Row [79] of source_background: expected finite numbers, got infinity"):
        taken(Rows(wrong, "source_background"), drawn(len(wrong), 0))


def test_a_forged_record_is_refused(adapter, tmp_path):
    """If it fails, a configuration of a stranger says anything of unpaired rows."""
    for values in (
        {"source": 5},
        {**adapter.config.background, "alone": 2.0},
        {**adapter.config.background, "gain": float("nan")},
        {**adapter.config.background, "error": -0.1},
        {name: value for name, value in adapter.config.background.items() if name != "error"},
        "rows",
        {**adapter.config.background, "weight": -1},
    ):
        with pytest.raises(InputError, match="background"):
            type(adapter.config)(**{**adapter.config.to_dict(), "background": values})


@pytest.mark.parametrize("values", [{}, {"weight": 7.0}])
def test_a_record_that_was_spoilt_is_not_saved(adapter, tmp_path, values):
    """If it fails, a save ends in another library's error, or writes what no load takes."""
    spoilt = copy.deepcopy(adapter)
    if values:
        spoilt.config.background.update(values)
    else:
        spoilt.config.background = {}
    with pytest.raises(InputError, match="background"):
        spoilt.save_pretrained(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_the_reverse_says_what_it_lacks(adapter):
    """If it fails, the way back is as bad as pairs alone are, without a word."""
    with pytest.warns(FitWarning, match="fitted on the pairs alone: unpaired rows are not stored"):
        adapter.reverse()
