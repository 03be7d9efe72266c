"""What a report compares with: baselines by name, or any translator of the user's own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from irp_hf.baselines.closed_form import Baseline
from irp_hf.baselines.registry import BASELINES, Fit
from irp_hf.checks import check_list, quoted, written
from irp_hf.errors import IRPError, first_line, kind_of, refusal, shown
from irp_hf.evaluation.costs import baseline_cost
from irp_hf.evaluation.held_out import Row, evaluate, out_of_fold
from irp_hf.maths.folds import NUM_FOLDS
from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.inverses.base import Translator
from irp_hf.maths.metrics import Labels
from irp_hf.maths.pairs import Pairs

Baselines = Sequence[str | Fit] | Mapping[str, Fit] | str
"""What `baselines=` takes: "all", a name of `BASELINES`, a fit, several of both, or fits by name."""


def named_baselines(baselines: Baselines) -> dict[str, Fit]:
    """The fits that `baselines` names: names of `BASELINES`, functions, a mapping from names to functions, or "all".

    Raises `InputError` for a name that is unknown or means two, for what cannot be called, and for what is fitted already.
    """
    if isinstance(baselines, str) and baselines == "all":
        return dict(BASELINES)
    if isinstance(baselines, Mapping):
        entries = list(baselines.items())
    else:
        one = callable(baselines) or isinstance(baselines, str) or not isinstance(baselines, Iterable)
        several: list[Any] = [baselines] if one else check_list("baselines", baselines)
        entries = [(entry if isinstance(entry, str) else _name(entry), entry) for entry in several]
    fits: dict[str, Fit] = {}
    taken = [inverse.title for inverse in INVERSES.values()]
    for name, entry in entries:
        fit = BASELINES.get(entry) if isinstance(entry, str) else entry
        fitted = hasattr(fit, "translate") and not isinstance(fit, type)
        if fit is None or fitted or not callable(fit):
            raise refusal(
                "baselines",
                f"functions fit(source, target), or names among {quoted(('all', *BASELINES))}",
                shown(entry),
                written(entry, ("all", *BASELINES), "Use a name as it is written here.")
                if isinstance(entry, str)
                else "Give the function that fits, and not what it returned.",
            )
        if str(name) in taken or fits.setdefault(str(name), fit) is not fit:
            raise refusal(
                "baselines",
                f"a name of its own for each, other than those of the inverses ({', '.join(taken)})",
                f"another {str(name)!r}",
                "Give a dictionary from names to functions.",
            )
    return fits


def baseline_rows(
    pairs: Pairs, fits: Mapping[str, Fit], labels: Labels | None, seed: int, depth: int | None = None
) -> Iterator[Row]:
    """Each baseline over the folds that the inverses share; with a recall where there is a `depth`."""
    folds = pairs.folds(NUM_FOLDS, seed)
    for name, fit in fits.items():
        translated = out_of_fold(pairs, checked_fit(name, fit), folds)
        evaluation = evaluate(translated, pairs.target, labels, pairs.labels, folds, depth)
        with _named(name, pairs.source):
            fitted = fit(pairs.source.clone(), pairs.target.clone())  # it may change what it is given
            translate = fitted if isinstance(fitted, Baseline) else getattr(fitted, "translate", fitted)
            cost = baseline_cost(translate, pairs)
        settings = getattr(fitted, "settings", "")
        yield Row(name, settings if isinstance(settings, str) else shown(settings), evaluation, cost)


def checked_fit(name: str, fit: Fit) -> Callable[[Tensor, Tensor], Translator]:
    """The fit, whose translations are real tensors of the target's shape or refused."""

    def checked(source: Tensor, target: Tensor) -> Translator:
        width = target.shape[1]
        with _named(name, source):
            fitted = fit(source, target)
        translate: Any = getattr(fitted, "translate", fitted)
        if not callable(translate):
            raise refusal(
                f"What baseline {name!r} returned",
                "an object with a method translate, or a function",
                kind_of(fitted),
                "Let fit(source, target) return one.",
            )

        def translated(x: Tensor) -> Tensor:
            with _named(name, x):
                y = translate(x)
            good = isinstance(y, Tensor) and y.shape == (len(x), width) and not y.is_complex()
            if not good or not y.isfinite().all():
                raise refusal(
                    f"Translations by baseline {name!r}",
                    f"a finite, real tensor of shape {(len(x), width)}",
                    f"{y.dtype} of shape {tuple(y.shape)}" if isinstance(y, Tensor) else kind_of(y),
                    "Let its translate return one.",
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
        raise refusal(
            f"Baseline {name!r}",
            f"vectors from {x.dtype} of shape {tuple(x.shape)}",
            f"{type(error).__name__}: {first_line(error)}",
            "Fix the function, or leave it out of baselines.",
        ) from error


def _name(fit: Any) -> str:
    return str(getattr(fit, "__name__", type(fit).__name__)).replace("_", " ")
