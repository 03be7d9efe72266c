"""What is asked of a fit is checked by name, type, range and owner before any work; ranges stand on the inverses' fields."""

from fractions import Fraction
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch

from irp_hf.errors import InputError
from irp_hf.maths.inverses import INVERSES, KernelInverse, PrunedInverse, WhitenedInverse
from irp_hf.maths.request import (
    GENERAL,
    OBJECTIVES,
    FitOptions,
    Given,
    InverseOptions,
    Method,
    MethodOrAuto,
    check_given,
    check_objective,
    half_given,
    hyperparameters,
    make_inverse,
    methods_of,
)

NO_NUMBERS = ["1", [1], {}, complex(1), True, np.True_, np.array(0.5), torch.tensor(0.5)]
OWNERS = {name: list(owners) for name, owners in hyperparameters().items()}
PARAMETERS = {name: next(iter(owners.values())) for name, owners in hyperparameters().items()} | GENERAL
COUNTS = [name for name, parameter in PARAMETERS.items() if parameter.whole]
NUMBERS = [name for name in PARAMETERS if name not in COUNTS]


def owner(name: str) -> str:
    return OWNERS.get(name, ["auto"])[0]


def test_auto_is_all_methods():
    """One inverse would never be tried."""
    assert methods_of("auto") == tuple(INVERSES)
    assert {"kernel", "whitened", "pruned"} <= {*INVERSES}
    assert [methods_of(name) for name in INVERSES] == [(name,) for name in INVERSES]


def test_editors_complete_what_there_is():
    """An inverse or an option that exists would be marked as an error, or one that does not would be proposed."""
    assert get_args(Method) == tuple(INVERSES)
    assert get_args(MethodOrAuto) == ("auto", *INVERSES)
    assert {*get_type_hints(InverseOptions)} == {*hyperparameters(), "seed"}
    assert {*get_type_hints(FitOptions)} == {*hyperparameters(), *GENERAL, "folds"}


@pytest.mark.parametrize("method", ["foo", "Kernel", None, 1, ["kernel"], {}])
def test_an_unknown_method_is_refused(method, refusal):
    """A typing error would end deep inside, or choose something else."""
    words = refusal(methods_of, method, error=InputError)
    assert words.startswith("method: expected one of 'auto', ")
    assert all(repr(name) in words for name in INVERSES)
    assert repr(method) in words


@pytest.mark.parametrize("objective", ["foo", "mrr", None, 1, ["cosine"], {}])
def test_an_unknown_objective_is_refused(objective, refusal):
    """A typing error would select by something else."""
    words = refusal(check_objective, objective, False, error=InputError)
    assert words.startswith("objective: expected one of 'cosine', 'neighbors', 'recall', 'retrieval', 'agreement'")
    assert repr(objective) in words


def test_agreement_wants_a_head(refusal):
    """There would be nothing to agree with."""
    assert refusal(check_objective, "agreement", False, error=InputError).startswith("head: ")
    assert check_objective("agreement", True) == "agreement"


@pytest.mark.parametrize("objective", [name for name in OBJECTIVES if name != "recall"])
def test_a_depth_is_of_recall_alone(objective, refusal):
    """Somebody would think that so many candidates decided, where nobody looked at any."""
    words = refusal(check_objective, objective, True, 50, error=InputError)
    assert words.startswith("depth: ")
    assert "50" in words
    assert repr(objective) in words
    assert "objective='recall'" in words
    assert check_objective("recall", False, 50) == "recall"
    assert check_objective(objective, True, None) == objective


@pytest.mark.parametrize("depth", [0, -1, 9, 10**6 + 1, 10**9, 1e9, 50.0, "100", True, [100]])
def test_a_depth_that_holds_no_ten_or_is_no_number_is_refused(depth, refusal):
    """Of five candidates no more than half of the ten nearest can be kept; a text would end in the middle of a fit."""
    words = refusal(check_given, "auto", depth=depth, error=InputError)
    assert words.startswith("depth: expected a whole number from 10 to 1000000")
    assert repr(depth) in words


def test_a_half_has_no_depth(refusal):
    """The halves of an inverse would take what they know nothing of."""
    assert refusal(half_given, "kernel", depth=50, error=InputError).startswith("depth: ")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [*NO_NUMBERS, np.nan, np.inf, -np.inf, -1, -1e-9, 1e7, 10**400])
