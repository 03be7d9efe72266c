"""A fit that is of no use says so when it is made, at the user's own line, and in its report."""

import json
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.errors import FitWarning, InputError
from irp_hf.evaluation.doubts import by_any_order
from irp_hf.evaluation.report import Report
from irp_hf.maths.chance import Chance
from irp_hf.maths.elsewhere import choose
from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.request import hyperparameters
from irp_hf.models import cards, fitting

RANDOM = np.random.RandomState(0)
MAP = RANDOM.randn(16, 12)
X = RANDOM.randn(241, 16)
Y = np.tanh(X @ MAP / 4) + 0.1 * RANDOM.randn(241, 12)
K = 240
FIXED = {"balance": 0.5, "ridge": 0.1}
"""For what is told of anchors, whatever is fitted on them."""


def fit(source, target, **options):
    """The adapter, and the sentences of its warnings; each must point at the line of this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        adapter = IRPAdapter.from_anchors(source, target, **{"method": "whitened", **options})
    assert {(one.category, one.filename) for one in caught} <= {(FitWarning, __file__)}
    return adapter, [str(one.message) for one in caught]


def test_a_fit_in_order_says_nothing():
    """A warning that always comes is never read."""
    for method in ("kernel", "whitened", "pruned"):
        assert fit(X, Y, method=method)[1] == []
    assert fit(X[:40], Y[:40], objective="neighbors")[1] == []


@pytest.mark.parametrize("method", ["kernel", "whitened", "pruned"])
@pytest.mark.parametrize("objective", ["cosine", "neighbors"])
def test_shuffled_rows_are_told(method: str, objective: str):
    """Anchors in another order, the commonest mistake, would give an adapter like any other."""
    _, said = fit(X, RANDOM.permutation(Y), method=method, objective=objective)
    assert len(said) == 1
    assert "look unrelated: about the mean, the cosine is" in said[0]
    assert "Check that row i of both is the same item." in said[0]


@pytest.mark.parametrize("k", [2, 3, 5, 9])
def test_too_few_anchors_are_told(k: int):
    """Five anchors would give an adapter whose score, below zero, nobody reads."""
    _, said = fit(RANDOM.randn(k, 16), RANDOM.randn(k, 12))
    assert any(f"{k} independent anchors are too few to tell" in one for one in said)


def test_a_shared_mean_is_no_use():
    """The cosine of vectors that all have a large mean in common is near 1, whatever the translation."""
    adapter, said = fit(X, RANDOM.permutation(Y) + 9)
    assert adapter.config.score > 0.9
    assert "look unrelated" in said[0]


@pytest.mark.slow
def test_a_row_that_was_inserted_is_named(tmp_path):
    """Half of the pairs would be of other items, and the report look like that of encoders that are hard to translate."""
    shifted = np.concatenate([Y[:120], Y[K:], Y[120 : K - 1]])
    adapter, said = fit(X[:K], shifted)
    assert len(said) == 1
    assert "From row 120 on (120 rows), sources fit the targets 1 row later" in said[0]
    assert "inserted or lost" in said[0]
    adapter.save_pretrained(tmp_path)
    for one in (adapter, IRPAdapter.from_pretrained(tmp_path)):
        report = one.report(progress=False, baselines=[])
        assert [doubt.words for doubt in report.doubts] == said
        text = " ".join(str(report).split())
        assert said[0] in text
        assert "help only once the rows of both sides belong together" in text
        assert report.method_given
        assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Y[:K][::-1], "in reverse order, that of row 239 first"),
        (np.roll(Y[:K], 1, 0), "1 row later"),
        (np.roll(Y[:K], -2, 0), "2 rows earlier"),
        (np.concatenate([Y[120:K], Y[:120]]), "120 rows later"),
    ],
    ids=["reverse", "later", "earlier", "halves swapped"],
)
def test_other_orders_are_named(target: np.ndarray, expected: str):
    """A user would look for what is wrong in the encoders."""
    _, said = fit(X[:K], np.ascontiguousarray(target), **FIXED)
    assert expected in said[0]


@pytest.mark.parametrize("size", [2, 3, 20, 32, 100])
def test_batches_in_reverse_are_named(size: int):
    """Neighbours that were swapped got the advice of a row that was lost; batches of twenty in reverse got none once."""
    turned = np.concatenate([Y[first : first + size][::-1] for first in range(0, 241, size)])
    _, said = fit(X, turned, **FIXED)
    assert len(said) == 1
    assert ("every two rows of one side are swapped" if size == 2 else f"in reverse within every {size} rows") in said[
        0
    ]
    assert "inserted" not in said[0]


def test_rows_that_are_alike_are_not_taken_for_batches():
    """A series, whose rows are much like their neighbours, would be told to have been turned."""
    random = np.random.RandomState(1)
    walk = np.cumsum(random.randn(240, 16), 0) / 4
    assert fit(walk, np.tanh(walk @ MAP / 4) + 0.1 * random.randn(240, 12))[1] == []
    order = np.argsort(X[:, 0])
    assert fit(X[order], Y[order])[1] == []


@pytest.mark.parametrize(("first", "stop"), [(180, 240), (0, 120)])
def test_a_block_in_another_order_is_named(first: int, stop: int):
    """A fit would be the worse for it, and nobody be told to look at the order."""
    mixed = Y[:K].copy()
    mixed[first:stop] = np.random.RandomState(0).permutation(
        mixed[first:stop]
    )  # of others one in ten has a run by chance
    adapter, said = fit(X[:K], mixed)
    (told,) = said
    found = re.match(r"From row (\d+) to row (\d+) \([\d,]+ rows\), sources fit their own targets no better", told)
    assert found is not None
    assert abs(int(found[1]) - first) < 8
    assert abs(int(found[2]) - stop + 1) < 8
    assert told in " ".join(str(adapter.report(progress=False, baselines=[])).split())


def test_every_way_to_a_fit_warns_at_the_users_line():
    """The warning would name a line of the library, and be shown once for all callers."""
    spaces = AnchoredSpace.from_embeddings(X), AnchoredSpace.from_embeddings(np.roll(Y, 1, 0))
    with pytest.warns(FitWarning, match="1 row later") as caught:
        adapter = IRPAdapter.connect(*spaces, method="whitened")
    assert caught[0].filename == __file__
    with pytest.warns(FitWarning, match="1 row earlier") as caught:
        adapter.reverse(method="whitened")
    assert caught[0].filename == __file__


def test_a_side_that_hardly_differs_is_told():
    """What rounding left would be translated as if it were content."""
    assert "sources differ by" in fit(1 + 1e-5 * X, Y)[1][-1]
    many = Y.copy()
    many[:160] = Y[0]
    assert any("160 of 241 targets are the same vector" in one for one in fit(X, many)[1])
    line = np.outer(Y[:, 0], np.ones(12)) + 0.01 * Y
    assert any("variance of the targets lies along one direction" in one for one in fit(X, line)[1])


def test_a_batch_and_an_answer_for_many_items_are_told():
    """A batch that was written over, and one vector for whatever could not be read, made a fit worse without a word."""
    target, noise = Y.copy(), np.random.RandomState(0).rand(len(Y))
    target[200:220] = target[180:200]
    assert any("Rows 200 to 219 of the targets are rows 180 to 199 once more" in one for one in fit(X, target)[1])
    target = Y.copy()
    target[noise < 0.2] = Y[7]
    assert any("targets are the same vector, while what stands beside them differs" in one for one in fit(X, target)[1])


@pytest.mark.parametrize("noise", [0.2, 0.5])
def test_noisy_variants_of_few_items_are_told(noise: float):
    """At a third of the length, noise hid that 399 anchors were 133 items: a score of .935 where .311 is true."""
    random = np.random.RandomState(0)
    items = np.repeat(np.arange(80), 3)
    source, target = random.randn(80, 60)[items], random.randn(80, 50)[items]
    sides = [side + noise * random.randn(*side.shape) for side in (source, target)]
    _, said = fit(*sides, method="kernel")
    assert any("Give other items, and not more variants." in one for one in said)


def test_items_that_come_again_are_no_batch_written_over():
    """A second caption of each of the first pictures would be called a fault, with the advice to drop it."""
    random = np.random.RandomState(0)
    items = np.r_[np.arange(200), np.arange(60)]
    target = np.tanh(random.randn(200, 12) @ random.randn(12, 9))[items]
    source = target @ random.randn(9, 14) + 0.3 * random.randn(260, 14)
    assert not any("once more" in one for one in fit(source, target)[1])


@pytest.mark.slow
@pytest.mark.parametrize("order", ["as it came", "shuffled"])
def test_classes_as_targets_raise_no_alarm(order: str):
    """Classes were held out whole, and .150 foretold of new rows of the same classes, which reach .953."""
    digits = load_digits()
    rows = np.arange(600) if order == "as it came" else np.random.RandomState(1).permutation(1797)[:600]
    adapter, said = fit(digits.data[rows], np.eye(10)[digits.target[rows]], method="kernel")
    assert said == []
    assert adapter.config.score > 0.8
    two = (digits.target[rows] < 7).astype(int)
    assert fit(digits.data[rows], np.eye(2)[two])[1] == []


def test_objectives_that_cannot_tell_are_told():
    """An agreement of 1 with a head that has one answer, or neighbours among five, would look like a success."""
    _, said = fit(X, Y, objective="agreement", head=lambda y: np.eye(3)[np.zeros(len(y), int)])
    assert "all 241 anchors the same label" in said[-1]
    assert fit(X, Y, objective="agreement", head=lambda y: y[:, :3])[1] == []
    for objective in ("neighbors", "recall"):
        _, said = fit(X[:11], Y[:11], objective=objective)
        assert f"objective={objective!r} was asked of 11 anchors" in said[-1]


@pytest.mark.slow
def test_a_report_without_the_head_that_chose_says_so(tmp_path):
    """It said that cosine had chosen, of an adapter that agreement chose."""
    head = lambda y: y[:, :3]  # noqa: E731
    fit(X, Y, objective="agreement", head=head)[0].save_pretrained(tmp_path)
    adapter = IRPAdapter.from_pretrained(tmp_path)
    words = " ".join(str(adapter.report(progress=False, baselines=[])).split())
    assert "The method was given" in words
    assert "Give head= for what that head keeps." in words
    assert "Give head=" not in str(adapter.report(progress=False, baselines=[], head=head))


def test_a_head_that_is_not_asked_is_told():
    """A user who gives a head would take the choice for that head's."""
    _, said = fit(X, Y, head=lambda y: y[:, :3])
    assert len(said) == 1
    assert "head= has no part in objective='cosine'" in said[0]


