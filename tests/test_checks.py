"""Checks refuse what is no such value, whatever it is, in two sentences, and give back plain values."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from says import says

from irp_hf.checks import (
    check_absent,
    check_alias,
    check_batch_size,
    check_choice,
    check_count,
    check_flag,
    check_list,
    check_number,
    check_text,
    check_workers,
    quoted,
    written,
)
from irp_hf.errors import InputError, kind_of, shown

STRANGE = [
    None,
    True,
    np.True_,
    "3",
    b"3",
    [3],
    (3,),
    {},
    3j,
    np.array(3),
    np.array([3.0]),
    torch.tensor(3),
    object(),
    float,
]


@pytest.mark.parametrize("value", [*STRANGE, 2.0, 2.5, np.float64(2), float("nan"), float("inf"), 0, -1, 10**400])
def test_what_is_no_count_is_refused(value, refusal):
    """It would end in a TypeError of whatever uses it, or be rounded without a word."""
    words = refusal(check_count, "batch_size", value, most=100, error=InputError)
    assert words.startswith("batch_size: expected a whole number from 1 to 100, got ")


@settings(deadline=None, derandomize=True)
@given(st.integers(-5, 105))
def test_counts_are_taken_in_their_bounds_alone(value):
    """A bound would be off by one."""
    if 0 <= value <= 100:
        assert check_count("n", np.int64(value), 0, 100) == value
        assert type(check_count("n", np.int64(value), 0, 100)) is int
    else:
        with pytest.raises(InputError):
            check_count("n", value, 0, 100)


@pytest.mark.parametrize(
    "value", [*STRANGE, float("nan"), float("inf"), -float("inf"), -1e-9, 1.0 + 1e-9, 10**400, -(10**400)]
)
def test_what_is_no_number_is_refused(value, refusal):
    """NaN passes every comparison that asks whether a value is wrong."""
    assert refusal(check_number, "share", value, 0, 1, error=InputError).startswith("share: expected a number")


@pytest.mark.parametrize("value", [1, 0.5, np.float16(0.5), np.float32(1), np.int64(1), Fraction(1, 2), Decimal("0.5")])
def test_every_kind_of_number_is_a_plain_float(value, refusal):
    """Numpy's numbers would be refused, or break the JSON that they are saved in; a Decimal would fail in a sum."""
    if isinstance(value, Decimal):
        refusal(check_number, "share", value, error=InputError)
    else:
        assert repr(check_number("share", value, 0, 1)) in ("0.5", "1.0")


def test_open_and_closed_bounds():
    """A learning rate of 0, or a share of 1, would pass or be refused against the words."""
    assert check_number("x", 0, 0) == 0.0
    assert check_number("x", 1, above=0, below=2) == 1.0
    for bounds in ({"above": 1}, {"below": 1}, {"least": 1.5}, {"most": 0.5}):
        with pytest.raises(InputError):
            check_number("x", 1, **bounds)


@pytest.mark.parametrize("value", ["b", "A", "", None, 1, ["a"], {}, np.array(["a", "a"])])
def test_what_is_no_choice_is_refused(value, refusal):
    """An array would raise Python's own error when it is compared."""
    assert refusal(check_choice, "strategy", value, ("a", "c"), error=InputError).startswith(
        "strategy: expected one of 'a', 'c', got "
    )
    assert check_choice("strategy", "a", ("a", "c")) == "a"
    assert type(check_choice("strategy", np.str_("a"), ("a", "c"))) is str


@pytest.mark.parametrize("value", [True, 1.0, "1", 3])
def test_what_is_equal_and_no_choice_is_refused(value, refusal):
    """Python takes True for 1: it would be chosen by accident."""
    assert f"got {value!r}. " in refusal(check_choice, "level", value, (1, 2), error=InputError)


@pytest.mark.parametrize("value", [*STRANGE[2:], 0, 1, "no", ""])
def test_what_is_no_flag_is_refused(value, refusal):
    """A "no" would be taken for True."""
    assert refusal(check_flag, "normalize", value, error=InputError).startswith(
        "normalize: expected True or False, got "
    )
    assert check_flag("normalize", True) is True


@pytest.mark.parametrize("value", [value for value in STRANGE if not isinstance(value, str)])
def test_what_is_no_text_is_refused(value, refusal):
    """Bytes would be written as b'…', and a number fail where it is joined."""
    assert refusal(check_text, "prompt", value, error=InputError).startswith("prompt: expected a text, got ")
    assert check_text("prompt", "") == ""


@pytest.mark.parametrize("value", [2.0, None, "abc", b"abc", np.array(1), torch.tensor(1)])
def test_a_single_value_where_several_are_expected_is_refused(refusal, value):
    """A text would be taken for its characters, and a number would end in Python's own error."""
    assert refusal(check_list, "thresholds", value, error=InputError).startswith("thresholds: expected several values")
    assert check_list("thresholds", (0.1, 0.2)) == [0.1, 0.2]
    assert "got 0" in refusal(check_list, "thresholds", [], least=1, error=InputError)


def test_options_that_mean_nothing_here(refusal):
    """They would be ignored without a word."""
    check_absent("revision", None, "it is a folder")
    text = refusal(check_absent, "token", "hf_secret", "it is a folder", show=kind_of, error=InputError)
    assert "token" in text
    assert "secret" not in text
    assert "'main'" in refusal(check_absent, "revision", "main", "it is a folder", error=InputError)
    assert check_alias("baselines", None, "against", ["ridge"]) == ["ridge"]
    assert check_alias("baselines", ["ridge"], "against", None) == ["ridge"]
    refusal(check_alias, "baselines", ["ridge"], "against", ["ridge"], error=InputError)
    assert quoted(("a", 1)) == "'a', 1"


@pytest.mark.parametrize(("check", "least", "most"), [(check_batch_size, 1, 2**31 - 1), (check_workers, 0, 1024)])
def test_counts_that_no_machine_has(refusal, check, least, most):
    """A slip of the keyboard starts a million processes, or ends in an error of the library that counts with 32 bits."""
    for value in (least - 1, most + 1, 10**400, 2.5, "3", None, True):
        assert says(refusal(check, value, error=InputError), least, most, shown(value))
    assert (check(least), check(np.int64(most))) == (least, most)


@pytest.mark.parametrize(
    ("value", "meant"),
    [("neighbours", "neighbors"), ("Neighbors", "neighbors"), ("cosin", "cosine"), ("agreemnt", "agreement")],
)
def test_a_misspelt_choice_is_told_the_one_that_was_meant(value, meant, refusal):
    """Whoever writes British English would have to find a letter that is missing."""
    words = refusal(check_choice, "objective", value, ("cosine", "neighbors", "agreement"), error=InputError)
    assert words.endswith(f"got {value!r}. Write {meant!r}.")
    saved = refusal(
        check_choice, "x", value, ("neighbors", "cosine", "agreement"), "Save it.", typed=False, error=InputError
    )
    assert saved.endswith(" Save it.")  # nobody wrote it by hand


def test_what_is_like_no_choice_gets_the_advice(refusal):
    """A word that is far from all choices would be taken for one of them."""
    assert refusal(check_choice, "objective", "mrr", ("cosine", "neighbors"), error=InputError).endswith(
        " Choose one of them."
    )
    assert written("Relative Map", ("kernel", "relative_map"), "Leave it out.") == "Write 'relative_map'."
    assert written("Procrustes", ("ridge", "procrustes"), "Leave it out.") == "Write 'procrustes'."
    assert written(7, ("ridge", 7), "Leave it out.") == "Leave it out."
