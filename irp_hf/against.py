"""Whom a report compares with: baselines by name, or any translator of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from irp_hf.baselines import (
    Baseline,
    least_squares,
    orthogonalized_least_squares,
    procrustes,
    relative_decoder,
    ridge,
)
from irp_hf.costs import baseline_cost
from irp_hf.errors import InputError
from irp_hf.evaluation import Row, evaluate, out_of_fold
from irp_hf.inverses.base import Translator
from irp_hf.options import Labels
from irp_hf.pairs import Pairs
from irp_hf.trained_baselines import affine_sgd, residual_mlp

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

Against = Sequence[str | Fit] | Mapping[str, Fit] | str


def named_fits(against: Against) -> dict[str, Fit]:
    """The fits that `against` names: names of `BASELINES`, functions, a mapping from names to functions, or "all".

    Raises `InputError` for a name that is unknown and for what cannot be called.
    """
    if isinstance(against, str) and against == "all":
        return dict(BASELINES)
    if isinstance(against, Mapping):
        entries = list(against.items())
    else:
        one = callable(against) or isinstance(against, str) or not isinstance(against, Iterable)
        several: list[Any] = [against] if one else list(against)
        entries = [(entry if isinstance(entry, str) else _name(entry), entry) for entry in several]
    fits: dict[str, Fit] = {}
    for name, entry in entries:
        fit = BASELINES.get(entry) if isinstance(entry, str) else entry
        if fit is None or not callable(fit):
            known = ", ".join(map(repr, BASELINES))
            raise InputError(
                f"against has {entry!r:.80}; a function fit(source, target), or one of {known} is wanted. Correct it."
            )
        fits[str(name)] = fit
    return fits


def baseline_rows(pairs: Pairs, fits: Mapping[str, Fit], labels: Labels | None, seed: int) -> Iterator[Row]:
    """Each baseline over the folds that the inverses share."""
    for name, fit in fits.items():
        checked = _checked(name, fit)
        evaluation = evaluate(out_of_fold(pairs, checked, seed), pairs.target, labels)
        fitted = fit(pairs.source, pairs.target)
        translate = fitted if isinstance(fitted, Baseline) else getattr(fitted, "translate", fitted)
        yield Row(name, getattr(fitted, "settings", ""), evaluation, baseline_cost(translate, pairs))


def _checked(name: str, fit: Fit) -> Callable[[Tensor, Tensor], Translator]:
    """The fit, whose translations are tensors of the target's shape or refused."""

    def checked(source: Tensor, target: Tensor) -> Translator:
        fitted = fit(source, target)
        translate: Any = getattr(fitted, "translate", fitted)

        def translated(x: Tensor) -> Tensor:
            y = translate(x)
            if not isinstance(y, Tensor) or y.shape != (len(x), target.shape[1]) or not y.isfinite().all():
                said = f"shape {tuple(y.shape)}" if hasattr(y, "shape") else f"a {type(y).__name__}"
                raise InputError(
                    f"{name} gave {said} for {len(x)} vectors; a finite tensor {(len(x), target.shape[1])} is wanted. "
                    "Let its translate return one."
                )
            return y.to(target)

        return translated

    return checked


def _name(fit: Any) -> str:
    return str(getattr(fit, "__name__", type(fit).__name__)).replace("_", " ")
