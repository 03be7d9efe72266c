"""What users may ask of `connect` and of a head, checked before any work begins."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, cast

import numpy as np

from irp_hf.errors import InputError
from irp_hf.maths.selection import METHODS, OBJECTIVES, Method, Objective
from irp_hf.maths.tuning import Given

# name: (least, most, whether the least itself is allowed)
RANGES: dict[str, tuple[float, float, bool]] = {
    "gamma": (0, 1e3, False),
    "ridge": (0, 1e6, True),
    "balance": (0, 1, True),
    "restoration": (0, 1, True),
    "lift": (0, 1e3, True),
    "pruning_threshold": (0, 1, True),
}


# name: (least, most)
LEAST_KERNEL_RIDGE = 1e-12  # below it a singular kernel is inverted to infinity
COUNTS = {"num_landmarks": (1, 2**31), "num_subspaces": (1, 10_000), "seed": (0, 2**63 - 1)}
BELONGS_TO = {
    "gamma": ("kernel",),
    "ridge": ("kernel", "whitened"),
    "balance": ("whitened",),
    "lift": ("kernel", "whitened"),
    "num_landmarks": ("kernel",),
    "num_subspaces": ("pruned",),
    "pruning_threshold": ("pruned",),
}


def check_method(method: str, allowed: Sequence[str] = ("auto", *METHODS)) -> tuple[Method, ...]:
    """The inverses that `method` names; raises `InputError` where there is no such method."""
    if not isinstance(method, str) or method not in allowed:
        raise InputError(f"method is {method!r}; one of {', '.join(map(repr, allowed))} is wanted. Choose one of them.")
    return METHODS if method == "auto" else (cast(Method, method),)


def check_objective(objective: str, head: Any) -> Objective:
    """The objective; raises `InputError` where it is unknown, or is "agreement" and no head is given."""
    if not isinstance(objective, str) or objective not in OBJECTIVES:
        allowed = ", ".join(map(repr, OBJECTIVES))
        raise InputError(f"objective is {objective!r}; one of {allowed} is wanted. Choose one of them.")
    if objective == "agreement" and head is None:
        raise InputError(
            "objective is 'agreement' and head is None; a head is wanted, to agree with. Give head=, or choose 'cosine'."
        )
    return objective


def check_given(method: str, **options: Any) -> Given:
    """Hyper-parameters that the user fixed; raises `InputError` for an unknown, ill-typed or out-of-range one."""
    given: dict[str, Any] = {}
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
        plain = value.item() if isinstance(value, np.generic) else value
        given[name] = _count(name, plain) if name in COUNTS else _number(name, plain)
    ridge = given.get("ridge")
    if method in ("auto", "kernel") and ridge is not None and ridge < LEAST_KERNEL_RIDGE:
        raise InputError(
            f"ridge is {ridge:g}; the kernel inverse wants at least {LEAST_KERNEL_RIDGE:g}. Give a small one, 1e-6 say."
        )
    return Given(**given)


def _count(name: str, value: Any) -> int:
    least, most = COUNTS[name]
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) <= most:
        raise InputError(
            f"{name} is {value!r}; a whole number of at least {least} and at most {most} is wanted. Correct it."
        )
    return int(value)


def _number(name: str, value: Any) -> float:
    least, most, inclusive = RANGES[name]
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not (least <= value <= most) or (value == least and not inclusive):
        bound = f"at least {least:g}" if inclusive else f"above {least:g}"
        raise InputError(f"{name} is {value!r}; a number {bound} and at most {most:g} is wanted. Correct it.")
    return float(value)
