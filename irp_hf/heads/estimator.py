"""Fitted scikit-learn estimators, and what works like them, as heads: classes, several labels at once, or numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from irp_hf.errors import InputError, first_line, kind_of, refusal, shown
from irp_hf.heads.head import MULTI, Head

SMALLEST = 1e-30  # probability, for its logarithm to be finite
LIFT = 1e-5  # of a score: large enough for a softmax in float32 to keep it apart from the next
Array = Any


def is_estimator(head: Any) -> bool:
    """Whether it is an estimator of scikit-learn, or works like a fitted classifier of it."""
    if isinstance(head, type | nn.Module) or not hasattr(head, "predict"):
        return False
    return hasattr(head, "get_params") or (hasattr(head, "classes_") and not callable(head))


def of_estimator(estimator: Any) -> Head:
    """A head of a fitted classifier, of one label or of several at once, or of a regressor."""
    name, width = kind_of(estimator), getattr(estimator, "n_features_in_", None)
    classes = getattr(estimator, "classes_", None)
    if width is None and classes is None:
        raise refusal("head", "a fitted estimator", f"{name} that was never fitted", "Call its fit first.")
    if classes is None and hasattr(estimator, "fit_predict"):  # clusters and outliers
        got = f"{name}, which learns from no labels"
        raise refusal("head", "a classifier or a regressor", got, "Fit one of them.")
    dim = None if width is None else int(width)
    if classes is None:
        return Head(Estimator(estimator, numbers), problem_type="regression", dim=dim)
    if isinstance(classes, list) or (dim is not None and _outputs(estimator, dim) > 1):
        if isinstance(classes, list) and max(map(len, classes)) > 2:
            expected, got = "a classifier of one output, or of labels that are given or not", f"{name} of several"
            raise refusal("head", expected, got, "Fit one head for each.")
        labels = [str(place) for place in range(len(classes))] if isinstance(classes, list) else [*map(str, classes)]
        return Head(Estimator(estimator, label_odds), labels=labels, problem_type=MULTI, dim=dim)
    return Head(
        Estimator(estimator, class_scores),
        labels=[str(label) for label in classes],
        classes=np.asarray(classes).tolist(),
        problem_type="single_label_classification",
        dim=dim,
    )


class Estimator:
    """An estimator as a function from vectors `(n, d_Y)` to logits, by one of the three ways below."""

    def __init__(self, estimator: Any, logits: Callable[[Any, Array], Array]) -> None:
        self.estimator, self.logits = estimator, logits

    def __call__(self, vectors: Tensor) -> Tensor:
        """Logits `(n, num_labels)` in float32, on the CPU."""
        rows = as_fitted(self.estimator, vectors.detach().cpu().numpy())
        return torch.from_numpy(np.ascontiguousarray(self.logits(self.estimator, rows), dtype=np.float32))


def as_fitted(estimator: Any, x: Array) -> Any:
    """Rows with the names of the columns that the estimator was fitted on, where it knows some: a frame of pandas."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is None or len(names) != x.shape[1]:
        return x
    import pandas  # by which it was fitted, or its kin

    return pandas.DataFrame(x, columns=names)


def numbers(estimator: Any, x: Any) -> Array:
    """What a regressor says, `(n, num_labels)`."""
    return _dense(estimator.predict(x)).reshape(len(x), -1)


def class_scores(estimator: Any, x: Any) -> Array:
    """Scores `(n, num_labels)` of a classifier of one label, with the largest where its `predict` says."""
    predicted = _predicted(estimator, x)
    return _agreeing(_class_scores(estimator, x, predicted).astype(np.float32), predicted)


def label_odds(estimator: Any, x: Any) -> Array:
    """Log-odds `(n, num_labels)` of each label, whose sigmoid is its probability; above 0 where `predict` gives it."""
    classes = estimator.classes_
    positive = [pair[-1] for pair in classes] if isinstance(classes, list) else [1] * len(classes)
    predicted = _dense(estimator.predict(x))
    if predicted.shape != (len(x), len(classes)):
        expected, got = f"shape {(len(x), len(classes))}, each label or not", f"shape {predicted.shape}"
        raise refusal("The head's predict", expected, got, "Give a fitted classifier of labels.")
    given = np.stack([predicted[:, place] == label for place, label in enumerate(positive)], 1)
    for place, pair in enumerate(classes if isinstance(classes, list) else ()):
        if len(pair) == 1 and not pair[0]:  # a label that no row of its table had
            given[:, place] = False
    odds = _odds(estimator, x, given).astype(np.float32)
    return np.where(given == (odds > 0), odds, np.where(given, np.float32(LIFT), np.float32(-LIFT)))


