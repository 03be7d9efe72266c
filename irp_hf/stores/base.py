"""What every kind of store offers: vectors to be read in their order, and a place that is filled and then appears whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from irp_hf.data.arrow import Stacked, arrow_matrix
from irp_hf.errors import refusal
from irp_hf.records import EncoderRecord
from irp_hf.stores.address import Address
from irp_hf.stores.record import StoreRecord

BLOCK_ROWS = 8192
IS_TRUE = "_is_true"
"""What the name of the column ends with that tells which rows an encoder made: `embedding_is_true`."""
Matrix = np.ndarray[Any, Any]


class Store(ABC):
    """Vectors `(n, d)` in an order, and what stands beside them: ids, texts, metadata. Nothing here changes it.

    Rows come as record batches of Arrow, of `schema`, in which `column` holds the vectors as lists of one fixed size; of one
    that holds nothing else it is the only column. The order is the same each time a store is opened that nobody changed.
    """

    address: Address
    column: str
    schema: pa.Schema
    num_rows: int
    width: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the vectors: float16, float32 or float64."""
        kind: np.dtype[Any] = np.dtype(self.schema.field(self.column).type.value_type.to_pandas_dtype())
        return kind

    @abstractmethod
    def batches(self, start: int = 0, size: int = BLOCK_ROWS) -> Iterator[pa.RecordBatch]:
        """The rows from `start` on, `size` at a time and fewer at the end; no more is in memory than that."""

    @abstractmethod
    def take(self, rows: Matrix) -> pa.RecordBatch:
        """The rows of these rising numbers `(m,)`."""

    @abstractmethod
    def digest(self) -> str:
        """What tells it from another, and from itself after a change, as cheaply as its kind allows (a version, say)."""

    @abstractmethod
    def record(self) -> StoreRecord | None:
        """What irp_hf noted when it wrote these vectors; None of any other store."""

    def has_noted(self, column: str) -> bool:
        """Whether irp_hf has written translated vectors of this name beside these, or as these, or was about to."""
        return column == self.column and self.record() is not None

    def encoder(self) -> EncoderRecord | None:
        """Whose space the vectors are in, as far as the store tells: who encoded them, or what they were translated to."""
        record = self.record()
        if record is None or record.target_encoder is None:
            return None
        return EncoderRecord.from_dict(dict(record.target_encoder), f"the record of {self.address}")

    def replace(self, rows: Matrix, vectors: Matrix, record: StoreRecord) -> None:
        """Put `vectors (m, d)`, which an encoder made, in place of those at the rising `rows (m,)`, and this record.

        All of it or nothing; again changes nothing. A column `<vectors>_is_true` tells which rows were replaced so far.
        Raises `InputError` of a kind that cannot tell them apart.
        """
        expected, got = "a store that tells encoded from translated rows", f"a {type(self).__name__}"
        raise refusal(
            str(self.address), expected, got, "Translate to Parquet or a database, which keep more than vectors."
        )

    def close(self) -> None:  # noqa: B027 - most have nothing open
        """Let go of files and connections."""

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


@dataclass(frozen=True)
class Plan:
    """What a destination is to hold: the rows of a source, in their order, with other vectors."""

    source: Store
    schema: pa.Schema
    """Of the batches that will be written: the source's, but for the vectors, and columns that are added."""
    column: str
    """Which of its columns holds the vectors."""
    record: StoreRecord
    run: dict[str, Any]
    """Plain values that tell this run from another: an interrupted one goes on only as itself."""


class Writer(AbstractContextManager["Writer"]):
    """A destination while it is filled. Nobody finds it under its name before `finish`; what was kept outlives the process.

    Making one raises `InputError` where the destination exists, where another run fills it, or where nothing can be written,
    and leaves nothing then. It is locked, as far as its kind allows, until the context ends.
    """

    carries_vectors: ClassVar[bool] = True
    """Whether the source's vectors go along where the translated ones have another name."""
    plan: Plan
    date: str
    """The day on which it was begun: of a run that goes on, that of the plan it was begun with."""

    def ended(self) -> StoreRecord | None:
        """The record of a run of the same plan that had made all, and was ended before it could say so; `finish` takes it."""
        return None

    @classmethod
    def column(cls, address: Address, source: Store) -> str:
        """What the column of translated vectors is called: as the address says, in a table after the dot, else as before."""
        inside = address.inside
        if inside is None:
            return source.column
        if address.scheme is None:
            return inside
        return inside.rpartition(".")[2] if "." in inside else source.column

    @abstractmethod
    def kept(self) -> int:
        """How many rows, from the first on, a run of the same plan has kept; whole blocks of `BLOCK_ROWS`, or all."""

    @abstractmethod
    def write(self, start: int, batch: pa.RecordBatch) -> None:
        """Keep the block of rows that begins at `start`, the first that is not kept; again changes nothing."""

    @abstractmethod
    def batches(self) -> Iterator[pa.RecordBatch]:
        """What was kept, read again, a block at a time in order."""

    @abstractmethod
    def finish(self, record: StoreRecord) -> Store:
        """Let all rows appear under the destination's name, with this record; the opened destination."""

    @abstractmethod
    def discard(self) -> None:
        """Remove what was kept of it."""


def vectors_of(batch: pa.RecordBatch, column: str) -> Matrix:
    """The vectors `(n, d)` of a batch, on its own memory."""
    lists = batch.column(column)
    flat: Matrix = lists.flatten().to_numpy(zero_copy_only=True)
    return flat.reshape(len(lists), lists.type.list_size)


def as_lists(vectors: Matrix) -> pa.FixedSizeListArray:
    """Vectors `(n, d)` as a column of Arrow, on their own memory."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(vectors).reshape(-1)), vectors.shape[1])


def with_lists(batch: pa.RecordBatch, column: str, name: str, first: int, schema: pa.Schema) -> pa.RecordBatch:
    """A batch of any store of Arrow whose rows begin at `first`, as `schema` has it: vectors of one fixed size, none missing.

    Raises `InputError`, with the row, where one is null, holds null, or has another width.
    """
    lists, wanted = batch.column(column), schema.field(column).type
    if lists.type != wanted or lists.null_count or lists.flatten().null_count:
        matrix = arrow_matrix(lists, name, first, wanted.list_size)
        lists = as_lists(np.asarray(matrix[0 : len(lists)] if isinstance(matrix, Stacked) else matrix))
    columns = [lists if field.name == column else batch.column(field.name) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def cut_again(batches: Iterable[pa.RecordBatch], size: int, skipped: int = 0) -> Iterator[pa.RecordBatch]:
    """The same rows but for the first `skipped`, `size` at a time, whatever they came in."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        cut = min(skipped, batch.num_rows)
        skipped -= cut
        batch = batch.slice(cut)
        while batch.num_rows:
            part = batch.slice(0, size - count)
            held.append(part)
            count += part.num_rows
            batch = batch.slice(part.num_rows)
            if count == size:
                yield _joined(held)
                held, count = [], 0
    if held:
        yield _joined(held)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
