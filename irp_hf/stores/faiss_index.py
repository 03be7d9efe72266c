"""Indexes of FAISS that hold vectors as they are: flat, inverted lists of flat ones (IVF), and maps of ids around either."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from typing_extensions import override

from irp_hf.data.memory import free_memory, size_of
from irp_hf.disk.atomic import written_file
from irp_hf.disk.places import check_path
from irp_hf.disk.plain import opened
from irp_hf.errors import TooLargeError, first_line, missing, refusal, shown
from irp_hf.stores.address import Address
from irp_hf.stores.base import BLOCK_ROWS, Matrix, Plan, Store, as_lists, vectors_of
from irp_hf.stores.columns import ID, id_column, marked
from irp_hf.stores.files import digest_as_before, digest_of_files, read_sidecar
from irp_hf.stores.npy import VECTORS, NpyWriter
from irp_hf.stores.record import StoreRecord

TRAINED_ON = 256  # rows of each list: FAISS takes no more
COUNT = struct.Struct("<q")
MOST = 2**63 - 1
RENAME = "Give the column another name, if it is no id: rows are counted then."
KNOWN = "IndexFlatIP, IndexFlatL2, IndexIVFFlat, or IndexIDMap of one"


@dataclass(frozen=True)
class Built:
    """How an index is built."""

    metric: int
    """FAISS's number of it: 0 inner product, 1 L2."""
    mapped: str | None = None
    """The class of the map of ids around it."""
    lists: int | None = None
    """Of an IVF index, nlist; None of a flat one."""
    probed: int = 1
    """nprobe."""


class FaissStore(Store):
    """An index in a file: rows in the order in which they were added, and of an IVF index in that of their numbers.

    It is mapped where FAISS maps that kind. The record lies beside it.
    """

    def __init__(self, address: Address) -> None:
        """Raises `InputError` for an index that holds no vectors as they are, or in another way."""
        self.address, self.column = address, VECTORS
        self._path = check_path("source", address.place)
        if address.inside is not None:
            got = shown(str(address))
            raise refusal("source", "the path of an index alone, which has no columns", got, "Leave out # and after.")
        self._first_digest = digest_of_files([self._path]) if self._path.is_file() else ""
        self._index = _read(self._path)  # it owns what the others refer to
        inner, ids = _unwrapped(self._index)
        lists: tuple[int, int] | None = None
        name = type(inner).__name__
        if name.startswith("IndexFlat"):
            self._take: Callable[[Matrix], Matrix] = _flat_rows(inner).__getitem__
        elif name == "IndexIVFFlat":
            found = _Lists(inner)
            self._take, lists = found.take, (int(inner.nlist), int(inner.nprobe))
            ids = found.ids if ids is None else ids
        else:
            expected, advice = (
                f"an index that holds vectors as they are: {KNOWN}",
                "Build one of these of your vectors.",
            )
            raise refusal(str(self._path), expected, f"an {name}", advice)
        self._ids = ids
        self.num_rows, self.width = int(inner.ntotal), int(inner.d)
        if not self.num_rows:
            raise refusal(str(self._path), "at least one row", "none", "Give a store that holds vectors.")
        mapped = type(self._index).__name__ if inner is not self._index else None
        self.built = Built(int(inner.metric_type), mapped, *(lists or ()))
        fields = [pa.field(VECTORS, pa.list_(pa.float32(), self.width), nullable=False)]
        if ids is not None:
            fields.insert(0, marked(pa.field("id", pa.int64(), nullable=False), ID))
        self.schema = pa.schema(fields)

    @override
    def batches(self, start: int = 0, size: int = BLOCK_ROWS) -> Iterator[pa.RecordBatch]:
        for first in range(start, self.num_rows, size):
            yield self.take(np.arange(first, min(first + size, self.num_rows)))

    @override
    def take(self, rows: Matrix) -> pa.RecordBatch:
        rows = np.asarray(rows, np.int64)
        vectors = np.ascontiguousarray(self._take(rows))
        columns = [as_lists(vectors)] if self._ids is None else [pa.array(self._ids[rows]), as_lists(vectors)]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    @override
    def digest(self) -> str:
        """As `Store` has it; raises `InputError` for a file that is no more the one that was opened."""
        return digest_as_before(self.address, [self._path], self._first_digest)

    @override
    def record(self) -> StoreRecord | None:
        return read_sidecar(self._path)


