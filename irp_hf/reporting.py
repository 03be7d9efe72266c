"""The report of an adapter, and the card that shows it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from huggingface_hub import ModelCard
from tqdm.auto import tqdm

from irp_hf.against import DEFAULT, Against, named_fits
from irp_hf.confidence import calibrate
from irp_hf.configuration_irp import IRPConfig
from irp_hf.errors import InputError, MissingDependencyError
from irp_hf.fitting import HYPER_PARAMETERS, distinct_pairs
from irp_hf.options import head_labels
from irp_hf.report import Report, build_report
from irp_hf.selection import METHODS, select
from irp_hf.tuning import Given

if TYPE_CHECKING:
    from irp_hf.modeling_irp import IRPAdapter

LEAST_FOR_REPORT = 3
NUMBERS, PICTURE = "report.json", "report.png"


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
