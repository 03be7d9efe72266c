"""Rows that lie in a file as they are in memory, read as a file and not as a map.

What another process cuts off of a map ends this one by a signal, and what is read of it stays in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from typing_extensions import override

from irp_hf.disk.places import cannot_be_read
from irp_hf.disk.plain import opened
from irp_hf.errors import refusal
from irp_hf.stores.base import BLOCK_ROWS, Matrix, Store, as_lists
from irp_hf.stores.files import digest_as_before, digest_of_files


@dataclass(frozen=True)
class Layout:
    """Where a matrix lies in a file, and as what."""

    start: int
    """Of the first row, in bytes."""
    dtype: np.dtype[Any]
    """The order of its bytes, too."""
    num_rows: int
    width: int
    brain: bool = False
    """Whether `dtype` are the bits of bfloat16, which numpy has not."""
    by_columns: bool = False
    """Whether columns lie on end, as Fortran has it, and not rows."""

    @property
    def given(self) -> np.dtype[Any]:
        """Of the rows that are read: of bfloat16 float32."""
        return np.dtype(np.float32) if self.brain else self.dtype.newbyteorder("=")


class RawRows:
    """A matrix `(n, d)` in a file that is open; raises `InputError` where the file cannot be read, or is shorter by now."""

    def __init__(self, place: Path, layout: Layout) -> None:
        self.layout, self._place = layout, place
        try:
            self._file = opened(place)
        except OSError as error:
            raise cannot_be_read(str(place), error) from error

    def __getitem__(self, rows: slice) -> Matrix:
        layout = self.layout
        start, stop, _ = rows.indices(layout.num_rows)
        count, size = max(0, stop - start), layout.dtype.itemsize
        if layout.by_columns:
            firsts = range(start, start + layout.width * layout.num_rows, layout.num_rows)
            columns = [self._read((count,), layout.start + first * size) for first in firsts]
            found = np.stack(columns, axis=1)
        else:
            found = self._read((count, layout.width), layout.start + start * layout.width * size)
        if layout.brain:
            return (found.astype(np.uint32) << 16).view(np.float32)
        return found.astype(layout.given, copy=False)

    def take(self, rows: Matrix) -> Matrix:
        """The rows of these rising numbers `(m,)`."""
        parts = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1) if len(rows) else []
        return np.concatenate([self[0:0], *(self[int(part[0]) : int(part[-1]) + 1] for part in parts)])

    def _read(self, shape: tuple[int, ...], start: int) -> Matrix:
        found: Matrix = np.empty(shape, self.layout.dtype)
        if found.size:
            self._fill(memoryview(found.view(np.uint8).data).cast("B"), start)
        return found

    def _fill(self, memory: memoryview, start: int) -> None:
        os.lseek(self._file.fileno(), start, os.SEEK_SET)
        while len(memory):
            count = self._file.readinto(memory)  # type: ignore[attr-defined]
            if not count:
                got, advice = "one that was cut while it was read", "Translate it again, while nobody writes to it."
                raise refusal(str(self._place), "a whole file", got, advice)
            memory = memory[count:]

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class RawStore(Store):
    """A matrix `(n, d)` in a file, and nothing beside it."""

    def _holds(self, path: Path, layout: Layout, column: str) -> None:
        """Let the matrix that lies so in a file be this store's, called `column`; raises `InputError` as `RawRows` does."""
        self._path, self._first_digest, self.column = path, digest_of_files([path]), column
        self._matrix = RawRows(path, layout)
        self.num_rows, self.width = layout.num_rows, layout.width
        kind = pa.from_numpy_dtype(layout.given)
        self.schema = pa.schema([pa.field(column, pa.list_(kind, self.width), nullable=False)])

    @override
    def batches(self, start: int = 0, size: int = BLOCK_ROWS) -> Iterator[pa.RecordBatch]:
        for first in range(start, self.num_rows, size):
            yield self._batch(self._matrix[first : first + size])

    @override
    def take(self, rows: Matrix) -> pa.RecordBatch:
        return self._batch(self._matrix.take(rows))

    @override
    def digest(self) -> str:
        """As `Store` has it; raises `InputError` for a file that is no more the one that was opened."""
        return digest_as_before(self.address, [self._path], self._first_digest)

    @override
    def close(self) -> None:
        self._matrix.close()

    def _batch(self, rows: Matrix) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([as_lists(rows)], schema=self.schema)