class FaissWriter(NpyWriter):
    """A new index: of a source that is one, built as that was. Of others flat, by inner product where vectors have unit length.

    A flat one is written a block at a time; lists of an IVF index are found anew, from translated vectors, in memory.
    """

    def __init__(self, address: Address, plan: Plan) -> None:
        faiss()
        self._built, self._id = _as_source(plan)
        if self._built.lists is not None:
            _check_lists(self._built.lists, plan)
        super().__init__(address, plan)

    @override
    def _assemble(self, record: StoreRecord, path: Path) -> None:
        self._write_beside(record, path)
        with written_file(path) as file:
            if self._built.lists is None:
                self._write_flat(file, record.num_rows)
            else:
                index = self._with_lists(self._built.lists, record.num_rows)
                faiss().write_index(index, faiss().PyCallbackIOWriter(file.write))

    def _write_flat(self, file: BinaryIO, num_rows: int) -> None:
        """What FAISS writes of such an index, row for row."""
        width = self.plan.schema.field(self.plan.column).type.list_size
        around, before = _headers(width, self._built, num_rows)
        file.write(around + before)
        for vectors in self._vectors():
            file.write(vectors.data.cast("B"))
        if self._built.mapped is not None:
            file.write(COUNT.pack(num_rows))
            for ids in self._ids():
                file.write(ids.data.cast("B"))

    def _with_lists(self, lists: int, num_rows: int) -> Any:
        width = self.plan.schema.field(self.plan.column).type.list_size
        module = faiss()
        index = module.IndexIVFFlat(module.IndexFlat(width, self._built.metric), width, lists, self._built.metric)
        index.nprobe = self._built.probed
        index.train(self._sample(num_rows, lists * TRAINED_ON))
        whole = index if self._built.mapped is None else getattr(module, self._built.mapped)(index)
        ids = None if self._id is None else self._ids()
        for vectors in self._vectors():
            if ids is None:
                whole.add(vectors)
            else:
                whole.add_with_ids(vectors, next(ids))
        return whole

    def _sample(self, num_rows: int, most: int) -> Matrix:
        """Rows `(m, d)` that are spread evenly: the same of the same vectors."""
        wanted = np.unique(np.linspace(0, num_rows - 1, min(most, num_rows)).astype(np.int64))
        parts, start = [], 0
        for vectors in self._vectors():
            inside = wanted[(wanted >= start) & (wanted < start + len(vectors))] - start
            parts.append(vectors[inside])
            start += len(vectors)
        return np.concatenate(parts)

    def _vectors(self) -> Iterator[Matrix]:
        for batch in self.batches():
            yield np.ascontiguousarray(vectors_of(batch, self.plan.column), np.float32)

    def _ids(self) -> Iterator[Matrix]:
        for batch in self.batches():
            yield np.ascontiguousarray(batch.column(self._id).cast(pa.int64()).to_numpy())

    @override
    def _opened(self, path: Path) -> Store:
        return FaissStore(Address(None, str(path)))


class _Lists:
    """The rows of an IVF index, by the order of their numbers."""

    def __init__(self, index: Any) -> None:
        self._inner, self._width = index.invlists, int(index.d)
        found, lists, places = [], [], []
        for number in range(int(index.nlist)):
            size = int(self._inner.list_size(number))
            if size:
                ids = faiss().rev_swig_ptr(self._inner.get_ids(number), size)
                found.append(np.array(ids, np.int64))
                lists.append(np.full(size, number, np.int32))
                places.append(np.arange(size, dtype=np.int64))
        numbers = np.concatenate(found) if found else np.zeros(0, np.int64)
        order = np.argsort(numbers, kind="stable")
        numbers = numbers[order]
        self._list = np.concatenate(lists)[order] if lists else np.zeros(0, np.int32)
        self._place = np.concatenate(places)[order] if places else np.zeros(0, np.int64)
        self.ids = None if np.array_equal(numbers, np.arange(len(numbers))) else numbers
        """Their numbers, rising; None where they are just counted."""

    def take(self, rows: Matrix) -> Matrix:
        """The vectors `(m, d)` of some rows."""
        vectors = np.empty((len(rows), self._width), np.float32)
        lists = self._list[rows]
        for number in np.unique(lists):
            at = np.flatnonzero(lists == number)
            size = int(self._inner.list_size(int(number)))
            codes = faiss().rev_swig_ptr(self._inner.get_codes(int(number)), size * self._width * 4)
            vectors[at] = codes.view(np.float32).reshape(size, self._width)[self._place[rows[at]]]
        return vectors


def faiss() -> Any:
    """The package that reads and writes indexes."""
    try:
        import faiss
    except ImportError as error:
        raise missing("Indexes of FAISS", "faiss-cpu", "irp_hf[faiss]") from error
    return faiss


def _read(path: Path) -> Any:
    module = faiss()
    try:
        with opened(path):  # no pipe
            pass
    except FileNotFoundError as error:
        raise refusal("source", "a file that exists", shown(str(path)), "Check the path.") from error
    except OSError as error:
        raise refusal(str(path), "an index of FAISS", f"an error ({first_line(error)})", "Check the file.") from error
    reads: list[Callable[[], Any]] = [lambda: module.read_index(str(path))]
    if hasattr(module, "IO_FLAG_MMAP_IFC"):  # newer ones map a file
        reads.insert(0, lambda: module.read_index(str(path), module.IO_FLAG_MMAP_IFC))
    for read in reads:
        try:
            return read()  # which has its own kind already
        except Exception as error:  # of a kind that is not mapped, or of no index at all
            last = error
    raise refusal(str(path), "an index of FAISS", "what it cannot read", "Check the file.") from last


