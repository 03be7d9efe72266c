"""Collections of Qdrant, in a folder of its client's local mode or on a server: a new named vector, or a new collection.

A new collection is written as `<name>.irp_hf`; `<name>` is an alias of it that is made once it is whole, as Qdrant advises for
switching between collections. A new vector of the source's own points is seen while it is written, and read by nobody here
before its record stands in the collection's metadata. A server's key is read from `QDRANT_API_KEY`.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from typing_extensions import override

from irp_hf.checks import quoted
from irp_hf.disk.places import named, written_in_words
from irp_hf.errors import first_line, refusal, shown
from irp_hf.models.delivering import KEY, key_of
from irp_hf.stores.address import Address
from irp_hf.stores.base import IS_TRUE, Matrix, Plan, Store
from irp_hf.stores.points import HIDDEN, PAGE, SERVER, Id, Page, PointStore, PointWriter, check_folder, staging_of
from irp_hf.stores.qdrant_connection import EXAMPLE, FILE, client, connect, models
from irp_hf.stores.record import StoreRecord
from irp_hf.stores.staging import GO_ON, is_done

UNNAMED = "vector"  # what the column of vectors without a name is called
NAME = re.compile(r"(?!\.{1,2}$)[^<>:\"/\\|?*\0\x1f]{1,200}")
SENT = 128  # points at a time: a server takes 32 MB
UNFINISHED = "unfinished"


class QdrantStore(PointStore):
    """The points of a collection, in the order of their ids, which is the only one that Qdrant has.

    A folder of the local mode is as trusted as a pickle: its client keeps points so.
    """

    database, rest = "Qdrant", "payload"

    def __init__(self, address: Address, unfinished: bool = False) -> None:
        """`qdrant:path-or-url#collection.vector`; the vector may be left out where there is one.

        Raises `InputError`, also of a vector that is still being written, but with `unfinished`.
        """
        self.address, self._name, self._unfinished = address, str(address), unfinished
        self._open = connect(address.place, fresh=False)
        try:
            self.collection, self.vector, self.params, self.metadata = self._found()
            self.column = self.vector or UNNAMED
            self.width = int(self.params.size)
            with self._open.words():
                self.num_rows = int(self._open.client.count(self.collection, exact=True).count)
            if not self.num_rows:
                raise refusal(self._name, "at least one point", "none", "Give a store that holds vectors.")
        except BaseException:
            self.close()
            raise

    @property
    def cosine(self) -> bool:
        """Whether it brings vectors to unit length."""
        return bool(self.params.distance == models().Distance.COSINE)

    @override
    def record(self) -> StoreRecord | None:
        return StoreRecord.from_json(self.metadata.get(key_in(self.vector)), self._name)

    @override
    def has_noted(self, column: str) -> bool:
        return key_in(column) in self.metadata or (column == UNNAMED and KEY in self.metadata)

    @override
    def replace(self, rows: Matrix, vectors: Matrix, record: StoreRecord) -> None:
        """As `Store` has it, but point by point: a call that was interrupted is made again, and is whole then."""
        flag, ids, made = f"{self.column}{IS_TRUE}", self.ids_at(rows), np.asarray(vectors, np.float32)
        with self._open.words(), self._open.hurried(self.collection):
            for start in range(0, len(ids), SENT):
                some = slice(start, start + SENT)
                self._open.put(self.collection, self.vector, ids[some], made[some])
                self._open.client.set_payload(self.collection, {flag: True}, ids[some])
            self._open.note(self.collection, key_in(self.vector), record.to_json())
        self._open.again()
        *_, self.metadata = self._found()
        self._contents = None

    @override
    def ids_as_kept(self, ids: list[Id]) -> list[Id]:
        return [kept(one) for one in ids]

    @override
    def close(self) -> None:
        self._open.close()

    def _found(self) -> tuple[str, str, Any, dict[str, Any]]:
        """The collection, its vector, how that is configured, and the collection's metadata."""
        names = self._open.names()
        inside = self.address.inside
        if inside is None and len(self._open.collections()) == 1:
            inside = self._open.collections()[0]
        name, vector = inside or "", None
        if name not in names:
            name, dot, rest = name.rpartition(".")
            vector = rest if dot else None
        if name not in names:
            got = "none that is named" if self.address.inside is None else shown(self.address.inside)
            listed = quoted(sorted(names)) if names else "of which there is none,"
            raise refusal(named(self.address.place), f"one of its collections, {listed}", got, f"Name one: {EXAMPLE}.")
        with self._open.words():
            info = self._open.client.get_collection(name)
        configured = info.config.params.vectors or {}
        vectors = configured if isinstance(configured, dict) else {"": configured}
        flat = {key: params for key, params in vectors.items() if params.multivector_config is None}
        if "" in flat and (vector is None or (vector == UNNAMED and vector not in flat)):
            vector = ""  # which Qdrant searches where no name is given
        elif vector is None and len(flat) == 1:
            vector = next(iter(flat))
        if vector is None or vector not in flat:
            got = "none that is named" if vector is None else shown(vector)
            listed = quoted([key or UNNAMED for key in flat]) if flat else "of which there is none,"
            expected = f"one of its dense vectors, {listed}"
            raise refusal(f"{name} of {self.address.place}", expected, got, f"Name one: {EXAMPLE}.")
        metadata = dict(info.config.metadata or {})
        self._check_whole(metadata, vector)
        return self._open.names()[name], vector, flat[vector], metadata

    def _check_whole(self, metadata: dict[str, Any], vector: str) -> None:
        if not self._unfinished and metadata.get(key_in(vector), "").startswith(UNFINISHED):
            got, advice = "one that a run has not finished", "Make that call again, or delete the vector."
            raise refusal(self._name, "a vector that all points have", got, advice)

    @override
    def _pages(self, start: int) -> Iterator[Page]:
        if start >= self.num_rows:
            return
        offset = self.ids_at(np.array([start]))[0] if start else None
        while True:
            with self._open.words():
                found, offset = self._open.client.scroll(
                    self.collection, limit=self._open.page, offset=offset, with_payload=True, with_vectors=[self.vector]
                )
            yield self._page(found)
            if offset is None:
                return

    @override
    def _points(self, ids: list[Id]) -> Page:
        found: dict[Any, Any] = {}
        with self._open.words():
            for start in range(0, len(ids), PAGE):
                some = ids[start : start + PAGE]
                points = self._open.client.retrieve(
                    self.collection, some, with_payload=True, with_vectors=[self.vector]
                )
                found.update((point.id, point) for point in points)
        if len(found) != len(set(ids)):
            expected, got = f"{len(set(ids)):,} points", f"{len(found):,}"
            raise refusal(self._name, expected, got, "It was changed meanwhile: begin again.")
        return self._page([found[one] for one in ids])

    def _page(self, points: list[Any]) -> Page:
        vectors = [
            point.vector.get(self.vector) if isinstance(point.vector, dict) else point.vector for point in points
        ]
        return Page([point.id for point in points], vectors, [point.payload or {} for point in points])


