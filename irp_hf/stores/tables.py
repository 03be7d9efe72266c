"""Tables with a column of vectors: in one or more files of Parquet or Arrow, or a data set of `datasets`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import override

from irp_hf.checks import quoted, written
from irp_hf.data.arrow import arrow_matrix
from irp_hf.disk.atomic import replaced_folder, written_file
from irp_hf.disk.places import check_path, written_in_words
from irp_hf.errors import InputError, IRPError, first_line, refusal, shown
from irp_hf.models.delivering import KEY, key_of
from irp_hf.stores.address import Address
from irp_hf.stores.base import BLOCK_ROWS, IS_TRUE, Matrix, Plan, Store, as_lists, cut_again, vectors_of, with_lists
from irp_hf.stores.files import FileWriter, changed_meanwhile, digest_as_before, digest_of_files
from irp_hf.stores.parts import ArrowPart, ParquetPart, Part
from irp_hf.stores.record import StoreRecord

PARQUET, ARROW = (".parquet", ".pq"), (".arrow", ".feather", ".ipc")
HIDDEN = (".", "_")  # what names of files begin with that are no part of a table: of writers, or of runs that go on
FAR = 64 * BLOCK_ROWS  # rows that are read through, and not jumped over


class TableStore(Store):
    """A table whose pieces lie one after the other."""

    def __init__(self, address: Address, parts: list[Part], name: str, meant: Address | None = None) -> None:
        """`name` is said in errors, and `meant` tells the column where the address tells more than that.

        Raises `InputError` for pieces of other columns, and where no column is one of vectors.
        """
        self.address, self._parts, self._name = address, parts, name
        schema = parts[0].schema
        for part in parts[1:]:
            _check_alike(name, parts[0], part)
        _check_known(schema, name)
        self.column = _column_of(schema, address if meant is None else meant, name)
        self.num_rows = sum(part.num_rows for part in parts)
        first = self._first()
        self.width = first.shape[1]
        kind = pa.list_(pa.from_numpy_dtype(first.dtype), self.width)
        place = schema.get_field_index(self.column)
        self.schema = schema.set(place, pa.field(self.column, kind, metadata=schema.field(place).metadata))

    @override
    def batches(self, start: int = 0, size: int = BLOCK_ROWS) -> Iterator[pa.RecordBatch]:
        row = start
        for batch in cut_again(self._from(start, size), size):
            yield with_lists(batch, self.column, self._named, row, self.schema)
            row += batch.num_rows
        if row < self.num_rows:  # Parquet ends without a word where a file was cut
            raise refusal(self._name, f"a whole table, of {self.num_rows:,} rows", f"{row:,} rows", "Write it anew.")

    @override
    def take(self, rows: Matrix) -> pa.RecordBatch:
        found, done = [pa.RecordBatch.from_pylist([], self.schema)], 0
        while done < len(rows):  # each time begins anew at a row, which may cost a whole group of Parquet
            start = int(rows[done])
            for batch in self._from(start, BLOCK_ROWS):
                inside = rows[done : int(np.searchsorted(rows, start + batch.num_rows))]
                if len(inside):
                    part = batch.take(pa.array(inside - start))
                    found.append(self._checked(part, inside))
                    done += len(inside)
                start += batch.num_rows
                if done == len(rows) or rows[done] - start > FAR:
                    break
        return pa.concat_batches(found)

    @override
    def record(self) -> StoreRecord | None:
        return StoreRecord.from_json((self.schema.metadata or {}).get(key_of(self.column).encode()), self._name)

    @override
    def has_noted(self, column: str) -> bool:
        return key_of(column).encode() in (self.schema.metadata or {})

    @property
    def _named(self) -> str:
        return f"{self.column} of {self._name}"

    def _from(self, start: int, size: int) -> Iterator[pa.RecordBatch]:
        try:
            for part in self._parts:
                if start < part.num_rows:
                    yield from part.batches(start, size)
                start = max(start - part.num_rows, 0)
        except FileNotFoundError as error:
            raise changed_meanwhile(self.address) from error
        except (
            OSError,
            pa.ArrowException,
            UnicodeDecodeError,
        ) as error:  # of a file that is damaged, or is cut meanwhile
            if isinstance(error, IRPError):
                raise
            got = f"an error ({first_line(error)})"
            raise refusal(self._name, "a whole table", got, "Check it, or write it anew.") from error

    def _with_flag(self) -> pa.Schema:
        """Its schema, with the column that tells which rows are true."""
        flag = f"{self.column}{IS_TRUE}"
        return self.schema if flag in self.schema.names else self.schema.append(pa.field(flag, pa.bool_()))

    def _replaced(self, rows: Matrix, vectors: Matrix, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """All rows with new vectors in place of some, in the columns of `schema`."""
        flag, start = f"{self.column}{IS_TRUE}", 0
        for batch in self.batches():
            inside = slice(*np.searchsorted(rows, [start, start + batch.num_rows]))
            made, places = vectors_of(batch, self.column).copy(), rows[inside] - start
            made[places] = vectors[inside]
            known = flag in batch.schema.names
            true = batch.column(flag).to_numpy(zero_copy_only=False).copy() if known else np.zeros(batch.num_rows, bool)
            true[places] = True
            new = {self.column: as_lists(made), flag: pa.array(true)}
            columns = [new[name] if name in new else batch.column(name) for name in schema.names]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)
            start += batch.num_rows

    def _checked(self, batch: pa.RecordBatch, rows: Matrix) -> pa.RecordBatch:
        """A batch of these rows as `schema` has it; raises `InputError` with the number of the first that cannot be so."""
        try:
            return with_lists(batch, self.column, self._named, int(rows[0]), self.schema)
        except InputError:
            for number, row in enumerate(rows):
                with_lists(batch.slice(number, 1), self.column, self._named, int(row), self.schema)
            raise

    def _row(self, row: int) -> pa.RecordBatch:
        return next(iter(self._from(row, 1))).slice(0, 1)

    def _first(self) -> Matrix:
        if not self.num_rows:
            raise refusal(self._name, "at least one row", "none", "Give a store that holds vectors.")
        return np.asarray(arrow_matrix(self._row(0).column(self.column), self._named)[0:1])


class FilesStore(TableStore):
    """A table in files."""

    def __init__(self, address: Address, files: list[Path], part: type[Part]) -> None:
        """The files come in this order, each opened as a `part`."""
        self.address, self._files, self._part = address, files, part
        self._open()

    def _open(self) -> None:
        for file in self._files:
            if not file.is_file():
                raise refusal("source", "a file that exists", shown(str(file)), "Check the path.")
        self._first_digest = digest_of_files(self._files)  # before they are read: what is changed from now on is seen
        super().__init__(self.address, [_opened(self._part, file) for file in self._files], self.address.place)

    @override
    def digest(self) -> str:
        """As `Store` has it; raises `InputError` where the files are no more those that were opened."""
        now = table_files(Path(self.address.place)) if self.is_folder else self._files
        if now != self._files:
            raise changed_meanwhile(self.address)
        return digest_as_before(self.address, now, self._first_digest)

    @property
    def is_folder(self) -> bool:
        """Whether it is those of a folder."""
        return Path(self.address.place).is_dir()

    @override
    def replace(self, rows: Matrix, vectors: Matrix, record: StoreRecord) -> None:
        schema = self._with_flag()
        noted = with_record(schema, self.schema, self.column, record)
        made = self._if_unchanged(self._replaced(rows, vectors, schema))
        with written_in_words(self.address.place):
            if self.is_folder:
                with replaced_folder(self.address.place) as fresh:
                    self.write_alike(fresh, noted, made, self.num_rows)
                    self.digest()  # raises where this is another folder by now, which stays
            else:
                self._write(self._files[0], noted, made)
        self._open()

    def _if_unchanged(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """These batches; raises `InputError` after the last one where what they are made of was changed meanwhile."""
        yield from batches
        self.digest()

    def write_alike(self, folder: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch], num_rows: int) -> None:
        """So many rows into files in a folder, each of the name and with the number of rows of one of these."""
        rows = _Rows(batches)
        for file, part in zip(self._files, self._parts, strict=True):
            if part.num_rows and not num_rows:
                return
            count = min(part.num_rows, num_rows)
            self._write(folder / file.name, schema, rows.next(count))
            num_rows -= count

    def _write(self, path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        (write_parquet if self._part is ParquetPart else write_arrow)(path, schema, batches)


class _Rows:
    """Batches that come one after the other, so many rows at a time."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches, self._held = batches, pa.RecordBatch.from_pylist([])

    def next(self, count: int) -> Iterator[pa.RecordBatch]:
        """The next `count` rows, or as many as there are."""
        while count:
            if not self._held.num_rows:
                if (found := next(self._batches, None)) is None:
                    return
                self._held = found
            part, self._held = self._held.slice(0, count), self._held.slice(count)
            count -= part.num_rows
            yield part


