"""The labels that a head gives to vectors, whatever the head is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from irp_hf.errors import InputError, IRPError

Labels = Callable[[Tensor], Tensor]


def head_labels(head: Any) -> Labels:
    """The labels `(n,)` that a head gives to target vectors `(n, d_Y)`, as a function.

    `head` is an `nn.Module` or a callable that returns logits `(n, c)`, or a fitted scikit-learn classifier. A module is
    called in evaluation mode. Raises `InputError` for anything else, and the function does so where the head fails.
    """
    if isinstance(head, type) or not (callable(head) or hasattr(head, "classes_")):
        raise InputError(
            f"head is {_a(head)}; an nn.Module, a callable or a fitted classifier is wanted. Give one of them."
        )

    @torch.no_grad()
    def labels(vectors: Tensor) -> Tensor:
        try:
            if not callable(head):
                classes = head.classes_.tolist()
                predicted = torch.tensor([classes.index(c) for c in head.predict(vectors.cpu().numpy()).tolist()])
                return _one_each(predicted, vectors)
            logits = torch.as_tensor(_in_evaluation(head)(vectors)).cpu().double()
        except IRPError:
            raise
        except Exception as error:  # whatever a foreign head may raise
            raise InputError(
                f"head failed on vectors of shape {tuple(vectors.shape)}: {str(error).rstrip('.')}. "
                "Give a head that reads the target's vectors."
            ) from error
        if logits.ndim != 2 or len(logits) != len(vectors) or not logits.shape[1]:
            raise InputError(
                f"head gave shape {tuple(logits.shape)} for {len(vectors)} vectors; logits (n, classes) are wanted. "
                "Give a head that returns them."
            )
        if logits.isnan().any():
            raise InputError(f"head gave NaN for {len(vectors)} vectors; numbers are wanted. Check its weights.")
        return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)

    return labels


def _one_each(predicted: Tensor, vectors: Tensor) -> Tensor:
    if predicted.shape != (len(vectors),):
        raise InputError(
            f"head predicted shape {tuple(predicted.shape)} for {len(vectors)} vectors; one class each is wanted. "
            "Give a fitted classifier of one label."
        )
    return predicted


def _in_evaluation(head: Any) -> Callable[[Tensor], Any]:
    """The head without dropout or batch statistics, on its own device and in its dtype."""
    if not isinstance(head, nn.Module):
        return lambda vectors: head(vectors.float())

    def call(vectors: Tensor) -> Any:
        parameter = next(head.parameters(), None)
        vectors = vectors.float() if parameter is None else vectors.to(parameter.device, parameter.dtype)
        training = [module for module in head.modules() if module.training]
        head.eval()
        try:
            return head(vectors)
        finally:
            for module in training:
                module.training = True

    return call


def _a(thing: Any) -> str:
    return f"the class {thing.__name__}" if isinstance(thing, type) else f"a {type(thing).__name__}"
