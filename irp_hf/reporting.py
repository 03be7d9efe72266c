"""The report of an adapter, and the card that shows it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from huggingface_hub import ModelCard
from torch import Tensor
from tqdm.auto import tqdm

from irp_hf.against import DEFAULT, Against, Fit, baseline_rows, named_fits
from irp_hf.confidence import calibrate
from irp_hf.configuration_irp import IRPConfig
from irp_hf.errors import InputError, MissingDependencyError
from irp_hf.evaluation import NAMES, Reliability, curve_sizes, inverse_rows, learning_curve, words
from irp_hf.fitting import HYPER_PARAMETERS, distinct_pairs
from irp_hf.inverses.base import Translator
from irp_hf.metrics import cosines
from irp_hf.options import head_labels
from irp_hf.pairs import Pairs
from irp_hf.report import Report, Setting
from irp_hf.selection import METHODS, Choice, Labels, Objective, select
from irp_hf.tuning import Given

if TYPE_CHECKING:
    from irp_hf.modeling_irp import IRPAdapter

LEAST_FOR_REPORT = 3
NUMBERS, PICTURE = "report.json", "report.png"

Item = TypeVar("Item")


def report_of(adapter: IRPAdapter, head: Any = None, progress: bool = True, against: Against = DEFAULT) -> Report:
    """What to expect of an adapter; see `IRPAdapter.report`."""
    fits = named_fits(against)
    config = cast(IRPConfig, adapter.config)
    labels = None if head is None else head_labels(head)
    objective, given = config.objective, _given(config, config.given or [])
    if objective == "agreement" and head is None:  # what it chose cannot be chosen again without the head
        objective, given = "cosine", _given(config, HYPER_PARAMETERS)
    pairs = distinct_pairs(adapter.source_anchors, adapter.target_anchors)
    if len(pairs) < LEAST_FOR_REPORT:
        raise InputError(
            f"There are {len(pairs)} different anchors; a report wants at least {LEAST_FOR_REPORT} to hold some out. "
            "Give more anchors."
        )
    names = (config.method, *(name for name in METHODS if name != config.method))
    steps = tqdm(names, desc="Trying the inverses", leave=False, disable=None if progress else True)
    free = Given(seed=config.seed)
    chosen, *others = [
        select(pairs, (name,), objective, given if name == config.method else free, labels)[0] for name in steps
    ]
    _, expected = calibrate(chosen, pairs)
    return build_report(pairs, chosen, others, objective, labels, given, expected, fits, progress)


def build_report(
    pairs: Pairs,
    chosen: Choice,
    others: Sequence[Choice],
    objective: Objective,
    labels: Labels | None = None,
    given: Given | None = None,
    expected: Tensor | None = None,
    fits: Mapping[str, Fit] | None = None,
    progress: bool = True,
) -> Report:
    """Measure all that a report says, on `pairs` and on what `select` chose from them.

    `labels` maps target vectors `(n, d_Y)` to the labels `(n,)` of the head, `given` is what the user fixed,
    `expected (k,)` are the confidences of `chosen.translated`, and `fits` whom to compare with. `progress` shows a bar
    on standard error.
    """
    given = given or Given()
    fits = named_fits(DEFAULT) if fits is None else fits

    def fit(few: Pairs) -> Translator:
        (choice,) = select(few, (chosen.method,), objective, given, labels)
        return choice.translator(few)

    choices = sorted([chosen, *others], key=lambda choice: choice.fold_score, reverse=True)
    steps = len(choices) + len(fits) + len(curve_sizes(len(pairs)))
    with tqdm(total=steps, desc="Measuring", leave=False, disable=None if progress else True) as bar:
        rows = _counted(
            chain(inverse_rows(pairs, choices, labels), baseline_rows(pairs, fits, labels, given.seed)), bar
        )
        curve = _counted(learning_curve(pairs, fit, labels, given.seed), bar)
    reliability = None
    if expected is not None:
        reliability = Reliability(tuple(expected.tolist()), tuple(cosines(chosen.translated, pairs.target).tolist()))
    return Report(
        num_anchors=len(pairs),
        source_width=pairs.source.shape[1],
        target_width=pairs.target.shape[1],
        objective=objective,
        chosen=NAMES[chosen.method],
        score=chosen.score,
        finalists=tuple(Setting(words(c.inverse, c.restoration), c.score) for c in chosen.tried[:2]),
        rows=rows,
        learning_curve=curve,
        reliability=reliability,
    )


def _counted(items: Iterable[Item], bar: tqdm) -> tuple[Item, ...]:
    done = []
    for item in items:
        done.append(item)
        bar.update()
    return tuple(done)


def card_with_report(adapter: IRPAdapter, repo_id: str, folder: Path, report: Any) -> ModelCard:
    """The card of an adapter; `report` is one, or whether to make one. Its numbers and its picture go to `folder`."""
    from irp_hf.cards import adapter_card

    if not isinstance(report, Report | bool):
        raise InputError(
            f"report is a {type(report).__name__}; a Report, True or False is wanted. Pass adapter.report(), say."
        )
    config = cast(IRPConfig, adapter.config)
    measured = report_of(adapter) if report is True else report or None
    if measured is None:
        return adapter_card(config, repo_id)
    (folder / NUMBERS).write_text(json.dumps(measured.untimed().to_dict(), indent=1), encoding="utf-8")
    try:
        measured.plot(folder / PICTURE)
    except MissingDependencyError as error:
        warnings.warn(f"The card has no picture. {error}", stacklevel=2)
        return adapter_card(config, repo_id, measured)
    return adapter_card(config, repo_id, measured, PICTURE)


def _given(config: IRPConfig, names: Iterable[str]) -> Given:
    """The stored hyper-parameters of these names, as what the user fixed."""
    return Given(**{name: getattr(config, name) for name in names}, seed=config.seed)
