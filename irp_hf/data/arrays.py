"""Embeddings as users hold them: numpy, torch, Arrow, a `datasets` column or nested lists, read as rows of a matrix.

Every reading checks: two dimensions, floating point, the expected width, nothing missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from irp_hf.errors import InputError, kind_of, refusal, shown

if TYPE_CHECKING:
    import pyarrow


FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
LARGEST = 1e15  # the square of a row's norm must stay far inside float32


class Rows:
    """A matrix `(n, d)` of any of these kinds, read in chunks as CPU or device tensors, and written back in kind."""

    def __init__(self, x: Any, name: str = "embeddings", width: int | None = None) -> None:
        """Check everything about `x` but its values.

        Raises `InputError` where `x` is no floating-point matrix with `width` columns and at least one row.
        """
        self.name = name
        self._matrix, self.wrap = _open(x, name)
        shape = tuple(self._matrix.shape)
        if len(shape) != 2:
            advice = "Reshape them to one row for each item: x[None] makes a single vector a matrix."
            raise refusal(name, "a matrix (rows, width)", f"shape {shape}", advice)
        self.num_rows, self.width = shape
        if not self.num_rows or not self.width:
            raise refusal(name, "at least one row and one column", f"shape {shape}", "Give at least one row.")
        if width is not None and self.width != width:
            advice = "Encode them with the encoder whose anchors these are."
            raise refusal(name, f"width {width}", f"width {self.width}", advice)
        first = self[0:1]
        self.dtype, self.device = first.dtype, first.device

    def __getitem__(self, rows: slice) -> Tensor:
        matrix = self._matrix[rows]
        if isinstance(matrix, Tensor):
            return matrix
        array = np.ascontiguousarray(matrix)
        usable = array.flags.writeable and min(array.strides) >= 0  # one row of a reversed array counts as contiguous
        return torch.from_numpy(array if usable else array.copy())

    def overlaps(self, other: Tensor) -> bool:
        """Whether writing to `other` would change rows that are still to be read."""
        mine = self._matrix.matrices if isinstance(self._matrix, _Stacked) else [self._matrix]
        place, low, high = _memory(other)
        return any(where == place and start < high and low < stop for where, start, stop in map(_memory, mine))

    def chunks(self, size: int) -> Iterator[tuple[slice, Tensor]]:
        """All rows in order, at most `size` at a time."""
        for start in range(0, self.num_rows, size):
            rows = slice(start, min(start + size, self.num_rows))
            yield rows, self[rows]

    def check_finite(self, size: int = 8192) -> None:
        """Raise `InputError` with the row number where a value is NaN, infinite or above `LARGEST`."""
        for rows, chunk in self.chunks(size):
            refuse_not_finite(chunk, self.name, rows.start)


def refuse_not_finite(chunk: Tensor, name: str, first_row: int = 0) -> None:
    """Raise `InputError` where a row of `chunk (n, d)` holds NaN, infinity or more than `LARGEST`.

    The chunk begins at `first_row`.
    """
    low, high = chunk.aminmax()
    if low >= -LARGEST and high <= LARGEST:  # NaN is neither
        return
    row = int((~(chunk.abs() <= LARGEST)).any(1).nonzero()[0])
    place = f"Row {first_row + row} of {name}"
    if torch.isfinite(chunk[row]).all():
        got = f"{float(chunk[row].abs().max()):.3g}"
        raise refusal(place, f"values of at most {LARGEST:g}", got, "Scale them to the size of the anchors.")
    got = "NaN" if torch.isnan(chunk[row]).any() else "infinity"
    raise refusal(place, "finite numbers", got, "Drop that row, or encode it again.")


def as_matrix(x: Any, name: str = "embeddings", width: int | None = None) -> Tensor:
    """All of `x` as one checked float tensor `(n, d)` with finite values; raises `InputError` otherwise."""
    rows = Rows(x, name, width)
    matrix = rows[0 : rows.num_rows]
    refuse_not_finite(matrix, name)
    return matrix


def check_same_rows(subject: str, one: Tensor, other: Tensor, advice: str) -> None:
    """Raise `InputError` unless row i of both matrices may stand for one item: as many rows on both sides, and two at least."""
    if one.ndim != 2 or other.ndim != 2 or len(one) != len(other) or len(one) < 2:
        got = f"shapes {tuple(one.shape)} and {tuple(other.shape)}"
        raise refusal(subject, "two matrices of as many rows, and at least two", got, advice)


def dtype_name(dtype: object) -> str:
    """The name of a dtype of torch or numpy, without the library's."""
    return str(dtype).removeprefix("torch.")


