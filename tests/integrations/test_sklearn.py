"""The translation as a transformer of scikit-learn: its own checks, a pipeline, a search, and the way back."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import NUM_ANCHORS
from says import says
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from irp_hf import InputError, IRPAdapter
from irp_hf.integrations.sklearn import IRPTransformer

FIXED = {"method": "whitened", "balance": 0.5, "ridge": 0.1, "restoration": 0.0}
LABELS = "labels (n,) are given as y, and an encoder's vectors are a matrix"
EXPECTED = dict.fromkeys(
    ("check_transformer_general", "check_transformer_data_not_an_array", "check_transformer_preserve_dtypes"), LABELS
)


class OfLabels(IRPTransformer):
    """The same for labels, as if each were a vector of one number."""

    def fit(self, X, y):
        labels = None if y is None else np.asarray(y)
        return super().fit(X, y if labels is None or labels.ndim == 2 else labels.reshape(-1, 1))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of ten or thirty random rows; and that checks fail as expected
@pytest.mark.parametrize("options", [{}, FIXED], ids=["auto", "fixed"])
def test_it_passes_the_checks_of_scikit_learn(options):
    """If it fails, some tool of scikit-learn will not take it: but for three checks, which it must refuse by their labels."""
    found = check_estimator(IRPTransformer(**options), expected_failed_checks=EXPECTED, on_skip=None)
    assert {one["check_name"] for one in found if one["status"] == "xfail"} == set(EXPECTED)
    assert all("matrix" in str(one["exception"]) for one in found if one["status"] == "xfail")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::irp_hf.errors.FitWarning")  # of ten or thirty random rows
def test_it_passes_the_other_three_where_labels_are_columns():
    """If it fails, what the labels hide in these is a fault of its own."""
    found = {one["check_name"]: one["status"] for one in check_estimator(OfLabels(**FIXED), on_skip=None)}
    assert {found[name] for name in EXPECTED} == {"passed"}


def test_it_translates_as_the_adapter_of_the_same_pairs(digits):
    """If it fails, `fit` and `transform` are another translation than the library's own."""
    model = IRPTransformer(**FIXED).fit(digits.source, digits.target)
    own = IRPAdapter.from_anchors(digits.source, digits.target, **FIXED)
    np.testing.assert_array_equal(model.transform(digits.held_source), own.translate(digits.held_source))
    assert model.transform(digits.held_source.astype(np.float64)).dtype == np.float64
    evaluated = own.evaluate(digits.held_source, digits.held_target)
    assert model.score(digits.held_source, digits.held_target) == pytest.approx(evaluated.cosine.mean, abs=1e-6)


def test_every_option_reaches_the_fit(digits):
    """If it fails, a search over an option tries the same thing many times."""
    given = {"method": "kernel", "gamma": 1.5, "ridge": 0.01, "lift": 0.5, "num_landmarks": 40, "restoration": 0.25}
    config = IRPTransformer(**given, rigid=0.3, seed=3).fit(digits.source, digits.target).adapter_.config
    assert {name: getattr(config, name) for name in given} == pytest.approx(given)
    assert (config.rigid, config.seed) == (0.3, 3)
    config = IRPTransformer("pruned", num_subspaces=2, pruning_threshold=0.6).fit(digits.source, digits.target)
    assert (config.adapter_.config.num_subspaces, config.adapter_.config.pruning_threshold) == (2, 0.6)
    config = IRPTransformer("whitened", "recall", balance=0.5, depth=20, folds="clusters")
    config = config.fit(digits.source, digits.target).adapter_.config
    assert (config.balance, config.objective, config.depth) == (0.5, "recall", 20)


@pytest.fixture(scope="module")
def head(digits):
    """The target's own classifier of digits."""
    labels = load_digits().target[NUM_ANCHORS : NUM_ANCHORS + 400]
    return LogisticRegression(max_iter=500).fit(digits.held_target, labels)


def test_a_pipeline_ends_with_a_head_that_never_saw_the_encoder(digits, head):
    """If it fails, a head does not read translations inside a pipeline, or is fitted anew on vectors as labels."""
    model = make_pipeline(StandardScaler(), IRPTransformer(**FIXED), FrozenEstimator(head))
    model.fit(digits.source, digits.target)
    predicted = model.predict(digits.held_source)
    assert (predicted == head.predict(digits.held_target)).mean() > 0.5  # a tenth, by chance
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(digits.held_source), predicted)


def test_a_search_finds_the_better_by_the_mean_cosine(digits, head):
    """If it fails, a search takes the worst, or its clones lose the head."""
    grid = {"ridge": [1e-2, 1e3]}
    search = GridSearchCV(IRPTransformer("whitened", balance=1.0, restoration=0.0), grid, cv=3)
    search.fit(digits.source, digits.target)
    assert search.best_params_ == {"ridge": 1e-2}
    assert 0 < search.best_score_ <= 1
    agreeing = IRPTransformer("whitened", "agreement", head=FrozenEstimator(head), ridge=0.1)
    search = GridSearchCV(agreeing, {"balance": [0.0, 1.0]}, cv=2).fit(digits.source, digits.target)
    assert search.best_estimator_.adapter_.config.objective == "agreement"


