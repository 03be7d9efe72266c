"""Search an index with another encoder than the one that built it, and see what is still found.

The transformer MiniLM (384 wide) built a FAISS index of questions of TREC. The queries are encoded by a table of token
vectors (256 wide), which shares nothing with MiniLM but is many times as fast, and translated on their way to the
index, which stays as it is. The translation knows 3,500 questions, the anchors; none is in the index or a query.

`make install` installs the data, the encoders and FAISS; `--picture FILE` draws into that file.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from search_index_plot import draw
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch import Tensor
from transformers.utils import logging
from trec import CACHE, StaticEncoder, adapter_folder, embed, load_trec, minilm_folder, sample_anchors

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.baselines import procrustes, ridge
from irp_hf.evaluation import Measure, bootstrap
from irp_hf.integrations.sentence_transformers import IRPTranslation

NUM_ANCHORS, NUM_QUERIES = 3500, 500
NEIGHBORS = 10
DEPTHS = (10, 20, 30, 50, 70, 100)  # hits that are looked through
OWN, REBUILT, OURS = "MiniLM, which built the index", "static, in an index of its own", "irp_hf"
DIRECT = {"Procrustes (direct)": procrustes, "ridge (direct)": ridge}  # fitted with both encoders at hand
SHOWN, EACH = (0.9, 0.5, 0.1), 3  # queries at these places from the worst to the best, and hits of each
WIDTH = 57  # of a printed hit


@dataclass(frozen=True)
class Found:
    """What some queries find, `(q, 100)` row numbers of the index, beside the ten that MiniLM finds, `(q, 10)`."""

    hits: Tensor
    own: Tensor

    def recall(self, depth: int = NEIGHBORS) -> Tensor:
        """Share `(q,)` of MiniLM's ten hits among the first hits."""
        return (self.own[:, :, None] == self.hits[:, None, :depth]).any(2).double().mean(1)

    def first(self) -> Tensor:
        """Whether MiniLM's very first hit is among the ten, `(q,)`."""
        return (self.own[:, :1] == self.hits[:, :NEIGHBORS]).any(1).double()


def main(path: Path) -> None:
    start = time.perf_counter()
    faiss = load_faiss()
    logging.disable_progress_bar()
    trec = load_trec()
    anchors = sample_anchors(trec, NUM_ANCHORS)
    known = list(anchors.indices)
    new = np.setdiff1d(np.arange(len(trec.texts)), known)
    rows, asked = new[:-NUM_QUERIES], new[-NUM_QUERIES:]
    documents, queries = ([trec.texts[row] for row in part] for part in (rows, asked))
    print(f"TREC: {len(documents):,} questions in MiniLM's index, {len(queries)} others to search it with")
    (static, static_record), (minilm, minilm_record) = (
        embed(name, trec.texts) for name in ("static-256", "MiniLM-384")
    )
    source = AnchoredSpace.from_embeddings(static[known], anchors, static_record)
    target = AnchoredSpace.from_embeddings(minilm[known], anchors, minilm_record)
    print(f"Connecting static to MiniLM by {len(anchors):,} anchors ...", flush=True)
    # "auto" chooses the kernel as well, but tries the other two before it does.
    folder = adapter_folder(source, target, method="kernel", objective="neighbors")
    model = stitched(IRPAdapter.from_pretrained(folder))

    index = build(faiss, minilm[rows])
    hits = {
        OWN: search(index, minilm[asked]),
        REBUILT: search(build(faiss, static[rows]), static[asked]),
        **{title: search(index, fit(source.anchors, target.anchors)(static[asked])) for title, fit in DIRECT.items()},
        OURS: search(index, torch.from_numpy(model.encode(queries))),
    }
    results = {title: Found(rows, hits[OWN][:, :NEIGHBORS]) for title, rows in hits.items()}
    recalls = measure(results)
    compare_speed(model, queries)
    shown = pick(results[OURS])
    print_hits(results[OURS], shown, queries, documents)

    curves = {title: [float(results[title].recall(depth).mean()) for depth in DEPTHS] for title in (*DIRECT, OURS)}
    lists = [[documents[hit] for hit in hits[title][shown[1], :NEIGHBORS]] for title in (OWN, OURS)]
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(recalls, DEPTHS, curves, queries[shown[1]], *lists, path)
    print(f"\nPicture: {os.path.relpath(path)} ({time.perf_counter() - start:.0f} s in all)")


