"""Collections of Chroma, in a folder or on a server: always a new one, which is called so once it is whole.

Where distances are cosines, Chroma gives vectors back to within rounding, and not bit for bit: its index keeps them at unit
length, and their lengths beside.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

import numpy as np
from typing_extensions import override

from irp_hf.checks import quoted
from irp_hf.disk.places import named, written_in_words
from irp_hf.errors import IRPError, missing, refusal, shown
from irp_hf.models.delivering import KEY
from irp_hf.stores.address import Address
from irp_hf.stores.base import IS_TRUE, Matrix, Plan, Store
from irp_hf.stores.columns import LARGEST, SMALLEST, TEXTS, Values
from irp_hf.stores.points import (
    HIDDEN,
    PAGE,
    RUN,
    SERVER,
    Id,
    Page,
    PointStore,
    PointWriter,
    check_folder,
    refused,
    staging_of,
)
from irp_hf.stores.record import StoreRecord
from irp_hf.stores.staging import GO_ON, is_done

FILE = "chroma.sqlite3"  # in each of its folders
VECTORS = "embedding"
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,500}[a-zA-Z0-9]")
OLD_SETTINGS = "hnsw:"  # what names in the metadata begin with that older versions were configured by
INCLUDED = ["embeddings", "documents", "metadatas", "uris"]
SENT = 1000  # records at a time; Chroma takes some thousands
EXAMPLE = "chroma:folder#collection"


class ChromaStore(PointStore):
    """The records of a collection, in the order in which they were added."""

    database, rest, column = "Chroma", "metadata", VECTORS

    def __init__(self, address: Address) -> None:
        """`chroma:path-or-url#collection`; the collection may be left out where there is one. Raises `InputError`."""
        self.address, self._name = address, str(address)
        self._client = connect(address.place, fresh=False)
        self.collection = self._found()
        with words(address.place):
            self.num_rows = int(self.collection.count())
            first = self.collection.get(limit=1, include=["embeddings"])["embeddings"]
        if not self.num_rows:
            raise refusal(self._name, "at least one record", "none", "Give a store that holds vectors.")
        self.width = len(first[0])

    @property
    def cosine(self) -> bool:
        """Whether it keeps vectors at unit length, and gives them back to within rounding."""
        return bool(self.space == "cosine")

    @property
    def space(self) -> str:
        """What distances are: cosine, ip or l2."""
        return str((self.collection.configuration_json.get("hnsw") or {}).get("space", "l2"))

    @override
    def record(self) -> StoreRecord | None:
        return StoreRecord.from_json((self.collection.metadata or {}).get(KEY), self._name)

    @override
    def replace(self, rows: Matrix, vectors: Matrix, record: StoreRecord) -> None:
        """As `Store` has it, but record by record: a call that was interrupted is made again, and is whole then."""
        flag, ids, made = f"{self.column}{IS_TRUE}", self.ids_at(rows), np.asarray(vectors, np.float32)
        with words(self.address.place):
            for start in range(0, len(ids), SENT):
                some = slice(start, start + SENT)
                flags = [{flag: True} for _ in ids[some]]
                self.collection.update(ids=ids[some], embeddings=list(made[some]), metadatas=flags)
            self.collection.modify(metadata={**settings_free(self.collection.metadata), KEY: record.to_json()})
        self.collection = self._found()
        self._contents = None

    @override
    def close(self) -> None:
        self._client.close()

    def _found(self) -> Any:
        names = names_of(self._client, self.address.place)
        name = self.address.inside
        if name is None and len(names) == 1:
            name = names[0]
        if name not in names:
            got = "none that is named" if name is None else shown(name)
            listed = quoted(names) if names else "of which there is none,"
            expected = f"one of its collections, {listed}"
            raise refusal(named(self.address.place), expected, got, f"Name one: {EXAMPLE}.")
        with words(self.address.place):
            return self._client.get_collection(name, embedding_function=None)

    @override
    def _pages(self, start: int) -> Iterator[Page]:
        while True:
            with words(self.address.place):
                found = self.collection.get(limit=PAGE, offset=start, include=INCLUDED)
            if not found["ids"]:
                return
            yield _page(found, range(len(found["ids"])))
            start += len(found["ids"])

    @override
    def _points(self, ids: list[Id]) -> Page:
        with words(self.address.place):
            found = self.collection.get(ids=ids, include=INCLUDED)
        places = {one: place for place, one in enumerate(found["ids"])}
        if len(places) != len(set(ids)):
            expected, got = f"{len(set(ids)):,} records", f"{len(places):,}"
            raise refusal(self._name, expected, got, "It was changed meanwhile: begin again.")
        return _page(found, [places[one] for one in ids])


class ChromaWriter(PointWriter):
    """A new collection, configured as the source's where that is one; else distances are cosines."""

    database = "Chroma"

    @override
    @classmethod
    def column(cls, address: Address, source: Store) -> str:
        return VECTORS

    def __init__(self, address: Address, plan: Plan) -> None:
        chroma()
        self.address, self.name = address, address.inside or ""
        if not NAME.fullmatch(self.name):
            expected = "a collection, of 3 and more letters, digits, dots, _ and -"
            raise refusal("destination", expected, shown(str(address)), f"Name one: {EXAMPLE}.")
        check_folder(address.place, FILE, "a folder of Chroma")
        self.check_rows(plan)
        self._written = f"{self.name}{HIDDEN}"
        new = not SERVER.fullmatch(address.place) and not os.path.isfile(os.path.join(address.place, FILE))
        self._client = None if new else connect(address.place, fresh=True)
        try:
            parts = staging_of(address.place, self.name)
            if not is_done(parts):  # else what is there may be this run's own
                self._check_free()
            super().__init__(plan, parts)
        except BaseException:
            self._close()
            raise

    def __exit__(self, *error: object) -> None:
        self._close()
        super().__exit__(*error)

    @override
    def finish(self, record: StoreRecord) -> Store:
        if (store := self.already_there(self._opened)) is not None:
            self._staging.remove()
            return store
        with written_in_words(self.address.place, advice=GO_ON), words(self.address.place):
            self._client = self._client or connect(self.address.place, fresh=True)
            self._check_name()
            collection = self._filled()
            with contextlib.closing(ChromaStore(Address("chroma", self.address.place, self._written))) as store:
                self.check_points(store, store.cosine)
            metadata = {name: value for name, value in (collection.metadata or {}).items() if name != RUN}
            self._staging.set_done(record)
            collection.modify(name=self.name, metadata={**metadata, KEY: record.to_json()})
        self._staging.remove()
        return self._opened()

    def _opened(self) -> Store:
        return ChromaStore(Address("chroma", self.address.place, self.name))

    @override
    def texts(self) -> Sequence[str]:
        return TEXTS

    @override
    def kept_id(self, value: Id) -> Id:
        return str(value)

    @override
    def is_id(self, value: Any) -> bool:
        return isinstance(value, int | str) and value != ""

    @override
    def kept_values(self, values: Values) -> Values:
        """Without nulls, which Chroma has not; what it has no kind for becomes a text of JSON."""
        return {name: _kept(name, value) for name, value in values.items() if value is not None}

    def _check_free(self) -> None:
        if self._client is None:
            return
        self._check_name()
        if self._written in names_of(self._client, self.address.place):
            with words(self.address.place):
                metadata = self._client.get_collection(self._written, embedding_function=None).metadata or {}
            if metadata.get(RUN) != self.run():
                got, advice = (
                    "what another run has left",
                    f"Delete the collection {self._written}, or name another one.",
                )
                raise refusal(f"{self._written} of {self.address.place}", "nothing there", got, advice)

    def _check_name(self) -> None:
        if self.name in names_of(self._client, self.address.place):
            got, advice = "a collection that exists already", "Name another one, or delete that one."
            raise refusal(f"{self.name} of {self.address.place}", "nothing there", got, advice)

    def _filled(self) -> Any:
        """The collection with all records, which has another name yet."""
        client, source = cast(Any, self._client), self.plan.source
        if self._written in names_of(client, self.address.place):
            collection = client.get_collection(self._written, embedding_function=None)
        else:
            own = source if isinstance(source, ChromaStore) else None
            before = {} if own is None else {**settings_free(own.collection.metadata)}
            before.pop(KEY, None)
            configured = {"space": "cosine"} if own is None else own.collection.configuration_json.get("hnsw")
            collection = client.create_collection(
                self._written,
                metadata={**before, RUN: self.run()},
                configuration={"hnsw": configured or {"space": "cosine"}},
                embedding_function=None,
            )
        for page in self.pages(int(collection.count())):
            for start in range(0, len(page.ids), SENT):
                some = slice(start, start + SENT)
                collection.upsert(
                    ids=page.ids[some],
                    embeddings=page.vectors[some],
                    metadatas=[values or None for values in page.values[some]],
                    documents=list(page.texts[some]) if page.texts else None,
                    uris=list(page.uris[some]) if page.uris else None,
                )
        return collection

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def chroma() -> Any:
    """The package."""
    try:
        import chromadb
    except ImportError as error:
        raise missing("Collections of Chroma", "chromadb", "irp_hf[chroma]") from error
    return chromadb


