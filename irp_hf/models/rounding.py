"""The map of an adapter's tensors, and what float32 changes of it: a kernel's coefficients may nearly cancel each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor

from irp_hf.configuration_irp import CONFIDENCE_GAMMA, IRPConfig
from irp_hf.maths.confidence import Confidence
from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.projection import Statistics
from irp_hf.maths.translation import Translation

ROWS = 16  # anchors that are translated, and as many rows between two of them
COMPUTED = 1e-5  # of the target's scale: where more is lost in float32, vectors are computed in float64
EXPECTED = 1e-5  # of an expected cosine, likewise
STORED = 1e-2  # of the target's scale: what float32 tensors lose of the fit is then said


class Rounding(NamedTuple):
    """What float32 does to a map."""

    computed: bool
    """Whether it loses more than rounding of its results where vectors are computed in it."""
    words: str
    """What the stored tensors lose of the fit, where that is much."""


def translation_of(config: IRPConfig, get: Callable[[str], Tensor]) -> Translation:
    """The translation of this configuration whose tensors `get` gives by name."""
    gamma = cast(float, config.gamma)
    _, judged, sided = map(bool, config.judged)
    return Translation(
        INVERSES[config.method].folds_to.stored(get, gamma, bool(config.rigid)),
        Confidence.stored(
            get,
            getattr(config, CONFIDENCE_GAMMA, None) or gamma,
            judged,
            sided,
            bool(getattr(config, "unlifted", None)),
        ),
        get("source_mean"),
        get("source_lift") if config.lift else None,
        Statistics(get("target_mean"), get("target_scale")),
    )


def rounding(config: IRPConfig, tensors: Mapping[str, Tensor]) -> Rounding:
    """What is lost of the map of these `tensors`, as they were fitted, on anchors and on rows between them."""
    anchors = tensors["source_anchors"][: ROWS + 1].float()
    rows = torch.cat([anchors, (anchors[1:] + anchors[:-1]) / 2])
    fitted = translation_of(config, lambda name: tensors[name].double())
    single = {name: tensor.float() for name, tensor in tensors.items() if not name.endswith("_anchors")}
    stored = translation_of(config, lambda name: single[name].double())
    short = translation_of(config, single.__getitem__)
    best, sure = stored.with_confidence(rows.double())
    found, expected = short.with_confidence(rows)
    mean, scale = stored.target
    # What the mean itself is rounded by is no part of it.
    noise = torch.finfo(torch.float32).eps * (mean.abs() + scale)
    lost = float((((found.double() - best).abs() - noise) / scale).max())
    computed = lost > COMPUTED or float((expected.double() - sure).abs().max()) > EXPECTED
    apart = torch.linalg.vector_norm(fitted.translate(rows.double()) - best, dim=1) / scale
    share = float(apart.square().mean().sqrt())
    words = (
        f"The coefficients of this map nearly cancel each other, so that float32, in which they are stored, moves translations "
        f"by {share:.2g} of the target's scale. Give a larger ridge or gamma."
    )
    return Rounding(computed, words if share > STORED else "")