def _open(x: Any, name: str) -> tuple[Any, Callable[[Tensor], Any]]:
    """A sliceable matrix, and what turns a result tensor into the kind of `x`."""
    if isinstance(x, Tensor):
        if x.layout is not torch.strided or x.is_nested or x.is_meta:
            kind = "nested" if x.is_nested else "meta" if x.is_meta else "sparse"
            raise refusal(name, "a dense tensor that holds values", f"a {kind} one", "Convert it first.")
        if x.dtype not in FLOATS:
            raise _wrong_dtype(name, x.dtype)
        return x.detach(), lambda result: result
    if np.ma.is_masked(x):
        raise _missing(name, "masked ones")
    if isinstance(x, np.ndarray):
        return _floating(x, name), lambda result: result.numpy()
    module = type(x).__module__.partition(".")[0]
    if module == "pyarrow":
        return _arrow_matrix(x, name), _to_arrow
    source: Any = getattr(x, "source", None)  # of a `datasets` column: the dataset, or the column around it
    if module == "datasets" and hasattr(source, "format") and source.format["type"] != "custom":
        column = source.with_format("arrow", columns=[x.column_name])[:][x.column_name]
        return _arrow_matrix(column, name), lambda result: result.numpy()
    if isinstance(x, str | os.PathLike):
        raise refusal(name, "vectors", shown(x), "Read a file first: np.load, say.")
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise _unequal(name) from error
    return _floating(array, name), lambda result: result.numpy()


def _memory(matrix: Tensor | np.ndarray[Any, Any]) -> tuple[torch.device, int, int]:
    """The device of a matrix, and the addresses between which its values lie: the first, and the one after the last."""
    if isinstance(
        matrix, Tensor
    ):  # whatever its dtype: numpy knows neither bfloat16 nor values that are negated when read
        device, start, size = matrix.device, matrix.data_ptr(), matrix.element_size()
        strides = [stride * size for stride in matrix.stride()]
    else:
        device, start, size = torch.device("cpu"), matrix.ctypes.data, matrix.itemsize
        strides = list(matrix.strides)
    if 0 in matrix.shape:
        return device, start, start
    reach = [(length - 1) * stride for length, stride in zip(matrix.shape, strides, strict=True)]
    return device, start + sum(min(step, 0) for step in reach), start + sum(max(step, 0) for step in reach) + size


def _floating(array: np.ndarray[Any, Any], name: str) -> np.ndarray[Any, Any]:
    if array.dtype not in (np.float16, np.float32, np.float64):
        raise _wrong_dtype(name, array.dtype)
    return array


def _wrong_dtype(name: str, dtype: object) -> InputError:
    got, advice = dtype_name(dtype), "Give the floating-point vectors that the encoder made."
    return refusal(name, "dtype float16, bfloat16, float32 or float64", got, advice)


def _missing(name: str, which: str) -> InputError:
    return refusal(name, "a value everywhere", f"missing values, {which}", "Drop those rows, or encode them again.")


def _unequal(name: str) -> InputError:
    return refusal(name, "rows of one width", "rows of unequal length", "Give every item a vector of the same width.")


class _Stacked:
    """Matrices on top of each other, `(n, d)` in all, that are joined only where they are read."""

    def __init__(self, matrices: list[np.ndarray[Any, Any]]) -> None:
        self.matrices = matrices
        self.ends = np.cumsum([len(matrix) for matrix in matrices])
        self.shape = (int(self.ends[-1]), matrices[0].shape[1])

    def __getitem__(self, rows: slice) -> np.ndarray[Any, Any]:
        start, stop, _ = rows.indices(self.shape[0])
        first, last = np.searchsorted(self.ends, [start, stop - 1], side="right")
        parts = []
        for index in range(first, last + 1):
            begin = int(self.ends[index]) - len(self.matrices[index])
            parts.append(self.matrices[index][max(start - begin, 0) : stop - begin])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _arrow_matrix(column: Any, name: str) -> np.ndarray[Any, Any] | _Stacked:
    """An Arrow column of lists as a matrix, without a copy of it."""
    import pyarrow as pa

    if not isinstance(column, (pa.Array, pa.ChunkedArray)):
        raise refusal(name, "a column of lists", f"{kind_of(column)} of pyarrow", "Give one column.")
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    matrices = [_arrow_chunk(chunk, name) for chunk in chunks if len(chunk)]
    if not matrices:
        raise refusal(name, "at least one row", "none", "Give at least one row.")
    if len({matrix.shape[1] for matrix in matrices}) > 1:
        raise _unequal(name)
    return matrices[0] if len(matrices) == 1 else _Stacked(matrices)


def _arrow_chunk(chunk: Any, name: str) -> np.ndarray[Any, Any]:
    import pyarrow as pa

    if isinstance(chunk, pa.ExtensionArray):
        chunk = chunk.storage
    kind = chunk.type
    if pa.types.is_floating(kind):
        advice = "Give the column that holds a list for each item."
        raise refusal(name, "a column of lists", f"a flat column of {kind}", advice)
    if not (pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise _wrong_dtype(name, kind)
    values = chunk.flatten()  # heeds the slice's offset, drops rows that are null
    if chunk.null_count or values.null_count:
        raise _missing(name, "null")
    width = len(values) // len(chunk)
    if not pa.types.is_fixed_size_list(kind) and set(chunk.value_lengths().unique().to_pylist()) != {width}:
        raise _unequal(name)
    if not pa.types.is_floating(values.type):
        raise _wrong_dtype(name, values.type)
    matrix: np.ndarray[Any, Any] = values.to_numpy(zero_copy_only=False).reshape(len(chunk), width)
    return matrix


def _to_arrow(result: Tensor) -> pyarrow.Array:
    import pyarrow as pa

    array = result.numpy()
    if array.ndim == 1:
        return pa.array(array)
    return pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array.shape[1])