class QdrantWriter(PointWriter):
    """A new named vector of the source's own points, or a new collection."""

    database = "Qdrant"

    @override
    @classmethod
    def column(cls, address: Address, source: Store) -> str:
        own = "." in (address.inside or "") or isinstance(source, QdrantStore)
        return super().column(address, source) if own else UNNAMED

    def __init__(self, address: Address, plan: Plan) -> None:
        self.address = address
        client()
        check_folder(address.place, FILE, "a folder of Qdrant's local mode")
        self.check_rows(plan)
        new = _folder_to_make(address.place)
        self._open = connect(address.place, fresh=True)
        try:
            self.collection, self._source = self._meant(plan)
            self.vector = self._vector(plan)
            self._written = self.collection if self._source else f"{self.collection}{HIDDEN}"
            parts = staging_of(address.place, self.collection, plan.column)
            if not is_done(parts):  # else what is there may be this run's own
                self._check_free()
            super().__init__(plan, parts)
        except BaseException:
            self._open.close()
            if new is not None:
                _remove_empty(new)
            raise

    def __exit__(self, *error: object) -> None:
        self._open.close()
        super().__exit__(*error)

    @override
    def finish(self, record: StoreRecord) -> Store:
        if (store := self.already_there(lambda: self._as_store(self.collection))) is not None:
            self._staging.remove()
            return store
        with self._open.words(), written_in_words(self.address.place, advice=GO_ON):
            if self._source is None:
                self._fill_collection()
            else:
                self._fill_vector()
            self._open.again()
            with contextlib.closing(self._as_store(self._written, unfinished=True)) as store:
                self.check_points(store, store.cosine)
            self._staging.set_done(record)
            self._open.note(self._written, key_in(self.vector), record.to_json())
            if self._source is None:
                self._check_name()
                self._open.name(self.collection, self._written)
        self._staging.remove()
        return self._as_store(self.collection)

    @override
    def kept_id(self, value: Id) -> Id:
        return kept(value)

    @override
    def is_id(self, value: Any) -> bool:
        if isinstance(value, int):
            return 0 <= value < 2**64
        try:
            return bool(str(uuid.UUID(value)) == value)
        except (ValueError, AttributeError, TypeError):
            return False

    def _meant(self, plan: Plan) -> tuple[str, QdrantStore | None]:
        """The collection, and the source where it is the source's own."""
        inside, names = self.address.inside or "", self._open.names()
        name = inside if inside in names or "." not in inside else inside.rpartition(".")[0]
        for one in (name, plan.column):
            if not NAME.fullmatch(one):
                expected = 'names of a collection and a vector, without any of <>:"/\\|?*'
                raise refusal("destination", expected, shown(str(self.address)), f"Name them: {EXAMPLE}.")
        source = plan.source
        if isinstance(source, QdrantStore) and source._open is self._open and names.get(name) == source.collection:
            return source.collection, source
        return name, None

    def _vector(self, plan: Plan) -> str:
        """The name of the new vector, empty for that of a collection without names."""
        if self.collection != self.address.inside and "." in (self.address.inside or ""):
            return plan.column
        return plan.source.vector if isinstance(plan.source, QdrantStore) else ""

    def _check_free(self) -> None:
        if self._source is not None:
            with self._open.words():
                info = self._open.client.get_collection(self.collection)
            vectors = info.config.params.vectors
            there = vectors if isinstance(vectors, dict) else {"": vectors}
            if self.vector in there and (info.config.metadata or {}).get(key_in(self.vector)) != self._mark():
                got, advice = "a vector that exists already", "Name another, as collection.vector, or delete that one."
                raise refusal(f"{self.vector or UNNAMED} of {self.collection}", "nothing there", got, advice)
            if self.plan.record.num_rows != self._source.num_rows:
                expected, got = (
                    f"all {self._source.num_rows:,} points for a new vector",
                    f"{self.plan.record.num_rows:,}",
                )
                raise refusal("limit", expected, got, "Leave limit out, or name a new collection.")
            return
        self._check_name()
        if self._written in self._open.names():
            with self._open.words():
                metadata = self._open.client.get_collection(self._written).config.metadata or {}
            if metadata.get(key_in(self.vector)) != self._mark():
                got, advice = (
                    "what another run has left",
                    f"Delete the collection {self._written}, or name another one.",
                )
                raise refusal(f"{self._written} of {self.address.place}", "nothing there", got, advice)

    def _check_name(self) -> None:
        if self.collection in self._open.names():
            got, advice = "a collection that exists already", "Name another one, or delete that one."
            raise refusal(f"{self.collection} of {self.address.place}", "nothing there", got, advice)

    def _mark(self) -> str:
        return f"{UNFINISHED} {self.run()}"

    def _fill_collection(self) -> None:
        kinds, width = models(), self.plan.schema.field(self.plan.column).type.list_size
        if self._written not in self._open.names():
            source = self.plan.source
            distance = source.params.distance if isinstance(source, QdrantStore) else kinds.Distance.COSINE
            params = kinds.VectorParams(size=width, distance=distance)
            self._open.client.create_collection(
                self._written,
                vectors_config={self.vector: params} if self.vector else params,
                metadata={key_in(self.vector): self._mark()},
            )
        done = int(self._open.client.count(self._written, exact=True).count)
        with self._open.hurried(self._written):
            for page in self.pages(done):
                for start in range(0, len(page.ids), SENT):
                    some = slice(start, start + SENT)
                    points = zip(page.ids[some], page.vectors[some], page.values[some], strict=True)
                    self._open.client.upsert(
                        self._written,
                        [
                            kinds.PointStruct(
                                id=one,
                                vector={self.vector: row.tolist()} if self.vector else row.tolist(),
                                payload=values,
                            )
                            for one, row, values in points
                        ],
                        wait=True,
                    )

    def _fill_vector(self) -> None:
        kinds, width = models(), self.plan.schema.field(self.plan.column).type.list_size
        own = cast(QdrantStore, self._source)
        self._open.note(self._written, key_in(self.vector), self._mark())
        config = kinds.DenseVectorConfig(size=width, distance=own.params.distance)
        try:
            self._open.client.create_vector_name(self._written, self.vector, kinds.DenseVectorNameConfig(dense=config))
        except Exception as error:
            got, advice = f"an error ({first_line(error)})", "Name a new collection: older servers add no vectors."
            raise refusal(f"{self.vector} of {self._written}", "a vector that can be added", got, advice) from error
        has = kinds.Filter(must=[kinds.HasVectorCondition(has_vector=self.vector)])
        done = int(self._open.client.count(self._written, count_filter=has, exact=True).count)
        added = {name for name in self.plan.schema.names if name not in own.schema.names}
        with self._open.hurried(self._written):
            for page in self.pages(done):
                for start in range(0, len(page.ids), SENT):
                    some = slice(start, start + SENT)
                    self._open.add(self._written, page.ids[some], page.values[some], added)
                    self._open.put(self._written, self.vector, page.ids[some], page.vectors[some])

    def _as_store(self, collection: str, unfinished: bool = False) -> QdrantStore:
        return QdrantStore(Address("qdrant", self.address.place, f"{collection}.{self.vector or UNNAMED}"), unfinished)


def key_in(vector: str) -> str:
    """Under which a collection's metadata keeps the record of one of its vectors."""
    return key_of(vector) if vector else KEY


def kept(value: Id) -> Id:
    """An id as Qdrant has it, of a column in which numbers stand as texts, among UUIDs."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _folder_to_make(place: str) -> Path | None:
    folder = Path(place)
    return None if SERVER.fullmatch(place) or folder.exists() else folder


def _remove_empty(folder: Path) -> None:
    """A folder that was made for a destination that is refused."""
    for name in (FILE, ".lock"):
        with contextlib.suppress(OSError):
            (folder / name).unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()
