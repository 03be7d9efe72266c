"""Is each objective ahead where it is meant to be? Known items and neighbours against Procrustes and ridge regression.

For all ordered pairs of three text encoders on the questions of TREC, of three picture encoders on Fashion-MNIST, and of static
token vectors and MiniLM on English sentences, whose queries search 50,000 rows: `cosine` (the default), `neighbors` and
`retrieval`, each fitted on the same anchors as the baselines. Known items are measured by MRR, neighbours by the share of the
target's own ten that are kept, both on rows that are no anchors; differences are paired, with their 95 % interval over queries.

    python benchmarks/objectives.py [--anchors 300 1000] [--seeds 0]    # prints, and writes benchmarks/objectives.md

Reads the packages of `requirements-examples.txt`. MiniLM encodes 64,000 sentences once, which takes some minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from itertools import permutations, product
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
import fashion
import trec
from index import sentences
from paper_images import NUM_TEST, NUM_TRAIN
from paper_images import SHORT as PICTURES
from paper_text import SHORT as QUESTIONS

from irp_hf import IRPAdapter
from irp_hf.baselines import BASELINES
from irp_hf.evaluation import bootstrap, number, signed
from irp_hf.evaluation.printed import markdown
from irp_hf.maths.metrics import NEIGHBORS
from irp_hf.maths.projection import unit_rows

OBJECTIVES = ("cosine", "neighbors", "retrieval")
RIVALS = ("Procrustes", "ridge")
SENTENCES = ("static-256", "MiniLM-384")
QUERIES, GALLERY = 1000, 50_000
TABLE = trec.ROOT / "benchmarks" / "objectives.md"
Scores = dict[str, Tensor]
"""By contestant: MRR and neighbours of every query, shape (2, n)."""
Translate = Callable[[Tensor], Tensor]


def spaces() -> dict[str, dict[str, Tensor]]:
    """By data, the vectors of every encoder."""
    questions, pictures = trec.load_trec(), fashion.load_fashion(NUM_TRAIN, NUM_TEST)
    return {
        "TREC": {short: trec.embed(name, questions.texts)[0] for name, short in QUESTIONS.items()},
        "Fashion-MNIST": {short: fashion.embed(name, pictures)[0] for name, short in PICTURES.items()},
        "sentences": {name: trec.embed(name, sentences())[0] for name in SENTENCES},
    }


def contestants(x: Tensor, y: Tensor) -> Iterator[tuple[str, Translate]]:
    """Everybody, fitted on the anchors `x (k, d_X)` and `y (k, d_Y)`."""
    for objective in OBJECTIVES:
        yield objective, IRPAdapter.from_anchors(x, y, objective=objective).translate
    for name in RIVALS:
        yield name, BASELINES[name](x.double(), y.double()).translate


def contest(x: Tensor, y: Tensor, num_anchors: int, seed: int) -> Scores:
    """One sample of anchors; the queries' own rows are in the gallery."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    anchors, queries = order[:num_anchors], order[num_anchors:][:QUERIES]
    gallery = unit_rows(y[order[num_anchors:][:GALLERY]].float())
    own = torch.arange(len(queries))
    wanted = searched(gallery[: len(queries)], gallery, own)[1]

    def measured(translate: Translate) -> Tensor:
        ranks, found = searched(unit_rows(translate(x[queries]).float()), gallery, own)
        kept = (wanted[:, :, None] == found[:, None, :]).any(2).double().mean(1)
        return torch.stack([1 / ranks.double(), kept])

    return {name: measured(translate) for name, translate in contestants(x[anchors], y[anchors])}


def searched(queries: Tensor, gallery: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """The rank `(n,)` of each query's own row, and its ten nearest others `(n, 10)`."""
    ranks, nearest = [], []
    for part, row in zip(queries.split(256), own.split(256), strict=True):
        similar = part @ gallery.T
        ranks.append((similar >= similar.gather(1, row[:, None])).sum(1))
        similar.scatter_(1, row[:, None], -2.0)
        nearest.append(similar.topk(NEIGHBORS).indices)
    return torch.cat(ranks), torch.cat(nearest)


def less(scores: Scores, one: str, other: str, measure: int) -> str:
    """The mean difference of two contestants, with its interval."""
    (found,) = bootstrap((scores[one][measure] - scores[other][measure])[None], bounded=False)
    return f"{signed(found.mean)} ({signed(found.low)} to {signed(found.high)})"


def table(found: dict[tuple[str, int], list[Scores]]) -> str:
    """A line for every pair of encoders and number of anchors, and the means."""
    head = ["", *(f"MRR: {name}" for name in (*OBJECTIVES, *RIVALS)), "`retrieval` − Procrustes"]
    head += [f"neighbours: {name}" for name in (*OBJECTIVES, *RIVALS)]
    head += ["`neighbors` − Procrustes", "`neighbors` − `cosine`"]
    lines, names = [head], (*OBJECTIVES, *RIVALS)
    for (title, count), samples in found.items():
        scores = {name: torch.stack([one[name] for one in samples]).mean(0) for name in names}
        means = [[number(float(scores[name][measure].mean())) for name in names] for measure in (0, 1)]
        lines.append(
            [
                f"{title}, {count:,}",
                *means[0],
                less(scores, "retrieval", "Procrustes", 0),
                *means[1],
                less(scores, "neighbors", "Procrustes", 1),
                less(scores, "neighbors", "cosine", 1),
            ]
        )
    for count in sorted({count for _, count in found}):
        samples = [sample for (_, k), several in found.items() for sample in several if k == count]
        means = [
            [number(sum(float(one[name][measure].mean()) for one in samples) / len(samples)) for name in names]
            for measure in (0, 1)
        ]
        lines.append([f"**mean, {count:,}**", *means[0], "", *means[1], "", ""])
    return markdown(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anchors", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    found: dict[tuple[str, int], list[Scores]] = {}
    for num_anchors, (data, sides) in product(options.anchors, spaces().items()):
        for (source, x), (target, y) in permutations(sides.items(), 2):
            for seed in options.seeds:
                title = f"{data}: {source} → {target}"
                scores = contest(x, y, num_anchors, seed)
                found.setdefault((title, num_anchors), []).append(scores)
                told = ", ".join(f"{name} {one[0].mean():.3f} {one[1].mean():.3f}" for name, one in scores.items())
                print(f"{num_anchors:,} {title}: {told}", file=sys.stderr, flush=True)
    seeds = ", ".join(map(str, options.seeds))
    text = (
        f"{table(found)}\n\n`python benchmarks/objectives.py`, anchors drawn with seed {seeds}; {QUERIES:,} queries.\n"
    )
    TABLE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
