"""Heads that give probabilities where logits are wanted: their labels would be wrong, and nobody would be told."""

import numpy as np
import pytest
import torch
from says import says
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import cosine_similarity, rbf_kernel
from torch import nn

from irp_hf.errors import InputError
from irp_hf.heads import Head, head_labels, open_head
from irp_hf.heads.head import MULTI

VECTORS = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
ONE, THREE = nn.Linear(8, 1), nn.Linear(8, 3)
for layer in (ONE, THREE):
    nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "end", [nn.Sigmoid(), nn.Softmax(1), nn.LogSoftmax(1), nn.LogSigmoid(), nn.Softmin(1), nn.Hardsigmoid()], ids=repr
)
def test_no_sign_tells_a_label_behind_such_a_layer(end, refusal):
    """Every row would get the same label, and agreement would be 1 whatever the translation."""
    nested = nn.Sequential(nn.Identity(), nn.Sequential(ONE, end, nn.Dropout(0.5)), nn.Identity())
    for head in (nn.Sequential(ONE, end), nested, Head(nn.Sequential(THREE, end), problem_type=MULTI)):
        text = refusal(head_labels(head), VECTORS, error=InputError)
        assert says(text, "The head", "logits", "above 0", type(end).__name__, "without its last layer")


def test_where_the_largest_tells_the_label_it_is_still_the_largest():
    """A head that ends in a softmax is usual, and right about which label is the most probable."""
    wanted = head_labels(THREE)(VECTORS)
    for end in (nn.Softmax(1), nn.LogSoftmax(1), nn.Sigmoid()):
        assert torch.equal(head_labels(nn.Sequential(THREE, end))(VECTORS), wanted)
    assert torch.equal(head_labels(nn.Sequential(nn.Sigmoid(), ONE))(VECTORS), head_labels(ONE)(VECTORS.sigmoid()))


class Ending(nn.Module):
    """Its make does not tell what it ends in."""

    def forward(self, vectors):
        return torch.sigmoid(THREE(vectors))


DEEP = nn.Linear(8, 4)
ESTIMATOR = LogisticRegression().fit(VECTORS, (VECTORS[:, 0] > 0).long() + (VECTORS[:, 1] > 0.5))
TOLD = {
    "a last layer": (nn.Sequential(ONE, nn.Sigmoid()), 1, "Sigmoid"),
    "a softmax at the end": (nn.Sequential(THREE, nn.Softmax(1)), 1, "Softmax"),
    "a logarithm of one": (nn.Sequential(ONE, nn.LogSigmoid()), 1, "LogSigmoid"),
    "a softmax": (lambda v: THREE(v).softmax(1), 3, "sum to 1"),
    "in half precision": (lambda v: THREE(v).softmax(1).half(), 60, "sum to 1"),
    "predict_proba": (lambda v: ESTIMATOR.predict_proba(v.numpy()), 60, "sum to 1"),
    "a sigmoid": (lambda v: ONE(v).sigmoid(), 60, "from 0 to 1"),
    "several sigmoids": (lambda v: THREE(v).sigmoid(), 60, "from 0 to 1"),
    "a sigmoid, of few rows": (lambda v: THREE(v).sigmoid(), 2, "a sigmoid"),
    "a sigmoid that is moved": (lambda v: THREE(v).sigmoid()[:, [2, 0]].T.half().T.unsqueeze(1), 5, "a sigmoid"),
    "sigmoids side by side": (
        lambda v: torch.cat([ONE(v).sigmoid(), THREE(v).sigmoid()[:, 1:]], dim=1),
        5,
        "a sigmoid",
    ),
    "the exponential of a logarithm": (lambda v: nn.functional.logsigmoid(THREE(v)).exp(), 5, "a sigmoid"),
    "one column of a softmax": (lambda v: THREE(v).softmax(1)[:, 1:2], 5, "a softmax"),
    "a module of one's own": (Ending(), 5, "a sigmoid"),
    "a sigmoid by hand": (lambda v: 1 / (1 + (-THREE(v)).exp()), 60, "as a sigmoid gives"),
    "a sigmoid of numpy": (lambda v: 1 / (1 + np.exp(-THREE(v).detach().numpy())), 60, "as a sigmoid gives"),
    "a sigmoid without gradients": (torch.no_grad()(lambda v: THREE(v).sigmoid()), 60, "as a sigmoid gives"),
    "of a deeper head": (lambda v: ONE(torch.cat([DEEP(v), DEEP(-v)], dim=1).tanh()).sigmoid(), 5, "a sigmoid"),
}


@pytest.mark.parametrize(("head", "rows", "words"), TOLD.values(), ids=TOLD)
def test_probabilities_are_told(head, rows, words):
    """By a last layer for certain, by what a function gives as soon as that is no chance."""
    assert words in open_head(head).like_probabilities(VECTORS[:rows])


LOGITS = {
    "one": (ONE, 60),
    "three": (THREE, 60),
    "logarithms of probabilities": (nn.Sequential(THREE, nn.LogSoftmax(1)), 60),
    "an estimator": (ESTIMATOR, 60),
    "two rows that sum to 1": (lambda v: v.new_tensor([[0.3, 0.7]]).expand(len(v), 2) * v.new_ones(len(v), 1), 2),
    "few between 0 and 1": (lambda v: 1 / (1 + np.exp(-v.numpy())), 19),
    "cosines": (lambda v: nn.functional.normalize(v.abs() + 1) @ nn.functional.normalize(VECTORS[:5].abs() + 1).T, 60),
    "cosines of numpy": (lambda v: cosine_similarity(v.abs().numpy() + 1, VECTORS[:5].abs().numpy() + 1), 60),
    "cosines of what lies on one side": (lambda v: (1 + nn.functional.normalize(v) @ THREE.weight.T / 9) / 2, 60),
    "cosines, none below 0": (
        lambda v: (nn.functional.normalize(v) @ nn.functional.normalize(THREE.weight).T).relu(),
        60,
    ),
    "radial similarities": (lambda v: (-torch.cdist(v, VECTORS[:7]).square() / 8).exp(), 60),
    "radial similarities of numpy": (lambda v: rbf_kernel(v.numpy(), VECTORS[:7].numpy(), gamma=0.1), 60),
    "one radial similarity": (lambda v: (-torch.cdist(v, VECTORS[:1])).exp(), 60),
    "those that fall slowly": (lambda v: 1 / (1 + torch.cdist(v, VECTORS[:7])), 60),
    "always the same": (lambda v: v.new_zeros(len(v), 3), 60),
    "above 0": (lambda v: THREE(v).exp(), 60),
    "none": (THREE, 0),
}


@pytest.mark.parametrize(("head", "rows"), LOGITS.values(), ids=LOGITS)
def test_logits_are_not_taken_for_probabilities(head, rows):
    """A warning that is often wrong is not read any more."""
    assert open_head(head).like_probabilities(VECTORS[:rows]) is None


def test_by_sign_it_is_asked_of_such_heads_alone():
    """To a head whose largest logit tells the label, probabilities do no harm."""
    softmax = open_head(lambda v: THREE(v).softmax(1))
    assert softmax.like_probabilities(VECTORS, by_sign=True) is None
    for head in (open_head(lambda v: ONE(v).sigmoid()), Head(lambda v: THREE(v).sigmoid(), problem_type=MULTI)):
        assert "from 0 to 1" in head.like_probabilities(VECTORS, by_sign=True)
