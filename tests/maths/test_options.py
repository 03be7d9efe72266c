"""Options are checked by name, type, range and owner before any work; heads are asked for labels alone."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from torch import nn

from irp_hf.checks import check_list
from irp_hf.errors import InputError
from irp_hf.heads.labels import head_labels
from irp_hf.maths.options import BELONGS_TO, COUNTS, RANGES, check_given, check_method, check_objective
from irp_hf.maths.selection import METHODS
from irp_hf.maths.tuning import Given

NO_NUMBERS = ["1", [1], {}, complex(1), True, np.True_, np.array(0.5), torch.tensor(0.5)]
METHOD_WORDS = "; one of 'auto', 'kernel', 'whitened', 'pruned' is wanted. Choose one of them."
OBJECTIVE_WORDS = "; one of 'cosine', 'neighbors', 'agreement' is wanted. Choose one of them."


def owner(name: str) -> str:
    return BELONGS_TO.get(name, METHODS)[0]


def test_auto_is_all_methods():
    """One inverse would never be tried."""
    assert check_method("auto") == METHODS
    assert [check_method(name) for name in METHODS] == [(name,) for name in METHODS]


@pytest.mark.parametrize("method", ["foo", "Kernel", None, 1, ["kernel"], {}])
def test_an_unknown_method_is_refused(method, refusal):
    """A typing error would end deep inside, or choose something else."""
    assert refusal(check_method, method, error=InputError) == f"method is {method!r}{METHOD_WORDS}"


@pytest.mark.parametrize("objective", ["foo", "mrr", None, 1, ["cosine"], {}])
def test_an_unknown_objective_is_refused(objective, refusal):
    """A typing error would select by something else."""
    words = refusal(check_objective, objective, None, error=InputError)
    assert words == f"objective is {objective!r}{OBJECTIVE_WORDS}"


def test_agreement_wants_a_head(refusal):
    """There would be nothing to agree with."""
    assert refusal(check_objective, "agreement", None, error=InputError) == (
        "objective is 'agreement' and head is None; a head is wanted, to agree with. Give head=, or choose 'cosine'."
    )
    assert check_objective("agreement", nn.Identity()) == "agreement"


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("value", [*NO_NUMBERS, np.nan, np.inf, -np.inf, -1, -1e-9, 1e7, 10**400])
def test_a_number_out_of_range_is_refused(name, value, refusal):
    """NaN, strings or a negative ridge would reach the solver."""
    assert refusal(check_given, owner(name), **{name: value}, error=InputError).startswith(f"{name} is ")


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [*NO_NUMBERS, np.nan, np.inf, -1, 1.0, 1.5, np.float64(1), 10**400])
def test_a_count_that_is_none_is_refused(name, value, refusal):
    """Half a subspace, or more of them than memory holds, would be asked for."""
    assert refusal(check_given, owner(name), **{name: value}, error=InputError).startswith(f"{name} is ")


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("kernel", {"gamma": 0}, "gamma is 0; a number above 0 and at most 1000 is wanted. Correct it."),
        (
            "whitened",
            {"ridge": -2},
            "ridge is -2; a number at least 0 and at most 1e+06 is wanted. Correct it.",
        ),
        (
            "whitened",
            {"balance": 1.5},
            "balance is 1.5; a number at least 0 and at most 1 is wanted. Correct it.",
        ),
        (
            "auto",
            {"restoration": "½"},
            "restoration is '½'; a number at least 0 and at most 1 is wanted. Correct it.",
        ),
        (
            "pruned",
            {"num_subspaces": 0},
            "num_subspaces is 0; a whole number of at least 1 and at most 10000 is wanted. Correct it.",
        ),
        (
            "kernel",
            {"ridge": 0},
            "ridge is 0; the kernel inverse wants at least 1e-12. Give a small one, 1e-6 say.",
        ),
        (
            "auto",
            {"ridge": 0.0},
            "ridge is 0; the kernel inverse wants at least 1e-12. Give a small one, 1e-6 say.",
        ),
        (
            "kernel",
            {"balance": 0.5},
            "balance is given with method='kernel'; it belongs to 'whitened'. Remove it or choose that method.",
        ),
        (
            "pruned",
            {"ridge": 0.5},
            "ridge is given with method='pruned'; it belongs to 'kernel' and "
            "'whitened'. Remove it or choose that "
            "method.",
        ),
        (
            "auto",
            {"delta": 0.5},
            "delta is no option; the options are gamma, ridge, balance, restoration, lift, "
            "pruning_threshold, num_landmarks, num_subspaces, seed. Remove it or correct its name.",
        ),
    ],
)
def test_the_words_of_a_refusal(method, options, words, refusal):
    """The texts are a contract: what was given, what is wanted, what to do."""
    assert refusal(check_given, method, **options, error=InputError) == words


@pytest.mark.parametrize("name", BELONGS_TO)
@pytest.mark.parametrize("method", METHODS)
def test_an_option_of_another_method_is_refused(name, method, refusal):
    """It would be ignored without a word."""
    if method in BELONGS_TO[name]:
        assert getattr(check_given(method, **{name: 1}), name) == 1
    else:
        words = refusal(check_given, method, **{name: 1}, error=InputError)
        assert words.startswith(f"{name} is given with method={method!r}; it belongs to ")
    assert getattr(check_given("auto", **{name: 1}), name) == 1


@pytest.mark.filterwarnings("error")  # numpy warns where float16 meets a bound that it cannot hold
@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), np.float64(1), np.float16(1), np.int64(1), Fraction(1)])
@pytest.mark.parametrize("name", RANGES)
def test_every_kind_of_number_is_a_plain_float_afterwards(name, value):
    """Numpy scalars would be refused, or break the JSON of the configuration."""
    assert repr(getattr(check_given("auto", **{name: value}), name)) == "1.0"


@pytest.mark.parametrize("value", [7, np.int64(7), np.int32(7), np.uint8(7)])
@pytest.mark.parametrize("name", COUNTS)
def test_every_kind_of_whole_number_is_a_plain_int_afterwards(name, value):
    """Numpy scalars would be refused, or break the JSON of the configuration."""
    assert repr(getattr(check_given("auto", **{name: value}), name)) == "7"


def test_none_means_not_given():
    """`gamma=None` passed on by a caller would be refused."""
    assert check_given("kernel", gamma=None, balance=None, seed=None) == Given()


def test_bounds_that_are_allowed():
    """The ends of the ranges would be refused."""
    assert check_given("whitened", ridge=0, balance=0, restoration=1) == Given(ridge=0, balance=0, restoration=1)
    assert check_given("pruned", pruning_threshold=1, num_subspaces=1, seed=2**63 - 1).pruning_threshold == 1


VECTORS = torch.randn(20, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_module_gives_its_argmax_in_its_own_dtype(dtype):
    """A head in half precision would fail on the float64 vectors of a fit."""
    head = nn.Linear(6, 3).to(dtype)
    assert torch.equal(head_labels(head)(VECTORS), head(VECTORS.to(dtype)).argmax(1))


def test_callables_and_binary_logits():
    """One logit is a binary head: argmax would call everything 0."""
    assert torch.equal(head_labels(lambda v: v[:, :1])(VECTORS), (VECTORS[:, 0] > 0).long())
    assert torch.equal(head_labels(lambda v: v.numpy())(VECTORS), VECTORS.argmax(1))


@pytest.mark.parametrize("kind", [int, str, bool])
def test_a_fitted_classifier_gives_its_own_classes(kind):
    """Labels that are words, or do not count from 0, would not compare."""
    y = (VECTORS[:, 0] > 0).numpy().astype(int) + (0 if kind is bool else 3)
    head = LogisticRegression(C=100).fit(VECTORS.numpy(), y.astype(kind))
    assert torch.equal(head_labels(head)(VECTORS), (VECTORS[:, 0] > 0).long())


def test_a_head_is_asked_in_evaluation_mode_and_left_as_it_was():
    """Dropout would make the labels random, and batch norm would learn from our questions."""
    head = nn.Sequential(nn.BatchNorm1d(6), nn.Dropout(0.9), nn.Linear(6, 3)).train()
    head[2].eval()
    before = {name: value.clone() for name, value in head.state_dict().items()}
    labels = head_labels(head)
    assert torch.equal(labels(VECTORS), labels(VECTORS))
    assert [module.training for module in head.modules()] == [True, True, True, False]
    assert all(torch.equal(before[name], value) for name, value in head.state_dict().items())


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (3, "a int"),
        ("classifier", "a str"),
        (LogisticRegression(), "a LogisticRegression"),
        (KMeans(2, n_init=1).fit(VECTORS.numpy()), "a KMeans"),
        (LogisticRegression, "the class LogisticRegression"),
        (nn.Identity, "the class Identity"),
    ],
)
def test_what_is_no_head_is_refused_at_once(head, kind, refusal):
    """It would fail only after minutes of fitting."""
    assert refusal(head_labels, head, error=InputError) == (
        f"head is {kind}; an nn.Module, a callable or a fitted classifier is wanted. Give one of them."
    )


@pytest.mark.parametrize(
    "head",
    [
        nn.Linear(5, 3),
        nn.Embedding(3, 3),
        LogisticRegression().fit(np.random.RandomState(0).randn(10, 3), [0, 1] * 5),
        lambda v: None,
        lambda v: "abc",
        lambda: None,
    ],
    ids=["width", "kind", "classifier", "none", "text", "arguments"],
)
def test_a_head_that_fails_is_named(head, refusal):
    """A head of the wrong width would end in torch's words about mat1 and mat2."""
    words = refusal(head_labels(head), VECTORS, error=InputError)
    assert words.startswith("head failed on vectors of shape (20, 6): ")
    assert words.endswith(". Give a head that reads the target's vectors.")


