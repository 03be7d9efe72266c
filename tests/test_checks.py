"""Checks refuse what is no such value, whatever it is, in two sentences, and give back plain values."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from irp_hf.checks import check_absent, check_alias, check_choice, check_count, check_list, check_number, quoted
from irp_hf.errors import InputError

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


@pytest.mark.parametrize("value", [2.0, None, "abc", b"abc"])
def test_a_single_value_where_several_are_expected_is_refused(refusal, value):
    """A text would be taken for its characters, and a number would end in Python's own error."""
    assert refusal(check_list, "thresholds", value, error=InputError).startswith("thresholds: expected several values")
    assert check_list("thresholds", (0.1, 0.2)) == [0.1, 0.2]
    assert "got 0" in refusal(check_list, "thresholds", [], least=1, error=InputError)


def test_options_that_mean_nothing_here(refusal):
    """They would be ignored without a word."""
    check_absent("revision", None, "it is a folder")
    assert "'main'" in refusal(check_absent, "revision", "main", "it is a folder", error=InputError)
    assert check_alias("baselines", None, "against", ["ridge"]) == ["ridge"]
    assert check_alias("baselines", ["ridge"], "against", None) == ["ridge"]
    refusal(check_alias, "baselines", ["ridge"], "against", ["ridge"], error=InputError)
    assert quoted(("a", 1)) == "'a', 1"
