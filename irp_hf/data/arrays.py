"""Embeddings as users hold them: numpy, torch, Arrow, a `datasets` column or nested lists, read as rows of a matrix.

Every reading checks: two dimensions, floating point, the expected width, nothing missing.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irp_hf.arithmetic import check_values
from irp_hf.data.arrow import Stacked
from irp_hf.data.matrices import FLOAT_ARRAYS, open_matrix, tensor_of
from irp_hf.data.memory import allocating
from irp_hf.data.parquet import ParquetColumn
from irp_hf.errors import refusal

TAKEN = 512  # rows that are picked out at once
NAN, INFINITY = "NaN", "infinity"
LARGEST = 1e15  # the square of a row's norm must stay far inside float32


class Rows:
    """A matrix `(n, d)` of any of these kinds, read in chunks as CPU or device tensors, and written back in kind."""

    def __init__(
        self,
        x: Any,
        name: str = "embeddings",
        width: int | None = None,
        other: tuple[str, int] | None = None,
        least: int = 1,
        advice: str = "Encode them with the encoder whose anchors these are.",
        device: torch.device | None = None,
    ) -> None:
        """Check everything about `x` but its values; `other` is the other side, and its width, that they may be mixed up with.

        `advice` is said where the width is another. Its rows come as tensors of the `device`, by default that of `x`.
        Where `least` is 0 and a `width` is known, no rows are rows too: an empty list, a column of an empty table.

        Raises `InputError` where `x` is no floating-point matrix with `width` columns and at least `least` rows.
        """
        self.name, self._to = name, device
        self._matrix, self.wrap = open_matrix(x, name)
        shape = tuple(self._matrix.shape)
        if not least and width is not None and shape in ((0,), (0, 0)):  # so wide is what has no rows to tell it
            self._matrix = self[0:0].new_empty(0, width)
            shape = (0, width)
        if len(shape) != 2:
            cure = "Reshape them to one row for each item: x[None], of a list [x], makes a single vector a matrix."
            if len(shape) == 3:
                cure = "Give one row for each item; of batches, np.concatenate(x) or torch.cat(x) makes a matrix."
            raise refusal(name, "a matrix (rows, width)", f"shape {shape}", cure)
        self.num_rows, self.width = shape
        if self.num_rows < least or not self.width:
            raise refusal(
                name, "at least one row and one column", f"shape {shape}", "Give at least one row of numbers."
            )
        if width is not None and self.width != width:
            if other is not None and self.width == other[1]:
                advice = f"So wide are vectors of the {other[0]}: source and target look swapped. {advice}"
            raise refusal(name, f"width {width}", f"width {self.width}", advice)
        matrix = self._matrix
        self._first = matrix if self.num_rows == 1 and isinstance(matrix, Tensor) and device is None else self[0:1]
        self.dtype, self.device = self._first.dtype, self._first.device

    def __getitem__(self, rows: slice) -> Tensor:
        found = self._read(rows)
        return found if self._to is None else found.to(self._to)

    def _read(self, rows: slice) -> Tensor:
        matrix = self._matrix[rows]
        if isinstance(matrix, Tensor):
            return matrix
        if matrix.dtype in FLOAT_ARRAYS and matrix.flags.carray and steps_forward(matrix):  # nothing to be done
            return torch.from_numpy(matrix)
        array = np.ascontiguousarray(matrix, dtype=matrix.dtype.newbyteorder("="))
        return tensor_of(array if array.flags.writeable and steps_forward(array) else array.copy())

    def whole(self) -> Tensor:
        """All of them as one tensor with finite values; raises `InputError` otherwise, and `TooLargeError`."""
        with allocating(self.name, "Give fewer rows."):
            matrix = self.in_one()
        refuse_not_finite(matrix, self.name)
        return matrix

    def take(self, numbers: Tensor) -> Tensor:
        """The rows of these numbers `(n,)`, in their order, as a tensor of their own."""
        found = self._take(numbers)
        return found if self._to is None else found.to(self._to)

    def _take(self, numbers: Tensor) -> Tensor:
        order = numbers.argsort()
        if isinstance(self._matrix, Tensor):
            return self._matrix[numbers.to(self._matrix.device)]
        rising = numbers[order].numpy()
        if isinstance(self._matrix, np.ndarray):
            found = np.empty((len(rising), self.width), self._matrix.dtype)
            for start in range(0, len(rising), TAKEN):
                part = slice(start, start + TAKEN)
                found[part] = self._matrix[rising[part]]
                self.let_go()  # a system maps far more around each row
        else:
            found = self._matrix.take(rising)
        native = np.ascontiguousarray(found, dtype=found.dtype.newbyteorder("="))
        taken = tensor_of(native)
        return taken[order.argsort()]

    def let_go(self) -> None:
        """Of a memory map on a file, what was read need not stay in memory."""
        base: Any = self._matrix
        on_file = False
        while base is not None and not isinstance(base, mmap.mmap):
            if isinstance(base, np.memmap):
                on_file = base.mode != "c"  # whose changes are nowhere else
            base = getattr(base, "base", None)
        if on_file and base is not None and hasattr(base, "madvise"):  # Windows has none
            base.madvise(mmap.MADV_DONTNEED)

    def overlaps(self, other: Tensor) -> bool:
        """Whether writing to `other` would change rows that are still to be read."""
        if isinstance(self._matrix, ParquetColumn):
            return False
        mine = self._matrix.matrices if isinstance(self._matrix, Stacked) else [self._matrix]
        place, low, high = _memory(other)
        return any(where == place and start < high and low < stop for where, start, stop in map(_memory, mine))

    def in_one(self) -> Tensor:
        """All of them as one tensor, of which nobody looked at the values."""
        return self._first if self.num_rows == 1 else self[0 : self.num_rows]

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
    check_values(name, chunk)
    if (found := first_not_finite(chunk)) is None:
        return
    row, got = found
    place = f"Row {first_row + row} of {name}"
    if got not in (NAN, INFINITY):
        raise refusal(place, f"values of at most {LARGEST:g}", got, "Scale them to the size of the anchors.")
    raise refusal(place, "finite numbers", got, "Drop that row, or encode it again.")


def first_not_finite(chunk: Tensor) -> tuple[int, str] | None:
    """The first row of `chunk (n, d)` that holds NaN, infinity or more than `LARGEST`, and which; None where none does."""
    if not len(chunk):
        return None
    if are_small(chunk):
        return None
    chunk = chunk.double()  # in half precision the bound itself is infinity
    wrong = (~(chunk.abs() <= LARGEST)).any(1).nonzero()
    if not len(wrong):
        return None
    row = int(wrong[0])
    if torch.isfinite(chunk[row]).all():
        return row, f"{float(chunk[row].abs().max()):.3g}"
    return row, NAN if torch.isnan(chunk[row]).any() else INFINITY


def steps_forward(array: np.ndarray[Any, Any]) -> bool:
    """Whether it goes forward by whole numbers: one row of a reversed array, or of records, counts as contiguous as well."""
    return all(step >= 0 and step % array.itemsize == 0 for step in array.strides)


def are_small(chunk: Tensor) -> bool:
    """Whether one look at `chunk (n, d)` tells that all values are finite and far below `LARGEST`."""
    if chunk.dtype != torch.float16:
        return bool(torch.linalg.vector_norm(chunk).item() <= LARGEST / 2)
    low, high = chunk.aminmax()  # of half precision in a tenth of the time that torch needs for a norm
    return low.item() > -torch.inf and high.item() < torch.inf  # NaN is neither


def as_matrix(
    x: Any, name: str = "embeddings", width: int | None = None, other: tuple[str, int] | None = None
) -> Tensor:
    """All of `x` as one checked float tensor `(n, d)` with finite values; raises `InputError` otherwise, as `Rows` does."""
    return Rows(x, name, width, other).whole()


def check_same_rows(subject: str, one: Tensor, other: Tensor, advice: str) -> None:
    """Raise `InputError` unless row i of both matrices may stand for one item: as many rows on both sides, and two at least."""
    if one.ndim != 2 or other.ndim != 2 or len(one) != len(other) or len(one) < 2:
        got = f"shapes {tuple(one.shape)} and {tuple(other.shape)}"
        raise refusal(subject, "two matrices of as many rows, and at least two", got, advice)


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
