"""Open a head, whatever it is: a classifier, a part of one, a module, a function, a fitted scikit-learn estimator."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from irp_hf.arithmetic import own_arithmetic
from irp_hf.checkpoints.repository import Repository
from irp_hf.checks import check_absent
from irp_hf.errors import first_line, kind_of, refusal, shown
from irp_hf.heads.cut import HeadCut
from irp_hf.heads.head import Head, label_names, of_config

SMALLEST = 1e-30  # probability, for its logarithm to be finite
LIFT = 1e-5  # of a score: large enough for a softmax in float32 to keep it apart from the next


@own_arithmetic()
def open_head(
    head: Any, revision: str | None = None, token: str | bool | None = None, trust_remote_code: bool = False
) -> Head:
    """Open what `head` names or is.

    - a folder or an id: a model with a sequence, image, audio or video classification head, of which only the head's own
      tensors are read;
    - such a model loaded already, or a `HeadCut` of one;
    - an `nn.Module` or a function from `(n, d_Y)` to logits `(n, num_labels)`;
    - a fitted scikit-learn classifier or regressor. The softmax of a classifier's logits are its probabilities, where it knows
      them; in rows where its `predict` names another class than the most probable one (a threshold that was moved, say), that
      class's logit is raised to just above the others, so that the largest logit is always its prediction.

    `revision` and `token` are for a repository on the Hub; code that it brings runs only with `trust_remote_code`.

    Raises `InputError` for anything else, and `HeadCutError` for a model that cannot be cut at its head.
    """
    if isinstance(head, Head):
        return head
    if isinstance(head, str | os.PathLike):
        from irp_hf.heads.stored import read_head

        return read_head(os.fspath(head), revision, token, trust_remote_code)
    loaded = f"the head is {kind_of(head)}, loaded already"
    check_absent("revision", revision, loaded)
    check_absent("token", token, loaded, show=kind_of)  # no error shows it
    if isinstance(head, PreTrainedModel):
        from irp_hf.heads.stored import cut_loaded

        head = cut_loaded(head)
    if isinstance(head, HeadCut):
        config: Any = getattr(head.model, "config", None)
        path, commit = getattr(config, "_name_or_path", None), getattr(config, "_commit_hash", None)
        return of_config(head, config, Repository(path, commit, False).name if path else None, commit)
    if _is_estimator(head):
        return _of_estimator(head)
    if isinstance(head, type) or not callable(head):
        raise refusal(
            "head",
            "a folder, an id, a classification model, an nn.Module, a function or a fitted scikit-learn classifier",
            kind_of(head),
            "Give one of them.",
        )
    return Head(head, labels=label_names(getattr(head, "config", None)), dim=_width(head))


def _width(head: Any) -> int | None:
    """What a layer says that it reads."""
    width = getattr(head, "in_features", None)
    return width if isinstance(width, int) and width > 0 else None  # a lazy layer does not know yet


def _is_estimator(head: Any) -> bool:
    """Whether it is an estimator of scikit-learn, or works like a fitted classifier of it."""
    if isinstance(head, type | nn.Module) or not hasattr(head, "predict"):
        return False
    return hasattr(head, "get_params") or (hasattr(head, "classes_") and not callable(head))


def _of_estimator(estimator: Any) -> Head:
    """A head of a fitted scikit-learn classifier or regressor."""
    name, width = kind_of(estimator), getattr(estimator, "n_features_in_", None)
    classes = getattr(estimator, "classes_", None)
    if width is None and classes is None:
        raise refusal("head", "a fitted estimator", f"{name} that was never fitted", "Call its fit first.")
    if classes is None and hasattr(estimator, "fit_predict"):  # clusters and outliers
        got = f"{name}, which learns from no labels"
        raise refusal("head", "a classifier or a regressor", got, "Fit one of them.")
    if classes is not None and (isinstance(classes, list) or (width is not None and _outputs(estimator, width) > 1)):
        raise refusal("head", "a classifier of one output", f"{name} of several", "Fit one head for each.")
    return Head(
        lambda vectors: torch.from_numpy(_scores(estimator, vectors.detach().cpu().numpy())),
        labels=None if classes is None else [str(label) for label in classes],
        classes=None if classes is None else np.asarray(classes).tolist(),
        problem_type="regression" if classes is None else "single_label_classification",
        dim=None if width is None else int(width),
    )


def _outputs(estimator: Any, width: int) -> int:
    """How many labels a classifier gives to one item."""
    try:
        return int(np.size(estimator.predict(np.ones((1, width), np.float32))))
    except Exception as error:  # whatever a foreign head may raise
        raise refusal(
            "head",
            "a classifier that reads a row of numbers",
            f"{kind_of(estimator)} that fails on one of ones: {type(error).__name__} ({first_line(error)})",
            "Give a head that reads the target's vectors.",
        ) from error


def _scores(estimator: Any, x: Any) -> Any:
    """Scores `(n, num_labels)` in float32, of a classifier with the largest where its `predict` says."""
    if not hasattr(estimator, "classes_"):
        return estimator.predict(x).reshape(len(x), -1).astype(np.float32)
    predicted = _predicted(estimator, x)
    return _agreeing(_class_scores(estimator, x, predicted).astype(np.float32), predicted)


def _predicted(estimator: Any, x: Any) -> Any:
    """The number `(n,)` of the class that it predicts for each row, counted in its `classes_`."""
    numbers = {label: number for number, label in enumerate(np.asarray(estimator.classes_).tolist())}
    predicted = np.asarray(estimator.predict(x))
    advice = "Give a fitted classifier of one label."
    if predicted.shape != (len(x),):
        raise refusal(
            "The head's predict", f"one label for each of {len(x)} vectors", f"shape {predicted.shape}", advice
        )
    labels = predicted.tolist()
    for label in labels:
        if label not in numbers:
            raise refusal("The head's predict", f"one of its {len(numbers)} classes", shown(label), advice)
    return np.array([numbers[label] for label in labels])


def _class_scores(estimator: Any, x: Any, predicted: Any) -> Any:
    """Logarithms of scikit-learn's probabilities, whose softmax they are; its scores where it knows no probabilities."""
    if hasattr(estimator, "predict_proba"):
        return np.log(np.maximum(estimator.predict_proba(x), SMALLEST))
    if hasattr(estimator, "decision_function") and not _compares_pairs(estimator):
        scores = estimator.decision_function(x)  # of two classes, the second alone
        return scores if scores.ndim == 2 else np.stack([np.zeros_like(scores), scores], 1)
    return np.log(np.maximum(predicted[:, None] == np.arange(len(estimator.classes_)), SMALLEST))


def _agreeing(scores: Any, predicted: Any) -> Any:
    """The scores; in rows whose largest is not the predicted class's, that one is raised to just above the others."""
    rows = np.flatnonzero(scores.argmax(1) != predicted)
    best = scores[rows].max(1)
    scores[rows, predicted[rows]] = np.maximum(best + np.float32(LIFT), np.nextafter(best, np.float32(np.inf)))
    return scores


def _compares_pairs(estimator: Any) -> bool:
    """Whether its scores, or those of a part of it, are of pairs of classes, as a support vector machine's may be."""
    parameters = estimator.get_params().items() if hasattr(estimator, "get_params") else ()
    return any(name.endswith("decision_function_shape") and value == "ovo" for name, value in parameters)
