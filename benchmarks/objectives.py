"""Is each objective ahead where it is meant to be? And what do the queries of a new encoder find in an old one's index?

`cosine` (the default), `neighbors` and `retrieval` against Procrustes and ridge regression, fitted on the same anchors: all
ordered pairs of three text encoders on the questions of TREC, of three picture encoders on Fashion-MNIST, and of static token
vectors and MiniLM on English sentences, whose queries search 50,000 rows; a multilingual encoder that reads Spanish and two
that read English; pictures and names of emoji. Queries are no anchors, and what they search are all rows that are none. Where
there are classes, a linear head is trained on the target's vectors of others of these rows.

    python benchmarks/objectives.py [--anchors 100 300 1000 3000] [--seeds 0] [--jobs 1] [--data TREC emoji]

prints, and writes benchmarks/objectives.md, anew after every job. Reads what `benchmarks/vectors.py` makes, at first with the
packages of `requirements-examples.txt`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import permutations, product
from typing import NamedTuple

import torch
import vectors
from compared import compared, joined
from jobs import tabled
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from vectors import CLASS, EMOJI, FASHION, SENTENCES, SPANISH, TREC, column

from irp_hf import IRPAdapter
from irp_hf.baselines import BASELINES
from irp_hf.maths.metrics import NEIGHBORS, cosines
from irp_hf.maths.projection import unit_rows

ENCODERS = {TREC: ("static", "MiniLM", "mpnet"), FASHION: ("ResNet", "lite0", "lite2"), SENTENCES: ("static", "MiniLM")}
"""From the weaker to the stronger: a stronger one is what replaces another."""
PAIRS = [
    *((data, *pair) for data, names in ENCODERS.items() for pair in permutations(names, 2)),
    *((SPANISH, "USE", english) for english in ("MiniLM", "mpnet")),
    *((EMOJI, *pair) for one in (("lite2", "mpnet"), ("ResNet", "MiniLM")) for pair in (one, one[::-1])),
]
DEFAULT, OBJECTIVES, RIVALS = "cosine", ("cosine", "neighbors", "retrieval"), ("Procrustes", "ridge")
OLD = "the old encoder"
QUERIES, GALLERY, TRAINED, FEWEST = 1000, 50_000, 2000, 500
CLASSES = (TREC, FASHION)
TABLE = vectors.BENCHMARKS / "objectives.md"


class Asked(NamedTuple):
    """A measure, and the objective that is meant for it."""

    title: str
    objective: str
    contestants: tuple[str, ...] = (*OBJECTIVES, *RIVALS)


ASKED = (
    Asked("Accuracy of a head", DEFAULT),
    Asked("MRR: known items", "retrieval"),
    Asked("Neighbours: the target's own ten", "neighbors"),
    Asked("Cosine to the true vector", DEFAULT),
    Asked("Queries of a new encoder in an old index: the new one's own ten", "neighbors", (*OBJECTIVES, *RIVALS, OLD)),
)
Job = tuple[str, str, str, int, int]
"""Data, source, target, number of anchors, seed."""
Scores = dict[str, Tensor]
"""By contestant: what is asked of every query, shape (5, n); NaN where there are no classes."""
Translate = Callable[[Tensor], Tensor]


def contestants(x: Tensor, y: Tensor) -> Iterator[tuple[str, Translate]]:
    """Everybody, fitted on the anchors `x (k, d_X)` and `y (k, d_Y)`."""
    for objective in OBJECTIVES:
        yield objective, IRPAdapter.from_anchors(x, y, objective=objective).translate
    for name in RIVALS:
        yield name, BASELINES[name](x.double(), y.double()).translate


def contest(data: str, source: str, target: str, num_anchors: int, seed: int) -> Scores:
    """One sample of anchors; the queries' own rows are in the gallery."""
    x, y = column(data, source), column(data, target)
    anchors, others = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)).tensor_split([num_anchors])
    queries, trained, others = others[:QUERIES], others[QUERIES:][:TRAINED], others[:GALLERY]
    own, gallery = torch.arange(len(queries)), unit_rows(y[others])
    wanted = searched(gallery[own], gallery, own)[1]
    wanted_by_new = searched(unit_rows(x[queries]), unit_rows(x[others]), own)[1]
    right = judge(data, y, trained, queries)

    def scored(translated: Tensor) -> Tensor:
        ranks, found = searched(unit_rows(translated), gallery, own)
        searches = shared(wanted, found), shared(wanted_by_new, found)
        rows = right(translated), 1 / ranks, searches[0], cosines(translated, y[queries]), searches[1]
        return torch.stack([row.double() for row in rows])

    scores = {name: scored(translate(x[queries])) for name, translate in contestants(x[anchors], y[anchors])}
    return {**scores, OLD: scored(y[queries])}


