"""Whom a report compares with: baselines by name, or any translator of the user's own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from irp_hf.baselines.closed_form import Baseline
from irp_hf.baselines.registry import BASELINES, Fit
from irp_hf.errors import InputError, IRPError
from irp_hf.evaluation.costs import baseline_cost
from irp_hf.evaluation.held_out import NAMES, Row, evaluate, out_of_fold
from irp_hf.heads.labels import Labels
from irp_hf.maths.inverses.base import Translator
from irp_hf.maths.pairs import Pairs

Against = Sequence[str | Fit] | Mapping[str, Fit] | str


def named_fits(against: Against) -> dict[str, Fit]:
    """The fits that `against` names: names of `BASELINES`, functions, a mapping from names to functions, or "all".

    Raises `InputError` for a name that is unknown or means two, for what cannot be called, and for what is fitted already.
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
        fitted = hasattr(fit, "translate") and not isinstance(fit, type)
        if fit is None or fitted or not callable(fit):
            known = ", ".join(map(repr, ("all", *BASELINES)))
            raise InputError(
                f"against has {entry!r:.80}; a function fit(source, target), or one of {known} is wanted. Correct it."
            )
        if str(name) in NAMES.values() or fits.setdefault(str(name), fit) is not fit:
            raise InputError(
                f"against has another {str(name)!r}; every row, those of the inverses too, wants a name of its own. "
                "Give a dict from names to functions."
            )
    return fits


def baseline_rows(pairs: Pairs, fits: Mapping[str, Fit], labels: Labels | None, seed: int) -> Iterator[Row]:
    """Each baseline over the folds that the inverses share."""
    for name, fit in fits.items():
        checked = _checked(name, fit)
        evaluation = evaluate(out_of_fold(pairs, checked, seed), pairs.target, labels)
        fitted = fit(pairs.source.clone(), pairs.target.clone())  # it may change what it is given
        translate = fitted if isinstance(fitted, Baseline) else getattr(fitted, "translate", fitted)
        yield Row(name, getattr(fitted, "settings", ""), evaluation, baseline_cost(translate, pairs))


def _checked(name: str, fit: Fit) -> Callable[[Tensor, Tensor], Translator]:
    """The fit, whose translations are real tensors of the target's shape or refused."""

    def checked(source: Tensor, target: Tensor) -> Translator:
        wanted = target.shape[1]
        with _named(name, source):
            fitted = fit(source, target)
        translate: Any = getattr(fitted, "translate", fitted)
        if not callable(translate):
            raise InputError(
                f"{name} gave a {type(fitted).__name__}; an object with translate, or a function is wanted. "
                "Let fit(source, target) return one."
            )

        def translated(x: Tensor) -> Tensor:
            with _named(name, x):
                y = translate(x)
            good = isinstance(y, Tensor) and y.shape == (len(x), wanted) and not y.is_complex()
            if not good or not y.isfinite().all():
                said = f"{y.dtype} of shape {tuple(y.shape)}" if isinstance(y, Tensor) else f"a {type(y).__name__}"
                raise InputError(
                    f"{name} gave {said} for {len(x)} vectors; a finite, real tensor {(len(x), wanted)} is wanted. "
                    "Let its translate return one."
                )
            translation: Tensor = y.to(target)
            return translation

        return translated

    return checked


@contextlib.contextmanager
def _named(name: str, x: Tensor) -> Iterator[None]:
    """Say which baseline failed: whatever the user's function may raise."""
    try:
        yield
    except IRPError:
        raise
    except Exception as error:
        raise InputError(
            f"{name} failed on vectors of shape {tuple(x.shape)}, {x.dtype}: {str(error).rstrip('.')}. "
            "Correct it, or leave it out."
        ) from error


def _name(fit: Any) -> str:
    return str(getattr(fit, "__name__", type(fit).__name__)).replace("_", " ")
