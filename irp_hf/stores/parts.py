"""Pieces of a table: files of Parquet and of Arrow, whose rows are read from any one on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import override

from irp_hf.stores.base import cut_again

READ_AHEAD = 2**20  # bytes of a column of Parquet


class Part(ABC):
    """A piece of a table, whose rows are read from any one on."""

    schema: pa.Schema
    num_rows: int
    name: str = ""
    """Of its file, where it is one of several."""

    @abstractmethod
    def batches(self, start: int, size: int) -> Iterator[pa.RecordBatch]:
        """The rows from `start` on, in batches of about `size`."""


class ParquetPart(Part):
    """A file of Parquet."""

    def __init__(self, path: Path) -> None:
        self._path, self.name = path, path.name
        with pq.ParquetFile(path) as file:
            self.schema, self.num_rows = file.schema_arrow, file.metadata.num_rows
            groups = range(file.metadata.num_row_groups)
            self._starts = np.cumsum([0, *(file.metadata.row_group(group).num_rows for group in groups)])

    @override
    def batches(self, start: int, size: int) -> Iterator[pa.RecordBatch]:
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        groups = list(range(first, len(self._starts) - 1))
        # Otherwise whole groups, which may be a file, would lie in memory.
        with pq.ParquetFile(self._path, buffer_size=READ_AHEAD, pre_buffer=False) as file:
            found = file.iter_batches(size, groups, use_threads=False)
            yield from cut_again(found, size, start - int(self._starts[first]))


class ArrowPart(Part):
    """A file of Arrow IPC, as Feather is, or a stream of it, as `datasets` writes."""

    def __init__(self, path: Path) -> None:
        self._path, self.name = path, path.name
        with self._opened() as (schema, found):
            self.schema, self.num_rows = schema, sum(batch.num_rows for batch in found)

    @override
    def batches(self, start: int, size: int) -> Iterator[pa.RecordBatch]:
        with self._opened() as (_, found):
            yield from cut_again(found, size, start)

    @contextmanager
    def _opened(self) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
        with pa.OSFile(str(self._path)) as file:  # a map that another process cuts ends this one
            try:
                reader = pa.ipc.open_file(file)
            except pa.ArrowInvalid:
                file.seek(0)
                stream = pa.ipc.open_stream(file)
                yield stream.schema, iter(stream)
                return
            yield reader.schema, (reader.get_batch(number) for number in range(reader.num_record_batches))
