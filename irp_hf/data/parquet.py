"""A column of vectors in Parquet files, read piece by piece: the files may be larger than memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from irp_hf.checks import check_list, check_text, quoted, written
from irp_hf.data.arrow import arrow_matrix
from irp_hf.data.memory import allocating
from irp_hf.disk.places import check_path
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
        alone = isinstance(files, str | os.PathLike)
        given = [files] if alone else check_list("files", files, least=1, advice="Name a file.")
        self.files = [check_path("files", file) for file in given]
        self.column = check_text("column", column, "Name one of its columns.")
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
        self._none: Matrix = np.empty((0, 0), np.float32)
        if starts[-1]:
            first = self[0:1]
            self._none, self.shape = first[:0], (starts[-1], first.shape[1])

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
        if names.count(self.column) > 1:
            got, advice = (
                f"{names.count(self.column)} of {path.name}",
                "Write the file anew, with a name for each column.",
            )
            raise refusal("column", f"one column of the name {self.column!r}", got, advice)
        if self.column not in names:
            expected = f"one of {quoted(names) or 'its columns, of which it has none,'} of {path.name}"
            advice = written(self.column, names, "Name that of the vectors.")
            raise refusal("column", expected, shown(self.column), advice)
        return opened, rows

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __iter__(self) -> Iterator[Matrix]:
        return (row for start in range(0, len(self), BATCH) for row in self[start : start + BATCH])

    @overload
    def __getitem__(self, rows: int) -> Matrix: ...

    @overload
    def __getitem__(self, rows: slice) -> Matrix: ...

    def __getitem__(self, rows: Any) -> Matrix:
        """The vector `(d,)` of a row, or those of a slice `(n, d)`; raises `InputError` for anything else."""
        try:
            chosen = range(len(self))[rows]
        except (TypeError, ValueError, IndexError) as error:
            advice = "Give a number or a slice; column.take(numbers) gives any rows that rise."
            raise refusal("rows", f"rows from 0 to {len(self) - 1}", shown(rows), advice) from error
        if isinstance(chosen, int):
            vector: Matrix = self._read(chosen, chosen + 1)[0]
            return vector
        if not chosen:
            return self._none
        if chosen.step != 1:
            rising = np.sort(chosen)
            return self.take(rising)[:: 1 if chosen.step > 0 else -1]
        return self._read(chosen.start, chosen.stop)

    def _read(self, start: int, stop: int) -> Matrix:
        """The rows from the one number up to the other."""
        parts = []
        while start < stop:
            block, first = self._block_with(start)
            part = block[start - first : stop - first]
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else _joined(parts)

    def take(self, numbers: Matrix) -> Matrix:
        """The rows of these numbers `(n,)`, which rise: the files are read once."""
        parts, done = [self._none], 0
        while done < len(numbers):
            block, first = self._block_with(int(numbers[done]))
            end = int(np.searchsorted(numbers, first + len(block)))
            parts.append(block[numbers[done:end] - first])
            done = end
        return _joined(parts)

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


def _joined(parts: list[Matrix]) -> Matrix:
    with allocating("rows", "Ask for fewer at a time."):
        return np.concatenate(parts)
