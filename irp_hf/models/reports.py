"""The report of an adapter, and the card that shows it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from torch import Tensor

from irp_hf.configuration_irp import IRPConfig
from irp_hf.data.progress import progress_bar
from irp_hf.errors import FitWarning, MissingDependencyError, TooLargeError, refusal, warn
from irp_hf.evaluation.comparison import Baselines, named_baselines
from irp_hf.evaluation.crowding import fewer_than_they_look
from irp_hf.evaluation.doubts import Doubt, doubts, of_labels
from irp_hf.evaluation.gallery import some_rows, unlike_anchors
from irp_hf.evaluation.index import IndexQuestion, check_index
from irp_hf.evaluation.make_report import build_report
from irp_hf.evaluation.report import Backing, OfPairs, Report
from irp_hf.evaluation.unequal import unequal_lengths
from irp_hf.maths.confidence import calibrate
from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.metrics import Labels
from irp_hf.maths.pairs import Pairs, distinct_pairs
from irp_hf.maths.request import Given, hyperparameters
from irp_hf.maths.selection import Choice, select
from irp_hf.models.base import NUMBERS, PICTURE
from irp_hf.models.cards import adapter_card
from irp_hf.models.fitting import Fitted

LEAST_FOR_REPORT = 3
OF_THE_FIT = ("few", "unrelated")  # doubts that tell of translations, and not of the anchors as such
WITHOUT_HEAD = (
    "The adapter was chosen by agreement with a head, which this report was not given: its settings are kept, and it is "
    "measured by cosine and neighbours. Give head= for what that head keeps."
)


def make_report(
    config: IRPConfig,
    source: Tensor,
    target: Tensor,
    fitted: Fitted | None,
    labels: Labels | None,
    progress: bool | None,
    baselines: Baselines,
    index_size: Any = None,
    gallery: Any = None,
) -> Report:
    """What to expect of an adapter of this configuration and these anchors; see `IRPAdapter.report`.

    `fitted` is what the fit that made it found, where that is still known: nothing is then selected twice.
    """
    fits = named_baselines(baselines)
    objective, given = config.objective, _given(config, config.given or [])
    headless = objective == "agreement" and labels is None
    if headless:  # what the head chose cannot be chosen again without it
        objective = "cosine"
    if headless or config.folds is not None:
        given = _given(config, [*hyperparameters(), "restoration", "rigid"])
    pairs = distinct_pairs(source, target)
    if len(pairs) < LEAST_FOR_REPORT:
        expected = f"at least {LEAST_FOR_REPORT} different anchors, to hold some out"
        raise refusal("report", expected, str(len(pairs)), "Give more anchors.")
    question = _index_question(index_size, gallery, config, len(pairs))
    known = _known(fitted, config, source)
    names = (config.method, *(name for name in INVERSES if name != config.method))
    steps = progress_bar("Trying the inverses", progress, names)
    free = _given(config, [])
    chosen, *others = [
        known.get(name) or select(pairs, (name,), objective, given if name == config.method else free, labels)[0]
        for name in steps
    ]
    is_another = config.background is not None and chosen.refits  # unpaired rows, which the adapter had, are not stored
    confidences: Tensor | None
    if fitted is not None and chosen.method in known:
        confidences, against = fitted.expected, fitted.doubts
    else:
        confidences = None if is_another else calibrate(chosen, pairs)[1]
        against = doubts(source, target, pairs, chosen.directions, objective, labels)
        against += fewer_than_they_look(chosen, pairs, len(source), config.seed)
    found = []
    if labels is not None and all(doubt.kind != "labels" for doubt in against):
        found += of_labels(labels, pairs.target, "held-out anchors")
    of_index = [] if question is None else _of_index(question, pairs, config.seed)
    found += of_index
    for doubt in found:
        warn(doubt.words, FitWarning)
    against += tuple(found)
    if headless:
        against += (Doubt("head", WITHOUT_HEAD),)
    report = build_report(
        pairs, chosen, others, objective, labels, given, confidences, fits, progress, len(source), question
    )
    if report.index is not None:
        words = " ".join(doubt.words for doubt in of_index)
        report = replace(report, index=replace(report.index, doubt=words or None))
    if is_another:
        report, against = _of_another(report, config, against)
    of_pairs = None if config.num_pairs is None else OfPairs(config.num_pairs, config.score)
    method_given = config.method_given or headless or None
    return replace(
        report,
        doubts=against,
        method_given=method_given,
        of_pairs=of_pairs,
        folds=config.folds,
        backing=_backing(config, [chosen, *others]),
    )


def chosen_again(config: IRPConfig, source: Tensor, target: Tensor, fitted: Fitted | None) -> tuple[Choice, Pairs]:
    """The inverse of an adapter with this configuration and these anchors, as it is held out; and the pairs that it is of.

    `fitted` is what the fit that made it found, where that is still known. What unpaired rows or more pairs than are kept had
    to do with it is not known again.
    """
    pairs = distinct_pairs(source, target)
    known = _known(fitted, config, source).get(config.method)
    if known is not None:
        return known, pairs
    given = _given(config, [*hyperparameters(), "restoration", "rigid"])
    return select(pairs, (config.method,), "cosine", given)[0], pairs


def _of_another(report: Report, config: IRPConfig, against: tuple[Doubt, ...]) -> tuple[Report, tuple[Doubt, ...]]:
    """The report, where what it measures are not fits as the adapter's own: without what tells of these alone."""
    if config.score is not None and report.objective == config.objective:
        report = replace(report, score=config.score, finalists=report.finalists[:1])
    return report, tuple(doubt for doubt in against if doubt.kind not in OF_THE_FIT)


