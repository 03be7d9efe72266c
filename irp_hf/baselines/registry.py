"""The translators that a report can compare with, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from irp_hf.baselines.closed_form import (
    least_squares,
    orthogonalized_least_squares,
    procrustes,
    relative_decoder,
    ridge,
)
from irp_hf.baselines.trained import affine_sgd, residual_mlp

Fit = Callable[[Tensor, Tensor], Any]
"""From parallel anchors `(k, d_X)` and `(k, d_Y)` to a translator: an object with `translate`, or a callable."""


BASELINES: dict[str, Fit] = {
    "Procrustes": procrustes,
    "ridge": ridge,
    "least squares": least_squares,
    "orthogonalized least squares": orthogonalized_least_squares,
    "affine SGD": affine_sgd,
    "residual MLP": residual_mlp,
    "relative decoder": relative_decoder,
}
DEFAULT = ("Procrustes", "ridge")
