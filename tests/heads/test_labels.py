"""Whatever a head is, it is asked for labels in one way, and the labels are those that its logits say."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from architectures import build
from says import says
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC, LinearSVC
from torch import Tensor, nn

from irp_hf import IRPAdapter
from irp_hf.errors import InputError
from irp_hf.heads import Head, head_labels, open_head

VECTORS = torch.randn(200, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
NOISE = torch.randn(200, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TWO = (VECTORS[:, 0] + NOISE > 0).long().numpy()
THREE = TWO + (VECTORS[:, 1] + NOISE > 0.5).long().numpy()


def kind(value: Any) -> str:
    return type(value).__name__


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_module_gives_its_argmax_in_its_own_dtype(dtype: torch.dtype) -> None:
    """A head in half precision would fail on the float64 vectors of a fit."""
    head = nn.Linear(6, 3).to(dtype)
    labels = head_labels(head)(VECTORS)
    assert labels.dtype == torch.int64
    assert torch.equal(labels, head(VECTORS.to(dtype)).argmax(1))


def test_callables_and_binary_logits() -> None:
    """One logit is a binary head: argmax would call everything 0."""
    assert torch.equal(head_labels(lambda v: v[:, :1])(VECTORS), (VECTORS[:, 0] > 0).long())
    assert torch.equal(head_labels(lambda v: v.numpy())(VECTORS), VECTORS.argmax(1))


def test_no_vectors_have_no_labels() -> None:
    """An empty batch of a server would end in an error of scikit-learn."""
    for head in (nn.Linear(6, 3), LogisticRegression().fit(VECTORS, THREE)):
        assert head_labels(head)(VECTORS[:0]).shape == (0,)


@pytest.mark.parametrize("classes", [int, str, bool])
def test_a_fitted_classifier_gives_its_own_classes(classes: type) -> None:
    """Labels that are words, or do not count from 0, would not compare."""
    y = (VECTORS[:, 0] > 0).numpy().astype(int) + (0 if classes is bool else 3)
    head = LogisticRegression(C=1000).fit(VECTORS.numpy(), y.astype(classes))
    assert torch.equal(head_labels(head)(VECTORS), (VECTORS[:, 0] > 0).long())


@pytest.mark.parametrize(
    ("estimator", "targets"),
    [
        (FixedThresholdClassifier(LogisticRegression(), threshold=0.2), TWO),
        (FixedThresholdClassifier(LogisticRegression(), threshold=0.9), TWO),
        (FixedThresholdClassifier(LinearSVC(), threshold=-0.5, response_method="decision_function"), TWO),
        (RandomForestClassifier(4, max_depth=2, random_state=0), THREE),  # ties
        (KNeighborsClassifier(4), THREE),
        (SVC(decision_function_shape="ovo"), THREE),
        (SVC(kernel="poly", degree=5, break_ties=False), THREE),  # votes of pairs, and not the largest score
        (DummyClassifier(strategy="constant", constant=2), THREE),
        (DummyClassifier(), np.full(200, 7)),  # one class
        (make_pipeline(FunctionTransformer(), LogisticRegression()), THREE),  # knows no width
    ],
    ids=lambda value: kind(value) if hasattr(value, "fit") else "",
)
def test_what_is_measured_what_is_shown_and_what_it_predicts_agree(estimator: Any, targets: Any) -> None:
    """Agreement of .998 would be reported of a head that the pipeline asks otherwise, on a fifth of all rows."""
    estimator.fit(VECTORS.numpy().astype(np.float32), targets)
    head, x = open_head(estimator), VECTORS.float()
    predicted = np.searchsorted(estimator.classes_, estimator.predict(x.numpy()))
    assert head.predict(x).tolist() == predicted.tolist()
    scores = head(x)
    assert scores.isfinite().all()
    assert scores.argmax(1).tolist() == predicted.tolist()
    assert scores.softmax(1).argmax(1).tolist() == predicted.tolist()


def test_probabilities_stay_where_they_say_what_is_predicted() -> None:
    """A raised class would hide what scikit-learn knows in every row."""
    head = open_head(FixedThresholdClassifier(LogisticRegression(), threshold=0.2).fit(VECTORS, TWO))
    estimator, x = head.scorer, VECTORS.float()
    plain = open_head(LogisticRegression().fit(VECTORS, TWO))(x)
    raised = (plain.argmax(1) != head.predict(x)).numpy()
    assert 0 < raised.sum() < 100
    assert torch.equal(head(x)[~raised], plain[~raised])
    probabilities = head(x)[raised].softmax(1)
    assert torch.allclose(probabilities, torch.full_like(probabilities, 0.5), atol=1e-5)
    assert callable(estimator)


def test_a_head_is_asked_in_evaluation_mode_and_left_as_it_was() -> None:
    """Dropout would make the labels random, and batch norm would learn from our questions."""
    head = nn.Sequential(nn.BatchNorm1d(6), nn.Dropout(0.9), nn.Linear(6, 3)).train()
    head[2].eval()
    before = {name: value.clone() for name, value in head.state_dict().items()}
    labels = head_labels(head)
    assert [module.training for module in head.modules()] == [True, True, True, False]
    assert torch.equal(labels(VECTORS), labels(VECTORS))
    assert [module.training for module in head.modules()] == [True, True, True, False]
    assert all(torch.equal(before[name], value) for name, value in head.state_dict().items())


def test_a_head_that_fails_is_left_as_it_was() -> None:
    """Training would go on without dropout after an error that was caught."""
    head = nn.Sequential(nn.Linear(5, 3)).train()
    labels = head_labels(head)
    with pytest.raises(InputError):
        labels(VECTORS)
    assert all(module.training for module in head.modules())


def test_whatever_opens_is_a_head(tmp_path: Any) -> None:
    """A folder or a classifier that a pipeline takes would be no head to measure with."""
    model, _ = build("RobertaForSequenceClassification")
    model.save_pretrained(tmp_path)
    x = torch.randn(9, 32, generator=torch.Generator().manual_seed(0))
    labels = open_head(model)(x).argmax(1)
    model.train()
    for head in (model, str(tmp_path), tmp_path, open_head(tmp_path)):
        assert torch.equal(head_labels(head)(x), labels)
    assert all(module.training for module in model.modules())


def test_adapters_measure_with_whatever_opens(tmp_path: Any) -> None:
    """`evaluate`, `report` and `connect` would each know heads of their own."""
    model, _ = build("RobertaForSequenceClassification")
    model.save_pretrained(tmp_path)
    source = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    target = np.tanh(source @ np.random.default_rng(1).normal(size=(8, 32))).astype(np.float32)
    adapter = IRPAdapter.from_anchors(
        source, target, method="kernel", objective="agreement", head=str(tmp_path), gamma=1.0, ridge=0.01
    )
    by_folder, by_model = (adapter.evaluate(source, target, head=head) for head in (tmp_path, model))
    assert by_folder == by_model
    assert by_folder.agreement is not None


@pytest.mark.parametrize(
    "head",
    [
        LinearRegression().fit(VECTORS, NOISE),
        Head(nn.Linear(6, 1), problem_type="regression"),
        make_pipeline(FunctionTransformer(), LinearRegression()).fit(VECTORS, NOISE),
    ],
    ids=kind,
)
def test_a_regressor_has_no_labels(head: Any, refusal: Any) -> None:
    """Its numbers would be rounded to two classes, and agreement be reported of them."""
    assert "a regressor" in refusal(head_labels, head, error=InputError)
    assert "a regressor" in refusal(open_head(head).predict, VECTORS, error=InputError)


@pytest.mark.parametrize(
    ("head", "got"),
    [
        (3, "an int"),
        (LogisticRegression(), "a LogisticRegression"),
        (KMeans(2, n_init=1).fit(VECTORS.numpy()), "a KMeans"),
        (LogisticRegression, "the class LogisticRegression"),
        (nn.Identity, "the class Identity"),
    ],
)
def test_what_is_no_head_is_refused_at_once(head: Any, got: str, refusal: Any) -> None:
    """It would fail only after minutes of fitting."""
    assert got in refusal(head_labels, head, error=InputError)


def raw(vectors: Tensor) -> Any:
    raise KeyError("topic")


@pytest.mark.parametrize(
    ("head", "got"),
    [
        (nn.Linear(5, 3), "6"),
        (nn.Embedding(3, 3), "RuntimeError"),
        (LogisticRegression().fit(np.random.RandomState(0).randn(10, 3), [0, 1] * 5), "6"),
        (lambda v: None, "TypeError"),
        (lambda v: "abc", "TypeError"),
        (lambda: None, "TypeError"),
        (raw, "KeyError ('topic')"),
    ],
    ids=["width", "kind", "classifier", "none", "text", "arguments", "key"],
)
def test_a_head_that_fails_is_named(head: Any, got: str, refusal: Any) -> None:
    """A head of the wrong width would end in torch's words about mat1 and mat2."""
    text = refusal(head_labels(head), VECTORS, error=InputError)
    assert "head" in text.partition(":")[0]
    assert got in text


