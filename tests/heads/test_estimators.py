"""Estimators of scikit-learn that give several labels at once, know the names of columns, or only work like a classifier."""

import warnings
from typing import Any

import numpy as np
import pandas
import pytest
import scipy.sparse
import torch
from says import says
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from irp_hf.errors import InputError
from irp_hf.heads import open_head
from irp_hf.heads.labels import head_labels

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, SPECIES = load_iris(return_X_y=True)
X = X.astype(np.float32)
ROWS = torch.from_numpy(X)
NAMES = ["sepal length", "sepal width", "petal length", "petal width"]
FRAME = pandas.DataFrame(X, columns=NAMES)
GIVEN = np.stack([SPECIES > 0, SPECIES == 2, X[:, 0] > 5.5], 1).astype(int)
SEVERAL = {
    "one for each": MultiOutputClassifier(LogisticRegression(max_iter=500)),
    "one for each, without probabilities": MultiOutputClassifier(RidgeClassifier()),
    "chain": ClassifierChain(LogisticRegression(max_iter=500)),
    "one against the rest": OneVsRestClassifier(LogisticRegression(max_iter=500)),
    "margins": OneVsRestClassifier(LinearSVC()),
    "network": MLPClassifier(max_iter=40, random_state=0),
    "neighbors": KNeighborsClassifier(),
    "forest": RandomForestClassifier(8, random_state=0),
    "tree": DecisionTreeClassifier(max_depth=2),
    "ridge": RidgeClassifier(),
    "pipeline": make_pipeline(StandardScaler(), MLPClassifier(max_iter=40, random_state=0)),
    "search": GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [3, 5]}),
}


def probabilities(estimator: Any) -> np.ndarray:
    found = estimator.predict_proba(X)
    return np.stack([pair[:, 1] for pair in found], 1) if isinstance(found, list) else found


class TestSeveralLabels:
    @pytest.mark.parametrize("name", SEVERAL)
    def test_sigmoid_of_the_logits_is_its_probability(self, name: str) -> None:
        """A softmax would make up a distribution over labels that do not exclude each other, or another label be given."""
        estimator = SEVERAL[name].fit(X, GIVEN)
        head = open_head(estimator)
        logits = head(ROWS)
        assert (head.problem_type, head.dim, head.labels) == ("multi_label_classification", 4, ["0", "1", "2"])
        assert np.array_equal(logits.numpy() > 0, estimator.predict(X) == 1)
        assert logits.isfinite().all()
        if hasattr(estimator, "predict_proba"):
            shares = probabilities(estimator)
            clear = (shares > 0.5) == (estimator.predict(X) == 1)  # KNeighbors says no at one half
            np.testing.assert_allclose(logits.sigmoid().numpy()[clear], shares[clear], atol=1e-5)

    def test_a_label_that_no_row_has_and_one_that_all_have(self) -> None:
        """Its list of classes has one entry, and a column of probabilities would be taken for another's."""
        given = np.stack([np.zeros(150, int), np.ones(150, int), SPECIES == 2], 1).astype(int)
        for estimator in (KNeighborsClassifier(), RandomForestClassifier(5)):
            logits = open_head(estimator.fit(X, given))(ROWS)
            assert np.array_equal(logits.numpy() > 0, estimator.predict(X) == 1)

    def test_sparse_labels_and_words_for_yes(self) -> None:
        """A sparse prediction would be one object instead of a matrix; "no" and "yes" are no numbers."""
        sparse = OneVsRestClassifier(LogisticRegression(max_iter=500)).fit(X, scipy.sparse.csr_matrix(GIVEN))
        assert np.array_equal(open_head(sparse)(ROWS).numpy() > 0, sparse.predict(X).toarray() == 1)
        worded = MultiOutputClassifier(LogisticRegression(max_iter=500)).fit(X, np.where(GIVEN, "yes", "no"))
        assert np.array_equal(open_head(worded)(ROWS).numpy() > 0, worded.predict(X) == "yes")

    def test_several_classes_of_several_outputs_are_refused(self, refusal: Any) -> None:
        """Three classes of one output and two of another are no labels that are given or not."""
        estimator = RandomForestClassifier(5).fit(X, np.stack([SPECIES, SPECIES > 0], 1))
        assert says(refusal(open_head, estimator, error=InputError), "RandomForestClassifier", "one output")

    def test_agreement_is_about_the_whole_set(self) -> None:
        """Two sets with one label in common would count as the same."""
        estimator = SEVERAL["one against the rest"].fit(X, GIVEN)
        found, predicted = head_labels(estimator)(ROWS), estimator.predict(X)
        same = (predicted[:, None] == predicted[None]).all(2)
        assert np.array_equal((found[:, None] == found[None]).numpy(), same)
        assert torch.equal(open_head(estimator).number_labels(predicted, ROWS), found)
        wide = open_head(lambda v: torch.cat([v[:, :1]] * 99 + [v], 1))
        wide.problem_type = "multi_label_classification"
        assert wide.predict(torch.eye(4) - 0.5).unique().numel() == 4

    @pytest.mark.parametrize("labels", [[0, 1], [[0, 1], [1]], np.full((2, 3), 2), [["a"] * 3] * 2])
    def test_true_labels_that_are_no_sets(self, labels: Any, refusal: Any) -> None:
        head = open_head(SEVERAL["tree"].fit(X, GIVEN))
        assert says(refusal(head.number_labels, labels, ROWS[:2], error=InputError), "labels", "(2, 3)")