def test_a_head_without_logits_is_refused(refusal):
    """Labels, too few rows or NaN would be compared as if they were logits."""
    assert refusal(head_labels(lambda v: v[:, 0]), VECTORS, error=InputError) == (
        "head gave shape (20,) for 20 vectors; logits (n, classes) are wanted. Give a head that returns them."
    )
    assert refusal(head_labels(lambda v: v[:3]), VECTORS, error=InputError).startswith("head gave shape (3, 6)")
    assert refusal(head_labels(lambda v: v * np.nan), VECTORS, error=InputError) == (
        "head gave NaN for 20 vectors; numbers are wanted. Check its weights."
    )


def test_a_classifier_that_predicts_another_number_of_labels_is_refused():
    """If it fails, one label is compared with all of them and the agreement is a perfect 1."""

    class OneLabel:
        classes_ = np.array([0, 1])

        def predict(self, x):
            return np.zeros(1, dtype=int)

    with pytest.raises(InputError, match=r"head predicted shape \(1,\) for 5 vectors"):
        head_labels(OneLabel())(torch.zeros(5, 2).double())


@pytest.mark.parametrize("value", [2.0, None, "abc"])
def test_a_single_value_where_several_are_wanted_is_refused(refusal, value):
    """A number for a list of numbers would end in Python's own error."""
    text = refusal(check_list, "thresholds", value)
    assert text == f"thresholds are {value!r}; several are wanted. Give a list, of one if need be."
    assert check_list("thresholds", (0.1, 0.2)) == [0.1, 0.2]