@pytest.mark.parametrize(
    ("head", "got"),
    [
        (lambda v: v[:, 0], "(200,)"),
        (lambda v: v[:3], "(3, 6)"),
        (lambda v: v[:, :0], "(200, 0)"),
        (lambda v: v * np.nan, "NaN in row 0"),
        (lambda v: torch.where(torch.arange(200)[:, None] == 7, torch.nan, v), "NaN in row 7 of 200"),
    ],
    ids=["labels", "rows", "no logit", "NaN", "one NaN"],
)
def test_a_head_without_logits_is_refused(head: Any, got: str, refusal: Any) -> None:
    """Labels, too few rows or NaN would be compared as if they were logits."""
    assert got in refusal(head_labels(head), VECTORS, error=InputError)


def test_a_classifier_that_predicts_otherwise_than_it_says_is_refused(refusal: Any) -> None:
    """One label would be compared with all of them, and the agreement be a perfect 1."""

    def classifier(predicted: Any) -> Any:
        return SimpleNamespace(classes_=np.array([0, 1]), predict=lambda x: predicted)

    assert head_labels(classifier(np.array([0, 1, 1])))(VECTORS[:3]).tolist() == [0, 1, 1]
    assert "(1,)" in refusal(head_labels(classifier(np.zeros(1, int))), VECTORS[:5], error=InputError)
    assert "got 7" in refusal(head_labels(classifier(np.full(5, 7))), VECTORS[:5], error=InputError)