class ParquetWriter(FileWriter):
    """A new file of Parquet: groups of as many rows as were kept at once, the record in its schema."""

    @override
    def _assemble(self, record: StoreRecord, path: Path) -> None:
        write_parquet(
            path, with_record(self.plan.schema, self.plan.source.schema, self.plan.column, record), self.batches()
        )

    @override
    def _opened(self, path: Path) -> Store:
        return FilesStore(Address(None, str(path), self.plan.column), [path], ParquetPart)


class ArrowWriter(FileWriter):
    """A new file of Arrow IPC, which is mapped as it is."""

    @override
    def _assemble(self, record: StoreRecord, path: Path) -> None:
        write_arrow(
            path, with_record(self.plan.schema, self.plan.source.schema, self.plan.column, record), self.batches()
        )

    @override
    def _opened(self, path: Path) -> Store:
        return FilesStore(Address(None, str(path), self.plan.column), [path], ArrowPart)


class FolderWriter(FileWriter):
    """A new folder of files, as many as the source's folder has, of the same names and with the same rows."""

    def __init__(self, address: Address, plan: Plan) -> None:
        if not (isinstance(plan.source, FilesStore) and plan.source.is_folder):
            expected, got = "a file or a database for rows that lie in no folder of files", shown(str(address))
            raise refusal("destination", expected, got, f"Name a file: {address.place.rstrip('/')}.parquet.")
        self._source = plan.source
        super().__init__(address, plan)

    @override
    def _assemble(self, record: StoreRecord, path: Path) -> None:
        path.mkdir()
        schema = with_record(self.plan.schema, self.plan.source.schema, self.plan.column, record)
        self._source.write_alike(path, schema, self.batches(), record.num_rows)

    @override
    def _opened(self, path: Path) -> Store:
        return open_files(Address(None, str(path), self.plan.column))


