"""What a report compares with: by name, by function, and how bad baselines are refused."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from torch import nn

from irp_hf import IRPAdapter
from irp_hf.baselines import BASELINES, DEFAULT, procrustes
from irp_hf.errors import InputError
from irp_hf.evaluation.comparison import baseline_rows, named_baselines
from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.pairs import Pairs


@pytest.fixture(scope="module")
def pairs(digits):
    return Pairs(torch.from_numpy(digits.source[:60]), torch.from_numpy(digits.target[:60]))


def middle(source, target):
    """The mean of the target's anchors for everything."""
    return lambda x: x @ source.new_zeros(source.shape[1], target.shape[1]) + target.mean(0)  # in float64 alone


def test_names_functions_and_mappings():
    """What the documentation offers would not be understood."""
    assert list(named_baselines(DEFAULT)) == ["Procrustes", "ridge"]
    assert named_baselines("all") == BASELINES
    assert named_baselines("ridge") == {"ridge": BASELINES["ridge"]}
    assert named_baselines(middle) == {"middle": middle}
    assert named_baselines(["residual MLP", middle]) == {"residual MLP": BASELINES["residual MLP"], "middle": middle}
    assert named_baselines({"ours": middle, "theirs": "ridge"}) == {"ours": middle, "theirs": BASELINES["ridge"]}
    assert named_baselines([]) == {}


FITTED = procrustes(torch.eye(4), torch.eye(4))


@pytest.mark.parametrize(
    ("baselines", "shown"),
    [
        ("Ridge", "'Ridge'"),
        (["procrustes"], "'procrustes'"),
        ([None], "None"),
        (3, "3"),
        ({"mine": 4}, "4"),
        (FITTED, "DirectMap("),
        ([FITTED], "DirectMap("),
    ],
)
def test_what_is_no_baseline_is_refused(refusal, baselines, shown):
    """A misspelt name would end in a long traceback after minutes of measuring."""
    text = refusal(named_baselines, baselines, error=InputError)
    assert "baselines" in text
    assert f"got {shown}" in text
    assert all(repr(name) in text for name in ("all", *BASELINES))


@pytest.mark.parametrize(
    ("baselines", "name"),
    [
        ([lambda x, y: 1, lambda x, y: 2], "<lambda>"),
        ({1: procrustes, "1": "ridge"}, "1"),
        ({"kernel": procrustes}, "kernel"),
    ],
)
def test_two_of_one_name_are_refused(refusal, baselines, name):
    """One of them would be missing from the report, or be taken for an inverse."""
    text = refusal(named_baselines, baselines, error=InputError)
    assert f"another {name!r}" in text
    assert all(inverse.title in text for inverse in INVERSES.values())


@pytest.mark.slow
def test_every_baseline_has_a_row_with_its_cost(pairs):
    """A baseline would be missing from the report, or be said to cost nothing."""
    rows = {row.method: row for row in baseline_rows(pairs, BASELINES, None, seed=0)}
    assert list(rows) == list(BASELINES)
    k, source, target = len(pairs), pairs.source.shape[1], pairs.target.shape[1]
    assert rows["ridge"].cost.multiply_adds == source * target
    assert rows["residual MLP"].cost.multiply_adds == source * target + 512 * (source + target)
    assert rows["relative decoder"].cost.multiply_adds == k * (source + 2 * target)
    assert rows["ridge"].settings.startswith("λ=")
    assert all(row.cost.stored_bytes >= 4 * row.cost.multiply_adds for row in rows.values())
    assert all(row.evaluation.cosine.mean > 0.3 for row in rows.values())


def test_baselines_of_the_users_own(pairs):
    """Only our own classes could be compared with: here a function, and another adapter."""

    def other(source, target):
        return IRPAdapter.from_anchors(source, target, method="whitened", balance=1.0, ridge=0.1)

    rows = list(baseline_rows(pairs, named_baselines([middle, other]), None, seed=0))
    assert [row.method for row in rows] == ["middle", "other"]
    assert rows[0].cost.multiply_adds is None
    assert rows[1].evaluation.cosine.mean > rows[0].evaluation.cosine.mean


def test_what_a_fit_does_to_its_anchors_stays_with_it(pairs):
    """Whoever centres in place would change what all later rows and the learning curve are measured on."""

    def in_place(source, target):
        source -= source.mean(0)
        return lambda x: x.new_ones(len(x), target.zero_().shape[1])

    before = pairs.source.clone(), pairs.target.clone()
    list(baseline_rows(pairs, {"mine": in_place}, None, seed=0))
    assert torch.equal(pairs.source, before[0])
    assert torch.equal(pairs.target, before[1])


