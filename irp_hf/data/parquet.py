"""A column of vectors in Parquet files, read piece by piece: the files may be larger than memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from irp_hf.checks import check_list, check_text, quoted
from irp_hf.data.arrow import arrow_matrix
from irp_hf.errors import first_line, missing, refusal, shown

BATCH = 8192  # rows that are decoded at once
Matrix = np.ndarray[Any, Any]


class ParquetColumn:
    """Vectors `(n, d)` that a column of lists of one or more Parquet files holds, in the order of the files.

    Wherever a matrix is read in chunks it stands for one: `adapter.translate(ParquetColumn("rows.parquet", "embedding"))`. It
    is quickest where rows are asked for in their order. Threads may share one; a pickle of it opens the files anew.
    """

    def __init__(self, files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], column: str) -> None:
        """Look at the files' footers, and at the first row.

        Raises `InputError` for what is no Parquet file, for a column that there is not or that holds no floats, and
        `MissingDependencyError` without pyarrow.
        """
        given = (
            [files]
            if isinstance(files, str | os.PathLike)
            else check_list("files", files, least=1, advice="Name a file.")
        )
        self.files, self.column = (
            [Path(file) for file in given],
            check_text("column", column, "Name one of its columns."),
        )
        self._groups: list[tuple[Any, int]] = []
        starts = [0]
        for path in self.files:
            opened, rows = self._open(path)
            for group, count in enumerate(rows):
                self._groups.append((opened, group))
                starts.append(starts[-1] + count)
        self._starts = np.array(starts)
        self._reading = threading.RLock()
        self._forget()
        self.shape = (starts[-1], 0)
        if starts[-1]:
            self.shape = (starts[-1], self[0:1].shape[1])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.files, self.column)

    def _open(self, path: Path) -> tuple[Any, list[int]]:
        """The opened file, and how many rows each of its groups holds."""
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            raise missing("ParquetColumn", "pyarrow", "pyarrow") from error
        try:
            if not path.is_file():
                raise refusal("files", "Parquet files", f"{shown(str(path))}, which is no file", "Check the path.")
            opened = pq.ParquetFile(path)
            names, footer = opened.schema_arrow.names, opened.metadata
            rows = [footer.row_group(group).num_rows for group in range(opened.num_row_groups)]
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            got = f"{shown(str(path))} ({first_line(error)})"
            raise refusal("files", "Parquet files", got, "Check the path, or write the file anew.") from error
        if names.count(self.column) != 1:
            raise refusal(
                "column", f"one of {quoted(names)} of {path.name}", shown(self.column), "Name that of the vectors."
            )
        return opened, rows

    def __getitem__(self, rows: slice) -> Matrix:
        start, stop, _ = rows.indices(int(self._starts[-1]))
        parts = []
        while start < stop:
            block, first = self._block_with(start)
            part = block[start - first : stop - first]
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def take(self, numbers: Matrix) -> Matrix:
        """The rows of these numbers `(n,)`, which rise: the files are read once."""
        parts, done = [], 0
        while done < len(numbers):
            block, first = self._block_with(int(numbers[done]))
            end = int(np.searchsorted(numbers, first + len(block)))
            parts.append(block[numbers[done:end] - first])
            done = end
        return np.concatenate(parts)

    def _block_with(self, row: int) -> tuple[Matrix, int]:
        """The decoded rows that hold this one, and the number of the first of them."""
        with self._reading:
            try:
                return self._read_to(row)
            except BaseException:  # what broke off gives no more
                self._forget()
                raise

    def _forget(self) -> None:
        self._first, self._block = int(self._starts[-1]), np.empty((0, 0))
        self._rest: Iterator[Matrix] = iter(())

    def _read_to(self, row: int) -> tuple[Matrix, int]:
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        if row < self._first or int(self._starts[group]) > self._first + len(self._block):
            self._first, self._block, self._rest = int(self._starts[group]), np.empty((0, 0)), self._blocks(group)
        while row >= self._first + len(self._block):
            block = next(self._rest, None)
            if block is None:
                got = (
                    f"fewer than the {self._starts[-1]:,} rows that {quoted(path.name for path in self.files)} promise"
                )
                raise refusal("files", "whole Parquet files", got, "Write them anew.")
            self._first, self._block = self._first + len(self._block), block
        return self._block, self._first

    def _blocks(self, first: int) -> Iterator[Matrix]:
        """What there is from this group of rows on, a batch at a time."""
        import pyarrow as pa

        row = int(self._starts[first])
        for opened, group in self._groups[first:]:
            try:
                for batch in opened.iter_batches(BATCH, row_groups=[group], columns=[self.column]):
                    if not len(batch):
                        continue
                    matrix = arrow_matrix(batch.column(0), self.column, row, self.shape[1] or None)
                    row += len(batch)
                    yield matrix[0 : matrix.shape[0]]
            except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
                got = f"one of {len(self.files)} that cannot be read ({first_line(error)})"
                raise refusal("files", "whole Parquet files", got, "Write it anew.") from error