def write_parquet(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    """A file of Parquet, which takes its name in one step. Of vectors, nothing is gained by a dictionary or by compression."""
    others = [field.name for field in schema if not _holds_vectors(field.type)]
    smaller = {name: "zstd" for name in others} or "none"
    with (
        written_file(path) as file,
        pq.ParquetWriter(file, schema, compression=smaller, use_dictionary=others) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(schema.metadata), row_group_size=BLOCK_ROWS)


def write_arrow(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    """A file of Arrow IPC, which takes its name in one step."""
    with written_file(path) as file, pa.ipc.new_file(file, schema) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))


def open_files(address: Address) -> FilesStore:
    """The table in a file, or in those of a folder in the order of their names; raises `InputError` for anything else."""
    path = check_path("source", address.place)
    files = table_files(path) if path.is_dir() else [path]
    kinds = {_kind(file) for file in files}
    if len(kinds) != 1:
        expected, advice = "files of Parquet, or files of Arrow", "Name one file, or a folder of one kind."
        raise refusal(str(path), expected, "both" if kinds else "neither", advice)
    return FilesStore(address, files, kinds.pop() or ParquetPart)


def table_files(folder: Path) -> list[Path]:
    """The tables in a folder, in the order of their names, without what Spark and Hive leave out: `_name`, `.name`.

    Raises `InputError` for a folder that has some in folders within it: of these nobody has said an order.
    """
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith(HIDDEN))
    for entry in entries:
        if entry.is_dir() and (found := _table_within(entry)) is not None:
            expected, advice = "a folder with all of its tables in it", "Move them into one folder, or name that one."
            raise refusal(str(folder), expected, f"one with {found.relative_to(folder)}", advice)
    return [entry for entry in entries if _kind(entry) and not entry.is_dir()]