def load_faiss() -> Any:
    """FAISS, or the end of the run."""
    try:
        import faiss
    except ImportError:
        raise SystemExit("The index is searched by FAISS, which is not installed. Run: pip install faiss-cpu") from None
    return faiss


def build(faiss: Any, vectors: Tensor) -> Any:
    """An index of `vectors (n, d)` that ranks by cosine."""
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(torch.nn.functional.normalize(vectors).numpy())
    return index


def search(index: Any, vectors: Tensor) -> Tensor:
    """Row numbers `(q, 100)` of what `vectors (q, d)` find, the nearest first."""
    _, hits = index.search(vectors.float().numpy(), max(DEPTHS))
    return torch.from_numpy(hits)


def stitched(adapter: IRPAdapter) -> SentenceTransformer:
    """The static encoder as a model of sentence-transformers that speaks MiniLM's language."""
    table = StaticEncoder()
    return SentenceTransformer(modules=[StaticEmbedding(table.tokenizer, table.vectors), IRPTranslation(adapter)])


def measure(results: dict[str, Found]) -> dict[str, Measure]:
    """Print the table, with half the 95 % intervals; returns the recalls."""
    recalls, firsts = (
        dict(zip(results, bootstrap(torch.stack(rows)), strict=True))
        for rows in zip(*[(found.recall(), found.first()) for found in results.values()], strict=True)
    )

    def line(title: str, recall: object, first: object) -> None:
        print(f"{title:<33}{recall!s:>14}{first!s:>18}")

    print()
    line("", "recall@10", "first hit found")
    print("─" * 65)
    for title in (OWN, REBUILT):
        line(title, recalls[title], firsts[title])
    print("\nstatic, translated into MiniLM's index by")
    for title in (*DIRECT, OURS):
        line(f"  {title}", recalls[title], firsts[title])
    print(
        f"\nrecall@10: share of MiniLM's own {NEIGHBORS} hits among the {NEIGHBORS} that are found;\n"
        f"first hit found: MiniLM's very first hit is among the {NEIGHBORS}."
    )
    return recalls


def compare_speed(model: SentenceTransformer, queries: list[str]) -> None:
    """Print how many queries each encoder takes in a second, translation included; the best of three runs."""
    rates = []
    for encoder in (SentenceTransformer(str(minilm_folder())), model):
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            encoder.encode(queries)
            seconds.append(time.perf_counter() - start)
        rates.append(len(queries) / min(seconds))
    print(f"Queries a second on this machine: MiniLM {rates[0]:,.0f}, static with translation {rates[1]:,.0f}.")


def pick(found: Found) -> list[int]:
    """Queries that find much, half and little of what MiniLM finds."""
    order = found.recall().argsort(stable=True)
    return [int(order[round(place * (len(order) - 1))]) for place in SHOWN]


def print_hits(found: Found, shown: list[int], queries: list[str], documents: list[str]) -> None:
    """The first hits of MiniLM beside those of the static encoder; what MiniLM has among its ten gets a mark."""
    cut = partial(shorten, width=WIDTH, placeholder=" …")
    print(f"\nWhat is found, for a good, a middling and a poor query; + is among MiniLM's {NEIGHBORS}")
    for query in shown:
        print(f"\n{queries[query]}   (recall {float(found.recall()[query]):.1f})")
        print(f"  {'MiniLM':<{WIDTH + 2}}  static, translated")
        for own, hit in zip(found.own[query, :EACH].tolist(), found.hits[query, :EACH].tolist(), strict=True):
            mark = "+" if hit in found.own[query] else " "
            print(f"  {cut(documents[own]):<{WIDTH}}  {mark} {cut(documents[hit])}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, default=CACHE / "search_index.png", help="where to draw the results")
    main(parser.parse_args().picture)
