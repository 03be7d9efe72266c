"""How near an adapter's translations come to true vectors that are handed in, and what makes such a figure tell nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from irp_hf.data.memory import allocating
from irp_hf.evaluation.doubts import warn_of_labels
from irp_hf.evaluation.held_out import COVERAGE, Evaluation, evaluate
from irp_hf.evaluation.in_sample import Landmarks, Pair, warn_of_seen
from irp_hf.evaluation.intervals import share
from irp_hf.evaluation.other_items import warn_of_other_items
from irp_hf.maths.confidence import error_at
from irp_hf.maths.many.plan import METHODS
from irp_hf.maths.metrics import Labels, cosines
from irp_hf.maths.projection import centre, unit_rows
from irp_hf.maths.request import GENERAL
from irp_hf.models.checks import both_sides
from irp_hf.models.translating import TranslatingModel


def evaluate_on(
    adapter: TranslatingModel, x: Any, y: Any, labels: Labels | None, depth: int | None = None
) -> Evaluation:
    """What translations of `x (n, d_X)` are by the true `y (n, d_Y)`; `labels` are a head's. See `IRPAdapter.evaluate`."""
    depth = adapter.config.depth if depth is None else int(GENERAL["depth"].check(depth))
    widths = adapter.config.source_size, adapter.config.target_size
    source, true = (rows.whole() for rows in both_sides(x, y, ("x", "y"), widths))
    with adapter.computing(), allocating("evaluate", "Give fewer pairs."):
        groups = _groups(adapter, Pair(source.float().double(), true.float().double()))  # as anchors are kept
        translated, true = adapter.translate(source).double(), true.double()
        found = evaluate(translated, true, labels, groups, depth=depth)
        warn_of_labels(labels, true)
        errors = adapter._translation(torch.float32).confidence.errors
        if errors is not None and error_at(errors, COVERAGE) is not None:
            held = cosines(translated, true) >= adapter.confidence(source.double(), coverage=COVERAGE)
            found = replace(found, coverage=share(held, groups))
        warn_of_other_items(found, translated, true, adapter.target_mean.double().to(true.device), groups)
    return found


def _groups(adapter: TranslatingModel, test: Pair) -> Tensor:
    """The numbers `(n,)` of groups of rows that share something; a warning tells of those that the fit has seen."""
    config, landmarks, x = adapter.config, None, test.source
    # What sums are no match for is fitted on the pairs that are kept, and the landmarks of few pairs are some of them.
    num_pairs = config.num_pairs if config.method in METHODS else None
    if num_pairs is not None and config.method == "kernel":
        translation = adapter._translation(torch.float64)
        lift = None if translation.source_lift is None else translation.source_lift.to(x)
        landmarks = Landmarks(adapter.landmarks, unit_rows(centre(x, translation.source_mean.to(x), lift)))
    anchors = Pair(adapter.source_anchors, adapter.target_anchors)
    return warn_of_seen(anchors, test, landmarks, num_pairs)