def _table_within(folder: Path) -> Path | None:
    """The first table in a folder and those within it, but for hidden ones."""
    seen = {os.path.realpath(folder.parent)}  # links may go round
    for here, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(here)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(HIDDEN))
        found = [name for name in names if not name.startswith(HIDDEN) and _kind(Path(name))]
        if found:
            return Path(here, min(found))
    return None


def _kind(path: Path) -> type[Part] | None:
    suffix = path.suffix.lower()
    return ParquetPart if suffix in PARQUET else ArrowPart if suffix in ARROW else None


def _opened(part: type[Part], path: Path) -> Part:
    try:
        return part(path)  # type: ignore[call-arg]
    except IRPError:
        raise
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        got = f"{shown(str(path))} ({first_line(error)})"
        raise refusal("source", "a file of Parquet or Arrow", got, "Check the path, or write the file anew.") from error


def _check_alike(name: str, first: Part, other: Part) -> None:
    """Raise `InputError` where a piece has other columns than the first, or of other types."""
    if other.schema.names != first.schema.names:
        expected, got = f"files of the same columns, {quoted(first.schema.names)}", quoted(other.schema.names)
        raise refusal(name, expected, f"{got} in {other.name}", "Name one of them.")
    for one, two in zip(first.schema, other.schema, strict=True):
        if one.type != two.type:
            expected, got = f"{shown(one.name)} of {one.type}, as in {first.name}", f"{two.type} in {other.name}"
            raise refusal(name, expected, got, f"Write {other.name} with that type, or name one file.")


def _check_known(schema: pa.Schema, name: str) -> None:
    """Raise `InputError` for a column of a type of which Arrow itself cannot take rows (views of text, say)."""
    for field in schema:
        try:
            pa.nulls(0, field.type).take(pa.array([], pa.int64()))
        except NotImplementedError as error:
            expected, got = "columns whose rows Arrow can take", f"{shown(field.name)} of {field.type}"
            raise refusal(name, expected, got, "Cast it, to string or binary say.") from error


def _column_of(schema: pa.Schema, address: Address, name: str) -> str:
    """The column that is meant: the one that is named, or the only one of vectors."""
    vectors = [field.name for field in schema if _holds_vectors(field.type)]
    if address.inside is None:
        if len(vectors) != 1:
            got = f"{quoted(vectors)}" if vectors else f"none among {quoted(schema.names)}"
            advice = f"Name the column: {replace(address, inside=(vectors or ['embedding'])[0])}."
            raise refusal(name, "one column of vectors", got, advice)
        return str(vectors[0])
    if schema.names.count(address.inside) != 1:
        expected = f"one of its columns, {quoted(schema.names)},"
        raise refusal(
            name, expected, shown(address.inside), written(address.inside, vectors, "Name that of the vectors.")
        )
    if address.inside not in vectors:
        kind = schema.field(address.inside).type
        raise _no_vectors(name, address.inside, kind, vectors)
    return address.inside


def _no_vectors(name: str, column: str, kind: pa.DataType, vectors: list[str]) -> InputError:
    advice = f"Name {quoted(vectors)}." if vectors else "Write the vectors as lists of float32."
    return refusal(f"{column} of {name}", "lists of floats", f"a column of {kind}", advice)


def _holds_vectors(kind: pa.DataType) -> bool:
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and pa.types.is_floating(kind.value_type))


def with_record(schema: pa.Schema, before: pa.Schema, column: str, record: StoreRecord) -> pa.Schema:
    """The schema that is written: records of columns that are carried over from `before` stay, and this one is new."""
    kept = {key: value for key, value in (before.metadata or {}).items() if key.startswith(f"{KEY}.".encode())}
    return schema.with_metadata({**kept, key_of(column).encode(): record.to_json().encode()})
