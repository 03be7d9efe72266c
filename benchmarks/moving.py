"""Doing nothing, translating the store, translating queries, mixing, encoding anew: what a search finds by each.

An index by an old encoder, a new encoder, and some anchors by both. The truth is what the new encoder's own queries find in an
index of its own vectors, the ten nearest; and, by people's judgements (benchmarks/judged.py), which rows answer a query. Rows
are no anchors, and queries are not in the index. Beside it stands what the anchors foretold. It reads the vectors of
benchmarks/vectors.py.

    python benchmarks/moving.py [--anchors 300 1000] [--seeds 0 1] [--jobs 2]    # writes benchmarks/moving.md
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path

import torch
from compared import joined
from jobs import each
from judged import judgements, ndcg
from torch import Tensor
from vectors import FASHION, SENTENCES, TREC, column

from irp_hf import IRPAdapter
from irp_hf.baselines.registry import BASELINES
from irp_hf.evaluation import Measure, bootstrap
from irp_hf.evaluation.index import IndexQuestion, index_report
from irp_hf.evaluation.printed import markdown, number
from irp_hf.evaluation.ways import IndexShare
from irp_hf.maths.mixing import mixed
from irp_hf.maths.projection import unit_rows
from irp_hf.models.reports import chosen_again
from irp_hf.stitching.bridge import weigh

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
WAYS = (OLD, STORE, QUERIES, MIXED)
NUM_QUERIES, LARGEST, NEIGHBORS = 1000, 20_000, 10
FOUND, JUDGED, LOW, TOLD, HIGH = range(5)  # rows of a contestant's scores
TABLE = Path(__file__).resolve().parent / "moving.md"
Job = tuple[str, str, str, int, int]
Translate = Callable[[Tensor], Tensor]
"""Vectors `(n, d)` of these rows `(n,)`."""


def contest(data: str, old: str, new: str, num_anchors: int, seed: int) -> dict[str, Tensor]:
    """By contestant, shape (5, n): of every query the share of the ten that was found, and of judged ones the nDCG.

    Then what was foretold of the first, on the mean, between its bounds: the same of every query.
    """
    x, y, known = column(data, old), column(data, new), judgements(data)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    anchors, others = order[:num_anchors], order[num_anchors:]
    queries, index = others[:NUM_QUERIES], others[NUM_QUERIES:][:LARGEST]
    judged = known.ask(others, NUM_QUERIES, LARGEST)
    wanted, num_answers = found_by(y[queries], y[index]), known.num_answers(judged.queries, judged.index)

    def scored(asked: Translate, stored: Translate, foretold: Measure | None = None) -> Tensor:
        found = found_by(asked(queries), stored(index))
        shared = (wanted[:, :, None] == found[:, None]).any(2).double().mean(1)
        answers = known.answers(judged.queries, judged.index[found_by(asked(judged.queries), stored(judged.index))])
        told = [torch.nan] * 3 if foretold is None else [foretold.low, foretold.mean, foretold.high]
        return torch.stack([shared, ndcg(answers, num_answers), *(torch.full_like(shared, bound) for bound in told)])

    there = IRPAdapter.from_anchors(x[anchors], y[anchors], objective="neighbors")
    back = IRPAdapter.from_anchors(y[anchors], x[anchors], objective="neighbors")
    told, told_back, weight = foretold(there, len(index)), foretold(back, len(index)), weigh(back).best
    before, anew = x.__getitem__, y.__getitem__

    def asked(rows: Tensor) -> Tensor:
        return back.translate(y[rows])

    scores = {
        OLD: scored(before, before, told.nothing),
        STORE: scored(anew, lambda rows: there.translate(x[rows]), told.moved),
        QUERIES: scored(asked, before, told_back.asked),
        MIXED: scored(lambda rows: mixed(asked(rows), x[rows], weight), before, told_back.mixed),
        ANEW: scored(anew, anew),
    }
    for name in RIVALS:
        moved = BASELINES[name](x[anchors].double(), y[anchors].double())
        turned = BASELINES[name](y[anchors].double(), x[anchors].double())
        scores[f"{STORE}, {name}"] = scored(anew, lambda rows, moved=moved: moved.translate(x[rows]))
        scores[f"{QUERIES}, {name}"] = scored(lambda rows, turned=turned: turned.translate(y[rows]), before)
    return scores


def foretold(adapter: IRPAdapter, num_rows: int) -> IndexShare:
    """What its report says of an index of so many rows."""
    choice, pairs = chosen_again(adapter.config, adapter.source_anchors, adapter.target_anchors, adapter.fitted)
    return index_report(choice, pairs, IndexQuestion((num_rows,), None), adapter.config.seed).shares[0]


def found_by(queries: Tensor, index: Tensor) -> Tensor:
    """The rows `(n, 10)` of the index whose cosines with each query are the largest."""
    rows = unit_rows(index.float())
    return torch.cat([(unit_rows(part.float()) @ rows.T).topk(NEIGHBORS).indices for part in queries.split(256)])


Found = Mapping[Job, Mapping[str, Tensor]]


def table(found: Found, row: int) -> str:
    """A line for each pair of encoders and number of anchors: the means of what each contestant found, with intervals."""
    names = list(next(iter(found.values())))
    lines = [["anchors", "data: old → new", *names]]
    for line, samples in by_line(found).items():
        scores = torch.stack([*joined(samples, row).values()])
        means = bootstrap(scores[:, ~scores.isnan().any(0)])
        lines.append([*line, *map(str, means)])
    return markdown(lines)


def by_line(found: Found) -> dict[tuple[str, str], list[Mapping[str, Tensor]]]:
    """The samples of each line, in the order of the tables."""
    lines: dict[tuple[str, str], list[Mapping[str, Tensor]]] = {}
    for num_anchors, pair in product(sorted({job[3] for job in found}), PAIRS):
        samples = [scores for job, scores in found.items() if job[:4] == (*pair, num_anchors)]
        if samples:
            lines[f"{num_anchors:,}", f"{pair[0]}: {pair[1]} → {pair[2]}"] = samples
    return lines


def promises(found: Found) -> str:
    """What anchors foretold of each way beside what came true, sample by sample; and how often the verdict on moving held."""
    lines, inside, off, verdicts = [["anchors", "data: old → new", *WAYS]], [], [], []
    for line, samples in by_line(found).items():
        for scores in samples:
            means = {name: scores[name].mean(1) for name in WAYS}
            inside += [bool(rows[LOW] <= rows[FOUND] <= rows[HIGH]) for rows in means.values()]
            off += [abs(float(rows[TOLD] - rows[FOUND])) for rows in means.values()]
            verdicts.append(bool((means[STORE] > means[OLD])[TOLD] == (means[STORE] > means[OLD])[FOUND]))
            cells = [f"{number(float(rows[TOLD]))} → {number(float(rows[FOUND]))}" for rows in means.values()]
            lines.append([*line, *cells])
    said = (
        f"Foretold → found. {sum(inside)} of {len(inside)} lie in their 95 % intervals, and they are off by "
        f"{number(sum(off) / len(off))} on the mean. Whether a translated store or the old one finds more was foretold rightly "
        f"in {sum(verdicts)} of {len(verdicts)}."
    )
    return f"{markdown(lines)}\n\n{said}"


def verdict(found: Found, row: int) -> str:
    """How often each way is surely ahead of doing nothing, and what it finds on the mean."""
    said, lines = [], by_line(found)
    for name in WAYS[1:]:
        gaps = []
        for samples in lines.values():
            scores = joined(samples, row)
            known = ~scores[OLD].isnan()
            gap = bootstrap((scores[name] - scores[OLD])[None, known], bounded=False)[0]
            gaps.append((gap, float(scores[name][known].mean())))
        ahead, behind = (sum(gap.is_sure() and (gap.mean > 0) == up for gap, _ in gaps) for up in (True, False))
        mean = number(sum(mean for _, mean in gaps) / len(gaps))
        said.append(
            f"- {name}: {mean} on the mean, surely ahead of keeping the old encoder in {ahead}, surely behind in {behind}"
        )
    return f"Of {len(lines)} lines:\n\n" + "\n".join(said)


def written(found: Found, anchors: list[int], seeds: list[int]) -> str:
    """All tables, and how they were made."""
    command = f"python benchmarks/moving.py --anchors {' '.join(map(str, anchors))} --seeds {' '.join(map(str, seeds))}"
    how = (
        f"`{command}`: {NUM_QUERIES:,} queries a seed, in an index of all other rows, at most {LARGEST:,}; of sentences other "
        "queries are judged, which have an answer, in an index that has their answers."
    )
    tables = (
        f"## The new encoder's own ten nearest\n\n{table(found, FOUND)}\n\n{verdict(found, FOUND)}",
        f"## What people judged to be answers, nDCG@10\n\n{table(found, JUDGED)}\n\n{verdict(found, JUDGED)}",
        f"## What the anchors foretold of the first table\n\n{promises(found)}",
    )
    return "\n\n".join([*tables, how]) + "\n"


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
        print(*job, {name: number(float(rows[FOUND].mean())) for name, rows in scores.items()}, flush=True)
    TABLE.write_text(written(found, options.anchors, options.seeds), encoding="utf-8")


if __name__ == "__main__":
    main()
