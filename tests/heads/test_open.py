"""Every kind of head that is given in memory, opened to logits; test_stored.py has those in folders."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from architectures import build
from says import says
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.ensemble import IsolationForest, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC, OneClassSVM
from torch import Tensor, nn

from irp_hf.errors import HeadCutError, InputError, kind_of
from irp_hf.heads import Head, open_head
from irp_hf.heads.cut import HeadCut
from irp_hf.records import EncoderRecord
from irp_hf.stitching.parts import compare_head

FLOWERS, SPECIES = load_iris(return_X_y=True)
FLOWERS = FLOWERS.astype(np.float32)
NAMES = np.array(["setosa", "versicolor", "virginica"])[SPECIES]

PROBABILISTIC = (
    LogisticRegression(max_iter=500),
    RandomForestClassifier(10, random_state=0),
    KNeighborsClassifier(),
    GaussianNB(),
    make_pipeline(StandardScaler(), LogisticRegression()),
    GridSearchCV(LogisticRegression(max_iter=500), {"C": [1, 10]}),
    CalibratedClassifierCV(LinearSVC()),
)
SCORING = (
    LinearSVC(),
    RidgeClassifier(),
    SVC(),
    SVC(decision_function_shape="ovo"),
    make_pipeline(StandardScaler(), SVC(decision_function_shape="ovo")),
)


def kind(value: Any) -> str:
    return type(value).__name__


class TestEstimators:
    @pytest.mark.parametrize("labels", [NAMES, SPECIES > 0], ids=["three", "two"])
    @pytest.mark.parametrize("estimator", PROBABILISTIC, ids=kind)
    def test_softmax_of_the_logits_is_its_probability(self, estimator: Any, labels: np.ndarray) -> None:
        head = open_head(estimator.fit(FLOWERS, labels))
        logits = head(torch.from_numpy(FLOWERS))
        assert logits.dtype == torch.float32
        assert logits.isfinite().all()  # of a probability of 0, too
        assert np.allclose(logits.softmax(1).numpy(), estimator.predict_proba(FLOWERS), atol=1e-6)
        assert head.labels == [str(label) for label in np.unique(labels)]
        assert (head.dim, head.problem_type) == (4, "single_label_classification")

    @pytest.mark.parametrize("labels", [NAMES, SPECIES > 0], ids=["three", "two"])
    @pytest.mark.parametrize("estimator", SCORING, ids=kind)
    def test_the_largest_logit_is_its_prediction(self, estimator: Any, labels: np.ndarray) -> None:
        """Of two classes it scores the second alone, and "ovo" scores pairs: as many as there are classes, of three."""
        head = open_head(estimator.fit(FLOWERS, labels))
        best = head(torch.from_numpy(FLOWERS)).argmax(1)
        assert [head.labels[i] for i in best] == [str(label) for label in estimator.predict(FLOWERS)]

    @pytest.mark.parametrize("targets", [FLOWERS[:, 0], FLOWERS[:, :1], FLOWERS[:, :2]], ids=["(n,)", "(n,1)", "(n,2)"])
    @pytest.mark.parametrize("estimator", [LinearRegression(), Ridge(), RandomForestRegressor(5)], ids=kind)
    def test_a_regressor_gives_its_scores(self, estimator: Any, targets: np.ndarray) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a forest would rather have (n,)
            head = open_head(estimator.fit(FLOWERS, targets))
        scores = head(torch.from_numpy(FLOWERS)).numpy()
        assert np.allclose(scores, estimator.predict(FLOWERS).reshape(len(FLOWERS), -1), atol=1e-5)
        assert (head.problem_type, head.labels) == ("regression", None)

    @pytest.mark.parametrize(
        "estimator", [LogisticRegression(), make_pipeline(StandardScaler(), SVC()), GridSearchCV(SVC(), {})], ids=kind
    )
    def test_unfitted(self, estimator: Any, refusal: Any) -> None:
        assert says(refusal(open_head, estimator, error=InputError), kind(estimator), "never fitted")

    @pytest.mark.parametrize(
        "estimator", [KMeans(3, n_init=1), IsolationForest(n_estimators=5), OneClassSVM()], ids=kind
    )
    def test_what_learns_from_no_labels(self, estimator: Any, refusal: Any) -> None:
        """The number of a cluster is no score."""
        text = refusal(open_head, estimator.fit(FLOWERS), error=InputError)
        assert kind(estimator) in text
        assert "learns from no labels" in text

    def test_nan(self, refusal: Any) -> None:
        head = open_head(LogisticRegression(max_iter=500).fit(FLOWERS, SPECIES))
        text = refusal(head, torch.full((2, 4), torch.nan), error=InputError)
        assert "(2, 4)" in text
        assert "Input X contains NaN" in text

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
    def test_vectors_of_any_dtype_that_autograd_follows(self, dtype: torch.dtype) -> None:
        head = open_head(LogisticRegression(max_iter=500).fit(FLOWERS, SPECIES))
        x = torch.from_numpy(FLOWERS).to(dtype)
        assert torch.allclose(head(x.clone().requires_grad_()), head(x.float()), atol=1e-5)


class TestModules:
    def test_a_layer(self) -> None:
        layer, x = nn.Linear(4, 3), torch.randn(5, 4)
        head = open_head(layer)
        assert torch.equal(head(x), layer(x))
        assert (head.dim, head.labels, head.names(2)) == (4, None, ["LABEL_0", "LABEL_1"])

    def test_a_layer_in_half_precision_takes_and_gives_float32(self) -> None:
        layer, x = nn.Linear(4, 3), torch.randn(5, 4)
        logits = open_head(layer.half())(x)
        assert logits.dtype == torch.float32
        assert torch.equal(logits, layer(x.half()).float())

    def test_modules_are_a_part_of_it_in_evaluation_mode(self) -> None:
        """`.to(device)` moves them, and dropout rests."""
        module = nn.Sequential(nn.Dropout(), nn.Linear(4, 3))
        head, x = open_head(module), torch.randn(5, 4)
        assert torch.equal(head(x), head(x))
        assert [name for name, _ in head.double().named_parameters()] == ["scorer.1.weight", "scorer.1.bias"]
        assert module[1].weight.dtype == torch.float64

    def test_its_configuration_names_the_labels(self) -> None:
        layer = nn.Linear(4, 3)
        layer.config = transformers.BertConfig(id2label={0: "no", 1: "maybe", 2: "yes"})
        assert open_head(layer).labels == ["no", "maybe", "yes"]

    def test_functions(self) -> None:
        x = torch.randn(5, 4)
        for function in (
            lambda v: v[:, :2],
            lambda v: v[:, None, :2],
            lambda v: v[:, :2].numpy(),
            lambda v: v[:, :2].tolist(),
        ):
            assert torch.equal(open_head(function)(x), x[:, :2])

    def test_a_head_is_one_already(self) -> None:
        head = open_head(nn.Linear(4, 3))
        assert open_head(head) is head

    @pytest.mark.parametrize(
        ("head", "width"),
        [(nn.Linear(4, 3), 3), (lambda v: v, 4), (LogisticRegression(max_iter=500).fit(FLOWERS, SPECIES), 3)],
        ids=kind,
    )
    def test_no_rows(self, head: Any, width: int) -> None:
        assert open_head(head)(torch.zeros(0, 4)).shape == (0, width)

    def test_it_prints_what_it_is(self) -> None:
        head = Head(lambda v: v, labels=["a", "b"], dim=2, record={"id": "me/topics"})
        assert head.extra_repr() == "me/topics: 2 wide, 2 labels"
        assert open_head(lambda v: v).extra_repr() == "given in memory: any wide, unknown labels"


class TestModels:
    @pytest.mark.parametrize("name", ["Bert", "GPT2", "Bart", "T5"])
    def test_a_loaded_classifier(self, name: str) -> None:
        model, batch = build(f"{name}ForSequenceClassification")
        if name == "GPT2":
            model.config.pad_token_id = 0
        cut, state = HeadCut(model, **batch(3)), torch.get_rng_state()
        head = open_head(model)
        assert torch.equal(torch.get_rng_state(), state)
        z = cut.features(**batch(5))
        assert torch.equal(head(z), cut.head_only()(z))
        assert torch.equal(open_head(cut)(z), head(z))
        assert head.labels == [f"LABEL_{i}" for i in range(5)]

    @pytest.mark.slow
    def test_a_picture_classifier_in_half_precision(self) -> None:
        """The batch that it is traced with must be of its dtype."""
        model, _ = build("ResNetForImageClassification")
        assert open_head(model.to(torch.bfloat16)).dim == model.config.hidden_sizes[-1]

    def test_names_and_problem_come_from_its_configuration(self) -> None:
        model, _ = build("BertForSequenceClassification")
        model.config.id2label, model.config.problem_type = dict(enumerate("abcde")), "multi_label_classification"
        head = open_head(model)
        assert (head.labels, head.problem_type) == (list("abcde"), "multi_label_classification")

    def test_the_folder_that_it_came_from_stays_private(self, tmp_path: Any) -> None:
        """The record goes into a configuration that may be published."""
        model, _ = build("BertForSequenceClassification")
        model.save_pretrained(tmp_path / "mine")
        loaded = type(model).from_pretrained(tmp_path / "mine")
        assert open_head(loaded).record.to_dict() == {"id": "mine"}

    def test_the_commit_of_a_loaded_classifier_is_compared(self, refusal: Any) -> None:
        """A head of another commit than the anchors were encoded with gives other labels, and nobody would be told."""
        model, _ = build("BertForSequenceClassification")
        model.config._name_or_path, model.config._commit_hash = "me/topics", "b" * 40
        head = open_head(model)
        assert (head.record.id, head.record.revision) == ("me/topics", "b" * 40)
        recorded = EncoderRecord.of(id="me/topics", revision="a" * 40, at="head", normalize=False)
        assert says(refusal(compare_head, recorded, head, "refuse", error=InputError), "me/topics", "a" * 40, "b" * 40)
        compare_head(recorded.with_values(revision="b" * 40), head, "refuse")

    def test_generation_models(self, refusal: Any) -> None:
        config = transformers.GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=64, bos_token_id=0, eos_token_id=0)
        assert "GPT2LMHeadModel" in refusal(open_head, transformers.GPT2LMHeadModel(config).eval(), error=InputError)

    def test_a_classifier_in_training_mode(self, refusal: Any) -> None:
        model, _ = build("BertForSequenceClassification")
        assert "training mode" in refusal(open_head, model.train(), error=HeadCutError)


@pytest.mark.parametrize(
    "head",
    [
        *(None, 3, [nn.Linear(2, 2)], {"a": 1}, np.zeros((3, 4)), torch.zeros(3, 4), b"me/head", StandardScaler()),
        *(nn.Linear, LogisticRegression),
    ],
    ids=kind,
)
def test_what_is_no_head(head: Any, refusal: Any) -> None:
    """It would fail at the first batch, or be asked for attributes that it lacks."""
    text = refusal(open_head, head, error=InputError)
    assert text.startswith("head: ")
    assert f"got {kind_of(head)}. " in text


@pytest.mark.parametrize(("option", "value"), [("revision", "main"), ("token", "secret"), ("token", False)])
def test_options_of_the_hub_are_of_no_use_to_a_loaded_head(option: str, value: Any, refusal: Any) -> None:
    """A user would think that another version was loaded; and a token must stand in no error."""
    text = refusal(open_head, nn.Linear(2, 2), **{option: value}, error=InputError)
    assert text.startswith(f"{option}: ")
    assert "a Linear" in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("scorer", "vectors", "expected", "got"),
    [
        (nn.Linear(4, 3), torch.zeros(2, 5), "4", "5"),
        (nn.Linear(4, 3), torch.zeros(4), "(n, 4)", "(4,)"),
        (nn.Linear(4, 3), torch.tensor(1.0), "(n, 4)", "()"),
        (nn.Linear(4, 3), np.zeros((2, 4)), "(n, 4)", "an ndarray"),
        (lambda v: v, torch.zeros(2, 3, 4), "(n, d_Y)", "(2, 3, 4)"),
        (lambda v: v.sum(), torch.zeros(2, 4), "(2, num_labels)", "()"),
        (lambda v: v[:, 0], torch.zeros(2, 4), "(2, num_labels)", "(2,)"),
        (lambda v: v[:1], torch.zeros(2, 4), "(2, num_labels)", "(1, 4)"),
        (lambda v: v[:, :0], torch.zeros(2, 4), "(2, num_labels)", "(2, 0)"),
        (lambda v: None, torch.zeros(2, 4), "(2, 4)", "it returned None"),
        (lambda v: 1 / 0, torch.zeros(2, 4), "(2, 4)", "ZeroDivisionError (division by zero)"),
        (nn.Sequential(nn.Linear(4, 3)), torch.zeros(2, 5), "(2, 5)", "mat1 and mat2"),
        (Head(lambda v: v, labels=["a", "b", "c"]), torch.zeros(2, 4), "(2, 3)", "(2, 4)"),
    ],
)
def test_vectors_and_scorers_that_do_not_fit(
    scorer: Any, vectors: Tensor, expected: str, got: str, refusal: Any
) -> None:
    """Torch's words would speak of matrices that the user never saw, or labels be those of other rows."""
    before, _, after = refusal(open_head(scorer), vectors, error=InputError).partition(", got ")
    assert expected in before
    assert got in after
