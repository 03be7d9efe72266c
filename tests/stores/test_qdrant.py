"""Qdrant: ids, payloads and all other vectors of a point stay as they were; it searches what was written."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from qdrant_client import QdrantClient, models
from says import says
from store_kinds import parallel, some_rows, table_of

from irp_hf import InputError, IRPAdapter, MissingDependencyError
from irp_hf.stores import open_store, reencode, translate_store
from irp_hf.stores.base import vectors_of
from irp_hf.stores.qdrant import QdrantWriter

NUM_ROWS = 130
SOURCE, TARGET = parallel(NUM_ROWS, seed=5)
IDS: list[int | str] = [
    *(3 * row for row in range(70)),
    2**64 - 1,
    *sorted(str(uuid.UUID(int=7**40 * row % 2**128)) for row in range(NUM_ROWS - 71)),
]
ODD: list[dict[str, Any]] = [
    {"text": "sentence 0", "none": None, "nested": {"a": [1, 2.5, None, True]}, "mixed": 1},
    {"text": "", "nested": {}, "mixed": 1.0, "id": "theirs", "vector": [1], "payload": "ä"},
    {"text": "sentence 2", "large": 2**80, "mixed": "x", "": 0},
]
PAYLOADS = [
    *ODD,
    *(
        {"text": f"sentence {row}", "year": row, "share": row / 3, "open": row % 2 == 0}
        for row in range(len(ODD), NUM_ROWS)
    ),
]


@pytest.fixture(scope="module")
def adapter() -> IRPAdapter:
    return IRPAdapter.from_anchors(*parallel(200), method="whitened")


def unit(adapter: IRPAdapter) -> np.ndarray[Any, Any]:
    y = adapter.translate(SOURCE)
    return y / np.linalg.norm(y, axis=1, keepdims=True)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a collection of two dense vectors and one of words, of cosine, with ids of both kinds."""
    client = QdrantClient(path=str(tmp_path / "db"))
    params = models.VectorParams(size=24, distance=models.Distance.COSINE)
    other = models.VectorParams(size=3, distance=models.Distance.EUCLID)
    client.create_collection(
        "docs.en",
        vectors_config={"dense": params, "other": other},
        sparse_vectors_config={"words": models.SparseVectorParams()},
        metadata={"owner": "me"},
    )
    client._client.collections["docs.en"].storage.storage.execute("PRAGMA synchronous = OFF")
    order = np.random.RandomState(0).permutation(NUM_ROWS)
    client.upsert(
        "docs.en",
        [
            models.PointStruct(
                id=IDS[row],
                vector={
                    "dense": SOURCE[row].tolist(),
                    "other": [float(row), 1.0, 2.0],
                    "words": models.SparseVector(indices=[row], values=[1.0]),
                },
                payload=PAYLOADS[row],
            )
            for row in order
        ],
    )
    client.close()
    return tmp_path / "db"


def points(place: Path, collection: str) -> tuple[list[Any], Any]:
    """All that a collection holds, and how it is configured."""
    client = QdrantClient(path=str(place))
    found, _ = client.scroll(collection, limit=1000, with_payload=True, with_vectors=True)
    info = client.get_collection(collection)
    client.close()
    return found, info.config


def search(place: Path, collection: str, vector: str, queries: np.ndarray[Any, Any]) -> list[Any]:
    client = QdrantClient(path=str(place))
    found = [client.query_points(collection, row.tolist(), using=vector, limit=1).points[0].id for row in queries]
    client.close()
    return found


def test_a_new_vector_beside_all_others(place: Path, adapter: IRPAdapter):
    """If it fails, a collection that is in use loses what it held."""
    before, config = points(place, "docs.en")
    source = f"qdrant:{place}#docs.en.dense"
    translate_store(source, adapter, f"qdrant:{place}#docs.en.moved", confidence=True)
    after, now = points(place, "docs.en")
    assert [point.id for point in after] == [point.id for point in before] == IDS
    for one, other in zip(before, after, strict=True):
        told = other.payload.pop("moved_confidence")
        assert 0 < told <= 1
        assert repr(sorted(one.payload.items())) == repr(sorted(other.payload.items()))
        for name in ("dense", "other"):
            assert one.vector[name] == other.vector[name]
        assert one.vector["words"] == other.vector["words"]
    np.testing.assert_allclose([point.vector["moved"] for point in after], unit(adapter), atol=1e-6)
    assert now.params.vectors["moved"].distance == models.Distance.COSINE
    assert {**now.metadata, "irp_hf.moved": None} == {**config.metadata, "irp_hf.moved": None}
    assert search(place, "docs.en", "moved", unit(adapter)[:20]) == IDS[:20]
    with open_store(f"qdrant:{place}#docs.en.moved") as store:
        assert store.record().adapter == adapter.checksum()
    with open_store(source) as store:
        assert store.record() is None
    with pytest.raises(InputError, match="exists already"):
        translate_store(source, adapter, f"qdrant:{place}#docs.en.moved")
    assert os.listdir(place.parent) == ["db"]


