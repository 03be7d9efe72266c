"""Indexes and vector databases, made and read by their own libraries, for the contract of all stores."""

from __future__ import annotations

import functools
import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chromadb
import faiss
import lance
import lancedb
import numpy as np
import pyarrow as pa
from chromadb.config import Settings
from qdrant_client import QdrantClient, models
from store_kinds import Kind, Rows, rows_of, table_of


def _flat(folder: Path, rows: Rows) -> str:
    index = faiss.IndexFlatIP(rows["vectors"].shape[1])
    index.add(rows["vectors"])
    faiss.write_index(index, str(folder / "source.faiss"))
    return str(folder / "source.faiss")


def _inverted(folder: Path, rows: Rows) -> str:
    width = rows["vectors"].shape[1]
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(width), width, 8, faiss.METRIC_L2)
    index.train(np.nan_to_num(rows["vectors"]))
    index.add(np.nan_to_num(rows["vectors"]))
    if np.isnan(rows["vectors"]).any():
        raise ValueError("k-means takes no NaN")
    faiss.write_index(index, str(folder / "source.faiss"))
    return str(folder / "source.faiss")


def _moved_index(folder: Path) -> Rows:
    index = faiss.read_index(str(folder / "moved.faiss"))
    if isinstance(index, faiss.IndexIVF):
        index.make_direct_map()
    return {"vectors": index.reconstruct_n(0, index.ntotal)}


def _lance(folder: Path, rows: Rows) -> str:
    width = rows["vectors"].shape[1]
    table = table_of(rows)
    kind = table["embedding"].type.value_type
    table = table.set_column(1, "embedding", table["embedding"].cast(pa.list_(kind, width)))
    (folder / "db").mkdir()
    lance.write_dataset(table, folder / "db" / "source.lance", max_rows_per_file=700)  # LanceDB itself takes no NaN
    return f"lancedb:{folder / 'db'}#source.embedding"


def _lance_table(folder: Path) -> Rows:
    return rows_of(lancedb.connect(folder / "db").open_table("moved").to_arrow())


def _lance_column(folder: Path) -> Rows:
    table = lancedb.connect(folder / "db").open_table("source").to_arrow()
    return rows_of(table.drop_columns(["embedding"]).rename_columns({"moved": "embedding"}))


@functools.cache
def _made(kind: str) -> Path:
    """A folder that one store of a kind is copied from, since databases take their time."""
    return Path(tempfile.mkdtemp(prefix=kind))


def _copied(kind: str, folder: Path, rows: Rows, fill: Callable[[Path, Rows], None]) -> None:
    content = hashlib.sha256(rows["vectors"].tobytes()).hexdigest()
    made = _made(kind) / content
    if not made.exists():
        fresh = made.with_suffix(".fresh")
        shutil.rmtree(fresh, ignore_errors=True)
        fill(fresh, rows)
        fresh.rename(made)
    shutil.copytree(made, folder / kind)


def _values(rows: Rows) -> list[dict[str, Any]]:
    names = [name for name in rows if name != "vectors"]
    return [dict(zip(names, values, strict=True)) for values in zip(*(rows[name] for name in names), strict=True)]


def _fill_qdrant(folder: Path, rows: Rows) -> None:
    client = QdrantClient(path=str(folder))
    params = models.VectorParams(size=rows["vectors"].shape[1], distance=models.Distance.DOT)
    client.create_collection("source", vectors_config=params)
    client._client.collections["source"].storage.storage.execute(
        "PRAGMA synchronous = OFF"
    )  # it would wait at each point
    pairs = zip(rows["vectors"].tolist(), _values(rows), strict=True)
    points = [models.PointStruct(id=7 * row, vector=one, payload=values) for row, (one, values) in enumerate(pairs)]
    try:
        client.upsert("source", points)
    finally:
        client.close()


def _qdrant(folder: Path, rows: Rows) -> str:
    _copied("qdrant", folder, rows, _fill_qdrant)
    return f"qdrant:{folder / 'qdrant'}#source"


def _moved_points(folder: Path, collection: str, vector: str) -> Rows:
    client = QdrantClient(path=str(folder / "qdrant"))
    points, _ = client.scroll(collection, limit=10**6, with_payload=True, with_vectors=[vector])
    client.close()
    vectors = [point.vector[vector] if isinstance(point.vector, dict) else point.vector for point in points]
    assert [point.id for point in points] == [7 * row for row in range(len(points))]
    beside = {name: [point.payload[name] for point in points] for name in ("id", "text", "year")}
    return {"vectors": np.asarray(vectors, np.float32), **beside}


def _fill_chroma(folder: Path, rows: Rows) -> None:
    client = chromadb.PersistentClient(str(folder), Settings(anonymized_telemetry=False))
    space = {"hnsw": {"space": "ip"}}
    collection = client.create_collection("source", embedding_function=None, configuration=space)
    beside = [{"year": year} for year in rows["year"]]
    for start in range(0, len(beside), 5000):  # as many as Chroma takes at once
        some = slice(start, start + 5000)
        collection.add(rows["id"][some], list(rows["vectors"][some]), beside[some], rows["text"][some])
    client.close()


def _chroma(folder: Path, rows: Rows) -> str:
    _copied("chroma", folder, rows, _fill_chroma)
    return f"chroma:{folder / 'chroma'}#source"


def _moved_records(folder: Path) -> Rows:
    client = chromadb.PersistentClient(str(folder / "chroma"), Settings(anonymized_telemetry=False))
    collection = client.get_collection("moved", embedding_function=None)
    included = ["embeddings", "metadatas", "documents"]
    pages = [collection.get(limit=5000, offset=start, include=included) for start in range(0, collection.count(), 5000)]
    client.close()
    found = {name: [value for page in pages for value in page[name]] for name in ("ids", *included)}
    years = [values["year"] for values in found["metadatas"]]
    vectors = np.asarray(found["embeddings"], np.float32)
    return {"vectors": vectors, "id": found["ids"], "text": found["documents"], "year": years}


DATABASES = [
    Kind("faiss-flat", _flat, "{folder}/moved.faiss", _moved_index, ()),
    Kind("faiss-ivf", _inverted, "{folder}/moved.faiss", _moved_index, ()),
    Kind("lancedb-table", _lance, "lancedb:{folder}/db#moved", _lance_table),
    Kind("lancedb-column", _lance, "lancedb:{folder}/db#source.moved", _lance_column, whole=True),
    Kind(
        "qdrant-collection", _qdrant, "qdrant:{folder}/qdrant#moved", lambda folder: _moved_points(folder, "moved", "")
    ),
    Kind(
        "qdrant-vector",
        _qdrant,
        "qdrant:{folder}/qdrant#source.moved",
        lambda folder: _moved_points(folder, "source", "moved"),
        whole=True,
    ),
    Kind("chroma", _chroma, "chroma:{folder}/chroma#moved", _moved_records),
]
