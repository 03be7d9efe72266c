"""A head that gives probabilities: scores would be made of them a second time, and none would be near 0 or 1."""

import warnings

import pytest
import stitched
import torch
from says import says
from torch import nn
from transformers import pipeline

from irp_hf.heads import Head

LAYER = nn.Linear(stitched.WIDTH, 3)
ONE = nn.Linear(stitched.WIDTH, 1)
SQUASHED = {
    "a last layer": nn.Sequential(LAYER, nn.Softmax(1)),
    "a sigmoid at the end": nn.Sequential(ONE, nn.Sigmoid()),
    "a softmax": lambda v: LAYER(v).softmax(1),
    "a sigmoid": lambda v: ONE(v).sigmoid(),
    "several labels": Head(lambda v: LAYER(v).sigmoid(), problem_type="multi_label_classification"),
}
FINE = {
    "logits": LAYER,
    "logarithms": nn.Sequential(LAYER, nn.LogSoftmax(1)),
    "one logit": ONE,
    "a regressor": Head(nn.Sequential(ONE, nn.Sigmoid()), problem_type="regression"),
}


def opened(head, **options):
    """A pipeline with it, and what it warns of heads."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        pipe = pipeline(
            "irp-stitch", model=stitched.identity(), encoder=stitched.embed, head=head, device="cpu", **options
        )
    return pipe, [str(one.message) for one in seen if "The head" in str(one.message)]


@pytest.mark.parametrize("head", SQUASHED.values(), ids=SQUASHED)
def test_it_is_told_with_what_to_do(head):
    """Before anything is classified; and where the head's own numbers are wanted, they come and nothing is said."""
    _, said = opened(head)
    assert [says(text, "without its last layer", "function_to_apply='none'") for text in said] == [True]
    pipe, said = opened(head, function_to_apply="none")
    assert said == []
    vectors = stitched.embed(["a text"])
    wanted = head(vectors)[0].tolist()
    found = [answer["score"] for answer in pipe("a text", top_k=None)]
    assert found == pytest.approx(sorted(wanted, reverse=True), abs=1e-4)


@pytest.mark.parametrize("head", FINE.values(), ids=FINE)
def test_logits_are_not(head):
    """Nor what a softmax leaves as it is, nor numbers of which no score is made."""
    assert opened(head)[1] == []


def test_a_head_that_fails_says_so_where_it_is_used(refusal):
    """To look at what it gives is no reason to refuse the pipeline."""

    def head(vectors):
        if len(vectors) > 1:
            raise RuntimeError("too many")
        return LAYER(vectors)

    assert len(opened(head)[0]("a text")) == 1


def test_the_head_stays_as_it_was():
    """A part in training mode would be another one afterwards."""
    head = nn.Sequential(nn.Dropout(0.5), LAYER)
    before = [torch.clone(value) for value in head.state_dict().values()]
    opened(head)
    assert all(map(torch.equal, before, head.state_dict().values()))
