"""Vectors in `.safetensors`, a matrix by its name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from typing_extensions import override

from irp_hf.checkpoints.stored import LENGTH, METADATA, Entry, entries_of, header_length
from irp_hf.checks import quoted
from irp_hf.disk.atomic import written_file
from irp_hf.disk.places import check_path
from irp_hf.disk.plain import opened
from irp_hf.errors import reason_of, refusal, shown
from irp_hf.models.delivering import CONFIDENCE, key_of
from irp_hf.stores.address import Address
from irp_hf.stores.base import IS_TRUE, Store
from irp_hf.stores.files import FileWriter
from irp_hf.stores.raw import Layout, RawStore
from irp_hf.stores.record import StoreRecord

DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2"}
NAMES = {np.dtype("float16"): "F16", np.dtype("float32"): "F32", np.dtype("float64"): "F64", np.dtype("bool"): "BOOL"}


class SafetensorsStore(RawStore):
    """The one matrix of floats `(n, d)` of a file, or the one that is named; bfloat16 is read as float32."""

    def __init__(self, address: Address) -> None:
        """Raises `InputError` for what holds no such matrix."""
        self.address, path = address, check_path("source", address.place)
        data, entries, self._metadata = _looked_at(path)
        shapes = {name: entry.shape for name, entry in entries.items()}
        matrices = [name for name, shape in shapes.items() if len(shape) == 2]
        wanted = matrices if address.inside is None else [name for name in matrices if name == address.inside]
        if len(wanted) != 1:
            got = quoted(shapes) or "none" if address.inside is None else shown(address.inside)
            advice = f"Name one: {address.place}#{(matrices or ['vectors'])[0]}."
            raise refusal(str(path), f"one matrix of {quoted(matrices) or 'its own'}", got, advice)
        (column,) = wanted
        self._holds(path, _layout(path, column, entries[column], data), column)

    @override
    def record(self) -> StoreRecord | None:
        return StoreRecord.from_json(self._metadata.get(key_of(self.column)), str(self._path))


class SafetensorsWriter(FileWriter):
    """A new file with the vectors and what tells of each, and the record in its header."""

    @override
    def _assemble(self, record: StoreRecord, path: Path) -> None:
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
        with written_file(path) as file:  # safetensors' own writer wants all in memory
            file.write(len(text).to_bytes(8, "little") + text)
            for name in names:
                for batch in self.batches():
                    column = batch.column(name)
                    flat = column.flatten() if pa.types.is_fixed_size_list(column.type) else column
                    file.write(np.ascontiguousarray(flat.to_numpy(zero_copy_only=False)).data.cast("B"))

    @override
    def _opened(self, path: Path) -> Store:
        return SafetensorsStore(Address(None, str(path), self.plan.column))


def _looked_at(path: Path) -> tuple[int, dict[str, Entry], dict[str, Any]]:
    """Where the tensors of a file begin, which there are, and its metadata."""
    try:
        with opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            length = header_length(file.read(LENGTH), size)
            header = file.read(length)
        start = LENGTH + length
        entries, metadata = entries_of(header, size - start), json.loads(header).get(METADATA)
    except (OSError, ValueError) as error:
        got = f"{shown(str(path))} ({reason_of(error)})"
        raise refusal("source", "a safetensors file", got, "Check the path, or save it anew.") from error
    return start, entries, metadata if isinstance(metadata, dict) else {}


def _layout(path: Path, name: str, entry: Entry, data: int) -> Layout:
    if entry.dtype not in DTYPES or not entry.shape[1]:
        got = f"{entry.dtype} of shape {entry.shape}"
        raise refusal(str(path), f"a matrix of floats in {shown(name)}", got, "Save it as float32, say.")
    num_rows, width = entry.shape
    return Layout(data + entry.start, np.dtype(DTYPES[entry.dtype]), num_rows, width, entry.dtype == "BF16")
