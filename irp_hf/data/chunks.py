"""Work on rows in chunks: what is computed of each goes straight to its place in the result."""

from __future__ import annotations

import os
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from irp_hf.checks import check_count
from irp_hf.data.arrays import Rows, refuse_not_finite
from irp_hf.data.matrices import tensor_of
from irp_hf.data.wrong import dtype_name
from irp_hf.errors import kind_of, refusal, shown

CPU_CHUNK = 1024  # rows whose intermediate results stay in the cache
DEVICE_CHUNK = 65536  # rows that keep a GPU busy


class Step(Protocol):
    """What is done to a chunk `(n, d_X)`."""

    def __call__(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """The result, written into `out` if it is given."""


def run(
    rows: Rows,
    step: Step,
    shape: tuple[int, ...],
    device: torch.device,
    dtype: torch.dtype,
    chunk_size: int | None = None,
    out: Any = None,
) -> Tensor:
    """The results of `step` on all `rows`, `(n, *shape)`, in `out` if it is given; they lie where the rows do, in their dtype.

    The step takes and gives tensors of this `device` and `dtype`. A value that is not finite raises `InputError` with its row,
    and an `out` that does not fit another; then nothing was written.
    """
    if chunk_size is not None:
        chunk_size = check_count("chunk_size", chunk_size, advice="Leave it out for as many rows as suit the device.")
    elif device.type == "cpu":
        chunk_size = CPU_CHUNK
    else:
        chunk_size = DEVICE_CHUNK
    if out is None and 0 < rows.num_rows <= chunk_size:  # the step makes the result's place itself
        x = rows.in_one().to(device, dtype)
        refuse_not_finite(x, rows.name)
        return step(x).to(rows.device, rows.dtype)
    result = output_buffer(rows, out, shape)
    if result.is_inference() and not torch.is_inference_mode_enabled():
        with torch.inference_mode():  # only there may be written to what was made in it
            _fill(result, rows, step, device, dtype, chunk_size)
    else:
        _fill(result, rows, step, device, dtype, chunk_size)
    return result


def _fill(result: Tensor, rows: Rows, step: Step, device: torch.device, dtype: torch.dtype, chunk_size: int) -> None:
    there = result.device == device and result.dtype == dtype
    for part, chunk in rows.chunks(chunk_size):
        x = chunk.to(device, dtype)
        refuse_not_finite(x, rows.name, part.start)
        if there:
            step(x, out=result[part])
        else:
            result[part].copy_(step(x))


def output_buffer(rows: Rows, out: Any, shape: tuple[int, ...]) -> Tensor:
    """A tensor for the result `(n, *shape)`: fresh, or a view of `out`, which stays untouched until all input is checked.

    Raises `InputError` where `out` has another shape or dtype than the result.
    """
    shape = (rows.num_rows, *shape)
    if out is None:
        return torch.empty(shape, dtype=rows.dtype, device=rows.device)
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise refusal("out", "an array that can be written", "a read-only one", "Open a memory map with mode 'r+'.")
    try:
        view = tensor_of(out) if isinstance(out, np.ndarray) else out
    except (TypeError, ValueError):  # no dtype or strides of torch's
        view = None
    if not isinstance(view, Tensor) or tuple(view.shape) != shape or view.dtype != rows.dtype:
        expected = f"an array or a tensor of shape {shape} and dtype {dtype_name(rows.dtype)}"
        got = f"shape {tuple(out.shape)} and dtype {dtype_name(out.dtype)}" if hasattr(out, "dtype") else kind_of(out)
        advice = "Make it with the shape and the dtype of the result."
        if isinstance(out, str | os.PathLike):
            kind = "float32" if rows.dtype == torch.bfloat16 else dtype_name(rows.dtype)
            call = f"np.lib.format.open_memmap({shown(os.fspath(out))}, mode='w+', dtype='{kind}', shape={shape})"
            advice = f"For a file pass {call}."
        raise refusal("out", expected, got, advice)
    if view.device.type == "cpu" and (_overlaps_itself(view) or rows.overlaps(view)):
        got = "memory that it shares with itself or with the input"
        raise refusal("out", "memory of its own", got, "Make a new array.")
    rows.check_finite()
    return view


def _overlaps_itself(view: Tensor) -> bool:
    """Whether two places of `view (n, d)` are one; a matrix never does, a view with strange strides can."""
    (n, d), (down, across) = view.shape, view.stride()
    return (n > 1 and d > 1 and not (down >= d * across > 0 or across >= n * down > 0)) or (n > 1 and not down)


def refuse_overflow(rows: Rows, mean: Tensor, scale: Tensor) -> None:
    """Raise `InputError` where the dtype of `rows` cannot hold vectors with this mean `(d,)` and mean scale `()`."""
    if rows.dtype == torch.float16 and (reach := float(mean.abs().max() + scale)) > torch.finfo(torch.float16).max:
        got, advice = "float16, which ends at 65504", "Give them as float32."
        raise refusal(rows.name, f"a dtype that holds results of up to {reach:.3g}", got, advice)
