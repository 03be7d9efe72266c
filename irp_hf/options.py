"""What users may ask of `connect` and of a head, checked before any work begins."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from irp_hf.errors import InputError
from irp_hf.selection import METHODS, OBJECTIVES, Method, Objective
from irp_hf.tuning import Given

Labels = Callable[[Tensor], Tensor]

# name: (least, most, whether the least itself is allowed)
RANGES: dict[str, tuple[float, float, bool]] = {
    "gamma": (0, 1e3, False),
    "ridge": (0, 1e6, True),
    "balance": (0, 1, True),
    "restoration": (0, 1, True),
    "pruning_threshold": (0, 1, True),
}
COUNTS = {"num_landmarks": 1, "num_subspaces": 1, "seed": 0}
BELONGS_TO = {
    "gamma": ("kernel",),
    "ridge": ("kernel", "whitened"),
    "balance": ("whitened",),
    "num_landmarks": ("kernel",),
    "num_subspaces": ("pruned",),
    "pruning_threshold": ("pruned",),
}


def check_method(method: str, allowed: Sequence[str] = ("auto", *METHODS)) -> tuple[Method, ...]:
    """The inverses that `method` names; raises `InputError` where there is no such method."""
    if method not in allowed:
        raise InputError(f"method is {method!r}; one of {', '.join(map(repr, allowed))} is wanted. Choose one of them.")
    return METHODS if method == "auto" else (cast(Method, method),)


def check_objective(objective: str, head: Any) -> Objective:
    """The objective; raises `InputError` where it is unknown, or is "agreement" and no head is given."""
    if objective not in OBJECTIVES:
        allowed = ", ".join(map(repr, OBJECTIVES))
        raise InputError(f"objective is {objective!r}; one of {allowed} is wanted. Choose one of them.")
    if objective == "agreement" and head is None:
        raise InputError(
            "objective is 'agreement' and head is None; a head is wanted, to agree with. Give head=, or choose 'cosine'."
        )
    return cast(Objective, objective)


def check_given(method: str, **options: Any) -> Given:
    """Hyper-parameters that the user fixed; raises `InputError` for an unknown, ill-typed or out-of-range one."""
    for name, value in options.items():
        if name not in RANGES and name not in COUNTS:
            known = ", ".join((*RANGES, *COUNTS))
            raise InputError(f"{name} is no option; the options are {known}. Remove it or correct its name.")
        if value is None:
            continue
        owners = BELONGS_TO.get(name, METHODS)
        if method != "auto" and method not in owners:
            raise InputError(
                f"{name} is given with method={method!r}; it belongs to {' and '.join(map(repr, owners))}. "
                "Remove it or choose that method."
            )
        if name in COUNTS:
            _check_count(name, value)
        else:
            _check_range(name, value)
    given = {name: value for name, value in options.items() if value is not None}
    if method == "kernel" and given.get("ridge") == 0:
        raise InputError("ridge is 0; the kernel inverse wants one above 0. Give a small one, 1e-6 say.")
    return Given(**given)


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < COUNTS[name]:
        raise InputError(f"{name} is {value!r}; a whole number of at least {COUNTS[name]} is wanted. Correct it.")


def _check_range(name: str, value: Any) -> None:
    least, most, inclusive = RANGES[name]
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not (least <= value <= most) or (value == least and not inclusive):
        bound = f"at least {least:g}" if inclusive else f"above {least:g}"
        raise InputError(f"{name} is {value!r}; a number {bound} and at most {most:g} is wanted. Correct it.")


def head_labels(head: Any) -> Labels:
    """The labels `(n,)` that a head gives to target vectors `(n, d_Y)`, as a function.

    `head` is an `nn.Module` or a callable that returns logits `(n, c)`, or a fitted scikit-learn classifier.
    """
    if not callable(head) and not hasattr(head, "predict"):
        raise InputError(
            f"head is a {type(head).__name__}; an nn.Module, a callable or a fitted classifier is wanted. Give one of them."
        )

    @torch.no_grad()
    def labels(vectors: Tensor) -> Tensor:
        if not callable(head):
            classes = head.classes_.tolist()
            return torch.tensor([classes.index(label) for label in head.predict(vectors.cpu().numpy()).tolist()])
        if isinstance(head, nn.Module):
            parameter = next(head.parameters(), None)
            vectors = vectors.float() if parameter is None else vectors.to(parameter.device, parameter.dtype)
        else:
            vectors = vectors.float()
        logits = torch.as_tensor(head(vectors)).cpu()
        if logits.ndim != 2 or len(logits) != len(vectors):
            raise InputError(
                f"head gave shape {tuple(logits.shape)} for {len(vectors)} vectors; logits (n, classes) are wanted. "
                "Give a head that returns them."
            )
        return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)

    return labels
