"""All errors are worded in one way: what was expected, what came, and what to do."""

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import irp_hf
from irp_hf import errors
from irp_hf.errors import InputError, IRPError, first_line, kind_of, missing, refusal, shown

PACKAGE = Path(irp_hf.__file__).parent
FILES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.name not in ("errors.py", "hub_code.py") or path.parent != PACKAGE
)
KINDS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, IRPError)}


def called(call: ast.Call) -> str:
    """The name of what is called, without the module before it."""
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def test_both_sentences_stand():
    """If it fails, an error lacks what was expected, what came, or what to do."""
    error = refusal("gamma", "a number above 0", "-1", "Give 1, say.")
    assert str(error) == "gamma: expected a number above 0, got -1. Give 1, say."
    assert type(error) is InputError
    assert "pip install 'irp_hf[plots]'" in str(missing("A report", "matplotlib", "irp_hf[plots]"))


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(PACKAGE)) for path in FILES])
def test_nothing_is_raised_in_other_words(path):
    """If it fails, somebody worded an error by hand: users learn one grammar, and this keeps it."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    by_hand = [f"line {call.lineno}: {name}" for call in calls if (name := called(call)) in KINDS]
    asserted = [f"line {node.lineno}: assert" for node in nodes if isinstance(node, ast.Assert)]
    assert by_hand + asserted == []


@settings(deadline=None, derandomize=True)
@given(st.one_of(st.text(), st.binary(), st.lists(st.text()), st.dictionaries(st.text(), st.text())))
def test_a_value_is_shown_on_one_short_line(value):
    """If it fails, a stranger's text reaches the terminal with its escape codes and line breaks, or floods it."""
    text = shown(value)
    assert len(text) <= errors.LONGEST
    assert text.isprintable()


def test_kinds_and_foreign_errors_are_named():
    """If it fails, "a int" or an empty pair of brackets stands in the words."""
    assert [kind_of(value) for value in (None, 1, "x", [], int)] == [
        "None",
        "an int",
        "a str",
        "a list",
        "the class int",
    ]
    assert first_line(ValueError("one.\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"


class Unspeakable:
    """Its text is an error."""

    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "text"),
    [(10**5000, "16,610 bits of a whole number"), ([10**5000], "a list"), (Unspeakable(), "an Unspeakable")],
    ids=["number", "list", "object"],
)
def test_what_has_no_text_is_shown_as_what_it_is(value, text):
    """A refusal would itself end in Python's own error: the limit for the digits of a number, or whatever a class raises."""
    assert shown(value) == text
