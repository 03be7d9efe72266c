"""Which rows of a translated store to encode first: what searches find while a part of it is true.

An index of translated vectors with their confidences, of which a part is replaced by true ones: the least sure, those found
most by others of the store (as `reencode(order="found")` has it), or random ones. Queries are the new encoder's own of other
rows. It reads the vectors of benchmarks/vectors.py.

    python benchmarks/interim.py [--seeds 0 1] [--jobs 2]    # writes benchmarks/interim.md
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import torch
from compared import told
from jobs import each
from moving import found_by
from torch import Tensor
from vectors import BENCHMARKS, FASHION, SENTENCES, TREC, column

from irp_hf import IRPAdapter
from irp_hf.evaluation import bootstrap
from irp_hf.evaluation.printed import markdown, number
from irp_hf.stores import open_store
from irp_hf.stores.found import times_found

PAIRS = (
    *((TREC, "static", "MiniLM"), (TREC, "MiniLM", "mpnet"), (TREC, "mpnet", "MiniLM")),
    *((FASHION, "ResNet", "lite2"), (FASHION, "lite0", "lite2"), (SENTENCES, "static", "MiniLM")),
)
SHARES = (0.1, 0.2, 0.5)
RANDOM, LEAST_SURE, FOUND = "random", "least sure", "found most"
NUM_ANCHORS, NUM_QUERIES, LARGEST = 1000, 1000, 20_000
TABLE = BENCHMARKS / "interim.md"


def contest(data: str, old: str, new: str, seed: int) -> dict[tuple[float, str], Tensor]:
    """The share of its ten that each query finds `(n,)`, by the share that is true and by which rows these are."""
    x, y = column(data, old), column(data, new)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    anchors, queries, index = order.tensor_split([NUM_ANCHORS, NUM_ANCHORS + NUM_QUERIES])
    index = index[:LARGEST]
    adapter = IRPAdapter.from_anchors(x[anchors], y[anchors], objective="neighbors")
    moved, confidences = adapter.translate(x[index], return_confidence=True)
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "moved.npy", moved.numpy())
        with open_store(Path(folder) / "moved.npy") as store:
            counts = times_found(store, progress=False)
    first = {
        RANDOM: torch.randperm(len(index), generator=torch.Generator().manual_seed(seed + 100)),
        LEAST_SURE: confidences.argsort(),
        FOUND: torch.from_numpy(np.lexsort([confidences.numpy(), -counts])),
    }
    wanted, scores = found_by(y[queries], y[index]), {}
    lengths = torch.linalg.vector_norm(y[index], dim=1).mean() / torch.linalg.vector_norm(moved, dim=1, keepdim=True)
    for share, (name, rows) in product(SHARES, first.items()):
        part = moved * lengths
        part[rows[: round(share * len(index))]] = y[index][rows[: round(share * len(index))]]
        found = found_by(y[queries], part)
        scores[share, name] = (wanted[:, :, None] == found[:, None]).any(2).double().mean(1)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    jobs = [(*pair, seed) for pair, seed in product(PAIRS, options.seeds)]
    found = dict(each(contest, jobs, options.jobs))
    names = (RANDOM, LEAST_SURE, FOUND)
    lines = [["true", "data: old → new", *names, f"{FOUND} less {RANDOM}", f"{FOUND} less {LEAST_SURE}"]]
    for share, pair in product(SHARES, PAIRS):
        scores = {name: torch.cat([of[share, name] for job, of in found.items() if job[:3] == pair]) for name in names}
        less = [bootstrap((scores[FOUND] - scores[name])[None], bounded=False)[0] for name in (RANDOM, LEAST_SURE)]
        means = [number(float(scores[name].mean())) for name in names]
        lines.append([f"{share:.0%}", f"{pair[0]}: {pair[1]} → {pair[2]}", *means, *map(told, less)])
    how = (
        f"`python benchmarks/interim.py --seeds {' '.join(map(str, options.seeds))}`: {NUM_ANCHORS:,} anchors, {NUM_QUERIES:,} "
        f"queries a seed, in an index of all other rows, at most {LARGEST:,}; the share found of the new encoder's own ten."
    )
    TABLE.write_text(f"{markdown(lines)}\n\n{how}\n", encoding="utf-8")
    print(TABLE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
