"""`objective="recall"`: chosen by what a second stage could keep of the first `depth` found, which it says wherever it goes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
import yaml
from huggingface_hub.repocard_data import model_index_to_eval_results

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
from irp_hf.errors import DamagedFolderError, InputError
from irp_hf.evaluation import evaluate
from irp_hf.evaluation.report import Report
from irp_hf.models.cards import adapter_card
from irp_hf.models.many import PairSums

RANDOM = np.random.RandomState(0)
X = RANDOM.randn(400, 10).astype(np.float32)
Y = (np.tanh(X @ RANDOM.randn(10, 8) / 2) + 0.3 * RANDOM.randn(400, 8)).astype(np.float32)
COUNT, DEPTH, AMONG = 150, 40, 15  # anchors, candidates of an index, and those that stand for them
FEW = {"method": "whitened", "balance": 0.5, "ridge": 0.1}


@pytest.fixture(scope="module")
def adapter() -> IRPAdapter:
    return IRPAdapter.from_anchors(X[:COUNT], Y[:COUNT], objective="recall", depth=DEPTH)


@pytest.fixture(scope="module")
def report(adapter: IRPAdapter) -> Report:
    return adapter.report(progress=False)


@pytest.mark.slow
def test_later_rows_are_measured_at_its_depth(adapter: IRPAdapter):
    """If it fails, a user is told another figure than a second stage gets."""
    x, y = X[COUNT:], Y[COUNT:]
    found = adapter.evaluate(x, y)
    expected = reference.neighbors_kept(adapter.translate(x).astype(float), y.astype(float), 10, DEPTH)
    assert (found.depth, found.num_rows) == (DEPTH, 250)
    assert found.recall.mean == pytest.approx(expected.mean())
    assert found.recall.mean > found.neighbors.mean
    assert f"recall@{DEPTH} among 250" in str(found)


def test_another_depth_may_be_asked_of_any_adapter(adapter: IRPAdapter):
    """If it fails, nobody can see what this objective gains over another."""
    x, y = X[COUNT:], Y[COUNT:]
    plain = IRPAdapter.from_anchors(X[:COUNT], Y[:COUNT], **FEW)
    assert plain.evaluate(x, y).recall is None
    for model in (plain, adapter):
        means = [model.evaluate(x, y, depth=depth).recall.mean for depth in (10, 25, 50)]
        assert means == sorted(means)
        assert means[0] == pytest.approx(model.evaluate(x, y).neighbors.mean)
    found = plain.evaluate(x, y, depth=100)
    assert (found.depth, "recall@100 among 250" in str(found)) == (100, True)
    direct = evaluate(plain.translate(x), y, depth=100)
    assert direct.recall.mean == pytest.approx(found.recall.mean)


@pytest.mark.parametrize("depth", [0, 9, "100", True, 1e9, 10**9, 50.0, float("nan")])
def test_a_depth_that_is_none_is_refused(adapter: IRPAdapter, depth, refusal):
    """If it fails, a text reaches a search, or ten neighbours are sought among five."""
    calls = (
        lambda: IRPAdapter.from_anchors(X[:COUNT], Y[:COUNT], objective="recall", depth=depth),
        lambda: adapter.evaluate(X[COUNT:], Y[COUNT:], depth=depth),
        lambda: evaluate(Y, Y, depth=depth),
    )
    for call in calls:
        assert refusal(call, error=InputError).startswith("depth: expected a whole number from 10 to 1000000")


def test_a_depth_without_recall_is_refused(refusal):
    """If it fails, somebody believes that so many candidates decided."""
    anchors = AnchorSet([f"item {row}" for row in range(COUNT)])
    spaces = [AnchoredSpace.from_embeddings(side[:COUNT], anchors, name) for side, name in ((X, "x"), (Y, "y"))]
    calls = (
        lambda: IRPAdapter.from_anchors(X[:COUNT], Y[:COUNT], depth=50),
        lambda: IRPAdapter.from_anchors(X[:COUNT], Y[:COUNT], objective="neighbors", depth=50),
        lambda: IRPAdapter.connect(*spaces, depth=50),
        lambda: IRPAdapter.from_unpaired(X, Y, depth=50),
        lambda: PairSums(X, Y, depth=50),
        lambda: IRPAdapter.from_anchors(X[:COUNT], Y[:COUNT], **FEW).reverse(depth=50),
    )
    for call in calls:
        words = refusal(call, error=InputError)
        assert words.startswith("depth: ")
        assert "objective='recall'" in words
    assert refusal(lambda: spaces[0].to_relative(X, depth=50), error=InputError)


def test_more_candidates_than_anchors_do_not_choose_by_chance():
    """If it fails, every inverse finds all, all are as good, and a user of few anchors gets any of them."""
    deep, shallow = (
        IRPAdapter.from_anchors(X[:130], Y[:130], objective="recall", depth=depth) for depth in (10**6, 13)
    )
    assert (deep.config.depth, shallow.config.depth) == (10**6, 13)
    assert deep.config.score == shallow.config.score < 0.95
    assert torch.equal(deep.translate(torch.from_numpy(X)), shallow.translate(torch.from_numpy(X)))
    plain = IRPAdapter.from_anchors(X[:30], Y[:30], objective="neighbors")
    few = IRPAdapter.from_anchors(X[:30], Y[:30], objective="recall")
    assert few.config.score == plain.config.score
    assert (few.config.method, few.config.ridge) == (plain.config.method, plain.config.ridge)


@pytest.mark.slow
def test_the_depth_is_kept(adapter: IRPAdapter, tmp_path: Path):
    """If it fails, a report of an adapter that was loaded, or its reverse, is of other candidates."""
    adapter.save_pretrained(tmp_path)
    again = IRPAdapter.from_pretrained(tmp_path)
    assert (again.config.objective, again.config.depth) == ("recall", DEPTH)
    assert "depth" not in (again.config.given or [])
    x, y = X[COUNT:], Y[COUNT:]
    assert again.evaluate(x, y) == adapter.evaluate(x, y)
    turned = again.reverse()
    assert (turned.config.objective, turned.config.depth) == ("recall", DEPTH)
    assert again.reverse(depth=20).config.depth == 20
    assert again.reverse(objective="neighbors").config.depth is None


@pytest.mark.parametrize(
    ("objective", "depth"),
    [("recall", None), ("cosine", 50), ("neighbors", 50), ("recall", 0), ("recall", 10**9), ("recall", "40"), ("recall", 40.5)],
)  # fmt: skip
def test_a_configuration_that_no_save_writes_is_refused(adapter: IRPAdapter, objective, depth, tmp_path, refusal):
    """If it fails, a damaged folder promises candidates of which nobody knows how many, or dies in a report."""
    adapter.save_pretrained(tmp_path)
    place = tmp_path / "config.json"
    config = json.loads(place.read_text()) | {"objective": objective, "depth": depth}
    place.write_text(json.dumps(config))
    words = refusal(IRPAdapter.from_pretrained, tmp_path, error=DamagedFolderError)
    assert "depth" in words


def test_what_was_saved_before_has_none(tmp_path: Path):
    """If it fails, no adapter that is published loads any more."""
    golden = Path(__file__).parent.parent / "golden" / "whitened"
    shutil.copytree(golden, tmp_path / "old")
    old = IRPAdapter.from_pretrained(tmp_path / "old")
    assert old.config.depth is None
    old.save_pretrained(tmp_path / "new")
    assert "depth" not in json.loads((tmp_path / "new" / "config.json").read_text())


def test_the_report_shows_what_decided(report: Report, adapter: IRPAdapter):
    """If it fails, a table of neighbours is all that is told of a choice by candidates."""
    words = " ".join(str(report).split())
    assert f"Chosen by recall@{AMONG} among {COUNT}: " in words
    assert f"Here {AMONG} stand for {DEPTH} candidates in an index: a tenth of the anchors" in words
    assert "Of a larger index so many candidates hold fewer" in words
    assert f"recall@{AMONG} among {COUNT}" in report.to_markdown()
    assert report.depth == DEPTH
    best = max(row.evaluation.recall.mean for row in report.rows[:2])
    chosen = next(row.evaluation.recall for row in report.rows if row.method == report.chosen)
    assert chosen.high >= best
    assert {row.evaluation.depth for row in (*report.rows, *report.unlike.rows)} == {AMONG}
    assert all(row.evaluation.recall.mean >= row.evaluation.neighbors.mean for row in report.rows)
    assert chosen.mean == pytest.approx(adapter.config.score, abs=0.1)
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("depth",), None),
        (("depth",), 3),
        (("objective",), "neighbors"),
        (("rows", 0, "evaluation", "recall"), None),
        (("rows", 0, "evaluation", "depth"), None),
        (("rows", 0, "evaluation", "depth"), -1),
        (("rows", 0, "evaluation", "depth"), 16),
    ],
)
def test_a_report_that_cannot_be_true_is_refused(report: Report, place, value, refusal):
    """If it fails, a damaged report.json ends in a card with nonsense."""
    plain = report.to_dict()
    inner = plain
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    assert refusal(Report.from_dict, plain, error=InputError).startswith("report.")


def test_the_card_says_it(adapter: IRPAdapter, report: Report):
    """If it fails, a page on the Hub gives the figure of a search without how deep it was."""
    card = str(adapter_card(adapter.config, "me/x", report))
    assert f"| chosen by | recall@{AMONG} among {COUNT}, " in card
    index = yaml.safe_load(card.split("---")[1])["model-index"]
    named = {one.metric_type: one.metric_name for one in model_index_to_eval_results(index)[1]}
    assert (
        f"ten nearest neighbours by cosine that are among the first {AMONG} found among {COUNT} (95" in named["recall"]
    )