def _index_question(index_size: Any, gallery: Any, config: IRPConfig, num_anchors: int) -> IndexQuestion | None:
    """What is asked about an index, checked; of unpaired rows behind the pairs no fits of other sizes tell."""
    if config.background is not None and (index_size is not None or gallery is not None):
        subject = "index_size" if gallery is None else "gallery"
        expected = "an adapter of pairs alone, which are held out in fits of many sizes"
        advice = f"Leave {subject} out, or ask the report of a fit without background."
        raise refusal(subject, expected, "one with a background", advice)
    return check_index(index_size, gallery, config.target_size, num_anchors, config.source_size)


def _backing(config: IRPConfig, choices: Sequence[Choice]) -> Backing | None:
    """What is known of unpaired rows behind the pairs, and which of the `choices` had them."""
    if config.background is None or config.score is None:
        return None
    sizes = config.background["source"], config.background["target"]
    had = [choice for choice in choices if not choice.refits]
    titles, folds = tuple(choice.inverse.title for choice in had), max((choice.num_folds for choice in had), default=0)
    gain, error = (config.background.get(name) for name in ("gain", "error"))
    return Backing(*sizes, config.score, config.background["alone"], titles, folds, gain, error)


def _of_index(question: IndexQuestion, pairs: Pairs, seed: int) -> list[Doubt]:
    """What speaks against figures of this index: rows that are not the target's, vectors of unequal length."""
    if question.gallery is None:
        return unequal_lengths(pairs.target[pairs.permutation(seed)], "The target's anchors")
    rows = question.gallery.take(some_rows(question.gallery.num_rows, seed))
    return unlike_anchors(pairs, question.gallery, seed) + unequal_lengths(rows, "The gallery's rows")


def _known(fitted: Fitted | None, config: IRPConfig, source: Tensor) -> Mapping[str, Choice]:
    """What need not be chosen again: what was chosen without a head, which may have changed, and is what a report shows."""
    if config.num_pairs is not None:  # what fits on many pairs reach is no match for what others do on the anchors
        return {}
    if config.folds is not None:  # then the others are shown as rows choose them, and this one as what it was given
        return {}
    if fitted is None or fitted.expected.device != source.device or config.objective == "agreement":
        return {}
    fixed = bool(config.given)  # the other inverses are reported with nothing fixed
    return {name: choice for name, choice in fitted.choices.items() if name == config.method or not fixed}


def card_with_report(config: IRPConfig, repo_id: str, folder: Path, report: Report | None) -> ModelCard:
    """The card of an adapter. The numbers and the picture of its report, where there is one, go to `folder`."""
    if report is None:
        return adapter_card(config, repo_id)
    (folder / NUMBERS).write_text(json.dumps(report.untimed().to_dict(), indent=1), encoding="utf-8")
    try:
        report.plot(folder / PICTURE)
    except (MissingDependencyError, TooLargeError) as error:
        warnings.warn(f"The card has no picture. {error}", stacklevel=2)
        return adapter_card(config, repo_id, report)
    return adapter_card(config, repo_id, report, PICTURE)


def _given(config: IRPConfig, names: Iterable[str]) -> Given:
    """The stored hyper-parameters of these names, as what the user fixed."""
    fixed: dict[str, Any] = {name: getattr(config, name, None) for name in names}
    if "rigid" in fixed:  # of which nothing is stored where there is none
        fixed["rigid"] = config.rigid or 0.0
    if config.depth is not None:
        fixed["depth"] = config.depth
    return Given(**fixed, seed=config.seed)
