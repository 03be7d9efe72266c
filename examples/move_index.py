"""Move an index to a better encoder without encoding it anew, and see what a search finds before, after, and on the way.

Static token vectors (256 wide, no network at all) have filled a table of LanceDB: questions of TREC, with ids and classes.
Their successor shall be the transformer MiniLM (384 wide). Both have encoded 1,000 other questions, the anchors. By them the
table gets a column of translated vectors, which MiniLM's queries search at once; then MiniLM's own vectors take their place,
those first that searches find most. Beside that stand the other ways: doing nothing, translating queries, mixing both
encoders' queries, encoding all anew. What is found is compared with what MiniLM finds in an index of its own, and with the
questions' classes.

It reads the packages of the demo and wants LanceDB: `make move` installs all and runs it.
`--picture FILE` draws into that file.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from move_index_plot import draw
from move_index_results import Order, Way, Ways, by_share, found_most, print_ways, recall, verdicts
from torch import Tensor
from transformers.utils import logging
from trec import CACHE, ENCODERS, embed, load_trec, sample_anchors

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
from irp_hf.maths.projection import unit_rows
from irp_hf.stitching import Bridge
from irp_hf.stores import reencode, translate_store

OLD, NEW = "static-256", "MiniLM-384"
NUM_ANCHORS, NUM_QUERIES, NEIGHBORS = 1000, 500, 10
BUDGET = 0.2  # share of the rows that are encoded anew
FEWER = (300, 100)  # anchors, to see from how many on it is worth it
SHOWN, EACH = (1, 0.5, 0), 3  # queries at these places from the greatest loss to the greatest gain; hits of each
WIDTH = 56  # of a printed hit
TABLE, MOVED, CONFIDENCE = "questions", "moved", "moved_confidence"


class Index:
    """A table of LanceDB, which is made, searched and read by its own client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._database = load_lancedb().connect(folder)

    def make(self, table: str, columns: dict[str, Any]) -> None:
        """A new table; a matrix is a column of vectors."""
        arrays = {name: as_lists(values) if isinstance(values, Tensor) else values for name, values in columns.items()}
        self._database.create_table(table, pa.table(arrays))

    def search(self, table: str, column: str, queries: Tensor) -> Tensor:
        """The ids `(q, 10)` of what is nearest to each of the `queries (q, d)` by cosine, the nearest first."""
        opened = self._database.open_table(table)
        asked = opened.search(queries.float().numpy(), vector_column_name=column).distance_type("cosine")
        hits = asked.limit(NEIGHBORS).select(["id", "_distance"]).to_arrow()
        ranked = hits.sort_by([("query_index", "ascending"), ("_distance", "ascending")])
        return torch.tensor(ranked["id"].to_pylist()).reshape(len(queries), NEIGHBORS)

    def column(self, table: str, name: str) -> Tensor:
        """What stands in a column."""
        values = self._database.open_table(table).to_arrow()[name].to_numpy()
        return torch.from_numpy(np.stack(values) if values.dtype == object else values.copy())


def main(path: Path) -> None:
    start = time.perf_counter()
    logging.disable_progress_bar()
    old, new = (name.partition("-")[0] for name in (OLD, NEW))
    trec = load_trec()
    anchors = sample_anchors(trec, NUM_ANCHORS)
    others = np.setdiff1d(np.arange(len(trec.texts)), anchors.indices)
    rows, asked = others[:-NUM_QUERIES], others[-NUM_QUERIES:]
    texts, queries = ([trec.texts[row] for row in part] for part in (rows, asked))
    print(
        f"An index of {len(rows):,} questions by {old} moves to {new}, by {len(anchors):,} anchors, and is searched by "
        f"{len(queries)} questions.\nThe first run takes one or two minutes, half of it for {new}, a later one half a minute."
    )
    print(f"\nEncoding by {old} and {new}: anchors, queries, and, for the comparison, all rows ...", flush=True)
    vectors, records = zip(*(embed(name, trec.texts) for name in (OLD, NEW)), strict=True)
    sides = [
        AnchoredSpace.from_embeddings(v[list(anchors.indices)], anchors, r)
        for v, r in zip(vectors, records, strict=True)
    ]

    index = Index(new_folder(CACHE / "move_index.lancedb"))
    beside = {"id": range(len(rows)), "text": texts, "class": trec.labels[rows]}
    index.make(TABLE, {**beside, OLD: vectors[0][rows]})  # what you have
    index.make("encoded_anew", {"id": range(len(rows)), NEW: vectors[1][rows]})  # what you would wait for
    print("Connecting both ways ...", flush=True)
    to_new = IRPAdapter.connect(*sides, objective="neighbors")
    to_old = IRPAdapter.connect(*sides[::-1], objective="neighbors")
    address = f"lancedb:{index.folder}#{TABLE}"
    translating = time.process_time()
    told = translate_store(f"{address}.{OLD}", to_new, f"{address}.{MOVED}", confidence=True)
    translating = time.process_time() - translating
    print(f"\n{told}")
    bridge = Bridge(ENCODERS[NEW][1](), to_old, ENCODERS[OLD][1]())

    old_queries, new_queries = (side[asked] for side in vectors)
    translated = torch.from_numpy(to_old.translate(new_queries.numpy()))
    hits = {
        Way.NOTHING: index.search(TABLE, OLD, old_queries),
        Way.QUERIES: index.search(TABLE, OLD, translated),
        Way.MIXED: index.search(TABLE, OLD, torch.from_numpy(bridge.encode(queries, progress=False))),
        Way.STORE: index.search(TABLE, MOVED, new_queries),
        Way.ANEW: index.search("encoded_anew", NEW, new_queries),
    }
    moved, confidence = (index.column(TABLE, name) for name in (MOVED, CONFIDENCE))
    budget = round(BUDGET * len(rows))
    print(f"\nEncoding the {budget:,} rows that are found most by {new} ...", flush=True)
    encoding = time.process_time()
    print(reencode(f"{address}.{MOVED}", ENCODERS[NEW][1](), text="text", budget=budget))
    encoding = time.process_time() - encoding
    hits[Way.PARTLY] = index.search(TABLE, MOVED, new_queries)

    labels = trec.labels
    ways = Ways.of(hits, labels[rows], labels[asked])
    print_ways(ways, old, new, BUDGET)
    true = vectors[1][rows]
    least_sure = confidence.argsort(stable=True)
    orders = {Order.FOUND: found_most(moved, least_sure), Order.LEAST_SURE: least_sure}
    curves = by_share(moved, true, orders, new_queries, hits[Way.ANEW], BUDGET)
    few = {count: with_fewer(anchors, count, vectors, rows, new_queries, hits[Way.ANEW]) for count in FEWER}
    shown = pick(hits)
    print_hits(hits, shown, queries, texts, old, new)
    seconds = translating, encoding / budget * len(rows)
    print("\n" + "\n".join(verdicts(ways, curves, few, seconds, BUDGET, old, new)))

    path.parent.mkdir(parents=True, exist_ok=True)
    best = shown[0]
    lists = [[texts[row] for row in hits[way][best]] for way in (Way.NOTHING, Way.STORE, Way.ANEW)]
    draw(ways, curves, BUDGET, seconds, queries[best], lists, (old, new), path)
    print(f"\nPicture: {os.path.relpath(path)} ({time.perf_counter() - start:.0f} s in all)")


