"""A report comes back from its dict, and nothing else does."""

import json
from dataclasses import replace
from typing import Any

import pytest
from evaluation.test_report import report
from hypothesis import given, settings
from hypothesis import strategies as st

from irp_hf.errors import InputError
from irp_hf.evaluation.chosen import Setting
from irp_hf.evaluation.report import Report


@pytest.mark.parametrize("agreement", [None, 0.9])
def test_a_report_comes_back_from_its_dict(agreement: float | None):
    """A card made again of the saved numbers would say something else."""
    first = report(agreement)
    bare = replace(first, learning_curve=(), reliability=None, finalists=(Setting("gamma=2", 0.5),))
    for one in (first, first.untimed(), bare):
        again = Report.from_dict(json.loads(json.dumps(one.to_dict())))
        assert again == one
        assert again.to_dict() == one.to_dict()
        assert str(again) == str(one)


def test_times_are_left_out_of_what_is_published():
    """One machine's speed would stand beside figures that are everybody's."""
    text = report().untimed().to_markdown()
    assert "µs" not in text
    assert "| 1.15 M | 4.61 MB |" in text
    assert "µs" in report().to_markdown()


SHARED: dict[str, Any] = {"given": 1000, "sources": 900, "targets": 800, "groups": 700, "by": "both"}
WRONG: dict[str, tuple[tuple[Any, ...], Any, list[str]]] = {
    "type": (("num_anchors",), "1000", ["report.num_anchors", "a whole number", "'1000'"]),
    "bool": (("num_anchors",), True, ["report.num_anchors", "a whole number", "True"]),
    "fraction": (("num_anchors",), 1.5, ["report.num_anchors", "a whole number", "1.5"]),
    "nan": (("score",), float("nan"), ["report.score", "a finite number", "nan"]),
    "huge": (("score",), 10**400, ["report.score", "a finite number"]),
    "list": (("rows",), {}, ["report.rows", "a list", "{}"]),
    "none": (("rows",), None, ["report.rows", "a list", "None"]),
    "inner": (("rows", 1, "evaluation", "cosine"), 0.5, ["report.rows[1].evaluation.cosine", "a dictionary", "0.5"]),
    "unknown": (("rows", 0, "cost", "speed"), 1, ["report.rows[0].cost", "'speed'", "stored_bytes"]),
    "chosen": (("chosen",), "magic", ["report.chosen", "'magic'"]),
    "objective": (("objective",), "luck", ["report.objective", "'luck'", "'neighbors'"]),
    "finalists": (("finalists",), [], ["report.finalists", "1 or 2", "got 0"]),
    "curve": (("learning_curve", 0, "num_anchors"), 800, ["report.learning_curve", "[800, 400, 800]"]),
    "kinds": (
        ("learning_curve", 0, "evaluation", "agreement"),
        {"mean": 1, "low": 1, "high": 1},
        ["report.learning_curve", "agreement"],
    ),
    "pairs": (("reliability", "true"), [0.5], ["report.reliability", "[3, 1]"]),
    "digits": (("num_anchors",), 10**5000, ["report.num_anchors", "a whole number", "16,610 bits"]),
    "digits of a float": (("score",), 10**5000, ["report.score", "a finite number", "16,610 bits"]),
    "astronomic": (
        ("rows", 0, "cost", "stored_bytes"),
        10**18,
        ["report.rows[0].cost.stored_bytes", "1000000000000000000"],
    ),
    "negative": (("num_anchors",), -1000, ["report.num_anchors", "at least 1", "-1000"]),
    "none left": (("source_width",), 0, ["report.source_width", "at least 1", "got 0"]),
    "cost": (("rows", 1, "cost", "multiply_adds"), -5, ["report.rows[1].cost.multiply_adds", "at least 0", "-5"]),
    "time": (("rows", 1, "cost", "microseconds"), -5.0, ["report.rows[1].cost.microseconds", "at least 0", "-5.0"]),
    "score": (("score",), 1.5, ["report.score", "from -1 to 1", "1.5"]),
    "setting": (("finalists", 0, "score"), -7.0, ["report.finalists[0].score", "from -1 to 1", "-7.0"]),
    "pool": (("rows", 2, "evaluation", "num_rows"), 2_000_000, ["report.rows", "among 1000 anchors", "2000000"]),
    "MRR's pool": (
        ("rows", 0, "evaluation", "mrr_among"),
        0,
        ["report.rows[0].evaluation.mrr_among", "from 1", "got 0"],
    ),
    "pool of all": (
        ("rows", 0, "evaluation", "mrr_among"),
        2000,
        ["report.rows[0].evaluation.mrr_among", "1000", "2000"],
    ),
    "other pools": (("rows", 0, "evaluation", "mrr_among"), 50, ["report.rows", "MRR among as many rows", "[100, 50]"]),
    "curve's pool": (("learning_curve", 0, "evaluation", "num_rows"), 5000, ["report.learning_curve", "1000", "5000"]),
    "curve's anchors": (("learning_curve", 2, "num_anchors"), 2000, ["report.learning_curve", "1000", "2000"]),
    "share": (
        ("rows", 0, "evaluation", "neighbors"),
        {"mean": 2000.0, "low": 1999.0, "high": 2001.0},
        ["report.rows[0].evaluation.neighbors.low", "from 0 to 1", "1999.0"],
    ),
    "below": (
        ("rows", 0, "evaluation", "mrr"),
        {"mean": 0.1, "low": -0.3, "high": 0.2},
        ["report.rows[0].evaluation.mrr.low", "from 0 to 1", "-0.3"],
    ),
    "upside down": (
        ("rows", 0, "evaluation", "cosine"),
        {"mean": 0.5, "low": 0.6, "high": 0.4},
        ["report.rows[0].evaluation.cosine.mean", "from low to high", "[0.6, 0.5, 0.4]"],
    ),
    "interval of nothing": (
        ("rows", 0, "evaluation", "cosine", "low"),
        float("nan"),
        ["report.rows[0].evaluation.cosine.low", "a finite number", "nan"],
    ),
    "expected": (("reliability", "expected", 1), 3.0, ["report.reliability.expected", "from -1 to 1", "3.0"]),
    "groups": (("reliability", "groups"), [1, 2], ["report.reliability.groups", "[3, 2]"]),
    "copies": (("shared",), SHARED | {"given": 10}, ["report.shared.given", "at least 1000", "got 10"]),
    "distinct": (("shared",), SHARED | {"sources": 2000}, ["report.shared.sources", "from 1 to 1000", "2000"]),
    "no group": (("shared",), SHARED | {"groups": 0}, ["report.shared.groups", "from 1 to 1000", "got 0"]),
    "grouped by": (("shared",), SHARED | {"by": "magic"}, ["report.shared.by", "'row'", "'magic'"]),
}