NOT_OF = {
    "gamma": ("whitened", 2.0, ["'kernel'"]),
    "num_landmarks": ("whitened", 30, ["'kernel'"]),
    "balance": ("kernel", 0.3, ["'whitened'"]),
    "num_subspaces": ("kernel", 2, ["'pruned'"]),
    "pruning_threshold": ("kernel", 0.3, ["'pruned'"]),
    "ridge": ("pruned", 0.1, ["'kernel'", "'whitened'"]),
    "lift": ("pruned", 0.0, ["'kernel'", "'whitened'"]),
}


def test_every_option_of_an_inverse_is_tried():
    """If it fails, a new option of one inverse may go unsaid."""
    assert {*NOT_OF} == {name for name, owners in hyperparameters().items() if len(owners) < len(INVERSES)}


@pytest.mark.parametrize("option", NOT_OF)
def test_an_option_of_another_inverse_is_told(option, monkeypatch):
    """A user who gives gamma would take what came for what was asked, and the card say that it was given."""
    other, value, owners = NOT_OF[option]
    monkeypatch.setattr(
        fitting, "choose", lambda *options: sorted(choose(*options), key=lambda one: one.method != other)
    )
    adapter, said = fit(X[:60], Y[:60], method="auto", **{option: value})
    assert adapter.config.method == other
    (told,) = (one for one in said if "has no part" in one)
    assert told.startswith(f"{option}= has no part in {other}, which was chosen: give method={' or '.join(owners)}")
    assert f"`{option}`" not in cards.choice(adapter.config)
    assert not any(
        "has no part" in one for one in fit(X[:60], Y[:60], method=owners[0].strip("'"), **{option: value})[1]
    )