def _odds(estimator: Any, x: Any, given: Array) -> Array:
    if hasattr(estimator, "predict_proba"):
        found = estimator.predict_proba(x)
        if isinstance(
            found, list
        ):  # for each label the probabilities of not and of yes, or of the only one that it knows
            found = [_dense(pair) for pair in found]
            share = np.stack([pair[:, -1] if pair.shape[1] == 2 else given[:, i] for i, pair in enumerate(found)], 1)
        else:
            share = _dense(found)
        return np.log(np.maximum(share, SMALLEST)) - np.log(np.maximum(1.0 - share, SMALLEST))
    if hasattr(estimator, "decision_function"):
        return _dense(estimator.decision_function(x))
    return np.where(given, -np.log(SMALLEST), np.log(SMALLEST))


def _dense(values: Any) -> Array:
    """An array, of a sparse one or of a frame too."""
    return values.toarray() if hasattr(values, "toarray") else np.asarray(values)


def _outputs(estimator: Any, width: int) -> int:
    """How many labels a classifier gives to one item."""
    try:
        return int(_dense(estimator.predict(as_fitted(estimator, np.ones((1, width), np.float32)))).size)
    except Exception as error:  # whatever a foreign head may raise
        raise refusal(
            "head",
            "a classifier that reads a row of numbers",
            f"{kind_of(estimator)} that fails on one of ones: {type(error).__name__} ({first_line(error)})",
            "Give a head that reads the target's vectors.",
        ) from error


def _predicted(estimator: Any, x: Any) -> Array:
    """The number `(n,)` of the class that it predicts for each row, counted in its `classes_`."""
    numbers = {label: number for number, label in enumerate(np.asarray(estimator.classes_).tolist())}
    predicted = _dense(estimator.predict(x))
    if predicted.shape != (len(x),) and predicted.shape != (len(x), 1):
        raise _wrong_labels(f"one label for each of {len(x)} vectors", f"shape {predicted.shape}")
    labels = predicted.reshape(-1).tolist()
    for label in labels:
        if label not in numbers:
            raise _wrong_labels(f"one of its {len(numbers)} classes", shown(label))
    return np.array([numbers[label] for label in labels])


def _wrong_labels(expected: str, got: str) -> InputError:
    return refusal("The head's predict", expected, got, "Give a fitted classifier of one label.")


def _class_scores(estimator: Any, x: Any, predicted: Array) -> Array:
    """Logarithms of its probabilities, whose softmax they are; its scores where it knows no probabilities."""
    count = len(estimator.classes_)
    if hasattr(estimator, "predict_proba"):
        return np.log(np.maximum(_dense(estimator.predict_proba(x)), SMALLEST))
    if hasattr(estimator, "decision_function") and not _compares_pairs(estimator):
        scores = _dense(estimator.decision_function(x))  # of two classes, the second alone
        return scores if scores.ndim == 2 else np.stack([np.zeros_like(scores), scores], 1)
    return np.log(np.maximum(predicted[:, None] == np.arange(count), SMALLEST))


def _agreeing(scores: Array, predicted: Array) -> Array:
    """The scores; in rows whose largest is not the predicted class's, that one is raised to just above the others."""
    rows = np.flatnonzero(scores.argmax(1) != predicted)
    best = scores[rows].max(1)
    scores[rows, predicted[rows]] = np.maximum(best + np.float32(LIFT), np.nextafter(best, np.float32(np.inf)))
    return scores


def _compares_pairs(estimator: Any) -> bool:
    """Whether its scores, or those of a part of it, are of pairs of classes, as a support vector machine's may be."""
    parts: list[Any] = [estimator, getattr(estimator, "best_estimator_", None)]
    parameters = [pair for part in parts if hasattr(part, "get_params") for pair in part.get_params().items()]
    return any(name.endswith("decision_function_shape") and value == "ovo" for name, value in parameters)
