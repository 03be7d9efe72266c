"""A report comes back from its dict, and nothing else does."""

import json
from dataclasses import replace
from typing import Any

import pytest
from evaluation.test_report import report
from hypothesis import given, settings
from hypothesis import strategies as st

from irp_hf.errors import InputError
from irp_hf.evaluation.report import Report, Setting


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
