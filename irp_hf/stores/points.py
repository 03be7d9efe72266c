"""What databases of points share: each has an id, a vector and values under names, and is written a page at a time."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from huggingface_hub import constants
from typing_extensions import override

from irp_hf.disk.places import check_path, is_folder, named, written_in_words
from irp_hf.errors import InputError, first_line, refusal, shown
from irp_hf.stores.base import BLOCK_ROWS, Matrix, Plan, Store, as_lists, cut_again, vectors_of
from irp_hf.stores.columns import (
    ID,
    IDS,
    TEXT,
    URI,
    Seen,
    Values,
    arrays_of,
    check_plain,
    column_that_is,
    first_not_finite,
    id_column,
    marked,
    points_of,
)
from irp_hf.stores.staging import GO_ON, StagedWriter, beside

PAGE = 1024  # points that are asked for at once
ROUNDED = 1e-5  # of a length: what a database that brings vectors to unit length changes in them
SERVER = re.compile(r"https?://.+")
NO_ROOM = re.compile("disk is full|disk i/o error|no space left|readonly database", re.IGNORECASE)
"""What SQLite and servers say of a disk that takes no more."""
HIDDEN = ".irp_hf"  # what the name of a collection ends with while it is written
RUN = "irp_hf.run"
"""The metadata of a collection that is still being written: whose it is."""
Id = int | str


class Page(NamedTuple):
    """Some points, in order."""

    ids: list[Id]
    vectors: list[Any]
    """Each a list or an array of numbers; None of a point without one."""
    values: list[Values]
    texts: Sequence[str | None] = ()
    uris: Sequence[str | None] = ()
    """Of the points, where this kind of database has them."""


class Contents(NamedTuple):
    """What one look at all points tells."""

    ids: pa.Array
    fields: list[pa.Field]
    digest: str
    """Of ids, vectors and texts."""


class PointStore(Store):
    """Points in the order in which their database gives them. All are looked at once, before their columns are known."""

    database: str
    """Its name, in words."""
    rest: str
    """What the column of JSON is called, for values that are in no other."""
    _name: str
    _contents: Contents | None = None
    _told = False  # whether the digest of the first look was given

    @property
    def schema(self) -> pa.Schema:
        """As `Store` has it."""
        return pa.schema(self._look().fields)

    @override
    def batches(self, start: int = 0, size: int = BLOCK_ROWS) -> Iterator[pa.RecordBatch]:
        if start >= self.num_rows:
            return
        rows = start

        def found() -> Iterator[pa.RecordBatch]:
            nonlocal rows
            for page in self._pages(start):
                yield self._batch(page, rows)
                rows += len(page.ids)

        yield from cut_again(found(), size)

    @override
    def take(self, rows: Matrix) -> pa.RecordBatch:
        found = [pa.RecordBatch.from_pylist([], self.schema)]
        ids = self._look().ids.take(pa.array(np.asarray(rows, np.int64)))
        for start in range(0, len(ids), PAGE):
            some = self.ids_as_kept(ids.slice(start, PAGE).to_pylist())
            found.append(self._batch(self._points(some), int(rows[start])))
        return pa.concat_batches(found)

    @override
    def digest(self) -> str:
        """Of all ids, vectors and texts; values that stand beside them do not count."""
        if self._told:
            self._contents = self._looked()
        self._told = True
        return self._look().digest

    def ids_at(self, rows: Matrix) -> list[Id]:
        """The ids of some rows."""
        return self.ids_as_kept(self._look().ids.take(pa.array(np.asarray(rows, np.int64))).to_pylist())

    def ids_as_kept(self, ids: list[Id]) -> list[Id]:
        """Ids as the database has them, of what a column holds."""
        return ids

    @abstractmethod
    def _pages(self, start: int) -> Iterator[Page]:
        """All points from a row on."""

    @abstractmethod
    def _points(self, ids: list[Id]) -> Page:
        """The points of these ids, in their order."""

    def _look(self) -> Contents:
        if self._contents is None:
            self._contents = self._looked()
        return self._contents

    def _looked(self) -> Contents:
        seen, digest, ids = Seen(), hashlib.sha256(), list[pa.Array]()
        texts = uris = False
        row = 0
        for page in self._pages(0):
            seen.look(page.values)
            matrix = self._matrix(page, row)
            digest.update(json.dumps([page.ids, list(page.texts)]).encode())
            digest.update(matrix.data.cast("B"))
            texts = texts or any(text is not None for text in page.texts)
            uris = uris or any(uri is not None for uri in page.uris)
            ids.append(_id_array(page.ids))
            row += len(page.ids)
        if row != self.num_rows:
            got, advice = f"{row:,}", "It was changed meanwhile: open it again."
            raise refusal(self._name, f"{self.num_rows:,} points", got, advice)
        numbers = all(pa.types.is_integer(some.type) for some in ids)
        kind = pa.uint64() if numbers else pa.string()
        whole = pa.concat_arrays([some.cast(kind) for some in ids])
        return Contents(whole, self._fields(kind, seen, texts, uris), digest.hexdigest())

    def _fields(self, kind: pa.DataType, seen: Seen, texts: bool, uris: bool) -> list[pa.Field]:
        own = {self.column, *(["text"] if texts else []), *(["uri"] if uris else [])}
        name = next(name for name in (*IDS, f"_{IDS[-1]}") if name not in own | seen.names)
        rest = self.rest if self.rest not in {*own, name} | seen.names else f"_{self.rest}"
        fields = [marked(pa.field(name, kind, nullable=False), ID)]
        vectors = pa.list_(pa.from_numpy_dtype(self._kind), self.width)
        fields.append(pa.field(self.column, vectors, nullable=False))
        if texts:
            fields.append(marked(pa.field("text", pa.string()), TEXT))
        if uris:
            fields.append(marked(pa.field("uri", pa.string()), URI))
        return fields + seen.fields({*own, name}, rest)

    @property
    def _kind(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    def _matrix(self, page: Page, row: int) -> Matrix:
        """The vectors `(m, d)` of a page that begins at `row`."""
        for number, vector in enumerate(page.vectors):
            if vector is None or len(vector) != self.width:
                got = "none" if vector is None else f"one of width {len(vector)}"
                advice = "Delete that point, or give it a vector."
                named = f"Row {row + number} of {self._name}, id {shown(page.ids[number])}"
                raise refusal(named, f"a vector of width {self.width}", got, advice)
        return np.asarray(page.vectors, self._kind).reshape(len(page.ids), self.width)

    def _batch(self, page: Page, row: int) -> pa.RecordBatch:
        schema = self.schema
        own = {ID: _id_array(page.ids), TEXT: pa.array(page.texts, pa.string()), URI: pa.array(page.uris, pa.string())}
        columns = [own[ID].cast(schema.field(0).type), as_lists(self._matrix(page, row))]
        marks = [mark for mark in (TEXT, URI) if column_that_is(mark, schema) is not None]
        columns += [own[mark] for mark in marks]
        columns += arrays_of(page.values, list(schema)[len(columns) :])
        return pa.RecordBatch.from_arrays(columns, schema=schema)


class PointWriter(StagedWriter):
    """A new collection, or a new vector of the source's points, which is written once all rows are there.

    It holds the translated vectors alone: of what stands beside them, other columns of vectors are left out.
    """

    carries_vectors = False
    database: str
    """Its name, in words."""

    def check_rows(self, plan: Plan) -> None:
        """Raise `InputError` for columns that points cannot have, and choose the ids."""
        self.plan = plan
        vectors = [field.name for field in plan.schema if pa.types.is_fixed_size_list(field.type)]
        self._vectors = [name for name in vectors if pa.types.is_floating(plan.schema.field(name).type.value_type)]
        self._id = self._chosen_id(plan)
        self._text, self._uri = column_that_is(TEXT, plan.schema, self.texts()), column_that_is(URI, plan.schema)
        own = (self._id, self._text, self._uri)
        self._left_out = {*self._vectors, *(name for name in own if name is not None)}
        check_plain(plan.schema, self._left_out, self.database)

    def texts(self) -> Sequence[str]:
        """Names of columns that are the text of a point, where this kind of database has one."""
        return ()

    @override
    def write(self, start: int, batch: pa.RecordBatch) -> None:
        if (error := first_not_finite(self.page(start, batch).values, start)) is not None:
            raise error
        super().write(start, batch)

    def page(self, start: int, batch: pa.RecordBatch) -> Page:
        """The rows of a batch as points: those without a column of ids are counted."""
        ids: list[Id] = list(range(start, start + batch.num_rows))
        if self._id is not None:
            ids = batch.column(self._id).to_pylist()
        texts = [] if self._text is None else batch.column(self._text).to_pylist()
        uris = [] if self._uri is None else batch.column(self._uri).to_pylist()
        vectors = vectors_of(batch, self.plan.column).astype(np.float32, copy=False)
        values = [self.kept_values(some) for some in points_of(batch, self._left_out)]
        return Page([self.kept_id(one) for one in ids], list(vectors), values, texts, uris)

    def kept_id(self, value: Id) -> Id:
        """The id that a point gets, of what a column holds or of the row's number."""
        return value

    def kept_values(self, values: Values) -> Values:
        """The values that a point gets."""
        return values

    @abstractmethod
    def is_id(self, value: Any) -> bool:
        """Whether a point can have this id."""

    def run(self) -> str:
        """What tells this run from another in the database itself."""
        return hashlib.sha256(json.dumps(self.plan.run, sort_keys=True).encode()).hexdigest()

    def pages(self, done: int = 0) -> Iterator[Page]:
        """The rows that were kept, but for whole blocks among the first `done`."""
        start = 0
        for batch in self.batches():
            if start + batch.num_rows > done:
                for first in range(0, batch.num_rows, PAGE):
                    yield self.page(start + first, batch.slice(first, PAGE))
            start += batch.num_rows

    def check_points(self, store: PointStore, cosine: bool) -> None:
        """Raise `InputError` where a database gives back other vectors; one for cosines may change their lengths."""
        for page in self.pages():
            found = store._points(page.ids)
            one, other = (np.asarray(vectors, np.float32) for vectors in (page.vectors, found.vectors))
            if cosine:
                one, other = (
                    rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30) for rows in (one, other)
                )
            off = np.linalg.norm(one - other, axis=1) / np.maximum(np.linalg.norm(one, axis=1), 1e-30)
            if not (off <= ROUNDED).all():
                expected, got = "the vectors that were written", f"another of id {shown(page.ids[int(off.argmax())])}"
                raise refusal(str(store.address), expected, got, "Remove it, and run again.")

    def _chosen_id(self, plan: Plan) -> str | None:
        """The column of ids, None where points cannot have these: not all are there, fit, and differ."""
        name = id_column(plan.schema)
        if name is None or (isinstance(plan.source, PointStore) and plan.source.database == self.database):
            return name
        seen = set[int]()
        for batch in plan.source.batches():
            for value in batch.column(name).to_pylist():
                if value is None or not self.is_id(value) or hash(value) in seen:
                    return None
                seen.add(hash(value))
        return name