class TestColumns:
    @pytest.mark.parametrize(
        "estimator",
        [
            LogisticRegression(max_iter=500),
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
            make_pipeline(
                ColumnTransformer([("one", "passthrough", NAMES[2:])]),
                LogisticRegression(max_iter=500),
            ),
            GridSearchCV(LogisticRegression(max_iter=500), {"C": [1, 10]}),
            CalibratedClassifierCV(LinearSVC()),
            RandomForestClassifier(5),
        ],
        ids=lambda estimator: type(estimator).__name__,
    )
    def test_a_head_that_was_fitted_on_a_frame(self, estimator: Any) -> None:
        """scikit-learn warns at every batch that names are missing, and a choice of columns by name fails."""
        estimator.fit(FRAME, SPECIES)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            logits = open_head(estimator)(ROWS)
        np.testing.assert_allclose(logits.softmax(1).numpy(), estimator.predict_proba(FRAME), atol=1e-6)
        ridge = open_head(Ridge().fit(FRAME, X[:, 0]))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert ridge(ROWS).shape == (150, 1)


class OfAnotherLibrary:
    """Has what xgboost, lightgbm and catboost have: predict, predict_proba and classes_; predictions are a column."""

    classes_ = np.array(["a", "b"])
    n_features_in_ = 4

    def predict(self, x: Any) -> Any:
        return self.classes_[(np.asarray(x)[:, :1] > 5.5).astype(int)]

    def predict_proba(self, x: Any) -> Any:
        second = np.where(np.asarray(x)[:, :1] > 5.5, 0.75, 0.25)
        return scipy.sparse.csr_matrix(np.hstack([1 - second, second]))


class TestKin:
    def test_what_works_like_a_classifier(self) -> None:
        """Other libraries give a column of predictions, or sparse probabilities."""
        logits = open_head(OfAnotherLibrary())(ROWS)
        np.testing.assert_allclose(logits.softmax(1)[:, 1], np.where(X[:, 0] > 5.5, 0.75, 0.25), atol=1e-6)

    def test_lightgbm(self) -> None:
        lightgbm = pytest.importorskip("lightgbm")
        model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(FRAME, SPECIES)
        np.testing.assert_allclose(open_head(model)(ROWS).softmax(1), model.predict_proba(FRAME), atol=1e-6)

    def test_pairs_that_a_search_chose(self) -> None:
        """The scores of three pairs of classes would be taken for those of three classes."""
        search = GridSearchCV(SVC(), {"decision_function_shape": ["ovo"]}).fit(X, SPECIES)
        logits = open_head(search)(ROWS)
        assert torch.equal(logits.argmax(1), torch.from_numpy(search.predict(X)))
        assert (logits.softmax(1).max(1).values > 0.99).all()

    def test_classes_that_were_encoded(self) -> None:
        """The numbers are what the estimator knows; names are given to the head."""
        encoder = LabelEncoder().fit(["x", "y", "z"])
        head = open_head(LogisticRegression(max_iter=500).fit(X, encoder.transform(np.array(["x", "y", "z"])[SPECIES])))
        assert head.labels == ["0", "1", "2"]

    @pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
    def test_a_method_instead_of_the_estimator(self, method: str, refusal: Any) -> None:
        """Probabilities would go through a softmax, and numbers of classes count as scores."""
        estimator = LogisticRegression(max_iter=500).fit(X, SPECIES)
        text = refusal(open_head, getattr(estimator, method), error=InputError)
        assert says(text, f"the method {method} of a LogisticRegression", "the estimator itself")


class TestOutputs:
    @pytest.mark.parametrize(
        "made",
        [
            lambda v: {"logits": v, "hidden_states": None},
            lambda v: (v,),
            lambda v: v.to_sparse(),
            lambda v: scipy.sparse.csr_matrix(v.numpy()),
            lambda v: v.numpy().astype(np.float64),
            lambda v: v.bfloat16().float(),
        ],
    )
    def test_logits_in_what_a_head_returns(self, made: Any) -> None:
        x = torch.randn(3, 4).bfloat16().float()
        assert torch.equal(open_head(made)(x), x)

    def test_an_output_of_transformers(self) -> None:
        from transformers.modeling_outputs import SequenceClassifierOutput

        x = torch.randn(3, 4)
        assert torch.equal(open_head(lambda v: SequenceClassifierOutput(logits=v))(x), x)

    @pytest.mark.parametrize(
        ("made", "words"),
        [
            (lambda v: (v, v), ["a tuple of 2", "head(vectors)[0]"]),
            (lambda v: {"scores": v}, ["a dict of 'scores'"]),
            (lambda v: v.argmax(1), ["torch.int64", "(3,)"]),
            (lambda v: v > 0, ["torch.bool"]),
            (lambda v: v.to(torch.complex64), ["torch.complex64"]),
            (lambda v: None, ["it returned None"]),
            (lambda v: v[:, 0], ["(3,)", "[:, None]"]),
            (lambda v: v[0], ["(4,)"]),
        ],
    )
    def test_what_is_no_logits(self, made: Any, words: list[str], refusal: Any) -> None:
        """Numbers of classes would be read as scores."""
        assert says(refusal(open_head(made), torch.rand(3, 4), error=InputError), *words)
