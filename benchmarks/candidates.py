"""Two stages: of the ten nearest by true vectors, how many are among the first hundred that the first stage finds?

`cosine` (the default), `neighbors` and `recall` against Procrustes and ridge regression, fitted on the same anchors. Either
the queries are translated, or all that they search. They are no anchors, and search all other rows, up to 50,000; a second
stage that compares true vectors keeps what is measured here.

    python benchmarks/candidates.py [--anchors 300 1000] [--seeds 0 1 2] [--depth 100] [--jobs 1]

prints, and writes benchmarks/candidates.md, anew after every job. Reads what `benchmarks/vectors.py` makes.
"""

from __future__ import annotations

import argparse

import torch
import vectors
from compared import compared, joined
from jobs import tabled
from torch import Tensor
from vectors import FASHION, SENTENCES, TREC, column

from irp_hf import IRPAdapter
from irp_hf.baselines import BASELINES
from irp_hf.maths.metrics import NEIGHBORS
from irp_hf.maths.projection import unit_rows

PAIRS = (
    (TREC, "static", "MiniLM"),
    (TREC, "MiniLM", "mpnet"),
    (SENTENCES, "static", "MiniLM"),
    (FASHION, "lite0", "lite2"),
)
DEFAULT, OWN, OBJECTIVES, RIVALS = "cosine", "recall", ("cosine", "neighbors", "recall"), ("Procrustes", "ridge")
QUERIES, GALLERY = 1000, 50_000
TABLE = vectors.BENCHMARKS / "candidates.md"
Job = tuple[str, str, str, int, int, int]
"""Data, source, target, number of anchors, seed, depth."""
Scores = dict[str, Tensor]
"""By contestant: the share that is kept of every query's ten, with queries and with rows translated, shape (2, n)."""


def contest(data: str, source: str, target: str, num_anchors: int, seed: int, depth: int) -> Scores:
    """One sample of anchors; the first of the other rows are the queries."""
    x, y = column(data, source), column(data, target)
    anchors, others = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)).tensor_split([num_anchors])
    others = others[:GALLERY]
    gallery = unit_rows(y[others])
    true = gallery[:QUERIES]
    wanted = found_first(true, gallery, NEIGHBORS)

    def scored(translated: Tensor) -> Tensor:
        rows = unit_rows(translated).to(gallery)
        found = found_first(rows[:QUERIES], gallery, depth), found_first(true, rows, depth)
        return torch.stack([kept(wanted, one) for one in found])

    scores = {}
    for objective in OBJECTIVES:
        options = {"depth": depth} if objective == OWN else {}
        adapter = IRPAdapter.from_anchors(x[anchors], y[anchors], objective=objective, **options)
        scores[objective] = scored(adapter.translate(x[others]))
    for name in RIVALS:
        scores[name] = scored(BASELINES[name](x[anchors].double(), y[anchors].double()).translate(x[others].double()))
    return scores


def found_first(queries: Tensor, gallery: Tensor, depth: int) -> Tensor:
    """The rows `(n, depth)` nearest to unit `queries (n, d)`, which stand for the first of the unit `gallery (m, d)`."""
    found = []
    for rows in torch.arange(len(queries)).split(256):
        similar = queries[rows] @ gallery.T
        similar.scatter_(1, rows[:, None], -2.0)
        found.append(similar.topk(depth).indices)
    return torch.cat(found)


def kept(wanted: Tensor, found: Tensor) -> Tensor:
    """The share `(n,)` of what was wanted, `(n, 10)`, that is among what was `found (n, depth)`."""
    return (wanted[:, :, None] == found[:, None, :]).any(2).double().mean(1)


def written(results: dict[Job, Scores]) -> str:
    """Both tables of what is there."""
    anchors, seeds, depths = (" ".join(map(str, sorted({job[place] for job in results}))) for place in (3, 4, 5))
    parts = []
    for row, title in enumerate(("Queries translated", "The index translated")):
        lines = {}
        for count, pair in sorted({(job[3], PAIRS.index(job[:3])) for job in results}):
            samples = [scores for job, scores in results.items() if (job[3], job[:3]) == (count, PAIRS[pair])]
            lines[count, "{}: {} → {}".format(*PAIRS[pair])] = joined(samples, row)
        parts.append(
            f"## {title}: the ten nearest among the first {depths}\n\n{compared(lines, OWN, RIVALS, 'neighbors')}\n\n"
        )
    command = f"python benchmarks/candidates.py --anchors {anchors} --seeds {seeds} --depth {depths}"
    return f"{''.join(parts)}`{command}`: {QUERIES:,} queries a seed; in parentheses 95 % intervals over these.\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anchors", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    jobs = [(*pair, k, seed, options.depth) for k in options.anchors for pair in PAIRS for seed in options.seeds]
    tabled(contest, jobs, options.jobs, TABLE, written)


if __name__ == "__main__":
    main()
