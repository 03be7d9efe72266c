"""The benchmark that people trust: MTEB's own runner trains heads on the target's vectors, and scores them on translated ones.

The items are row numbers, which encoders look up among the vectors of `benchmarks/vectors.py`. Anchors, rows to train on and
rows to test on are three disjoint thirds. Of the heads, MTEB trains ten for each seed, each on so many rows of a class.

    python benchmarks/by_mteb.py [--anchors 300 1000] [--seeds 0 1] [--per-class 8 64] [--jobs 2]

prints, and writes benchmarks/by_mteb.md.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from typing import Any

import mteb
import numpy as np
import torch
from jobs import tabled
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ModelMeta, ScoringFunction
from torch import Tensor
from vectors import BENCHMARKS, TREC, TWEETS, column

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
from irp_hf.baselines import BASELINES
from irp_hf.evaluation import bootstrap
from irp_hf.evaluation.printed import markdown
from irp_hf.integrations.mteb import IRPEncoder
from irp_hf.integrations.mteb_tasks import LocalClassification
from irp_hf.stitching import Bridge

PAIRS = ((TREC, "static", "MiniLM"), (TREC, "MiniLM", "mpnet"), (TWEETS, "static", "MiniLM"))
RIVALS = ("Procrustes", "ridge")
TARGET, SOURCE, OURS, BOTH = "the target itself", "the source itself", "stitched", "all translated"
CONTESTANTS = (TARGET, OURS, *RIVALS, BOTH, SOURCE)
LARGEST = 2000  # rows of a part
TABLE = BENCHMARKS / "by_mteb.md"
Job = tuple[str, str, str, int, int, int]
"""Data, source, target, number of anchors, rows of a class to train on, seed."""
Look = Callable[[list[str]], np.ndarray]


class Looked(AbsEncoder):
    """Rows to train on by one table, rows to test on by another."""

    mteb_model_meta = ModelMeta.create_empty({"similarity_fn_name": ScoringFunction.COSINE})

    def __init__(self, train: Look, test: Look) -> None:
        self.train, self.test = train, test

    def encode(self, inputs: Any, *, hf_split: str, **options: Any) -> np.ndarray:
        items = [item for batch in inputs for item in batch["text"]]
        return (self.train if hf_split == "train" else self.test)(items)


def contest(data: str, source: str, target: str, num_anchors: int, per_class: int, seed: int) -> dict[str, Tensor]:
    """Accuracies of the ten heads, by contestant."""
    logging.disable(logging.WARNING)
    x, y, labels = column(data, source), column(data, target), column(data, "class")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    anchors, train, test = (part[:LARGEST].tolist() for part in order.chunk(3))
    anchors = anchors[:num_anchors]
    splits = [([str(row) for row in rows], labels[rows].tolist()) for rows in (train, test)]
    task = LocalClassification(data, *splits, samples_per_label=per_class)

    def looking(table: Tensor) -> Look:
        return lambda items: table[[int(item) for item in items]].float().numpy()

    by_source, by_target = looking(x), looking(y)
    kept = AnchorSet([str(row) for row in anchors])
    spaces = [AnchoredSpace.encode(look, kept, progress=False) for look in (by_source, by_target)]
    adapter = IRPAdapter.connect(*spaces)
    models: dict[str, Any] = {
        TARGET: Looked(by_target, by_target),
        SOURCE: Looked(by_source, by_source),
        OURS: IRPEncoder(Bridge(by_source, adapter, by_target, 1)),
        BOTH: IRPEncoder(Bridge(by_source, adapter)),
    }
    for name in RIVALS:
        translated = BASELINES[name](x[anchors].double(), y[anchors].double()).translate(x[test].double())
        moved = torch.zeros(len(x), y.shape[1])
        moved[test] = translated.float()
        models[name] = Looked(by_target, looking(moved))
    options = {"cache": None, "show_progress_bar": False, "co2_tracker": False}
    found = {}
    for name, model in models.items():
        (result,) = mteb.evaluate(model, task, **options).task_results
        (scores,) = result.scores["test"]
        found[name] = torch.tensor([one["accuracy"] for one in scores["scores_per_experiment"]]).double()
    return found


def written(results: dict[Job, dict[str, Tensor]]) -> str:
    """A line for each pair, number of anchors and of rows of a class."""
    anchors, per_class, seeds = (" ".join(map(str, sorted({job[place] for job in results}))) for place in (3, 4, 5))
    rows = []
    for key in sorted({job[:5] for job in results}, key=lambda key: (key[4], PAIRS.index(key[:3]), key[3])):
        samples = [scores for job, scores in sorted(results.items()) if job[:5] == key]
        joined = {name: torch.cat([scores[name] for scores in samples]) for name in CONTESTANTS}
        measures = bootstrap(torch.stack([joined[name] for name in CONTESTANTS]))
        better = max(RIVALS, key=lambda name: float(joined[name].mean()))
        (ahead,) = bootstrap((joined[OURS] - joined[better])[None])
        shown = [str(measure) for measure in measures]
        rows.append(["{}: {} → {}".format(*key[:3]), str(key[4]), str(key[3]), *shown, ahead.signed()])
    header = ["pair", "rows of a class", "anchors", *CONTESTANTS, "ahead of the better rival"]
    command = f"python benchmarks/by_mteb.py --anchors {anchors} --seeds {seeds} --per-class {per_class}"
    told = f"Accuracy by MTEB {mteb.__version__}, ten heads a seed, and their 95 % intervals; test rows are the same ten times."
    return f"{markdown([header, *rows])}\n\n{told} `{command}`\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anchors", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--per-class", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    jobs = [
        (*pair, anchors, per_class, seed)
        for per_class in options.per_class
        for pair in PAIRS
        for anchors in options.anchors
        for seed in options.seeds
    ]
    tabled(contest, jobs, options.jobs, TABLE, written)


if __name__ == "__main__":
    main()