def test_options_of_two_others_are_told_each_and_those_of_all_are_not():
    """One sentence would name the wrong inverse for some, or a warning come where what was given was kept."""
    _, said = fit(
        X[:60], Y[:60], method="auto", gamma=2.0, num_landmarks=9, num_subspaces=1, balance=0.5, restoration=0.5
    )
    told = sorted(one for one in said if "no part" in one)
    method = {one.split(" no part in ")[1].split(",")[0] for one in told}
    others = {"gamma= and num_landmarks= have": "kernel", "num_subspaces= has": "pruned", "balance= has": "whitened"}
    assert len(method) == 1
    assert [one.split(" no part")[0] for one in told] == sorted(
        one for one, owner in others.items() if {owner} != method
    )
    _, said = fit(X[:60], Y[:60], method="auto", restoration=0.5, seed=3)
    assert not any("no part" in one for one in said)


def test_the_report_says_who_chose_the_method():
    """A method that was given would be told as the best of all."""
    report = fit(X[:40], Y[:40])[0].report(progress=False, baselines=[])
    assert "The method was given: whitened, cosine " in str(report)
    assert "Chosen by cosine: whitened" in str(replace(report, method_given=None))


@pytest.mark.parametrize("rows", [[5], [5, 40], [0, 1, 2, 3, 4]])
@pytest.mark.parametrize("times", [1e4, 1e6, 1e12])
@pytest.mark.parametrize("side", ["sources", "targets"])
def test_a_row_that_lies_far_off_is_named(rows: list[int], times: float, side: str):
    """It was said of all others that they are the same vector, which sends a user after what is in order."""
    sides = {"sources": X[:K].copy(), "targets": Y[:K].copy()}
    sides[side][rows] *= times
    _, said = fit(*sides.values(), **FIXED)
    (words,) = [one for one in said if "far off" in one]
    assert ", ".join(map(str, rows[:3])) in words
    assert f"of the {side}" in words
    assert not any("same vector" in one or "one direction" in one for one in said)