@pytest.mark.parametrize(("place", "value", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_named_with_its_place(refusal: Any, place: tuple[Any, ...], value: Any, words: list[str]):
    """A damaged report.json would end in a foreign error, or in a card with nonsense."""
    plain = report().to_dict()
    inner: Any = plain
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    text = refusal(Report.from_dict, plain, error=InputError)
    assert all(word in text for word in words)
    assert "to_dict" in text


def test_what_rounding_leaves_is_read():
    """A cosine of 1 + 1e-16, and an interval whose mean lies a rounding beyond, come of real rows."""
    plain = report().to_dict()
    plain["rows"][0]["evaluation"]["cosine"] = {"mean": 1 + 2e-16, "low": 1 + 4e-16, "high": 1 + 4e-16}
    plain["shared"] = SHARED
    plain["reliability"]["groups"] = [0, 0, 1]
    assert Report.from_dict(plain).to_dict() == plain


def test_a_missing_value_is_named(refusal: Any):
    """An older or a cut file would end in a foreign error."""
    plain = report().to_dict()
    del plain["rows"][2]["cost"]["stored_bytes"]
    text = refusal(Report.from_dict, plain, error=InputError)
    assert "report.rows[2].cost" in text
    assert "'stored_bytes'" in text


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
PARTS = [("rows", 0), ("rows", 0, "evaluation"), ("learning_curve", 1), ("reliability",), ("finalists", 0), ("rows",)]


@settings(max_examples=60)
@given(ANYTHING)
def test_nothing_else_is_a_report(plain: Any):
    """Any other file would end in a foreign error."""
    with pytest.raises(InputError):
        Report.from_dict(plain)


@settings(max_examples=60)
@given(st.sampled_from(PARTS), ANYTHING)
def test_any_part_may_be_wrong(place: tuple[Any, ...], value: Any):
    """A foreign error for one of many ways in which a file is damaged; where it is still whole, it prints."""
    plain: Any = report().to_dict()
    inner = plain
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    try:
        read = Report.from_dict(plain)
    except InputError:
        return
    assert str(read)
    assert read.to_markdown()