def test_a_new_collection(place: Path, adapter: IRPAdapter):
    """If it fails, ids or payloads change on the way, or a search finds other points."""
    translate_store(f"qdrant:{place}#docs.en.dense", adapter, f"qdrant:{place}#moved.new")
    before, _ = points(place, "docs.en")
    after, config = points(place, "moved")
    assert [point.id for point in after] == IDS
    assert repr([sorted(point.payload.items()) for point in after]) == repr(
        [sorted(point.payload.items()) for point in before]
    )
    np.testing.assert_allclose([point.vector["new"] for point in after], unit(adapter), atol=1e-6)
    assert config.params.vectors["new"].distance == models.Distance.COSINE
    assert search(place, "moved", "new", unit(adapter)[60:90]) == IDS[60:90]


def test_lengths_survive_where_distances_are_cosines(place: Path, adapter: IRPAdapter):
    """If it fails, what is read depends on whether the folder was opened before or after it was written."""
    translate_store(f"qdrant:{place}#docs.en.dense", adapter, f"qdrant:{place}#raw", unit_length=False)
    with open_store(f"qdrant:{place}#raw") as store:
        found = vectors_of(next(store.batches()), store.column)
    np.testing.assert_allclose(found, adapter.translate(SOURCE), rtol=1e-5, atol=1e-6)


def test_ids_of_both_kinds(place: Path):
    """If it fails, a number among UUIDs becomes a text, and no point has it."""
    with open_store(f"qdrant:{place}#docs.en.dense") as store:
        batch = next(store.batches())
        assert batch.column(store.schema.names.index("_id")).to_pylist() == [str(one) for one in IDS]
        rows = np.array([0, 69, 70, 71, 129])
        np.testing.assert_allclose(vectors_of(store.take(rows), "dense"), SOURCE[rows], rtol=1e-6)
        np.testing.assert_allclose(vectors_of(next(store.batches(100)), "dense"), SOURCE[100:], rtol=1e-6)


@pytest.mark.parametrize("fit", [True, False])
def test_from_a_table(fit: bool, adapter: IRPAdapter, tmp_path: Path):
    """Ids that Qdrant can have are those of the points; all others stay beside, and rows are counted."""
    ids = [str(uuid.UUID(int=row + 1)) for row in range(NUM_ROWS)]
    if not fit:
        ids[7] = ids[7].upper().replace("0", "A", 1)
    pq.write_table(table_of({**some_rows(SOURCE), "id": ids}), tmp_path / "source.parquet")
    translate_store(tmp_path / "source.parquet", adapter, f"qdrant:{tmp_path / 'new'}#docs", confidence=True)
    found, _ = points(tmp_path / "new", "docs")
    np.testing.assert_allclose([point.vector for point in found], unit(adapter), atol=1e-6)
    assert all(0 < point.payload["vector_confidence"] <= 1 for point in found)  # as the vector without a name is called
    if fit:
        assert [point.id for point in found] == ids
        assert "id" not in found[0].payload
    else:
        assert [point.id for point in found] == list(range(NUM_ROWS))
        assert [point.payload["id"] for point in found] == ids
    assert [point.payload["text"] for point in found] == some_rows(SOURCE)["text"]


