"""The report of an adapter, and the card that shows it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import ModelCard
from torch import Tensor
from tqdm.auto import tqdm

from irp_hf.configuration_irp import IRPConfig
from irp_hf.errors import InputError, MissingDependencyError
from irp_hf.evaluation.comparison import Against, named_fits
from irp_hf.evaluation.make_report import build_report
from irp_hf.evaluation.report import Report
from irp_hf.heads.labels import Labels
from irp_hf.maths.confidence import calibrate
from irp_hf.maths.pairs import distinct_pairs
from irp_hf.maths.selection import METHODS, select
from irp_hf.maths.tuning import Given
from irp_hf.models.cards import adapter_card
from irp_hf.models.fitting import HYPER_PARAMETERS

LEAST_FOR_REPORT = 3
NUMBERS, PICTURE = "report.json", "report.png"


def make_report(
    config: IRPConfig, source: Tensor, target: Tensor, labels: Labels | None, progress: bool, against: Against
) -> Report:
    """What to expect of an adapter of this configuration and these anchors; see `IRPAdapter.report`."""
    fits = named_fits(against)
    objective, given = config.objective, _given(config, config.given or [])
    if objective == "agreement" and labels is None:  # what it chose cannot be chosen again without the head
        objective, given = "cosine", _given(config, HYPER_PARAMETERS)
    pairs = distinct_pairs(source, target)
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


def card_with_report(config: IRPConfig, repo_id: str, folder: Path, report: Report | None) -> ModelCard:
    """The card of an adapter. The numbers and the picture of its report, where there is one, go to `folder`."""
    if report is None:
        return adapter_card(config, repo_id)
    (folder / NUMBERS).write_text(json.dumps(report.untimed().to_dict(), indent=1), encoding="utf-8")
    try:
        report.plot(folder / PICTURE)
    except MissingDependencyError as error:
        warnings.warn(f"The card has no picture. {error}", stacklevel=2)
        return adapter_card(config, repo_id, report)
    return adapter_card(config, repo_id, report, PICTURE)


def _given(config: IRPConfig, names: Iterable[str]) -> Given:
    """The stored hyper-parameters of these names, as what the user fixed."""
    return Given(**{name: getattr(config, name) for name in names}, seed=config.seed)