def test_frames_keep_the_names_of_their_columns(digits):
    """If it fails, columns of another encoder pass as this one's, or come out under no names."""
    x = pd.DataFrame(digits.source, columns=[f"pixel{place}" for place in range(64)])
    y = pd.DataFrame(digits.target, columns=[f"feature{place}" for place in range(24)])
    model = IRPTransformer(**FIXED).set_output(transform="pandas").fit(x, y)
    translated = model.transform(x.iloc[5:8])
    assert list(translated.columns) == list(y.columns) == list(model.get_feature_names_out())
    assert list(translated.index) == [5, 6, 7]
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(x.rename(columns={"pixel0": "other"}))
    plain = IRPTransformer(**FIXED).fit(digits.source, digits.target)
    assert list(plain.get_feature_names_out())[:2] == ["irptransformer0", "irptransformer1"]


def test_columns_of_vectors_and_tensors_are_matrices(digits):
    """If it fails, a column of a Parquet file, or what an encoder gives in half precision, ends in a traceback of numpy."""
    plain = IRPTransformer(**FIXED).fit(digits.source, digits.target).transform(digits.held_source)
    columns = [pd.Series(list(side)) for side in (digits.source, digits.target, digits.held_source)]
    by_columns = IRPTransformer(**FIXED).fit(*columns[:2]).set_output(transform="pandas").transform(columns[2][5:8])
    np.testing.assert_allclose(by_columns, plain[5:8], atol=1e-6)
    assert list(by_columns.index) == [5, 6, 7]
    half = [torch.tensor(side, requires_grad=True).bfloat16() for side in (digits.source, digits.target)]
    model = IRPTransformer(**FIXED).fit(*half)
    rounded = IRPTransformer(**FIXED).fit(*(side.float().detach().numpy() for side in half))
    np.testing.assert_array_equal(model.transform(digits.held_source), rounded.transform(digits.held_source))


def test_the_way_back_is_the_reverse_of_the_adapter_and_is_fitted_once(digits):
    """If it fails, `inverse_transform` is another way back, or every call costs a fit."""
    model = IRPTransformer("kernel", num_landmarks=50, seed=2).fit(digits.source, digits.target)
    back = model.inverse_transform(digits.held_target)
    own = model.adapter_.reverse("kernel", num_landmarks=50, seed=2)
    np.testing.assert_array_equal(back, own.translate(digits.held_target))
    first = model._backwards
    model.inverse_transform(digits.held_target)
    assert model._backwards is first
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.inverse_transform(digits.held_target), back)
    model.fit(digits.source[:60], digits.target[:60])
    assert np.abs(model.inverse_transform(digits.held_target) - back).max() > 0


def test_it_clones_unfitted_with_its_options(digits):
    """If it fails, a search or a bagging fits something else than it was given."""
    model = IRPTransformer(**FIXED).fit(digits.source, digits.target)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        copy.transform(digits.held_source)
    for call in (copy.inverse_transform, copy.get_feature_names_out):
        with pytest.raises(NotFittedError):
            call(digits.held_target)


def test_what_cannot_be_is_refused_in_words(digits, refusal):
    """If it fails, labels pass as vectors of one number, and a wrong option is found out late."""
    labels = np.arange(NUM_ANCHORS) % 2
    text = refusal(IRPTransformer().fit, digits.source, labels, error=InputError)
    assert says(text, "y", f"({NUM_ANCHORS},)", "frozen")
    assert says(refusal(IRPTransformer(ridge=-1).fit, digits.source, digits.target, error=InputError), "ridge", "-1")
    assert says(refusal(IRPTransformer("best").fit, digits.source, digits.target, error=InputError), "method", "'best'")
    with pytest.raises(ValueError, match="y is None"):
        IRPTransformer().fit(digits.source, None)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        IRPTransformer().fit(digits.source, digits.target[:-1])
    model = IRPTransformer(**FIXED).fit(digits.source, digits.target)
    with pytest.raises(ValueError, match="expecting 64 features"):
        model.transform(digits.target)
    text = refusal(model.inverse_transform, digits.source, error=InputError)
    assert says(text, "width 24", "width 64", "the source:")
    frame = pd.DataFrame({"vector": list(digits.source)})
    assert says(refusal(IRPTransformer().fit, frame, digits.target, error=InputError), "X", "table['vector']")
    assert says(refusal(IRPTransformer().fit, digits.source, frame, error=InputError), "y", "table['vector']")
    ragged = pd.Series([None, *digits.source[1:]])
    assert says(refusal(IRPTransformer().fit, ragged, digits.target, error=InputError), "X", "None in row 0")
    assert says(refusal(model.score, digits.source, digits.source, error=InputError), "y", "24", "64")
