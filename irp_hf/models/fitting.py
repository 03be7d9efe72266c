"""From parallel anchors to all that an adapter stores: choose, fold, calibrate."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from torch import Tensor
from tqdm.auto import tqdm

from irp_hf.configuration_irp import IRPConfig
from irp_hf.heads.labels import head_labels
from irp_hf.maths.confidence import calibrate
from irp_hf.maths.inverses.base import KernelMap
from irp_hf.maths.inverses.pruned import PrunedInverse
from irp_hf.maths.options import check_given, check_method, check_objective
from irp_hf.maths.pairs import Pairs, distinct_pairs
from irp_hf.maths.selection import Choice, select

OF_AN_INVERSE = ("gamma", "ridge", "balance", "num_subspaces", "pruning_threshold", "lift")
HYPER_PARAMETERS = (*OF_AN_INVERSE, "restoration", "num_landmarks")


def fit(
    source: Tensor, target: Tensor, method: str, objective: str, head: Any, options: dict[str, Any]
) -> tuple[IRPConfig, dict[str, Tensor]]:
    """Configuration and tensors of the adapter from `source (k, d_X)` to `target (k, d_Y)`, parallel anchors.

    Raises `InputError` for options that do not exist or fit, before any work begins.
    """
    methods = check_method(method)
    given = check_given(method, **options)
    goal = check_objective(objective, head)
    labels = None if head is None else head_labels(head)
    pairs = distinct_pairs(source, target)
    steps = tqdm(methods, desc="Choosing the inverse", leave=False, disable=None)
    choices = [select(pairs, (name,), goal, given, labels)[0] for name in steps]
    choice = max(choices, key=lambda candidate: candidate.fold_score)

    config, tensors = _of_choice(choice, pairs)
    config.num_anchors = len(source)
    config.objective = goal
    config.seed = given.seed
    config.given = sorted(name for name, value in options.items() if value is not None and name != "seed")
    return config, {"source_anchors": source, "target_anchors": target, **tensors}


def _of_choice(choice: Choice, pairs: Pairs) -> tuple[IRPConfig, dict[str, Tensor]]:
    folded = choice.fold(pairs)
    confidence, _ = calibrate(choice, pairs)
    inverse = asdict(choice.inverse)  # type: ignore[call-overload]
    pruned = choice.inverse if isinstance(choice.inverse, PrunedInverse) else None
    config = IRPConfig(
        source_size=pairs.source.shape[1],
        target_size=pairs.target.shape[1],
        method=choice.method,
        restoration=choice.restoration,
        num_landmarks=len(confidence.landmarks),
        condition_numbers=None if pruned is None else pruned.condition_numbers(pairs.target_rows),
        score=choice.score,
        **{"gamma": confidence.gamma} | {name: inverse[name] for name in OF_AN_INVERSE if name in inverse},
    )
    tensors = {
        "source_mean": pairs.source_stats.mean,
        "target_mean": pairs.target_stats.mean,
        "target_scale": pairs.target_stats.scale,
        "landmarks": confidence.landmarks,
        "confidence_coefficients": confidence.coefficients,
        "confidence_bias": confidence.bias,
        "confidence_norm_slope": confidence.norm_slope,
    }
    if choice.inverse.lift:
        tensors["source_lift"] = choice.inverse.lift * pairs.source_stats.scale
    if isinstance(folded, KernelMap):
        return config, tensors | {"coefficients": folded.coefficients, "intercept": folded.intercept}
    return config, tensors | {"weight": folded.weight}