def staging_of(place: str, *names: str) -> Path:
    """Where rows are kept until all are there: beside a folder, and for a server in the cache of Hugging Face."""
    if SERVER.fullmatch(place) is None:
        return beside(check_path("destination", place), *names)
    home = Path(constants.HF_HOME) / "irp_hf"
    home.mkdir(parents=True, exist_ok=True)
    return beside(home / hashlib.sha256(place.encode()).hexdigest()[:16], *names)


def refused(database: str, place: str, error: Exception) -> InputError:
    """The error for what a database raised: of a disk that takes no more, what is said of every other place, too."""
    text = first_line(error)
    if NO_ROOM.search(text):
        return refusal(named(place), "a place that can be written", f"the error: {text}", GO_ON)
    advice = "Check it, and run again."
    return refusal(named(place), f"a {database} that does as it is asked", f"the error: {text}", advice)


def check_folder(place: str, file: str, what: str) -> None:
    """Raise `InputError` for a destination that is no server, and no folder that is new, empty, or has this `file`."""
    if SERVER.fullmatch(place):
        return
    folder = check_path("destination", place)
    if os.path.lexists(folder):
        if not is_folder(folder) or (os.listdir(folder) and not (folder / file).is_file()):
            raise refusal(str(folder), f"{what}, or an empty one", "another one", "Name another folder.")
        with written_in_words(folder), tempfile.TemporaryFile(dir=folder):
            pass
    elif not is_folder(folder.parent):
        got = shown(str(folder))
        raise refusal("destination", "a folder in one that is there", got, "Make the folder above it first.")


def _id_array(ids: list[Id]) -> pa.Array:
    """Ids as numbers where all are."""
    if all(isinstance(one, int) for one in ids):
        return pa.array(ids, pa.uint64())
    return pa.array([str(one) for one in ids], pa.string())