def load_lancedb() -> Any:
    """LanceDB, or the end of the run."""
    try:
        import lance  # noqa: F401 - by which irp_hf writes to it
        import lancedb
    except ImportError:
        raise SystemExit(
            "The index is a table of LanceDB, which is not installed. Run: pip install lancedb pylance"
        ) from None
    return lancedb


def new_folder(folder: Path) -> Path:
    """An empty folder for the index; that of an earlier run is removed."""
    for place in (folder, *folder.parent.glob(f"{folder.name}.*")):
        shutil.rmtree(place, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def as_lists(vectors: Tensor) -> pa.Array:
    """Vectors `(n, d)` as LanceDB keeps them."""
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.float().numpy().reshape(-1)), vectors.shape[1])


def with_fewer(
    anchors: AnchorSet, count: int, vectors: tuple[Tensor, Tensor], rows: np.ndarray, queries: Tensor, own: Tensor
) -> float:
    """What a store finds of the ten that was translated by the first `count` anchors alone."""
    known = list(anchors.indices[:count])
    adapter = IRPAdapter.from_anchors(*(side[known] for side in vectors), objective="neighbors")
    moved = torch.from_numpy(adapter.translate(vectors[0][rows].numpy()))
    found = (unit_rows(queries.float()) @ unit_rows(moved).T).topk(NEIGHBORS).indices
    return float(recall(found, own).mean())


def pick(hits: dict[Way, Tensor]) -> list[int]:
    """The query that gains most by the translated store, one in the middle, and the one that loses most."""
    gains = recall(hits[Way.STORE], hits[Way.ANEW]) - recall(hits[Way.NOTHING], hits[Way.ANEW])
    order = gains.argsort(stable=True)
    return [int(order[round(place * (len(order) - 1))]) for place in SHOWN]


def print_hits(
    hits: dict[Way, Tensor], shown: list[int], queries: list[str], texts: list[str], old: str, new: str
) -> None:
    """The first hits before and after; what is among the ten that the new encoder finds by itself gets a mark."""
    cut = partial(shorten, width=WIDTH, placeholder=" …")
    print(
        "\nWhat is found before and after, by the query that gains most, one in the middle, and the one that loses most; "
        f"+ is among {new}'s own {NEIGHBORS}"
    )
    for query in shown:
        before, after = (float(recall(hits[way], hits[Way.ANEW])[query]) for way in (Way.NOTHING, Way.STORE))
        print(f"\n{queries[query]}   (recall {before:.1f} → {after:.1f})")
        print(f"    {f'before, by {old}':<{WIDTH + 2}}  after, by {new} in the translated column")
        own = set(hits[Way.ANEW][query].tolist())
        for one, other in zip(*(hits[way][query, :EACH].tolist() for way in (Way.NOTHING, Way.STORE)), strict=True):
            marks = ["+" if hit in own else " " for hit in (one, other)]
            print(f"  {marks[0]} {cut(texts[one]):<{WIDTH}}  {marks[1]} {cut(texts[other])}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, default=CACHE / "move_index.png", help="where to draw the results")
    main(parser.parse_args().picture)