def scores(x: Any) -> Any:
    return np.stack([x[:, 0], x[:, 1], -x[:, 0]], 1)


def test_a_classifier_that_scores_and_is_not_of_scikit_learn() -> None:
    """Libraries have classifiers of their own with its methods, and no parameters to ask for."""
    classes = np.array(["a", "b", "c"])
    own = SimpleNamespace(classes_=classes, decision_function=scores, predict=lambda x: classes[scores(x).argmax(1)])
    head, x = open_head(own), VECTORS.float()
    assert np.allclose(head(x).numpy(), scores(x.numpy()))
    assert torch.equal(head_labels(own)(x), torch.from_numpy(scores(x.numpy()).argmax(1)))


TOPICS = {"labels": ["sport", "news", "news"]}


@pytest.mark.parametrize(
    ("head", "labels", "numbers"),
    [
        (LogisticRegression().fit(VECTORS, THREE + 3), [5, 3, 4], [2, 0, 1]),
        (LogisticRegression().fit(VECTORS, TWO > 0), [True, False, True], [1, 0, 1]),
        (LogisticRegression().fit(VECTORS, THREE.astype(str)), np.array(["2", "0", "1"]), [2, 0, 1]),
        (Head(nn.Linear(6, 3), labels=["a", "b", "c"]), ["c", "a", "b"], [2, 0, 1]),
        (Head(nn.Linear(6, 3), labels=["a", "b", "c"]), torch.tensor([2, 0, 1]), [2, 0, 1]),
        (Head(nn.Linear(6, 3), labels=["a", "b", "c"], classes=[7, 8, 9]), [9, 7, 8], [2, 0, 1]),
        (Head(nn.Linear(6, 3), **TOPICS), ["sport"] * 3, [0, 0, 0]),
        (nn.Linear(6, 3), np.array([2, 0, 1], np.uint8), [2, 0, 1]),
        (nn.Linear(6, 1), [1, 0, 1], [1, 0, 1]),
    ],
)
def test_true_labels_are_numbered_as_predicted_ones_are(head: Any, labels: Any, numbers: list[int]) -> None:
    """Accuracy would be that of other classes."""
    assert open_head(head).number_labels(labels, VECTORS[:3]).tolist() == numbers