@pytest.mark.parametrize("k", [3, 4, 6, 12, 19, 25, 60])
def test_few_anchors_are_no_proof_of_another_order(k: int):
    """Twenty right anchors would be called unrelated, and a cosine of 1.055 be possible for three."""
    random = np.random.RandomState(k)
    _, said = fit(random.randn(k, 40), random.randn(k, 30))
    (words,) = (one for one in said if "about the mean" in one)
    assert f"{k} independent anchors are too few" in words
    assert "look unrelated" not in words
    figures = [float(one) for one in re.findall(r"-?\d*\.\d{3}", words)]
    assert all(abs(one) <= 1 for one in figures)
    own, most = figures
    assert own <= max(most, 0.05)
    assert "targets in any order reach" in words if own <= most else "which belong together is above .050" in words


def test_a_cosine_above_any_order_is_not_said_to_be_below():
    """ "The cosine is -.275, and targets in any order reach -.344" would contradict itself: then it fails to be above 0."""
    assert by_any_order(Chance(-0.275, -0.344)) == "that of rows which belong together is above .050"
    assert by_any_order(Chance(0.01, 0.06)) == "targets in any order reach .060"


@pytest.mark.parametrize("rows", [[7], [3, 5, 100]])
@pytest.mark.parametrize("side", [0, 1])
def test_rows_of_zeros_are_counted(rows: list[int], side: int):
    """Items that were never encoded would be anchors like any other, which a gallery refuses."""
    sides = X[:K].copy(), Y[:K].copy()
    sides[side][rows] = 0
    _, said = fit(*sides, **FIXED)
    (words,) = (one for one in said if "zero throughout" in one)
    name = ("sources", "targets")[side]
    assert words.startswith(
        f"Row 7 of the {name} is"
        if len(rows) == 1
        else f"3 rows of the {name} are zero throughout (the first is row 3)"
    )


