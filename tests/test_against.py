"""Whom a report compares with: by name, by function, and what bad baselines are told."""

import pytest
import torch

from irp_hf import IRPAdapter
from irp_hf.against import BASELINES, DEFAULT, baseline_rows, named_fits
from irp_hf.baselines import procrustes
from irp_hf.pairs import Pairs


@pytest.fixture(scope="module")
def pairs(digits):
    return Pairs(torch.from_numpy(digits.source), torch.from_numpy(digits.target))


def middle(source, target):
    """The mean of the target's anchors for everything."""
    return lambda x: x @ source.new_zeros(source.shape[1], target.shape[1]) + target.mean(0)  # in float64 alone


def test_names_functions_and_mappings():
    """What the documentation offers would not be understood."""
    assert list(named_fits(DEFAULT)) == ["Procrustes", "ridge"]
    assert named_fits("all") == BASELINES
    assert named_fits("ridge") == {"ridge": BASELINES["ridge"]}
    assert named_fits(middle) == {"middle": middle}
    assert named_fits(["residual MLP", middle]) == {"residual MLP": BASELINES["residual MLP"], "middle": middle}
    assert named_fits({"ours": middle, "theirs": "ridge"}) == {"ours": middle, "theirs": BASELINES["ridge"]}
    assert named_fits([]) == {}


@pytest.mark.parametrize("against", ["Ridge", ["procrustes"], [None], 3, {"mine": 4}])
def test_what_is_no_baseline_is_refused(refusal, against):
    """A misspelt name would end in a long traceback after minutes of measuring."""
    text = refusal(named_fits, against)
    assert text.startswith("against has ")
    assert "'Procrustes', 'ridge', 'least squares', 'orthogonalized least squares'" in text


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

    rows = list(baseline_rows(pairs, named_fits([middle, other]), None, seed=0))
    assert [row.method for row in rows] == ["middle", "other"]
    assert rows[0].cost.multiply_adds is None
    assert rows[1].evaluation.cosine.mean > rows[0].evaluation.cosine.mean


@pytest.mark.parametrize("wrong", [lambda x: x, lambda x: None, lambda x: torch.full((len(x), 24), torch.nan)])
def test_a_baseline_that_gives_no_vectors_is_refused(pairs, refusal, wrong):
    """NaN or another shape would end in an error that names no baseline, or in a wrong table."""

    def broken(source, target):
        return wrong

    assert refusal(lambda: list(baseline_rows(pairs, {"mine": broken}, None, seed=0))).startswith("mine gave ")


def test_a_report_against_all(adapters):
    """`report(against=...)` would compare with other baselines than those that were named."""
    report = adapters["kernel"].report(against=["residual MLP", procrustes], progress=False)
    assert {row.method for row in report.rows} == {"kernel", "whitened", "pruned (paper)", "residual MLP", "procrustes"}
    assert "residual MLP" in str(report)
    unseen = adapters["kernel"].report(against={"middle": middle}, progress=False)
    line = next(line for line in str(unseen).splitlines() if "middle" in line)
    assert line.endswith(f"{unseen.rows[-1].cost.microseconds:.2f}")
    assert type(unseen).from_dict(unseen.to_dict()) == unseen