def connect(place: str, fresh: bool) -> Any:
    """A client of a folder or of a server; a `fresh` folder may still be made. Raises `InputError`."""
    module = chroma()
    if not fresh and not SERVER.fullmatch(place) and not os.path.isfile(os.path.join(place, FILE)):
        got = f"{shown(place)}, which is none"
        raise refusal("source", "a folder of Chroma, or a server", got, f"Name one: {EXAMPLE}.")
    with words(place), written_in_words(place, "a folder"):
        try:
            return _client(place, settings=module.config.Settings(anonymized_telemetry=False))
        except ValueError as error:
            if "different settings" not in str(error):
                raise
            return _client(place)  # as the user's own, which is open


def _client(place: str, **settings: Any) -> Any:
    if not SERVER.fullmatch(place):
        return chroma().PersistentClient(path=place, **settings)
    parts = urlsplit(place)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return chroma().HttpClient(host=parts.hostname, port=port, ssl=parts.scheme == "https", **settings)


@contextlib.contextmanager
def words(place: str) -> Iterator[None]:
    """Raise `InputError` for what Chroma refuses."""
    try:
        yield
    except (IRPError, OSError):
        raise
    except Exception as error:
        raise refused("Chroma", place, error) from error


def names_of(client: Any, place: str) -> list[str]:
    """The names of all collections."""
    with words(place):
        found, start = list[str](), 0
        while some := client.list_collections(limit=PAGE, offset=start):
            found += [one.name for one in some]
            start += len(some)
    return sorted(found)


def settings_free(metadata: dict[str, Any] | None) -> dict[str, Any]:
    """The metadata of a collection without what is settings, which cannot be set again."""
    return {name: value for name, value in (metadata or {}).items() if not name.startswith(OLD_SETTINGS)}


def _kept(name: str, value: Any) -> Any:
    if isinstance(value, int) and not SMALLEST <= value <= LARGEST:
        raise refusal(name, "whole numbers of 64 bits, as Chroma has them", shown(value), "Write it as a text.")
    if (
        isinstance(value, list)
        and value
        and len(set(map(type, value))) == 1
        and type(value[0]) in (bool, int, float, str)
    ):
        return value
    return json.dumps(value) if isinstance(value, list | dict) else value


def _page(found: Any, places: Sequence[int]) -> Page:
    values = [dict(found["metadatas"][place] or {}) for place in places]
    return Page(
        [found["ids"][place] for place in places],
        [found["embeddings"][place] for place in places],
        values,
        [found["documents"][place] for place in places],
        [found["uris"][place] for place in places],
    )
