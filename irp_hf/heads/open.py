"""Open a head, whatever it is: a classifier, a part of one, a module, a function, a fitted scikit-learn estimator."""

from __future__ import annotations

import os
from typing import Any

from transformers import Pipeline, PreTrainedModel

from irp_hf.arithmetic import own_arithmetic
from irp_hf.checkpoints.repository import Repository
from irp_hf.checkpoints.wrapped import unwrapped
from irp_hf.checks import check_absent
from irp_hf.errors import kind_of, refusal
from irp_hf.heads.cut import HeadCut
from irp_hf.heads.estimator import is_estimator, of_estimator
from irp_hf.heads.head import Head, label_names, of_config


@own_arithmetic()
def open_head(
    head: Any,
    revision: str | None = None,
    token: str | bool | None = None,
    trust_remote_code: bool = False,
    *,
    subfolder: str | None = None,
    variant: str | None = None,
) -> Head:
    """Open what `head` names or is.

    - a folder or an id: a model with a sequence, image, audio or video classification head, of which only the head's own
      tensors are read;
    - such a model loaded already, or a `HeadCut` of one;
    - an `nn.Module` or a function from `(n, d_Y)` to logits `(n, num_labels)`;
    - a fitted scikit-learn classifier or regressor. The softmax of a classifier's logits are its probabilities, where it knows
      them; in rows where its `predict` names another class than the most probable one (a threshold that was moved, say), that
      class's logit is raised to just above the others, so that the largest logit is always its prediction. One that gives
      several labels at once (`MultiOutputClassifier`, `OneVsRestClassifier` or a network on a matrix of zeros and ones)
      becomes a head of the problem "multi_label_classification": the sigmoid of a logit is that label's probability, and
      it is above 0 where `predict` gives the label. Where it was fitted on a DataFrame, it gets the names of the columns.

    `revision` and `token` are for a repository on the Hub, `subfolder` and `variant` ("fp16" of `model.fp16.safetensors`)
    for one with several models; code that it brings runs only with `trust_remote_code`.

    Raises `InputError` for anything else, and `HeadCutError` for a model that cannot be cut at its head.
    """
    if isinstance(head, Head):
        return head
    if isinstance(head, str | os.PathLike):
        from irp_hf.heads.stored import read_head

        return read_head(os.fspath(head), revision, token, trust_remote_code, subfolder, variant)
    loaded = f"the head is {kind_of(head)}, loaded already"
    for name, value in {"revision": revision, "subfolder": subfolder, "variant": variant}.items():
        check_absent(name, value, loaded)
    check_absent("token", token, loaded, show=kind_of)  # no error shows it
    head = unwrapped(head)
    _refuse_others(head)
    if isinstance(head, PreTrainedModel):
        from irp_hf.heads.stored import cut_loaded

        head = cut_loaded(head)
    if isinstance(head, HeadCut):
        config: Any = getattr(head.model, "config", None)
        path, commit = getattr(config, "_name_or_path", None), getattr(config, "_commit_hash", None)
        return of_config(head, config, Repository(path, commit, False).name if path else None, commit)
    if is_estimator(head):
        return of_estimator(head)
    if isinstance(head, type) or not callable(head):
        raise refusal(
            "head",
            "a folder, an id, a classification model, an nn.Module, a function or a fitted scikit-learn classifier",
            kind_of(head),
            "Pass a function: lambda vectors: head.predict(vectors.numpy()), say."
            if hasattr(head, "predict")
            else "Give one of them.",
        )
    return Head(head, labels=label_names(getattr(head, "config", None)), dim=_width(head))


def _width(head: Any) -> int | None:
    """What a layer says that it reads."""
    width = getattr(head, "in_features", None)
    return width if isinstance(width, int) and width > 0 else None  # a lazy layer does not know yet


def _refuse_others(head: Any) -> None:
    """Raise `InputError` for what can be called, but not with vectors, and for a part of what the whole is needed of."""
    expected = "a classifier, or a function from vectors to logits"
    if isinstance(head, Pipeline):
        raise refusal("head", expected, f"{kind_of(head)} of transformers", "Pass its model: head=pipe.model.")
    if is_estimator(owner := getattr(head, "__self__", None)):
        got = f"the method {head.__name__} of {kind_of(owner)}"
        raise refusal("head", expected, got, "Pass the estimator itself.")
    if type(head).__name__ in ("SentenceTransformer", "SparseEncoder", "CrossEncoder"):
        advice = (
            "Pass head=cross_encoder.model." if type(head).__name__ == "CrossEncoder" else "Pass encoder=, and a head."
        )
        raise refusal("head", expected, f"{kind_of(head)} of sentence-transformers", advice)
