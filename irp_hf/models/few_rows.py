"""The short road of few rows, as a service translates them: of plain arrays, where no mode is on and nothing was changed.

On it each check is made once, and most steps that only other input needs are left out: what surrounds the products of one row
took five times as long as they do. What it does not know, and all that is to be refused, it leaves to the road of all rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import _C, Tensor

from irp_hf.arithmetic import CPU, is_plain, keeps_products
from irp_hf.data.arrays import are_small, steps_forward
from irp_hf.maths.translation import Translation
from irp_hf.models.keeping import Kept, Tensors

FEW = 32  # of more, the products take most of the time
SINGLE = np.dtype(np.float32)


def translated(
    x: Any, kept: Kept, tensors: Tensors, settings: Mapping[str, Any]
) -> Tensor | np.ndarray[Any, Any] | None:
    """Translations `(n, d_Y)` of `x (n, d_X)` by what an adapter of these `tensors` and `settings` has `kept`.

    None where this is no road for `x`, or a road for none: then the one of all rows must be taken.
    """
    if not kept.is_single or not is_plain() or not keeps_products(CPU):
        return None
    rows, translation = _plain(x), kept.translation
    if rows is None or rows.shape[1] != translation.source_mean.shape[0]:
        return None
    if not kept.still(tensors, settings, confidence=False):
        return None
    result = _without_gradients(translation, rows)
    return result.numpy() if result is not None and rows is not x else result


def _plain(x: Any) -> Tensor | None:
    """`x (n, d)` as a tensor on its memory, where it is a matrix of few rows in float32."""
    if type(x) is np.ndarray:
        if x.dtype is not SINGLE or not x.flags.carray or x.ndim != 2 or not steps_forward(x):
            return None
        rows = torch.from_numpy(x)
    elif type(x) is Tensor and not _C._functorch.is_functorch_wrapped_tensor(x):
        if x.dtype is not torch.float32 or not x.is_cpu or x.layout is not torch.strided or x.is_nested or x.ndim != 2:
            return None
        rows = x
    else:
        return None
    return rows if 0 < rows.shape[0] <= FEW else None


def _without_gradients(translation: Translation, rows: Tensor) -> Tensor | None:
    before = torch.is_grad_enabled()
    _C._set_grad_enabled(False)
    try:
        if not are_small(rows):
            return None
        return translation.of_one(rows) if rows.shape[0] == 1 else translation.translate(rows)
    finally:
        _C._set_grad_enabled(before)
