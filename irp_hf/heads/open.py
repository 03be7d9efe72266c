"""Open a head, whatever it is: a classifier, a part of one, a module, a function, a fitted scikit-learn estimator."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from irp_hf.checkpoints.repository import Repository
from irp_hf.errors import InputError, first_line
from irp_hf.heads.cut import HeadCut
from irp_hf.heads.head import Head, _names_of, of_config

SMALLEST = 1e-30  # probability, for its logarithm to be finite


def open_head(
    head: Any, revision: str | None = None, token: str | bool | None = None, trust_remote_code: bool = False
) -> Head:
    """Open what `head` names or is.

    - a folder or an id: a model with a sequence, image, audio or video classification head, of which only the head's own
      tensors are read;
    - such a model loaded already, or a `HeadCut` of one;
    - an `nn.Module` or a function from `(n, d_Y)` to logits `(n, num_labels)`;
    - a fitted scikit-learn classifier or regressor.

    `revision` and `token` are for a repository on the Hub; code that it brings runs only with `trust_remote_code`.

    Raises `InputError` for anything else, and `HeadCutError` for a model that cannot be cut at its head.
    """
    if isinstance(head, Head):
        return head
    if isinstance(head, str | os.PathLike):
        from irp_hf.heads.stored import read_head

        return read_head(os.fspath(head), revision, token, trust_remote_code)
    for option, value in (("revision", revision), ("token", token)):
        if value is not None:
            raise InputError(
                f"{option} is given, but the head is a {type(head).__name__}, loaded already. Leave {option} out."
            )
    if isinstance(head, PreTrainedModel):
        from irp_hf.heads.stored import cut_loaded

        head = cut_loaded(head)
    if isinstance(head, HeadCut):
        config: Any = getattr(head.model, "config", None)
        path = getattr(config, "_name_or_path", None)
        return of_config(head, config, {"id": Repository(path, None, False).name if path else None})
    if hasattr(head, "predict") and hasattr(head, "get_params") and not isinstance(head, type):
        return _of_estimator(head)
    if isinstance(head, type) or not callable(head):
        raise InputError(
            f"The head is a {type(head).__name__}; a folder, an id, a classification model, an nn.Module, a function or a "
            "fitted scikit-learn classifier is wanted. Give one of them."
        )
    return Head(head, labels=_names_of(getattr(head, "config", None)), dim=getattr(head, "in_features", None))


def _of_estimator(estimator: Any) -> Head:
    """A head of a fitted scikit-learn classifier or regressor."""
    name = type(estimator).__name__
    if not hasattr(estimator, "n_features_in_"):
        raise InputError(f"The head is a {name} that was never fitted. Call its fit first.")
    classes = getattr(estimator, "classes_", None)
    if classes is None and hasattr(estimator, "fit_predict"):  # clusters and outliers
        raise InputError(
            f"The head is a {name}, which learns from no labels; a classifier or regressor is wanted. Fit one of them."
        )
    if classes is not None and (isinstance(classes, list) or _outputs(estimator) > 1):
        raise InputError(f"The head is a {name} of several outputs; one is wanted. Fit one head for each.")
    return Head(
        lambda vectors: torch.from_numpy(_scores(estimator, vectors.detach().cpu().numpy()).astype(np.float32)),
        labels=None if classes is None else [str(label) for label in classes],
        problem_type="regression" if classes is None else "single_label_classification",
        dim=int(estimator.n_features_in_),
    )


def _outputs(estimator: Any) -> int:
    """How many labels a classifier gives to one item."""
    try:
        return int(np.size(estimator.predict(np.ones((1, estimator.n_features_in_), np.float32))))
    except Exception as error:  # whatever a foreign head may raise
        raise InputError(
            f"The head is a {type(estimator).__name__} that fails on a row of ones ({first_line(error)}). "
            "Give a head that reads the target's vectors."
        ) from error


def _scores(estimator: Any, x: Any) -> Any:
    """Logarithms of scikit-learn's probabilities, whose softmax they are; its scores where it knows no probabilities."""
    if not hasattr(estimator, "classes_"):
        return estimator.predict(x).reshape(len(x), -1)
    if hasattr(estimator, "predict_proba"):
        return np.log(np.maximum(estimator.predict_proba(x), SMALLEST))
    if hasattr(estimator, "decision_function") and not _compares_pairs(estimator):
        scores = estimator.decision_function(x)  # of two classes, the second alone
        return scores if scores.ndim == 2 else np.stack([np.zeros_like(scores), scores], 1)
    return np.log(np.maximum(estimator.predict(x)[:, None] == estimator.classes_, SMALLEST))


def _compares_pairs(estimator: Any) -> bool:
    """Whether its scores, or those of a part of it, are of pairs of classes, as a support vector machine's may be."""
    parameters = estimator.get_params().items()
    return any(name.endswith("decision_function_shape") and value == "ovo" for name, value in parameters)
