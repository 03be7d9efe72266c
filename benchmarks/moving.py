"""Doing nothing, translating the store, translating queries, mixing, encoding anew: what a search finds by each.

An index by an old encoder, a new encoder, and some anchors by both. The truth is what the new encoder's own queries find in an
index of its own vectors, the ten nearest; and, where rows have classes, how many of the ten have that of the query. Rows are no
anchors, and queries are not in the index. It reads the vectors of benchmarks/vectors.py.

    python benchmarks/moving.py [--anchors 300 1000] [--seeds 0 1] [--jobs 2]    # writes benchmarks/moving.md
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import torch
from compared import joined
from jobs import each
from torch import Tensor
from vectors import CLASS, FASHION, SENTENCES, TREC, column

from irp_hf import IRPAdapter
from irp_hf.baselines.registry import BASELINES
from irp_hf.evaluation import bootstrap
from irp_hf.evaluation.printed import markdown, number
from irp_hf.maths.projection import unit_rows
from irp_hf.stitching.bridge import mixed, weigh

PAIRS = (  # data, old encoder, new encoder
    (TREC, "static", "MiniLM"),
    (TREC, "MiniLM", "mpnet"),
    (TREC, "mpnet", "MiniLM"),
    (FASHION, "ResNet", "lite2"),
    (FASHION, "lite0", "lite2"),
    (SENTENCES, "static", "MiniLM"),
)
RIVALS = ("Procrustes", "ridge", "residual MLP")
OLD, STORE, QUERIES, MIXED, ANEW = (
    *("keep the old encoder", "store translated", "queries translated", "queries mixed", "encoded anew"),
)
NUM_QUERIES, LARGEST, NEIGHBORS = 1000, 20_000, 10
CLASSES = (TREC, FASHION)
TABLE = Path(__file__).resolve().parent / "moving.md"
Job = tuple[str, str, str, int, int]


def contest(data: str, old: str, new: str, num_anchors: int, seed: int) -> dict[str, Tensor]:
    """By contestant: of every query the share of the ten that was found, and of its own class, shape (2, n)."""
    x, y = column(data, old), column(data, new)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    anchors, queries, index = order.tensor_split([num_anchors, num_anchors + NUM_QUERIES])
    index = index[:LARGEST]
    labels = column(data, CLASS) if data in CLASSES else None
    wanted = found_by(y[queries], y[index])

    def scored(asked: Tensor, rows: Tensor) -> Tensor:
        found = found_by(asked, rows)
        shared = (wanted[:, :, None] == found[:, None]).any(2).double().mean(1)
        if labels is None:
            return torch.stack([shared, torch.full_like(shared, torch.nan)])
        return torch.stack([shared, (labels[index][found] == labels[queries][:, None]).double().mean(1)])

    there = IRPAdapter.from_anchors(x[anchors], y[anchors], objective="neighbors")
    back = IRPAdapter.from_anchors(y[anchors], x[anchors], objective="neighbors")
    asked = back.translate(y[queries])
    scores = {
        OLD: scored(x[queries], x[index]),
        STORE: scored(y[queries], there.translate(x[index])),
        QUERIES: scored(asked, x[index]),
        MIXED: scored(mixed(asked, x[queries], weigh(back).best), x[index]),
        ANEW: scored(y[queries], y[index]),
    }
    for name in RIVALS:
        moved = BASELINES[name](x[anchors].double(), y[anchors].double())
        turned = BASELINES[name](y[anchors].double(), x[anchors].double())
        scores[f"{STORE}, {name}"] = scored(y[queries], moved.translate(x[index]))
        scores[f"{QUERIES}, {name}"] = scored(turned.translate(y[queries]), x[index])
    return scores


def found_by(queries: Tensor, index: Tensor) -> Tensor:
    """The rows `(n, 10)` of the index whose cosines with each query are the largest."""
    rows = unit_rows(index.float())
    return torch.cat([(unit_rows(part.float()) @ rows.T).topk(NEIGHBORS).indices for part in queries.split(256)])


def table(found: dict[Job, dict[str, Tensor]], row: int) -> str:
    """A line for each pair of encoders and number of anchors: the means of what each contestant found, with intervals."""
    names = list(next(iter(found.values())))
    lines = [["anchors", "data: old → new", *names]]
    for num_anchors, pair in product(sorted({job[3] for job in found}), PAIRS):
        samples = [scores for job, scores in found.items() if job[:4] == (*pair, num_anchors)]
        if samples and not samples[0][OLD][row].isnan().any():
            scores = joined(samples, row)
            means = bootstrap(torch.stack([scores[name] for name in names]))
            lines.append([f"{num_anchors:,}", f"{pair[0]}: {pair[1]} → {pair[2]}", *map(str, means)])
    return markdown(lines)


def verdicts(found: dict[Job, dict[str, Tensor]]) -> str:
    """How often each way is surely ahead of doing nothing, by the new encoder's neighbours, and what it finds on the mean."""
    said = []
    lines = {job[:4] for job in found}
    for name in (STORE, QUERIES, MIXED):
        gaps = []
        for line in sorted(lines):
            scores = joined([scores for job, scores in found.items() if job[:4] == line], 0)
            gaps.append((bootstrap((scores[name] - scores[OLD])[None], bounded=False)[0], float(scores[name].mean())))
        ahead, behind = (sum(gap.is_sure() and (gap.mean > 0) == up for gap, _ in gaps) for up in (True, False))
        mean = number(sum(mean for _, mean in gaps) / len(gaps))
        said.append(
            f"- {name}: {mean} on the mean, surely ahead of keeping the old encoder in {ahead}, surely behind in {behind}"
        )
    return f"Of {len(lines)} lines, by the new encoder's own neighbours:\n\n" + "\n".join(said)


def written(found: dict[Job, dict[str, Tensor]], anchors: list[int], seeds: list[int]) -> str:
    """All tables, and how they were made."""
    command = f"python benchmarks/moving.py --anchors {' '.join(map(str, anchors))} --seeds {' '.join(map(str, seeds))}"
    how = f"`{command}`: {NUM_QUERIES:,} queries a seed, in an index of all other rows, at most {LARGEST:,}."
    tables = (
        f"## The new encoder's own ten nearest\n\n{table(found, 0)}",
        f"## Of the query's class, among the ten\n\n{table(found, 1)}",
    )
    return "\n\n".join([*tables, verdicts(found), how]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anchors", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    jobs = [(*pair, count, seed) for count, pair, seed in product(options.anchors, PAIRS, options.seeds)]
    found: dict[Job, dict[str, Tensor]] = {}
    for job, scores in each(contest, jobs, options.jobs):
        found[job] = scores
        print(*job, {name: number(float(row[0].mean())) for name, row in scores.items()}, flush=True)
    TABLE.write_text(written(found, options.anchors, options.seeds), encoding="utf-8")


if __name__ == "__main__":
    main()
