"""Chroma: ids, documents, metadata and order stay; it searches what was written, in a folder and on a server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pyarrow.parquet as pq
import pytest
from chromadb.config import Settings
from says import says
from store_kinds import parallel, some_rows, table_of

from irp_hf import InputError, IRPAdapter, MissingDependencyError
from irp_hf.stores import open_store, translate_store
from irp_hf.stores.base import vectors_of
from irp_hf.stores.chroma import ChromaWriter

NUM_ROWS = 90
SOURCE = parallel(NUM_ROWS, seed=5)[0]
SETTINGS = Settings(anonymized_telemetry=False)
IDS = [f"ä {row}" for row in np.random.RandomState(0).permutation(NUM_ROWS)]
METADATA: list[dict[str, Any] | None] = [
    None,
    {"mixed": 1, "text": "not the document", "tags": ["a", "b"]},
    {"mixed": "x", "embedding": 2.5, "metadata": True, "id": "another"},
    *({"year": row, "share": row / 3, "open": row % 2 == 0} for row in range(3, NUM_ROWS)),
]
DOCUMENTS = [None if row % 5 == 0 else f"sentence {row}" for row in range(NUM_ROWS)]
URIS = [f"file:///{row}" if row % 9 == 0 else None for row in range(NUM_ROWS)]


@pytest.fixture(scope="module")
def adapter() -> IRPAdapter:
    return IRPAdapter.from_anchors(*parallel(200), method="whitened")


def unit(adapter: IRPAdapter) -> np.ndarray[Any, Any]:
    y = adapter.translate(SOURCE)
    return y / np.linalg.norm(y, axis=1, keepdims=True)


def fill(client: Any, space: str = "cosine") -> None:
    configuration = {"hnsw": {"space": space, "ef_construction": 55, "max_neighbors": 9}}
    collection = client.create_collection(
        "old.docs", configuration=configuration, metadata={"owner": "me", "version": 3}, embedding_function=None
    )
    collection.add(IDS, list(SOURCE), METADATA, DOCUMENTS, uris=URIS)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    client = chromadb.PersistentClient(str(tmp_path / "db"), SETTINGS)
    fill(client)
    client.close()
    return tmp_path / "db"


def records(client: Any, name: str) -> tuple[Any, Any]:
    """All that a collection holds, and the collection itself."""
    collection = client.get_collection(name, embedding_function=None)
    return collection.get(include=["embeddings", "metadatas", "documents", "uris"]), collection


def same(before: Any, after: Any) -> None:
    for part in ("ids", "documents", "uris"):
        assert after[part] == before[part]
    assert [sorted((values or {}).items()) for values in after["metadatas"]] == [
        sorted((values or {}).items()) for values in before["metadatas"]
    ]
    kinds = [{name: type(value) for name, value in (values or {}).items()} for values in after["metadatas"]]
    assert kinds == [{name: type(value) for name, value in (values or {}).items()} for values in before["metadatas"]]


def test_a_new_collection(place: Path, adapter: IRPAdapter):
    """If it fails, a moved collection has lost documents, or answers with other records."""
    translate_store(f"chroma:{place}#old.docs", adapter, f"chroma:{place}#moved")
    client = chromadb.PersistentClient(str(place), SETTINGS)
    (before, old), (after, new) = records(client, "old.docs"), records(client, "moved")
    same(before, after)
    assert after["ids"] == IDS
    np.testing.assert_allclose(after["embeddings"], unit(adapter), atol=1e-6)
    np.testing.assert_allclose(before["embeddings"], SOURCE, atol=1e-6)
    assert old.configuration_json["hnsw"] == new.configuration_json["hnsw"]
    assert {name: value for name, value in new.metadata.items() if name != "irp_hf"} == old.metadata
    found = new.query(query_embeddings=unit(adapter)[:20], n_results=1)
    assert [one[0] for one in found["ids"]] == IDS[:20]
    assert sorted(one.name for one in client.list_collections()) == ["moved", "old.docs"]
    client.close()
    with open_store(f"chroma:{place}#moved") as store:
        assert store.record().num_rows == NUM_ROWS
    with pytest.raises(InputError, match="exists already"):
        translate_store(f"chroma:{place}#old.docs", adapter, f"chroma:{place}#moved")
    assert os.listdir(place.parent) == ["db"]


def test_from_a_table(adapter: IRPAdapter, tmp_path: Path):
    """If it fails, texts and ids of a table are no documents and ids of the collection."""
    rows = some_rows(SOURCE)
    pq.write_table(table_of(rows), tmp_path / "source.parquet")
    translate_store(tmp_path / "source.parquet", adapter, f"chroma:{tmp_path / 'new'}#moved.v2", confidence=True)
    client = chromadb.PersistentClient(str(tmp_path / "new"), SETTINGS)
    found, _ = records(client, "moved.v2")
    client.close()
    assert (found["ids"], found["documents"]) == (rows["id"], rows["text"])
    assert [values["year"] for values in found["metadatas"]] == rows["year"]
    assert all(0 < values["embedding_confidence"] <= 1 for values in found["metadatas"])


def test_a_collection_that_is_not_finished(place: Path, adapter: IRPAdapter, monkeypatch: pytest.MonkeyPatch):
    """If it fails, a search finds some of the records, or two runs end in one collection."""
    with monkeypatch.context() as context:
        context.setattr(ChromaWriter, "check_points", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            translate_store(f"chroma:{place}#old.docs", adapter, f"chroma:{place}#moved")
    with pytest.raises(InputError, match="moved"):
        open_store(f"chroma:{place}#moved")
    other = IRPAdapter.from_anchors(*parallel(150, seed=9), method="whitened")
    with pytest.raises(InputError):
        translate_store(f"chroma:{place}#old.docs", other, f"chroma:{place}#moved")
    kept = place.parent / "db.moved.parts"
    aside = kept.rename(place.parent / "aside")
    with pytest.raises(InputError, match=r"Delete the collection moved\.irp_hf"):
        translate_store(f"chroma:{place}#old.docs", other, f"chroma:{place}#moved")
    aside.rename(kept)
    translate_store(f"chroma:{place}#old.docs", adapter, f"chroma:{place}#moved")
    with open_store(f"chroma:{place}#moved") as store:
        np.testing.assert_allclose(vectors_of(next(store.batches()), store.column), unit(adapter), atol=1e-6)


def test_the_users_own_client_may_be_open(place: Path, adapter: IRPAdapter):
    """If it fails, a notebook that has the collection open has to be closed first."""
    own = chromadb.PersistentClient(str(place))
    with open_store(f"chroma:{place}#old.docs") as store:
        assert store.num_rows == NUM_ROWS
    assert own.get_collection("old.docs", embedding_function=None).count() == NUM_ROWS
    own.close()


@pytest.mark.parametrize("destination", ["db", "db#a", "db#a/b", "full#new", "none/new#new", "db#old.docs"])
def test_places(destination: str, place: Path, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, a data base is made where none was wanted."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    there = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(InputError):
        translate_store(f"chroma:{place}#old.docs", adapter, f"chroma:{tmp_path / destination}")
    for address in (tmp_path / "full", tmp_path / "none", f"{place}#none"):
        with pytest.raises(InputError):
            open_store(f"chroma:{address}")
    assert sorted(path.name for path in tmp_path.rglob("*")) == there


def test_numbers_that_chroma_changes_are_refused(adapter: IRPAdapter, tmp_path: Path):
    """It takes NaN and gives null, and rounds whole numbers of more than 64 bits."""
    table = table_of(
        {**some_rows(SOURCE), "year": [float(row) if row != 33 else float("nan") for row in range(NUM_ROWS)]}
    )
    pq.write_table(table, tmp_path / "source.parquet")
    with pytest.raises(InputError) as caught:
        translate_store(tmp_path / "source.parquet", adapter, f"chroma:{tmp_path / 'new'}#moved")
    assert says(str(caught.value), "year", "33", "nan")


def test_without_the_package(place: Path, adapter: IRPAdapter, monkeypatch: pytest.MonkeyPatch):
    """Users would read that a module is missing, and not what to install."""
    np.save(place.parent / "source.npy", SOURCE)
    monkeypatch.setitem(sys.modules, "chromadb", None)
    for call in (
        lambda: open_store(f"chroma:{place}#old.docs"),
        lambda: translate_store(place.parent / "source.npy", adapter, f"chroma:{place}#moved"),
    ):
        with pytest.raises(MissingDependencyError) as caught:
            call()
        assert says(str(caught.value), "chromadb", "irp_hf[chroma]")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of Chroma's own server, on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "import sys; from chromadb.cli.cli import app; sys.argv[0] = 'chroma'; app()"
    command = [sys.executable, "-c", code, "run", "--host", "127.0.0.1", "--port", str(port), "--path"]
    folder = tmp_path_factory.mktemp("server")
    process = subprocess.Popen([*command, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(240):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def test_a_server(server: str, adapter: IRPAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """If it fails, what works in a folder does not where a team's collection is."""
    client = chromadb.HttpClient(port=int(server.rpartition(":")[2]), settings=SETTINGS)
    fill(client, "ip")
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path))
    translate_store(f"chroma:{server}#old.docs", adapter, f"chroma:{server}#moved")
    (before, _), (after, new) = records(client, "old.docs"), records(client, "moved")
    same(before, after)
    np.testing.assert_array_equal(np.asarray(before["embeddings"], np.float32), SOURCE)
    np.testing.assert_allclose(after["embeddings"], unit(adapter), atol=1e-6)
    found = new.query(query_embeddings=unit(adapter)[:20], n_results=1)
    assert [one[0] for one in found["ids"]] == IDS[:20]
    with open_store(f"chroma:{server}#moved") as store:
        assert store.record().adapter == adapter.checksum()
        assert store.column == "embedding"
    assert not list((tmp_path / "irp_hf").iterdir())
