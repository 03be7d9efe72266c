"""Vectors in `.safetensors`, a matrix by its name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors import SafetensorError, safe_open
from typing_extensions import override

from irp_hf.checks import quoted
from irp_hf.data.matrices import FLOATS
from irp_hf.disk.atomic import written_file
from irp_hf.disk.places import check_path
from irp_hf.errors import first_line, refusal, shown
from irp_hf.stores.address import Address
from irp_hf.stores.base import BLOCK_ROWS, CONFIDENCE, IS_TRUE, Matrix, Store, as_lists
from irp_hf.stores.files import FileWriter, digest_of_files
from irp_hf.stores.record import StoreRecord, key_of

NAMES = {np.dtype("float16"): "F16", np.dtype("float32"): "F32", np.dtype("float64"): "F64", np.dtype("bool"): "BOOL"}


class SafetensorsStore(Store):
    """The one matrix of floats `(n, d)` of a file, or the one that is named; bfloat16 is read as float32."""

    def __init__(self, address: Address) -> None:
        """Raises `InputError` for what holds no such matrix."""
        self.address, self._path = address, check_path("source", address.place)
        self._file = _open(self._path)
        shapes = {name: self._file.get_slice(name).get_shape() for name in self._file.keys()}  # noqa: SIM118
        matrices = [name for name, shape in shapes.items() if len(shape) == 2]
        wanted = matrices if address.inside is None else [name for name in matrices if name == address.inside]
        if len(wanted) != 1:
            got = quoted(shapes) or "none" if address.inside is None else shown(address.inside)
            advice = f"Name one: {address.place}#{(matrices or ['vectors'])[0]}."
            raise refusal(str(self._path), f"one matrix of {quoted(matrices) or 'its own'}", got, advice)
        self.column = wanted[0]
        self._slice = self._file.get_slice(self.column)
        self.num_rows, self.width = shapes[self.column]
        kind = self._rows(0, 0).dtype
        self.schema = pa.schema(
            [pa.field(self.column, pa.list_(pa.from_numpy_dtype(kind), self.width), nullable=False)]
        )

    @override
    def batches(self, start: int = 0, size: int = BLOCK_ROWS) -> Iterator[pa.RecordBatch]:
        for first in range(start, self.num_rows, size):
            yield self._batch(self._rows(first, min(first + size, self.num_rows)))

    @override
    def take(self, rows: Matrix) -> pa.RecordBatch:
        found = [self._rows(int(row), int(row) + 1) for row in rows]
        return self._batch(np.concatenate(found) if found else self._rows(0, 0))

    @override
    def digest(self) -> str:
        return digest_of_files([self._path])

    @override
    def record(self) -> StoreRecord | None:
        return StoreRecord.from_json((self._file.metadata() or {}).get(key_of(self.column)), str(self._path))

    def _rows(self, start: int, stop: int) -> Matrix:
        found: torch.Tensor = self._slice[start:stop]
        if found.dtype not in FLOATS:
            advice = "Save it as float32, say."
            raise refusal(str(self._path), f"floats in {shown(self.column)}", str(found.dtype), advice)
        return (found.float() if found.dtype == torch.bfloat16 else found).numpy()

    def _batch(self, rows: Matrix) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([as_lists(rows)], schema=self.schema)


class SafetensorsWriter(FileWriter):
    """A new file with the vectors and what tells of each, and the record in its header."""

    def _assemble(self, record: StoreRecord) -> None:
        told = [f"{self.plan.column}{end}" for end in (CONFIDENCE, IS_TRUE)]
        names = [name for name in self.plan.schema.names if name == self.plan.column or name in told]
        header: dict[str, object] = {"__metadata__": {key_of(self.plan.column): record.to_json()}}
        end = 0
        for name in names:
            kind = self.plan.schema.field(name).type
            inner = kind.value_type if pa.types.is_fixed_size_list(kind) else kind
            shape = [record.num_rows, *([kind.list_size] if inner is not kind else [])]
            dtype = np.dtype(inner.to_pandas_dtype())
            size = int(np.prod(shape)) * dtype.itemsize
            header[name] = {"dtype": NAMES[dtype], "shape": shape, "data_offsets": [end, end + size]}
            end += size
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with written_file(self.path) as file:  # safetensors' own writer wants all in memory
            file.write(len(text).to_bytes(8, "little") + text)
            for name in names:
                for batch in self.batches():
                    column = batch.column(name)
                    flat = column.flatten() if pa.types.is_fixed_size_list(column.type) else column
                    file.write(np.ascontiguousarray(flat.to_numpy(zero_copy_only=False)).data.cast("B"))

    def _opened(self) -> Store:
        return SafetensorsStore(Address(None, str(self.path), self.plan.column))


def _open(path: object) -> Any:
    try:
        return safe_open(str(path), "pt")
    except (OSError, SafetensorError) as error:
        got = f"{shown(str(path))} ({first_line(error)})"
        raise refusal("source", "a safetensors file", got, "Check the path, or save it anew.") from error
