"""Work on rows in chunks: what is computed of each goes straight to its place in the result."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from irp_hf.data.arrays import Rows, refuse_not_finite
from irp_hf.errors import InputError

CPU_CHUNK = 1024  # rows whose intermediate results stay in the cache
DEVICE_CHUNK = 65536  # rows that keep a GPU busy


class Step(Protocol):
    """What is done to a chunk `(n, d_X)`."""

    def __call__(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """The result, written into `out` if it is given."""


def run(rows: Rows, step: Step, result: Tensor, device: torch.device, chunk_size: int | None) -> None:
    """Write `step` of every chunk of `rows` into `result`; a value that is not finite raises `InputError` with its row."""
    if chunk_size is None:
        chunk_size = CPU_CHUNK if device.type == "cpu" else DEVICE_CHUNK
    if isinstance(chunk_size, bool) or not isinstance(chunk_size, Integral) or chunk_size < 1:
        raise InputError(f"chunk_size is {chunk_size!r}; a whole number of at least 1 is wanted. Correct it.")
    dtype = torch.float64 if rows.dtype == torch.float64 else torch.float32
    for part, chunk in rows.chunks(int(chunk_size)):
        refuse_not_finite(chunk, rows.name, part.start)
        place = result[part]
        if (place.device, place.dtype) == (device, dtype):
            step(chunk.to(device, dtype), out=place)
        else:
            place.copy_(step(chunk.to(device, dtype)))


def room(rows: Rows, out: Any, width: int) -> Tensor:
    """A tensor for the result `(n, width)`: fresh, or a view of `out`, which stays untouched until all input is checked.

    Raises `InputError` where `out` has another shape or dtype than the result.
    """
    shape = (rows.num_rows, width)
    if out is None:
        return torch.empty(shape, dtype=rows.dtype, device=rows.device)
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise InputError("out is read-only; an array that can be written is wanted. Open a memory map with mode 'r+'.")
    try:
        view = torch.from_numpy(out) if isinstance(out, np.ndarray) else out
    except (TypeError, ValueError):  # no dtype or strides of torch's
        view = None
    if not isinstance(view, Tensor) or tuple(view.shape) != shape or view.dtype != rows.dtype:
        given = f"{tuple(out.shape)} {out.dtype}" if hasattr(out, "dtype") else type(out).__name__
        raise InputError(
            f"out is {given}; {shape} {rows.dtype} is wanted. Make it with the shape and dtype of the result."
        )
    if view.device.type == "cpu" and (_overlaps_itself(view) or rows.overlaps(view)):
        raise InputError(
            "out shares memory with itself or with the input; memory of its own is wanted. Make a new array."
        )
    rows.check_finite()
    return view


def _overlaps_itself(view: Tensor) -> bool:
    """Whether two places of `view (n, d)` are one; a matrix never does, a view with strange strides can."""
    (n, d), (down, across) = view.shape, view.stride()
    return (n > 1 and d > 1 and not (down >= d * across > 0 or across >= n * down > 0)) or (n > 1 and not down)


def refuse_overflow(rows: Rows, mean: Tensor, scale: Tensor) -> None:
    """Raise `InputError` where the dtype of `rows` cannot hold vectors with this mean `(d,)` and mean scale `()`."""
    if rows.dtype == torch.float16 and (reach := float(mean.abs().max() + scale)) > torch.finfo(torch.float16).max:
        raise InputError(
            f"{rows.name} are float16, which ends at 65504; the results would reach {reach:.3g}. Give them as float32."
        )