@dataclass(frozen=True)
class Scaled:
    """A translator whose fields are not all for the asking."""

    weight: torch.Tensor
    twice: torch.Tensor = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "twice", 2 * self.weight)

    def __call__(self, x):
        return x @ self.twice


class Shifted(nn.Module):
    """A network with a plain tensor in float64."""

    def __init__(self, source, target):
        super().__init__()
        self.mean, self.linear = source.mean(0), nn.Linear(source.shape[1], target.shape[1]).double()

    def forward(self, x):
        return self.linear(x - self.mean)


def test_the_users_own_translators_are_timed_in_single_precision(pairs):
    """A dataclass or a network that translates well would end in an error where its cost is measured."""
    fits = {"scaled": lambda x, y: Scaled(torch.ones(x.shape[1], y.shape[1]).double()), "shifted": Shifted}
    scaled, shifted = baseline_rows(pairs, fits, None, seed=0)
    size = pairs.source.shape[1] * pairs.target.shape[1]
    assert (scaled.cost.multiply_adds, shifted.cost.multiply_adds) == (2 * size, size)


def fails(*_):
    raise KeyError("oops")


@pytest.mark.parametrize(
    ("fit", "words"),
    [
        (fails, ["torch.float64", "shape (54, 64)", "KeyError: 'oops'"]),
        (lambda x, y: fails, ["torch.float64", "shape (6, 64)", "KeyError: 'oops'"]),
        (lambda x, y: LinearRegression(), ["a LinearRegression", "translate"]),
        (lambda x, y: lambda z: z.numpy(), ["an ndarray", "(6, 24)"]),
        (lambda x, y: lambda z: 1j * y[: len(z)], ["torch.complex128", "(6, 24)"]),
    ],
)
def test_a_baseline_that_fails_is_named(pairs, refusal, fit, words):
    """The user would read a traceback that does not say which baseline it was."""
    text = refusal(lambda: list(baseline_rows(pairs, {"mine": fit}, None, seed=0)), error=InputError)
    assert all(word in text for word in ("'mine'", *words))


@pytest.mark.parametrize("wrong", [lambda x: x, lambda x: None, lambda x: torch.full((len(x), 24), torch.nan)])
def test_a_baseline_that_gives_no_vectors_is_refused(pairs, refusal, wrong):
    """NaN or another shape would end in an error that names no baseline, or in a wrong table."""

    def broken(source, target):
        return wrong

    assert "'mine'" in refusal(lambda: list(baseline_rows(pairs, {"mine": broken}, None, seed=0)), error=InputError)


def test_a_report_with_baselines(tuned, refusal):
    """`report(baselines=...)` would compare with others than those that were named, or its old name no longer do."""
    report = tuned.report(baselines=["residual MLP", procrustes], progress=False)
    ours = {"kernel", "whitened", "rigid", "pruned (paper)"}
    assert {row.method for row in report.rows} == {*ours, "residual MLP", "procrustes"}
    assert "residual MLP" in str(report)
    unseen = tuned.report(against={"middle": middle}, progress=False)
    line = next(line for line in str(unseen).splitlines() if "middle" in line)
    assert line.endswith(f"{unseen.rows[-1].cost.microseconds:.2f}")
    assert type(unseen).from_dict(unseen.to_dict()) == unseen
    text = refusal(tuned.report, against="all", baselines="ridge", error=InputError)
    assert "'all'" in text
    assert "baselines" in text


def test_a_baseline_that_fails_late_or_has_strange_settings(refusal):
    """If it fails, a user's own function ends the report in its own error, or the report cannot be printed."""

    def late(x, y):
        if len(x) == 40:
            raise RuntimeError("full")
        return procrustes(x, y)

    class Settings:
        settings = {"alpha": 1}

        def __init__(self, x, y):
            self.translate = procrustes(x, y).translate

    x = np.random.default_rng(0).normal(size=(40, 6))
    adapter = IRPAdapter.from_anchors(x, np.tanh(x), method="kernel", gamma=1.0, ridge=0.1)
    assert "full" in refusal(adapter.report, progress=False, baselines=[late], error=InputError)
    assert "alpha" in str(adapter.report(progress=False, baselines={"mine": Settings}))
    assert "Write 'Procrustes'." in refusal(adapter.report, progress=False, baselines=["procrustess"], error=InputError)
    refusal(adapter.report, progress=False, baselines=np.array(1), error=InputError)
