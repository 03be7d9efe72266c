"""A head that gives all rows one label: it agrees with itself whatever the translation, so that 1.000 tells nothing."""

import warnings

import pytest
import torch
from says import says
from synthetic_pairs import pairs
from torch import nn

from irp_hf import IRPAdapter
from irp_hf.analysis.anchor_budget import anchor_budget
from irp_hf.analysis.compatibility import compatibility
from irp_hf.errors import FitWarning, InputError
from irp_hf.heads import Head

PAIRS, _ = pairs(seed=0, k=400, d_x=12, d_y=10)
X, Y = PAIRS.source.float().numpy(), PAIRS.target.float().numpy()
WEIGHT = torch.randn(Y.shape[1], 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def logits(v):
    return (v.double() - torch.as_tensor(Y).mean(0)) @ WEIGHT


HEADS = {
    "a sigmoid": (lambda v: logits(v)[:, :1].sigmoid(), ["from 0 to 1", "without its last layer"]),
    "several": (Head(lambda v: logits(v).sigmoid(), problem_type="multi_label_classification"), ["from 0 to 1"]),
    "a constant": (lambda v: logits(v) + 1e3 * torch.eye(3, dtype=torch.float64)[0], ["of several labels"]),
}


@pytest.fixture(scope="module")
def adapter():
    """It has tried all inverses: no report tries them again."""
    return IRPAdapter.from_anchors(X[:80], Y[:80])


def told(call, *args, **options):
    """The warnings of a head, and what came back."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        found = call(*args, **options)
    return [str(one.message) for one in seen if one.category is FitWarning and "The head" in str(one.message)], found


@pytest.mark.parametrize(("head", "words"), HEADS.values(), ids=HEADS)
def test_one_label_is_told_wherever_agreement_is_measured(adapter, head, words):
    """Nobody would look twice at an agreement of 1.000."""
    said, found = told(adapter.evaluate, X[300:], Y[300:], head=head)
    assert found.agreement.mean == 1
    assert len(said) == 1
    assert says(said[0], "all 100 rows the same label", *words)

    said, report = told(adapter.report, head=head, progress=False, baselines=[])
    assert [says(text, "all 80 held-out anchors the same label", *words) for text in said] == [True]
    assert [doubt.words for doubt in report.doubts if doubt.kind == "labels"] == said
    assert "the same label" in str(report)

    said, _ = told(anchor_budget, X[:150], Y[:150], sizes=[60], method="whitened", head=head, num_repeats=1)
    assert [says(text, "the same label", *words) for text in said] == [True]
    said, _ = told(compatibility, {"x": X[:90], "y": Y[:90]}, method="whitened", heads={"y": head}, progress=False)
    assert [says(text, "anchors of 'y' the same label", *words) for text in said] == [True]


def test_a_fit_by_agreement_tells_it_once(adapter):
    """A report of it would say the same thing twice."""
    head = HEADS["a sigmoid"][0]
    said, fitted = told(IRPAdapter.from_anchors, X[:99], Y[:99], method="whitened", objective="agreement", head=head)
    assert says(said[0], "the same label", "from 0 to 1")
    _, report = told(fitted.report, head=head, progress=False, baselines=[])
    assert [doubt.kind for doubt in report.doubts].count("labels") == 1


def test_a_head_of_several_labels_is_not_told(adapter):
    """Of logits, of one or several, and of probabilities whose largest is the label."""
    for head in (logits, lambda v: logits(v)[:, :1], lambda v: logits(v).softmax(1)):
        assert told(adapter.evaluate, X[300:], Y[300:], head=head)[0] == []
        assert told(adapter.report, head=head, progress=False, baselines=[])[0] == []


def test_a_layer_that_leaves_no_sign_is_refused(adapter, refusal):
    """Known for certain, before any figure is given."""
    head = nn.Sequential(nn.Linear(Y.shape[1], 1), nn.Sigmoid())
    for call in (lambda: adapter.evaluate(X[300:], Y[300:], head=head), lambda: adapter.report(head=head)):
        assert says(refusal(call, error=InputError), "The head", "Sigmoid", "without its last layer")
