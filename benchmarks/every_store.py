"""Every kind of store, with real sentences: moved, read by its own library, searched by it, and compared with true encodings.

English sentences of Tatoeba by static token vectors, with an id, their text and their length, are moved to MiniLM's space by
1,000 of them. It reads the vectors of benchmarks/vectors.py, and makes and reads stores as their contract in tests/ does.

    python benchmarks/every_store.py [--rows 60000] [--kinds parquet qdrant-vector ...]    # writes benchmarks/every_store.md
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import chromadb
import faiss
import lancedb
import numpy as np
from chromadb.config import Settings
from index import sentences
from jobs import each
from qdrant_client import QdrantClient
from vectors import BENCHMARKS, SENTENCES, column

sys.path.insert(0, str(BENCHMARKS.parent / "tests"))
from database_kinds import DATABASES
from store_kinds import KINDS

from irp_hf import IRPAdapter
from irp_hf.evaluation.printed import markdown, number
from irp_hf.stores import translate_store

NUM_ANCHORS, NUM_QUERIES, NEIGHBORS = 1000, 200, 10
TABLE = BENCHMARKS / "every_store.md"
ALL = {kind.name: kind for kind in (*KINDS, *DATABASES) if kind.destination}
Array = np.ndarray[Any, Any]


def moved(name: str, num_rows: int) -> list[str]:
    """A line of the table."""
    kind, (rows, true, adapter, queries) = ALL[name], data(num_rows)
    expected = unit(adapter.translate(rows["vectors"]))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        source = kind.make(place, rows)
        begun = time.perf_counter()
        told = translate_store(source, adapter, kind.destination.format(folder=folder), progress=False)
        seconds = time.perf_counter() - begun
        found = kind.read(place)
        vectors = np.asarray(found["vectors"], np.float32)
        kept = [column for column in ("id", "text", "year") if column in found]
        same = all(list(found[column]) == list(rows[column]) for column in kept)
        near = float(np.abs(vectors - expected).max())
        search = next((by for start, by in SEARCHES.items() if name.startswith(start)), None)
        shares = [share(nearest(queries, vectors), nearest(queries, true))]
        if search is not None:
            shares.append(share(search(place, queries), nearest(queries, vectors)))
    cosine = float((unit(vectors) * unit(true)).sum(1).mean())
    own = number(shares[1]) if len(shares) > 1 else "–"
    unchanged = ", ".join(kept) if same else "CHANGED"
    return [
        *(name, f"{seconds:.0f}", unchanged or "–", f"{near:.0e}"),
        *(f"{number(cosine)} ({number(told.cosine)})", number(shares[0]), own),
    ]


def data(num_rows: int) -> tuple[dict[str, Any], Array, IRPAdapter, Array]:
    """Rows of a store, their true vectors, an adapter of other sentences, and queries by the target's encoder."""
    x, y = (column(SENTENCES, name).numpy() for name in ("static", "MiniLM"))
    adapter = IRPAdapter.from_anchors(x[:NUM_ANCHORS], y[:NUM_ANCHORS], objective="neighbors")
    texts = sentences()
    used = slice(NUM_ANCHORS, NUM_ANCHORS + num_rows)
    ids = [f"tatoeba-{row}" for row in range(*used.indices(len(x)))]
    rows = {"vectors": x[used].copy(), "id": ids, "text": texts[used], "year": [len(text) for text in texts[used]]}
    return rows, y[used], adapter, unit(y[used.stop : used.stop + NUM_QUERIES])


def unit(rows: Array) -> Array:
    """Rows `(n, d)` at unit length."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def nearest(queries: Array, rows: Array) -> Array:
    """Numbers `(n, 10)` of the rows with the largest cosines, by every one of them."""
    return np.argpartition(-(queries @ unit(rows).T), NEIGHBORS, axis=1)[:, :NEIGHBORS]


def share(found: Array, wanted: Array) -> float:
    """How many of those wanted were found."""
    return float(
        np.mean([len({*map(int, a)} & {*map(int, b)}) / NEIGHBORS for a, b in zip(found, wanted, strict=True)])
    )


def by_faiss(place: Path, queries: Array) -> Array:
    """What the index finds by itself."""
    index = faiss.read_index(str(place / "moved.faiss"))
    return index.search(queries, NEIGHBORS)[1]  # type: ignore[no-any-return]


def by_lance(table: str, vector: str) -> Callable[[Path, Array], Array]:
    """What a table finds by a column of vectors."""

    def search(place: Path, queries: Array) -> Array:
        opened = lancedb.connect(place / "db").open_table(table)
        asked = (opened.search(query, vector_column_name=vector).limit(NEIGHBORS) for query in queries)
        return numbers([one.to_arrow()["id"].to_pylist() for one in asked])

    return search


def by_qdrant(collection: str, vector: str | None) -> Callable[[Path, Array], Array]:
    """What a collection finds by a vector of it."""

    def search(place: Path, queries: Array) -> Array:
        with closing(QdrantClient(path=str(place / "qdrant"))) as client:
            asked = (
                client.query_points(collection, query.tolist(), using=vector, limit=NEIGHBORS) for query in queries
            )
            return numbers([[point.payload["id"] for point in one.points] for one in asked])

    return search


def by_chroma(place: Path, queries: Array) -> Array:
    """What a collection finds, approximately, as it always does."""
    with closing(chromadb.PersistentClient(str(place / "chroma"), Settings(anonymized_telemetry=False))) as client:
        collection = client.get_collection("moved", embedding_function=None)
        return numbers(collection.query(queries, n_results=NEIGHBORS)["ids"])


def numbers(ids: list[list[str]]) -> Array:
    """Rows of these ids."""
    return np.array([[int(one.rpartition("-")[2]) - NUM_ANCHORS for one in row] for row in ids])


SEARCHES: dict[str, Callable[[Path, Array], Array]] = {
    "faiss": by_faiss,
    "lancedb-table": by_lance("moved", "embedding"),
    "lancedb-column": by_lance("source", "moved"),
    "qdrant-collection": by_qdrant("moved", None),
    "qdrant-vector": by_qdrant("source", "moved"),
    "chroma": by_chroma,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--kinds", nargs="+", default=list(ALL), choices=list(ALL))
    options = parser.parse_args()
    header = [
        *("store", "seconds", "unchanged", "vectors off by", "cosine (expected)"),
        *("of true neighbours", "its own search finds"),
    ]
    lines = {}
    for name in options.kinds:  # a process each
        for _, line in each(moved, [(name, options.rows)], 1):
            lines[name] = line
            print(*line, flush=True)
    told = (
        f"`python benchmarks/every_store.py --rows {options.rows}`: {options.rows:,} sentences, static → MiniLM, "
        f"{NUM_ANCHORS:,} anchors. True neighbours are the ten nearest by MiniLM's own vectors, of {NUM_QUERIES} other "
        "sentences, found by translated ones; its own search, of the ten nearest translated ones."
    )
    TABLE.write_text(f"{markdown([header, *(lines[name] for name in options.kinds)])}\n\n{told}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
