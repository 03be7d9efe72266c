"""What engines call a batch: a piece of a table of Arrow or of pandas, or columns by their names."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from typing_extensions import override

from irp_hf.checks import is_number
from irp_hf.data.arrays import Rows
from irp_hf.data.wrong import module_of
from irp_hf.errors import InputError, kind_of, refusal
from irp_hf.models.delivering import key_of

Matrix = np.ndarray[Any, Any]
MOST_VALUES = 2**31 - 1  # that a list of Arrow counts
BATCHED = "Give whole batches: dataset.map(..., batched=True), or map_batches."


class Batch(ABC):
    """A batch of some kind, which is not changed."""

    def __init__(self, batch: Any) -> None:
        self.batch = batch

    @property
    @abstractmethod
    def names(self) -> list[Any]:
        """Of its columns."""

    @abstractmethod
    def vectors(self, column: str) -> Any:
        """What it holds under this name, in its own kind."""

    @abstractmethod
    def with_columns(self, made: Mapping[str, Matrix], source: str, rows: Rows) -> Any:
        """One of the same kind with columns of these names `(n,)` or `(n, d)`, in their places where there are such.

        They are of the kind of the `source`, of whose vectors they are made, and which was read as `rows`.
        """


class ArrowBatch(Batch):
    """A table or a record batch."""

    @property
    @override
    def names(self) -> list[Any]:
        return list(self.batch.schema.names)

    @override
    def vectors(self, column: str) -> Any:
        return self.batch.column(column)

    @override
    def with_columns(self, made: Mapping[str, Matrix], source: str, rows: Rows) -> Any:
        batch, kind = self.batch, self.batch.schema.field(source).type
        for name, values in made.items():
            array, place = _arrow(values, kind), batch.schema.get_field_index(name)
            field = pa.field(name, array.type)
            batch = batch.append_column(field, array) if place < 0 else batch.set_column(place, field, array)
        stale = {b"huggingface", *(key_of(name).encode() for name in made)}  # they tell what such columns were before
        told = {key: value for key, value in (batch.schema.metadata or {}).items() if key not in stale}
        return batch.replace_schema_metadata(told or None)


class FrameBatch(Batch):
    """A frame of pandas."""

    @property
    @override
    def names(self) -> list[Any]:
        return list(self.batch.columns)

    @override
    def vectors(self, column: str) -> Any:
        return self.batch[column]

    @override
    def with_columns(self, made: Mapping[str, Matrix], source: str, rows: Rows) -> Any:
        frame = self.batch.copy(deep=False)
        for name, values in made.items():
            column = np.empty(len(values), object) if values.ndim == 2 else values
            if values.ndim == 2:
                column[:] = list(values)
            frame[name] = column
        return frame


class ColumnsBatch(Batch):
    """Columns by their names: a dictionary, or that of `datasets`, which decodes a column when it is read."""

    def __init__(self, batch: Mapping[Any, Any]) -> None:
        super().__init__(batch)
        self._read = _copied(batch)  # the other stays as it is, and `datasets` need not write anew what nobody changed

    @property
    @override
    def names(self) -> list[Any]:
        return list(self.batch)

    @override
    def vectors(self, column: str) -> Any:
        vectors = self._read[column]
        if _is_one_row(vectors):
            got = f"{kind_of(vectors)} of numbers, which is one row's"
            raise refusal(column, "vectors, a matrix (rows, width)", got, BATCHED)
        return vectors

    @override
    def with_columns(self, made: Mapping[str, Matrix], source: str, rows: Rows) -> Any:
        batch, given = _copied(self.batch), self._read[source]
        for name, values in made.items():
            batch[name] = _in_kind(values, given, rows)
        return batch


def batch_of(batch: Any) -> Batch:
    """The batch as one of these kinds; raises `InputError` for what is none."""
    if isinstance(batch, pa.Table | pa.RecordBatch):
        return ArrowBatch(batch)
    if isinstance(batch, Mapping):
        return ColumnsBatch(batch)
    if module_of(batch) == "pandas" and hasattr(batch, "columns"):
        return FrameBatch(batch)
    raise _no_batch(batch)


def _no_batch(batch: Any) -> InputError:
    advice = "Give {'embedding': vectors}, say; of an array, call IRPAdapter.translate."
    if hasattr(batch, "to_arrow"):
        advice = "Give batch.to_arrow()."
    elif hasattr(batch, "__next__"):
        advice = "Of an iterator over batches, as Spark gives, take .batches."
    expected = "a table or a record batch of Arrow, a frame of pandas, or columns by their names"
    return refusal("batch", expected, kind_of(batch), advice)


def _copied(batch: Mapping[Any, Any]) -> MutableMapping[Any, Any]:
    return copy.copy(batch) if isinstance(batch, MutableMapping) else dict(batch)


def _is_one_row(vectors: Any) -> bool:
    if isinstance(vectors, np.ndarray | Tensor):
        return vectors.ndim == 1 and vectors.dtype != object
    return isinstance(vectors, Sequence) and len(vectors) > 0 and is_number(vectors[0])


def _arrow(values: Matrix, kind: pa.DataType) -> pa.Array:
    """A column of Arrow: of lists like those of this `kind`, since an engine may not know the others."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    if values.ndim == 1:
        return flat
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    ends = np.arange(len(values) + 1) * values.shape[1]
    if pa.types.is_large_list(kind):
        return pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), flat)
    if values.size > MOST_VALUES:
        most = f"at most {MOST_VALUES // values.shape[1]:,} rows, of which lists of Arrow can hold the translations"
        raise refusal("batch", most, f"{len(values):,}", "Give smaller batches, or a column of large lists.")
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), flat)


def _in_kind(values: Matrix, given: Any, rows: Rows) -> Any:
    """Arrays for arrays and lists, and else what the vectors came in."""
    if isinstance(given, np.ndarray):
        return values
    made = torch.from_numpy(values)
    return rows.wrap(made.to(rows.device) if isinstance(given, Tensor) else made)
