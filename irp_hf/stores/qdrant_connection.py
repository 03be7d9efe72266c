"""Connections with Qdrant: a server, or a folder of its client's local mode, which a process can open but once."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from irp_hf.disk.places import named, written_in_words
from irp_hf.errors import InputError, IRPError, first_line, missing, refusal, shown
from irp_hf.stores.base import BLOCK_ROWS
from irp_hf.stores.points import PAGE, SERVER, Id, refused

FILE = "meta.json"  # in each folder of the local mode
SECONDS = 120  # that a server may take
EXAMPLE = "qdrant:http://localhost:6333#collection.vector"


class Connection:
    """A client of a place, which a process opens once: the local mode locks its folder."""

    def __init__(self, place: str) -> None:
        self.place, self.users = place, 0
        self.local = SERVER.fullmatch(place) is None
        self.page = BLOCK_ROWS if self.local else PAGE  # the local mode sorts all ids for each
        self.client = self._made()

    def _made(self) -> Any:
        if self.local:
            return client()(path=self.place)
        return client()(url=self.place, api_key=os.environ.get("QDRANT_API_KEY"), timeout=SECONDS)

    def again(self) -> None:
        """Read a folder again: in memory the local mode keeps other vectors than it has written."""
        if self.local:
            self.client.close()
            self.client = self._made()

    def close(self) -> None:
        """Let go of it, where nobody else in this process uses it."""
        with _LOCK:
            self.users -= 1
            if not self.users:
                _OPEN.pop(self.place, None)
                self.client.close()

    def collections(self) -> list[str]:
        """The names of all collections, without other names of theirs."""
        with self.words():
            return sorted(found.name for found in self.client.get_collections().collections)

    def names(self) -> dict[str, str]:
        """All names, and the collection that each means."""
        with self.words():
            aliases = {found.alias_name: found.collection_name for found in self.client.get_aliases().aliases}
        return {**{name: name for name in self.collections()}, **aliases}

    def note(self, collection: str, key: str, text: str) -> None:
        """Put a text into a collection's metadata."""
        self.client.update_collection(collection, metadata={key: text})

    def name(self, alias: str, collection: str) -> None:
        """Give a collection one more name."""
        kinds = models()
        made = kinds.CreateAlias(collection_name=collection, alias_name=alias)
        self.client.update_collection_aliases([kinds.CreateAliasOperation(create_alias=made)])

    def put(self, collection: str, vector: str, ids: list[Id], rows: Any) -> None:
        """Give points a vector."""
        kinds = models()
        points = [
            kinds.PointVectors(id=one, vector={vector: np.asarray(row).tolist()})
            for one, row in zip(ids, rows, strict=True)
        ]
        self.client.update_vectors(collection, points, wait=True)

    def add(self, collection: str, ids: list[Id], values: list[dict[str, Any]], names: set[str]) -> None:
        """Give points some of these values."""
        kinds = models()
        chosen = [{name: value for name, value in some.items() if name in names} for some in values]
        made = [
            kinds.SetPayloadOperation(set_payload=kinds.SetPayload(payload=some, points=[one]))
            for one, some in zip(ids, chosen, strict=True)
            if some
        ]
        if made:
            self.client.batch_update_points(collection, made, wait=True)

    @contextlib.contextmanager
    def hurried(self, collection: str) -> Iterator[None]:
        """Within it the local mode does not wait for the disk after each point, as long as it keeps points in SQLite."""
        held = getattr(getattr(self.client, "_client", None), "collections", {}).get(collection)
        storage = getattr(getattr(held, "storage", None), "storage", None)
        if storage is None:
            yield
            return
        storage.execute("PRAGMA journal_mode = WAL")
        storage.execute("PRAGMA synchronous = NORMAL")
        try:
            yield
        finally:
            storage.execute("PRAGMA journal_mode = DELETE")  # which writes all of it in its place

    @contextlib.contextmanager
    def words(self) -> Iterator[None]:
        """Raise `InputError` for what Qdrant refuses."""
        try:
            yield
        except (IRPError, OSError):
            raise
        except Exception as error:
            raise in_words(self.place, error) from error


_OPEN: dict[str, Connection] = {}
_LOCK = threading.Lock()


def connect(place: str, fresh: bool) -> Connection:
    """The connection with a server or a folder; a `fresh` folder may still be made. Raises `InputError`."""
    client()
    if SERVER.fullmatch(place) is None:
        place = os.path.realpath(place)
        if not fresh and not os.path.isfile(os.path.join(place, FILE)):
            got = f"{shown(place)}, which is none"
            raise refusal("source", "a folder of Qdrant's local mode, or a server", got, f"Name one: {EXAMPLE}.")
    with _LOCK:
        if place not in _OPEN:
            try:
                with written_in_words(place, "a folder"):
                    _OPEN[place] = Connection(place)
            except IRPError:
                raise
            except Exception as error:
                raise in_words(place, error) from error
        _OPEN[place].users += 1
        return _OPEN[place]


def client() -> Any:
    """The class of its clients."""
    try:
        from qdrant_client import QdrantClient
    except ImportError as error:
        raise missing("Collections of Qdrant", "qdrant-client", "irp_hf[qdrant]") from error
    return QdrantClient


def models() -> Any:
    """The classes of what it is sent."""
    from qdrant_client import models

    return models


def in_words(place: str, error: Exception) -> InputError:
    """The error for what Qdrant raised."""
    if "already accessed" in first_line(error):
        got, advice = "one that is open elsewhere", "Close it there, or use a server: the local mode has one user."
        return refusal(named(place), "a folder that nobody else has open", got, advice)
    return refused("Qdrant", place, error)
