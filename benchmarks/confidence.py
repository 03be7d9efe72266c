"""Is the confidence right? TREC, test rows never used: `python benchmarks/confidence.py [--anchors 1000 3500]`.

For every ordered pair of three encoders: the mean expected cosine beside the mean true one, their rank correlation, and what
Spanish statements get, which are unlike all anchors. Reads the packages of `requirements-examples.txt`.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
from trec import ENCODERS, embed, load_trec

from irp_hf import IRPAdapter
from irp_hf.maths.metrics import cosines

FOREIGN = "Ayer por la tarde llovió mucho y nos quedamos en casa leyendo un libro número {}."  # no question, no English


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anchors", type=int, nargs="+", default=[1000, 3500])
    options = parser.parse_args()
    trec = load_trec()
    foreign = [FOREIGN.format(number) for number in range(50)]
    spaces = {name: (embed(name, trec.texts)[0], embed(name, foreign)[0]) for name in ENCODERS}
    print(f"{'anchors':>7}  {'pair':<26}{'expected':>9}{'true':>7}{'Spearman':>10}{'Spanish':>9}  method")
    for num_anchors, (source, target) in itertools.product(options.anchors, itertools.permutations(spaces, 2)):
        (x, x_foreign), (y, _) = spaces[source], spaces[target]
        adapter = IRPAdapter.from_anchors(x[:num_anchors], y[:num_anchors])
        x, y = x[trec.num_train :], y[trec.num_train :]
        expected, true = adapter.confidence(x), cosines(adapter.translate(x), y)
        rank = float(spearmanr(expected, true).statistic)
        strange = float(adapter.confidence(x_foreign).mean())
        print(
            f"{num_anchors:>7,}  {f'{source} → {target}':<26}{float(expected.mean()):>9.3f}{float(true.mean()):>7.3f}"
            f"{rank:>10.2f}{strange:>9.3f}  {adapter.config.method}",
            flush=True,
        )


if __name__ == "__main__":
    main()