def judge(data: str, y: Tensor, trained: Tensor, queries: Tensor) -> Callable[[Tensor], Tensor]:
    """Whether a head, trained on some rows of the target's vectors `y`, gives translated queries their classes."""
    if data not in CLASSES:
        return lambda x: torch.full((len(x),), torch.nan)
    labels = column(data, CLASS)
    head = LogisticRegression(max_iter=3000).fit(y[trained].numpy(), labels[trained].numpy())
    return lambda x: torch.from_numpy(head.predict(x.numpy())) == labels[queries]


def searched(queries: Tensor, gallery: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """The rank `(n,)` of each query's own row, and its ten nearest others `(n, 10)`."""
    ranks, nearest = [], []
    for part, row in zip(queries.split(256), own.split(256), strict=True):
        similar = part @ gallery.T
        ranks.append((similar >= similar.gather(1, row[:, None])).sum(1))
        similar.scatter_(1, row[:, None], -2.0)
        nearest.append(similar.topk(NEIGHBORS).indices)
    return torch.cat(ranks), torch.cat(nearest)


def shared(wanted: Tensor, found: Tensor) -> Tensor:
    """The share `(n,)` of what was wanted, `(n, 10)`, that was found."""
    return (wanted[:, :, None] == found[:, None, :]).any(2).double().mean(1)


def lines(found: dict[Job, Scores], row: int, asked: Asked) -> dict[tuple[int, str], dict[str, Tensor]]:
    """By number of anchors and pair of encoders: what each contestant got, where it is known."""
    counts, lines = sorted({job[3] for job in found}), {}
    for num_anchors, pair in product(counts, PAIRS):
        samples = [scores for job, scores in found.items() if job[:4] == (*pair, num_anchors)]
        if samples and (OLD not in asked.contestants or replaces(*pair)):
            scores = joined(samples, row)
            if not scores[DEFAULT].isnan().any():
                title = f"{pair[0]}: {pair[1]} → {pair[2]}"
                lines[num_anchors, title] = {name: scores[name] for name in asked.contestants}
    return lines


def replaces(data: str, source: str, target: str) -> bool:
    """Whether the source is an encoder that comes after the target."""
    names = ENCODERS.get(data, ())
    return source in names and names.index(source) > names.index(target)


def written(found: dict[Job, Scores]) -> str:
    """All tables of what is there."""
    anchors, seeds = (" ".join(map(str, sorted({job[place] for job in found}))) for place in (3, 4))
    parts = []
    for row, asked in enumerate(ASKED):
        default = DEFAULT if asked.objective != DEFAULT else None
        table = compared(lines(found, row, asked), asked.objective, RIVALS, default)
        parts += [f"## {asked.title}\n\n{table}\n\n"] if table else []
    data = dict.fromkeys(job[0] for job in found)
    part = "" if {*data} == {pair[0] for pair in PAIRS} else f" --data {' '.join(data)}"
    command = f"python benchmarks/objectives.py --anchors {anchors} --seeds {seeds}{part}"
    return (
        f"{''.join(parts)}`{command}`: at most {QUERIES:,} queries a seed; in parentheses 95 % intervals over these.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anchors", type=int, nargs="+", default=[100, 300, 1000, 3000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--data", nargs="+", default=list(dict.fromkeys(data for data, *_ in PAIRS)))
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    jobs = [
        (*pair, num_anchors, seed)
        for num_anchors in sorted(options.anchors, reverse=True)
        for pair in PAIRS
        for seed in options.seeds
        if pair[0] in options.data and len(column(*pair[:2])) >= num_anchors + FEWEST
    ]
    tabled(contest, jobs, options.jobs, TABLE, written)


if __name__ == "__main__":
    main()