@pytest.mark.parametrize(
    ("head", "labels", "words"),
    [
        (LogisticRegression().fit(VECTORS, THREE + 3), [5, 3, 0], ["3, 4, 5", "got 0"]),
        (Head(nn.Linear(6, 3), labels=["a", "b", "c"]), ["a", "b", "d"], ["'a', 'b', 'c'", "got 'd'"]),
        (Head(nn.Linear(6, 3), labels=["a", "b", "c"]), [0, 1, 3], ["0 to 2", "got 3"]),
        (Head(nn.Linear(6, 3), **TOPICS), ["news"] * 3, ["got 'news'"]),  # which of the two?
        (Head(nn.Linear(6, 20), labels=list("abcdefghijklmnopqrst")), ["x"] * 3, ["'l', …", "got 'x'"]),
        (nn.Linear(6, 3), [0, 1, 3], ["0 to 2", "got 3"]),
        (nn.Linear(6, 3), [0, 1, 3.5], ["float64"]),
        (nn.Linear(6, 1), [0, 1, 2], ["0 to 1", "got 2"]),
        (nn.Linear(6, 3), [0, 1], ["3 vectors", "(2,)"]),
        (nn.Linear(6, 3), np.array([0, [1], {}], object), ["object"]),
        (Head(nn.Linear(6, 3), classes=[1, 2, 3]), np.array([1, [1], {}], object), ["got [1]"]),
    ],
)
def test_labels_that_are_no_class_are_refused(head: Any, labels: Any, words: list[str], refusal: Any) -> None:
    """Accuracy would be .000, and nobody would know why."""
    text = refusal(open_head(head).number_labels, labels, VECTORS[:3], error=InputError)
    assert says(text, "labels", *words)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"labels": "abc"}, {"labels": []}, {"problem_type": "ranking"}, {"dim": 2.5}, {"classes": "abc"}),
        {"classes": [1, 2], "labels": ["a", "b", "c"]},
        {"classes": [[1], [2]]},
        {"record": {"revision": 3}},
    ],
)
def test_what_a_head_is_told_is_checked(wrong: Any, refusal: Any) -> None:
    """Three characters would be taken for three labels, and half a dimension fail far from here."""
    assert next(iter(wrong)) in refusal(Head, nn.Linear(6, 3), **wrong, error=InputError)
    assert "scorer" in refusal(Head, "me/topics", error=InputError)
    assert "record" in refusal(Head, nn.Linear(6, 3), record="me/topics", error=InputError)


def test_names_come_in_the_order_of_their_numbers() -> None:
    """JSON has texts for keys, and "10" sorts before "2": labels 2 to 10 of eleven would change places."""
    layer = nn.Linear(6, 12)
    layer.config = SimpleNamespace(id2label={str(i): f"topic {i}" for i in (0, 1, 10, 11, *range(2, 10))})
    assert open_head(layer).labels == [f"topic {i}" for i in range(12)]
    layer.config.id2label = {"sport": "a", "news": "b"}
    assert open_head(layer).labels is None
