"""Tables of LanceDB in a folder on the disk: a new column of the source's own table, or a new table."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from typing_extensions import override

from irp_hf.checks import quoted
from irp_hf.disk.places import check_path, is_folder, sync, written_in_words
from irp_hf.errors import first_line, missing, refusal, shown
from irp_hf.models.delivering import key_of
from irp_hf.stores.address import Address
from irp_hf.stores.base import IS_TRUE, Matrix, Plan, Store
from irp_hf.stores.files import changed_meanwhile
from irp_hf.stores.parts import Part
from irp_hf.stores.record import StoreRecord
from irp_hf.stores.staging import GO_ON, StagedWriter, beside, is_done
from irp_hf.stores.tables import TableStore, with_record

SUFFIX = ".lance"  # of the folder of a table
FRESH, OLD = "__irp_fresh", "__irp_old"  # what names of columns end with that are about to be put in place, and were
UNFINISHED = ".irp-unfinished"  # of one that is being written: LanceDB sees none
NAME = re.compile(r"[\w-][\w.-]*")  # that LanceDB takes for a table
READ_AHEAD = 2**26  # bytes
EXAMPLE = "lancedb:folder#table.column"


class LanceStore(TableStore):
    """A table of LanceDB, in the order in which it gives its rows."""

    def __init__(self, address: Address) -> None:
        """`lancedb:folder#table.column`; the table and the column may be left out where there is one. Raises `InputError`."""
        folder, self._table, self._named_column = _parts(address)
        self.path = folder / f"{self._table}{SUFFIX}"
        self.address = address
        self._look()

    def _look(self) -> None:
        self._rows = _Rows(_open(self.path))
        folder = self.path.parent
        meant = Address(None, f"lancedb:{folder}#{self._table}", self._named_column)
        super().__init__(self.address, [self._rows], f"{self._table} of {folder}", meant)

    @override
    def take(self, rows: Matrix) -> pa.RecordBatch:
        table = self._rows.dataset.take(np.asarray(rows).tolist()).combine_chunks()
        if not len(table):
            return pa.RecordBatch.from_pylist([], self.schema)
        return self._checked(table.to_batches()[0], rows)

    @override
    def digest(self) -> str:
        """Of the files that hold the vectors, which have other names after each change, and of what was deleted.

        Raises `InputError` where they are no more those that were opened: the rows here are older then.
        """
        opened = self._digest_of(self._rows.dataset)
        if self._digest_of(_open(self.path)) != opened:
            raise changed_meanwhile(self.address)
        return opened

    def _digest_of(self, version: Any) -> str:
        field = version.lance_schema.field(self.column)
        if field is None:
            return "none"
        told = [
            (part.metadata.id, part.metadata.physical_rows, str(part.metadata.deletion_file), _files(part, field.id()))
            for part in version.get_fragments()
        ]
        return hashlib.sha256(repr(told).encode()).hexdigest()

    @override
    def replace(self, rows: Matrix, vectors: Matrix, record: StoreRecord) -> None:
        """As `Store` has it. An index over the vectors is dropped with the old ones: LanceDB makes it anew."""
        flag = f"{self.column}{IS_TRUE}"
        fields = [self.schema.field(self.column), pa.field(flag, pa.bool_())]
        schema, names = pa.schema(fields), [f"{field.name}{FRESH}" for field in fields]
        temporary = pa.schema([field.with_name(name) for field, name in zip(fields, names, strict=True)])
        with written_in_words(self.path):
            table = _open(self.path)
            _drop_left(table)
            made = self._replaced(rows, vectors, schema)
            renamed = (pa.RecordBatch.from_arrays(batch.columns, schema=temporary) for batch in made)
            table.add_columns(pa.RecordBatchReader.from_batches(temporary, renamed))
            there = [field.name for field in fields if field.name in self.schema.names]
            old = [{"path": name, "name": f"{name}{OLD}"} for name in there]
            new = [{"path": name, "name": field.name} for field, name in zip(fields, names, strict=True)]
            table.alter_columns(*old, *new)  # in one step
            table.update_schema_metadata({key_of(self.column): record.to_json()})
            _drop_left(table)
        self._look()


class LanceWriter(StagedWriter):
    """A new column of the source's own table, or a new table; either appears in one step."""

    def __init__(self, address: Address, plan: Plan) -> None:
        lance()
        self.address = address
        self.folder = check_path("destination", address.place)
        table = _table_of(address)
        self.path = self.folder / f"{table}{SUFFIX}"
        own = isinstance(plan.source, LanceStore) and _same(plan.source.path, self.path)
        self._source = plan.source if own and isinstance(plan.source, LanceStore) else None
        parts = beside(self.folder, table, plan.column)
        self._check(plan, is_done(parts))
        super().__init__(plan, parts)

    @override
    def finish(self, record: StoreRecord) -> Store:
        store = self.already_there(self._opened)
        if store is None:
            with written_in_words(self.folder, advice=GO_ON):
                if self._source is None:
                    self._make_table(record)
                else:
                    self._add_columns(self._source, record)
            store = self._opened()
            self.check_written(store)
        self._staging.remove()
        return store

    def _opened(self) -> Store:
        return LanceStore(Address("lancedb", str(self.folder), f"{self.path.stem}.{self.plan.column}"))

    def _check(self, plan: Plan, done: bool) -> None:
        """Raise `InputError` where something stands at the destination, or nothing can be written there."""
        if not is_folder(self.folder.parent):
            got = shown(str(self.folder))
            raise refusal("destination", "a folder in one that is there", got, "Make the folder above it first.")
        if os.path.lexists(self.folder):
            with written_in_words(self.folder), tempfile.TemporaryFile(dir=self.folder):
                pass
        if done:  # what is there may be this run's own
            return
        if self._source is None:
            if os.path.lexists(self.path):
                raise _exists(str(self.path), "table")
            return
        if plan.column in _open(self.path).schema.names:
            raise _exists(f"{plan.column} of {self.path}", "column")
        if plan.record.num_rows != self._source.num_rows:
            expected, got = f"all {self._source.num_rows:,} rows for a new column", f"{plan.record.num_rows:,}"
            raise refusal("limit", expected, got, "Leave limit out, or name a new table.")

    def _make_table(self, record: StoreRecord) -> None:
        schema = with_record(self.plan.schema, self.plan.source.schema, self.plan.column, record)
        made = self.path.with_name(self.path.name + UNFINISHED)
        self.folder.mkdir(exist_ok=True)
        shutil.rmtree(made, ignore_errors=True)  # of a run that was killed: the lock of the rows is ours
        lance().write_dataset(_reader(self.batches(), schema), str(made), schema=schema)
        for item in (*made.rglob("*"), made):
            sync(item)
        if os.path.lexists(self.path):
            raise _exists(str(self.path), "table")
        self._staging.set_done(record)
        made.rename(self.path)
        sync(self.folder)

    def _add_columns(self, source: LanceStore, record: StoreRecord) -> None:
        """Columns that the source has not, and the record, by one new version of the table."""
        if source.digest() != self.plan.run["source"]:
            got, advice = "one that was changed meanwhile", "Translate it again, while nobody writes to it."
            raise refusal(str(source.address), "the same table", got, advice)
        fields = [field for field in self.plan.schema if field.name not in source.schema.names]
        schema = pa.schema(fields, metadata={key_of(self.plan.column): record.to_json()})
        if any(field.name in _open(self.path).schema.names for field in fields):
            raise _exists(f"{self.plan.column} of {self.path}", "column")
        self._staging.set_done(record)
        _open(self.path).add_columns(_reader(self.batches(), schema))


