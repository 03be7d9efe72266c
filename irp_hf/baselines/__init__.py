"""Translators to compare with: closed forms, trained ones, and their names."""

from irp_hf.baselines.closed_form import (
    Baseline,
    DirectMap,
    RelativeDecoder,
    RidgePath,
    least_squares,
    orthogonalized_least_squares,
    procrustes,
    relative_decoder,
    ridge,
)
from irp_hf.baselines.registry import BASELINES, DEFAULT, Fit
from irp_hf.baselines.trained import ResidualMLP, affine_sgd, residual_mlp

__all__ = [
    "BASELINES",
    "DEFAULT",
    "Baseline",
    "DirectMap",
    "Fit",
    "RelativeDecoder",
    "ResidualMLP",
    "RidgePath",
    "affine_sgd",
    "least_squares",
    "orthogonalized_least_squares",
    "procrustes",
    "relative_decoder",
    "residual_mlp",
    "ridge",
]
