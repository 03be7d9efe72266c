"""What of stored tensors makes no sense, though the checksum holds: what no fit gives and no save of ours would hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from irp_hf.configuration_irp import IRPConfig
from irp_hf.data.arrays import LARGEST as LARGEST_ROW
from irp_hf.errors import InputError
from irp_hf.maths.projection import statistics
from irp_hf.models.checks import SMALLEST, check_anchors

LARGEST = 1e18  # mean scale: as SMALLEST, the square of a row's norm must stay far inside float32
ROUNDING = 1e-3  # of a length, that what is stored in float32 may be off
FARTHEST = 4 * LARGEST_ROW  # of a value from the mean, both of which are at most so large in what anybody hands in
TRIED = 8  # anchors that are translated where an adapter is loaded


def wrong_space(tensors: Mapping[str, Tensor]) -> str | None:
    """Of a space: anchors of one place, or a mean and a scale that are not those of the anchors; None where they make sense."""
    anchors, scale = tensors["anchors"], tensors["mean_scale"]
    if wrong := _wrong_scale("mean_scale", scale) or _wrong_anchors("anchors", anchors):
        return wrong
    own = statistics(anchors.double())
    if not 0.5 < float(scale) / float(own.scale) < 2:
        return f"mean_scale {float(scale):.3g}, where that of its anchors is {float(own.scale):.3g}"
    off = float(torch.linalg.vector_norm(tensors["mean"].double() - own.mean))
    near = float(own.scale) + ROUNDING * float(torch.linalg.vector_norm(own.mean))
    if off >= near:
        return f"mean {off:.3g} away from that of its anchors"
    return (
        _wrong_background(tensors["background"], tensors["background_numbers"], scale)
        if "background" in tensors
        else None
    )


def wrong_adapter(
    config: IRPConfig, tensors: Mapping[str, Tensor], translate: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> str | None:
    """Of an adapter: anchors of one place, or a map that leads to no numbers; None where they make sense.

    `translate` gives the translations and the confidences of some rows.
    """
    if config.method == "kernel" and config.gamma is None:
        return "no gamma for its kernel"
    longest = float(torch.linalg.vector_norm(tensors["landmarks"].double(), dim=1).max())
    if longest > 1 + ROUNDING:
        return f"landmarks {longest:.3g} long, which have unit length"
    if wrong := _wrong_scale("target_scale", tensors["target_scale"]):
        return wrong
    for name in ("source_anchors", "target_anchors"):
        if wrong := _wrong_anchors(name, tensors[name]):
            return wrong
    if config.judged[1] and not bool((tensors["typical_lengths"][1] > 0).all()):
        return "typical lengths that do not deviate"
    if config.judged[1] and bool((tensors["confidence_errors"].diff() < 0).any()):
        return "errors of the confidence that do not rise"
    if "discovered_rows" in tensors and (wrong := _wrong_pairs(tensors["discovered_rows"])):
        return wrong
    translated, confidence = translate(tensors["source_anchors"][:TRIED])
    finite = bool(translated.isfinite().all()) and bool(confidence.isfinite().all())
    return None if finite else "coefficients that make NaN or infinity of its own anchors"


def _wrong_background(rows: Tensor, numbers: Tensor, scale: Tensor) -> str | None:
    """Of unpaired rows `(n, d)` in so large a scale, which have these numbers `(n,)` among those that were given."""
    farthest = float(rows.abs().max()) * float(scale)
    if farthest > FARTHEST:
        return f"a row of its background {farthest:.3g} away from the mean"
    if int(numbers[0]) < 0 or bool((numbers.diff() <= 0).any()):
        return "numbers of the rows of its background that do not rise from 0 on"
    return None


def _wrong_pairs(rows: Tensor) -> str | None:
    """Of numbers `(k, 2)` of rows that were matched, each of which has one partner."""
    if int(rows.min()) < 0 or any(len(side.unique()) < len(side) for side in rows.T):
        return "discovered pairs that name a row twice, or none"
    return None


def _wrong_scale(name: str, scale: Tensor) -> str | None:
    value = float(scale)
    return None if SMALLEST <= value < LARGEST else f"{name} {value:.3g}, which is a mean length"


def _wrong_anchors(name: str, anchors: Tensor) -> str | None:
    try:
        check_anchors(anchors, name)
    except InputError as error:
        return str(error).partition(". ")[0]
    return None