def test_what_is_half_written_is_read_by_nobody(place: Path, adapter: IRPAdapter, monkeypatch: pytest.MonkeyPatch):
    """If it fails, some of the points are found by old vectors and some by none."""
    addresses = f"qdrant:{place}#docs.en.dense", f"qdrant:{place}#docs.en.moved"
    for destination in (addresses[1], f"qdrant:{place}#fresh"):
        with monkeypatch.context() as context:
            context.setattr(QdrantWriter, "check_points", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                translate_store(addresses[0], adapter, destination)
        with pytest.raises(InputError):
            open_store(destination)
        other = IRPAdapter.from_anchors(*parallel(150, seed=9), method="whitened")
        with pytest.raises(InputError):
            translate_store(addresses[0], other, destination)
        translate_store(addresses[0], adapter, destination)
        with open_store(destination) as store:
            found = vectors_of(next(store.batches()), store.column)
        np.testing.assert_allclose(found, unit(adapter), atol=1e-6)


def test_what_another_run_left_is_named(place: Path, adapter: IRPAdapter, monkeypatch: pytest.MonkeyPatch):
    """If it fails, vectors of two adapters end in one collection."""
    with monkeypatch.context() as context:
        context.setattr(QdrantWriter, "check_points", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            translate_store(f"qdrant:{place}#docs.en.dense", adapter, f"qdrant:{place}#fresh")
    for entry in (left := place.parent / "db.fresh.dense.parts").iterdir():
        entry.unlink()
    left.rmdir()
    other = IRPAdapter.from_anchors(*parallel(150, seed=9), method="whitened")
    with pytest.raises(InputError, match=r"Delete the collection fresh\.irp_hf"):
        translate_store(f"qdrant:{place}#docs.en.dense", other, f"qdrant:{place}#fresh")


def test_true_embeddings_in_place(place: Path, adapter: IRPAdapter):
    """If it fails, an interim vector never becomes the true one, or points that were not encoded change."""
    translate_store(f"qdrant:{place}#docs.en.dense", adapter, f"qdrant:{place}#docs.en.moved", confidence=True)
    before, _ = points(place, "docs.en")

    def target(texts: list[str]) -> np.ndarray[Any, Any]:
        return TARGET[[int(text.split()[1]) for text in texts]]

    told = reencode(f"qdrant:{place}#docs.en.moved", target, text="text", budget=40)
    assert (told.true_rows, told.without_text) == (40, 1)
    after, config = points(place, "docs.en")
    true = [row for row, point in enumerate(after) if point.payload.get("moved_is_true")]
    assert len(true) == 40
    for row, (one, other) in enumerate(zip(before, after, strict=True)):
        assert one.vector["dense"] == other.vector["dense"]
        if row in true:
            np.testing.assert_allclose(other.vector["moved"], TARGET[row], atol=1e-6)
        else:
            assert one.vector["moved"] == other.vector["moved"]
    assert '"true_rows": 40' in config.metadata["irp_hf.moved"]


def test_a_point_without_the_vector(place: Path, adapter: IRPAdapter):
    """If it fails, vectors move up by one point."""
    client = QdrantClient(path=str(place))
    client.delete_vectors("docs.en", ["dense"], [IDS[70]])
    client.close()
    with pytest.raises(InputError) as caught:
        translate_store(f"qdrant:{place}#docs.en.dense", adapter, place.parent / "moved.npy")
    assert says(str(caught.value), "Row 70", 2**64 - 1)


@pytest.mark.slow
def test_a_folder_that_is_open_elsewhere(place: Path, adapter: IRPAdapter):
    """If it fails, two processes write one folder, or the error is Qdrant's own."""
    code = f"from qdrant_client import QdrantClient; c = QdrantClient(path={str(place)!r}); print('open', flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "open\n"
        for call in (
            lambda: open_store(f"qdrant:{place}#docs.en.dense"),
            lambda: translate_store(_saved(place.parent), adapter, f"qdrant:{place}#moved"),
        ):
            with pytest.raises(InputError, match="open elsewhere"):
                call()
    finally:
        other.communicate("\n", timeout=60)
    open_store(f"qdrant:{place}#docs.en.dense").close()
    QdrantClient(path=str(place)).close()  # and nothing here holds it


def _saved(folder: Path) -> Path:
    np.save(folder / "source.npy", SOURCE)
    return folder / "source.npy"


@pytest.mark.parametrize("inside", ["none", "docs.en", "docs.en.none", "docs.en.words", "docs"])
def test_what_is_not_there(inside: str, place: Path):
    """If it fails, another vector is translated than was meant."""
    with pytest.raises(InputError, match=r"docs\.en|dense"):
        open_store(f"qdrant:{place}#{inside}")
    QdrantClient(path=str(place)).close()


def test_places(place: Path, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, a data base is made where none was wanted, or a limit gives a vector to some of the points."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    there = sorted(path.name for path in tmp_path.rglob("*"))
    source = f"qdrant:{place}#docs.en.dense"
    for destination in ("full#new", "full/file#new", "none/new#new", "db", "db#docs.en", "new#a/b"):
        with pytest.raises(InputError):
            translate_store(source, adapter, f"qdrant:{tmp_path / destination}")
    with pytest.raises(InputError, match="limit"):
        translate_store(source, adapter, f"qdrant:{place}#docs.en.moved", limit=50)
    for address in (tmp_path / "full", tmp_path / "none"):
        with pytest.raises(InputError):
            open_store(f"qdrant:{address}#a")
    assert sorted(path.name for path in tmp_path.rglob("*")) == there


def test_no_server_answers(adapter: IRPAdapter, tmp_path: Path):
    """If it fails, the error is one of the network's."""
    for call in (
        lambda: open_store("qdrant:http://127.0.0.1:9#docs"),
        lambda: translate_store(_saved(tmp_path), adapter, "qdrant:http://127.0.0.1:9#docs"),
    ):
        with pytest.raises(InputError, match=r"127\.0\.0\.1:9"):
            call()


def test_without_the_package(place: Path, adapter: IRPAdapter, monkeypatch: pytest.MonkeyPatch):
    """Users would read that a module is missing, and not what to install."""
    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    for call in (
        lambda: open_store(f"qdrant:{place}#docs.en.dense"),
        lambda: translate_store(_saved(place.parent), adapter, f"qdrant:{place}#moved"),
    ):
        with pytest.raises(MissingDependencyError) as caught:
            call()
        assert says(str(caught.value), "qdrant-client", "irp_hf[qdrant]")