def _unwrapped(index: Any) -> tuple[Any, Matrix | None]:
    """What is inside a map of ids, and the ids; the index itself, and None, of any other."""
    if type(index).__name__ not in ("IndexIDMap", "IndexIDMap2"):
        return index, None
    return faiss().downcast_index(index.index), faiss().vector_to_array(index.id_map).astype(np.int64)


def _flat_rows(index: Any) -> Matrix:
    """The vectors `(n, d)` of a flat index, on its own memory."""
    count, width = int(index.ntotal), int(index.d)
    rows: Matrix = faiss().rev_swig_ptr(index.get_xb(), count * width).reshape(count, width)
    return rows


def _as_source(plan: Plan) -> tuple[Built, str | None]:
    """How the destination is built, and the column of its ids."""
    module = faiss()
    if isinstance(plan.source, FaissStore):
        return plan.source.built, id_column(plan.schema)
    metric = module.METRIC_INNER_PRODUCT if plan.record.unit_length else module.METRIC_L2
    found = id_column(plan.schema)
    if found is None or not pa.types.is_integer(plan.schema.field(found).type):
        return Built(int(metric)), None
    _check_ids(plan, found)
    return Built(int(metric), "IndexIDMap2"), found


def _check_ids(plan: Plan, column: str) -> None:
    """Raise `InputError` for ids that FAISS cannot hold: told now, and not when all is translated."""
    start = 0
    for batch in plan.source.batches():
        ids = batch.column(column)
        if ids.null_count:
            row = start + int(np.flatnonzero(ids.is_null().to_numpy(zero_copy_only=False))[0])
            raise refusal(f"{column} of {plan.source.address}", "an id for each row", f"none in row {row}", RENAME)
        if len(ids) and (largest := pc.max(ids).as_py()) > MOST:
            expected = f"ids up to {MOST}, which is the most that FAISS holds"
            raise refusal(f"{column} of {plan.source.address}", expected, str(largest), RENAME)
        start += batch.num_rows


def _check_lists(lists: int, plan: Plan) -> None:
    if plan.record.num_rows < lists:
        expected, got = f"at least {lists:,} rows, as many as the index has lists", f"{plan.record.num_rows:,}"
        raise refusal("limit", expected, got, "Leave limit out.")
    width = plan.schema.field(plan.column).type.list_size
    needed, free = plan.record.num_rows * (4 * width + 8), free_memory(torch.device("cpu"))
    if free is not None and free < needed:
        expected, advice = (
            f"{size_of(needed)} of memory for an IVF index",
            "Name a .npy file, and build the index there.",
        )
        raise refusal(str(plan.source.address), expected, size_of(free), advice, TooLargeError)


def _headers(width: int, built: Built, num_rows: int) -> tuple[bytes, bytes]:
    """What stands in a file before the vectors of a flat index: of the map of ids around it, and of the index.

    Both are taken from an index of one row, as this version of FAISS writes it, and are given the number of rows.
    """
    module = faiss()
    inner = module.index_factory(width, "Flat", built.metric)
    inner.add(np.zeros((1, width), np.float32))
    one = module.serialize_index(inner).tobytes()
    flat = bytearray(one[: -4 * width])
    if COUNT.unpack_from(flat, len(flat) - 8)[0] != width:
        raise _otherwise()
    _set_rows(flat, width, num_rows)
    COUNT.pack_into(flat, len(flat) - 8, num_rows * width)
    if built.mapped is None:
        return b"", bytes(flat)
    whole = getattr(module, built.mapped)(module.index_factory(width, "Flat", built.metric))
    whole.add_with_ids(np.zeros((1, width), np.float32), np.zeros(1, np.int64))
    around = bytearray(module.serialize_index(whole).tobytes())
    if around[-len(one) - 16 :] != one + COUNT.pack(1) + COUNT.pack(0):
        raise _otherwise()
    around = around[: -len(one) - 16]
    _set_rows(around, width, num_rows)
    return bytes(around), bytes(flat)


def _set_rows(header: bytearray, width: int, num_rows: int) -> None:
    if struct.unpack_from("<iq", header, 4) != (width, 1):
        raise _otherwise()
    COUNT.pack_into(header, 8, num_rows)


def _otherwise() -> Exception:
    expected = "a version that writes flat indexes as 1.7 to 1.15 do"
    return refusal("faiss", expected, str(faiss().__version__), "Install one of those, or name a .npy file.")