class _Rows(Part):
    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.schema = dataset.schema

    @cached_property
    def num_rows(self) -> int:  # type: ignore[override]
        return int(self.dataset.count_rows())

    def batches(self, start: int, size: int) -> Iterator[pa.RecordBatch]:
        bounds = {"batch_readahead": 1, "fragment_readahead": 1, "io_buffer_size": READ_AHEAD}
        yield from self.dataset.scanner(offset=start, batch_size=size, scan_in_order=True, **bounds).to_batches()


def lance() -> Any:
    """The package that reads and writes these tables."""
    try:
        import lance
    except ImportError as error:
        raise missing("Tables of LanceDB", "pylance", "irp_hf[lancedb]") from error
    return lance


def _open(path: Path) -> Any:
    module = lance()
    try:
        return module.dataset(str(path))
    except Exception as error:  # in Rust, of any kind
        got, advice = f"an error ({first_line(error)})", "Check the path, or write the table anew."
        raise refusal(str(path), "a table of LanceDB", got, advice) from error


def _drop_left(table: Any) -> None:
    """Columns that a call of `replace` left."""
    if left := [name for name in table.schema.names if name.endswith((FRESH, OLD))]:
        table.drop_columns(left)


def _parts(address: Address) -> tuple[Path, str, str | None]:
    """The folder, the table, and the column where one is named."""
    folder = check_path("source", address.place)
    if not is_folder(folder):
        raise refusal("source", "a folder of LanceDB", f"{shown(str(folder))}, not there", f"Name one: {EXAMPLE}.")
    tables = sorted(entry.stem for entry in folder.iterdir() if entry.suffix == SUFFIX and entry.is_dir())
    inside = address.inside
    if inside is None and len(tables) == 1:
        return folder, tables[0], None
    if inside in tables:
        return folder, str(inside), None
    table, dot, column = (inside or "").rpartition(".")
    if dot and table in tables:
        return folder, table, column
    got = "none that is named" if inside is None else shown(inside)
    listed = quoted(tables) if tables else "of which there is none,"
    raise refusal(str(folder), f"one of its tables, {listed}", got, f"Name one: {EXAMPLE}.")


def _table_of(address: Address) -> str:
    inside = address.inside or ""
    table = inside.rpartition(".")[0] if "." in inside else inside
    if not NAME.fullmatch(table):
        expected = "a table, of letters, digits, _, - and dots"
        raise refusal("destination", expected, shown(str(address)), f"Name one: {EXAMPLE}.")
    return table


def _files(fragment: Any, field: int) -> list[str]:
    return [file.path for file in fragment.metadata.files if field in file.fields]


def _reader(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatchReader:
    chosen = (
        pa.RecordBatch.from_arrays([batch.column(name) for name in schema.names], schema=schema) for batch in batches
    )
    return pa.RecordBatchReader.from_batches(schema, chosen)


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _exists(place: str, what: str) -> Exception:
    return refusal(place, "nothing there", f"a {what} that exists already", f"Name another {what}, or drop that one.")