def test_a_number_out_of_range_is_refused(name, value, refusal):
    """NaN, strings or a negative ridge would reach the solver."""
    assert refusal(check_given, owner(name), **{name: value}, error=InputError).startswith(f"{name}: expected a number")


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [*NO_NUMBERS, np.nan, np.inf, -1, 1.0, 1.5, np.float64(1), 10**400])
def test_a_count_that_is_none_is_refused(name, value, refusal):
    """Half a subspace, or more of them than memory holds, would be asked for."""
    words = refusal(check_given, owner(name), **{name: value}, error=InputError)
    assert words.startswith(f"{name}: expected a whole number")


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("kernel", {"gamma": 0}, ["gamma", "above 0", "at most 1000", "got 0"]),
        ("whitened", {"ridge": -2}, ["ridge", "at least 0", "got -2"]),
        ("whitened", {"balance": 1.5}, ["balance", "at most 1", "got 1.5"]),
        ("auto", {"folds": "cluster"}, ["folds", "'cluster'", "'clusters'"]),
        ("kernel", {"folds": 10}, ["folds", "'rows'", "10"]),
        ("auto", {"restoration": "½"}, ["restoration", "got '½'"]),
        ("pruned", {"num_subspaces": 0}, ["num_subspaces", "from 1 to 10000", "got 0"]),
        ("kernel", {"ridge": 0}, ["ridge", "1e-12", "got 0"]),
        ("auto", {"ridge": 0.0}, ["ridge", "1e-12", "got 0.0"]),
        ("kernel", {"balance": 0.5}, ["balance", "method='kernel'", "'whitened'"]),
        ("pruned", {"ridge": 0.5}, ["ridge", "method='pruned'", "'kernel' or 'whitened'"]),
        ("auto", {"delta": 0.5}, ["'delta'", "gamma", "pruning_threshold", "restoration", "seed"]),
    ],
)
def test_a_refusal_says_what_was_expected_and_what_came(method, options, said, refusal):
    """Users could not tell which of several options was wrong, or what would be right."""
    words = refusal(check_given, method, **options, error=InputError)
    assert all(part in words for part in said), words


@pytest.mark.parametrize("name", OWNERS)
@pytest.mark.parametrize("method", INVERSES)
def test_an_option_of_another_method_is_refused(name, method, refusal):
    """It would be ignored without a word."""
    if method in OWNERS[name]:
        assert getattr(check_given(method, **{name: 1}), name) == 1
    else:
        assert refusal(check_given, method, **{name: 1}, error=InputError).startswith(f"{name}: ")
    assert getattr(check_given("auto", **{name: 1}), name) == 1


@pytest.mark.filterwarnings("error")  # numpy warns where float16 meets a bound that it cannot hold
@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), np.float64(1), np.float16(1), np.int64(1), Fraction(1)])
@pytest.mark.parametrize("name", NUMBERS)
def test_every_kind_of_number_is_a_plain_float_afterwards(name, value):
    """Numpy scalars would be refused, or break the JSON of the configuration."""
    assert repr(getattr(check_given("auto", **{name: value}), name)) == "1.0"


@pytest.mark.parametrize("value", [12, np.int64(12), np.int32(12), np.uint8(12)])
@pytest.mark.parametrize("name", COUNTS)
def test_every_kind_of_whole_number_is_a_plain_int_afterwards(name, value):
    """Numpy scalars would be refused, or break the JSON of the configuration."""
    assert repr(getattr(check_given("auto", **{name: value}), name)) == "12"


def test_none_means_not_given():
    """`gamma=None` passed on by a caller would be refused."""
    assert check_given("kernel", gamma=None, balance=None, seed=None) == Given()


def test_bounds_that_are_allowed():
    """The ends of the ranges would be refused."""
    assert check_given("whitened", ridge=0, balance=0, restoration=1) == Given(ridge=0, balance=0, restoration=1)
    assert check_given("pruned", pruning_threshold=1, num_subspaces=1, seed=2**63 - 1).pruning_threshold == 1


def test_what_is_given_can_be_asked_by_name_alone():
    """A misspelt name in a tuner would read as "not given", and what the user fixed would be ignored."""
    assert Given(gamma=2.0).gamma == 2.0
    assert Given(gamma=2.0).ridge is None
    assert Given(gamma=2.0).but(ridge=0.1) == Given(gamma=2.0, ridge=0.1)
    with pytest.raises(AttributeError):
        _ = Given(gamma=2.0).gama


@pytest.mark.parametrize(
    ("method", "kind"), [("kernel", KernelInverse), ("whitened", WhitenedInverse), ("pruned", PrunedInverse)]
)
def test_an_inverse_by_name_has_defaults(method, kind):
    """The two halves of an inverse, made on two machines, would have other hyper-parameters."""
    assert make_inverse(method, half_given(method)) == kind()
    assert make_inverse(method, half_given(method, **({"seed": 3} if method != "whitened" else {}))) == (
        kind(seed=3) if method != "whitened" else kind()
    )


def test_auto_names_no_inverse(refusal):
    """Halves that stand alone would each choose another."""
    assert "'auto'" in refusal(half_given, "auto", error=InputError)
