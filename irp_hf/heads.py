"""Open a head, whatever it is: a classifier, a part of one, a module, a function, a fitted scikit-learn estimator."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from irp_hf.encoders.base import first_line
from irp_hf.encoders.hub import Repository
from irp_hf.errors import InputError, IRPError
from irp_hf.head_cut import HeadCut

PROBLEMS = ("regression", "single_label_classification", "multi_label_classification")
SMALLEST = 1e-30  # probability, for its logarithm to be finite


class Head(nn.Module):
    """From vectors of the target space, `(n, d_Y)`, to logits, `(n, num_labels)`, and what the logits mean."""

    def __init__(
        self,
        scorer: Callable[[Tensor], Any],
        *,
        labels: list[str] | None = None,
        problem_type: str | None = None,
        dim: int | None = None,
        record: dict[str, Any] | None = None,
    ) -> None:
        """A head of any function `scorer`; `nn.Module`s become a part of it, in evaluation mode.

        `labels` are the names of the logits, `problem_type` is one of transformers', `dim` is d_Y, `record` says where the
        head comes from; None where not known.
        """
        super().__init__()
        self.scorer = scorer
        self.labels, self.problem_type, self.dim = labels, problem_type, dim
        self.record = record or {}
        self.eval()

    def forward(self, vectors: Tensor) -> Tensor:
        """Logits `(n, num_labels)`, float32, on the head's own device; raises `InputError` where the head fails."""
        if not isinstance(vectors, Tensor) or vectors.dim() != 2:
            given = tuple(vectors.shape) if isinstance(vectors, Tensor) else type(vectors).__name__
            raise InputError(
                f"The head was given {given}; a tensor of shape (n, {self.dim or 'd_Y'}) is wanted. Give one row for each item."
            )
        if not len(vectors):  # some heads cannot run on nothing
            return self(vectors.new_zeros(1, vectors.shape[1]))[:0]  # type: ignore[no-any-return]
        if self.dim is not None and vectors.shape[1] != self.dim:
            raise InputError(
                f"The head reads vectors {self.dim} wide, not {vectors.shape[1]}. "
                "Connect the adapter to the space that this head reads."
            )
        weight = next((p for p in self.parameters() if p.is_floating_point()), None)
        fitting = vectors.float() if weight is None else vectors.to(weight.device, weight.dtype)
        try:
            logits = torch.as_tensor(self.scorer(fitting))
        except IRPError:
            raise
        except Exception as error:  # whatever a foreign head may raise
            raise InputError(
                f"The head failed on vectors of shape {tuple(vectors.shape)} ({first_line(error)}). "
                "Give a head that reads the target's vectors."
            ) from error
        if logits.dim() == 3 and logits.shape[1] == 1:  # a few models of transformers keep the place of a token
            logits = logits[:, 0]
        if logits.dim() != 2 or len(logits) != len(vectors) or logits.shape[1] != len(self.labels or logits[0]):
            raise InputError(
                f"The head gave shape {tuple(logits.shape)} for {len(vectors)} vectors; logits "
                f"({len(vectors)}, {len(self.labels or ()) or 'num_labels'}) are wanted. Give a head that returns them."
            )
        return logits.float()

    def names(self, num_labels: int) -> list[str]:
        """The labels' names, LABEL_0, ... where the head has none."""
        return self.labels or [f"LABEL_{i}" for i in range(num_labels)]

    def extra_repr(self) -> str:
        """What `print` shows."""
        name, count = self.record.get("id", "given in memory"), len(self.labels or ())
        return f"{name}: {self.dim or 'any'} wide, {count or 'unknown'} labels"


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
        from irp_hf.stored_heads import read_head

        return read_head(os.fspath(head), revision, token, trust_remote_code)
    for option, value in (("revision", revision), ("token", token)):
        if value is not None:
            raise InputError(
                f"{option} is given, but the head is a {type(head).__name__}, loaded already. Leave {option} out."
            )
    if isinstance(head, PreTrainedModel):
        from irp_hf.stored_heads import cut_loaded

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


def of_config(cut: HeadCut, config: PreTrainedConfig | None, record: dict[str, Any]) -> Head:
    """A head with the names and the problem of a classifier's configuration."""
    problem, names = getattr(config, "problem_type", None), _names_of(config)
    return Head(
        cut.head_only(),
        labels=names if names and len(names) == cut.num_labels else None,
        problem_type=problem if problem in PROBLEMS else None,
        dim=cut.dim,
        record={key: value for key, value in record.items() if value is not None},
    )


def _names_of(config: Any) -> list[str] | None:
    names = getattr(config, "id2label", None)
    return [str(names[i]) for i in sorted(names)] if isinstance(names, dict) and names else None


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