def test_rows_of_one_number_are_counted():
    """What a gallery refuses would be an anchor like any other; of vectors of one number nothing can be said."""
    source = X[:K].copy()
    source[[4, 9]] = [[1.5], [0.0]]
    assert any(
        "2 rows of the sources are one number throughout (the first is row 4)" in one for one in fit(source, Y[:K])[1]
    )
    assert not any("throughout" in one for one in fit(X[:K], Y[:K, :1])[1])


def test_wrong_rows_here_and_there_are_not_found():
    """docs/measure.md says so; if it fails, say there what is found now."""
    order = np.arange(K)
    wrong = RANDOM.permutation(K)[: K // 5]
    order[np.sort(wrong)] = wrong
    assert fit(X[:K], Y[:K][order])[1] == []


def test_tests_in_another_order_are_told():
    """A test in reverse would give a cosine of .096 and bounds of which .008 held, without a word."""
    random = np.random.RandomState(3)
    x = random.randn(500, 16)
    y = np.tanh(x @ MAP / 4) + 0.1 * random.randn(500, 12)
    adapter = fit(x[:300], y[:300] + 3)[0]
    for wrong in (y[:299:-1], random.permutation(y[300:]), random.randn(200, 12)):
        with pytest.warns(
            FitWarning, match="no nearer to their own rows of y than to others: .* must be the same item"
        ) as said:
            adapter.evaluate(x[300:], wrong + 3)
        assert said[0].filename == __file__
    with pytest.warns(FitWarning, match=r"bounds that hold for 90 % of rows like the anchors held for \.\d+ ±"):
        adapter.evaluate(x[300:], y[300:] + 3 + 0.7 * random.randn(200, 12))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adapter.evaluate(x[300:], y[300:] + 3)
        adapter.evaluate(x[300:303], y[302:299:-1] + 3)  # three rows tell nothing


def test_swapped_sides_are_told(refusal):
    """Whoever swaps both sides would be sent for another encoder."""
    adapter = fit(X[:K], Y[:K])[0]
    for call in (
        lambda: adapter.translate(Y),
        lambda: adapter.confidence(Y),
        lambda: adapter(torch.from_numpy(Y)),
        lambda: adapter.evaluate(Y, X),
    ):
        assert "So wide are vectors of the target: source and target look swapped." in refusal(call, error=InputError)
    for call in (lambda: adapter.evaluate(X, X), lambda: adapter.report(gallery=X, progress=False)):
        assert "So wide are vectors of the source: source and target look swapped." in refusal(call, error=InputError)
    assert "swapped" not in refusal(adapter.translate, X[:, :7], error=InputError)


def test_landmarks_that_were_asked_for_are_printed():
    """An adapter over 100 of its anchors would print as one over all of them."""
    assert repr(fit(X, Y, method="kernel", num_landmarks=100)[0]).endswith("kernel, 241 anchors over 100 landmarks)")
    assert repr(fit(X, Y, method="kernel")[0]).endswith("kernel, 241 anchors)")
    assert "landmarks" not in repr(fit(X, Y, method="whitened")[0])


def test_classes_that_stand_one_after_the_other_are_not_out_of_step():
    """Who follows the advice to turn a side, or to look for lost rows, destroys pairs that are right."""
    random = np.random.RandomState(1)
    names, items = random.randn(30, 24), np.arange(30).repeat(30)
    x = (random.randn(30, 12)[items] + 0.5 * random.randn(900, 12)) @ random.randn(12, 40)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        IRPAdapter.from_anchors(x, names[items], method="kernel", gamma=2.0, ridge=0.1, lift=0.0)
    assert not any("sources fit" in str(one.message) for one in found)
