"""Quality on TREC, test rows never used for anything: `python benchmarks/quality.py [--anchors 1000 3500] [--mpnet]`.

A linear head is trained on one encoder and fed from another. Each translator chooses its hyper-parameters on the anchors
alone. `kept` is the head's accuracy on translated vectors over its accuracy on its own; `neighbours` is the share of the
target's own ten nearest neighbours that a translated vector finds. `--mpnet` adds all-mpnet-base-v2 as third encoder, from
the packages of `requirements-examples.txt`.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from examples.trec import ENCODERS, MPNET_PARTS, Trec, embed, load_trec, mpnet_folder
from irp_hf import IRPAdapter
from irp_hf.baselines import least_squares, procrustes, ridge
from irp_hf.metrics import cosines, neighbors_kept

Translate = Callable[[Tensor], Tensor]
DIRECT = {"Procrustes": procrustes, "least squares": least_squares, "ridge": ridge}
FOREIGN = "Ayer por la tarde llovió mucho y nos quedamos en casa leyendo un libro número {}."  # no question, no English


def translators(source: Tensor, target: Tensor, head: LogisticRegression) -> Iterator[tuple[str, Translate]]:
    """Every contestant, fitted on the same anchors."""
    for name, fit in DIRECT.items():
        yield name, fit(source.double(), target.double())
    for name, options in {
        "paper's inverse": {"method": "pruned"},
        "auto": {},
        "auto, neighbors": {"objective": "neighbors"},
        "auto, agreement": {"objective": "agreement", "head": head},
    }.items():
        yield name, IRPAdapter.from_anchors(source, target, **options).translate


def measure(
    trec: Trec, spaces: dict[str, tuple[Tensor, Tensor, Tensor]], num_anchors: int, pair: tuple[str, str]
) -> dict[str, tuple[float, ...]]:
    """Print the table of one ordered pair; returns kept accuracy, neighbours and cosine of every contestant."""
    (x_train, x_test, x_foreign), (y_train, y_test, _) = (spaces[name] for name in pair)
    head = LogisticRegression(max_iter=3000).fit(y_train.numpy(), trec.labels[: trec.num_train])
    labels = trec.labels[trec.num_train :]
    native = head.score(y_test.numpy(), labels)
    print(f"\n{pair[0]} → {pair[1]}, {num_anchors:,} anchors; the head's native accuracy is {native:.3f}")
    print(f"  {'':<18}{'accuracy':>9}{'kept':>8}{'neighbours':>12}{'cosine':>9}")
    results = {}
    source, target = x_train[:num_anchors], y_train[:num_anchors]
    for name, translate in translators(source, target, head):
        translated = translate(x_test.double())
        accuracy = head.score(translated.numpy(), labels)
        kept = float(neighbors_kept(translated, y_test.double()).mean())
        cosine = float(cosines(translated, y_test.double()).mean())
        results[name] = (accuracy / native, kept, cosine)
        print(f"  {name:<18}{accuracy:>9.3f}{accuracy / native:>8.3f}{kept:>12.3f}{cosine:>9.3f}", flush=True)
        if name == "auto":
            adapter: IRPAdapter = translate.__self__  # type: ignore[attr-defined]
            expected, true = adapter.confidence(x_test), cosines(translated, y_test.double())
    rank = float(spearmanr(expected, true).statistic)
    foreign = float(adapter.confidence(x_foreign).mean())
    print(f"  confidence {float(expected.mean()):.3f} for a true mean cosine of {float(true.mean()):.3f}; ", end="")
    print(f"Spearman {rank:.2f}; on Spanish statements {foreign:.3f}; chose {adapter.config.method}, ", end="")
    print(f"out-of-fold score {adapter.config.score:.3f}")
    return results


def main() -> None:
    """Every ordered pair of encoders at every number of anchors, and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anchors", type=int, nargs="+", default=[1000, 3500])
    parser.add_argument("--mpnet", action="store_true", help="add all-mpnet-base-v2 (768 wide)")
    options = parser.parse_args()

    trec = load_trec()
    if options.mpnet:
        ENCODERS["mpnet-768"] = (MPNET_PARTS[0], mpnet_folder)
    foreign = [FOREIGN.format(number) for number in range(50)]
    texts = (trec.texts[: trec.num_train], trec.texts[trec.num_train :], foreign)
    spaces = {name: tuple(embed(name, part)[0] for part in texts) for name in ENCODERS}
    for num_anchors in options.anchors:
        rows = defaultdict(list)
        for pair in itertools.permutations(ENCODERS, 2):
            for name, result in measure(trec, spaces, num_anchors, pair).items():
                rows[name].append(result)
        print(f"\nMean over {len(ENCODERS) * (len(ENCODERS) - 1)} ordered pairs, {num_anchors:,} anchors")
        print(f"  {'':<18}{'kept':>8}{'neighbours':>12}{'cosine':>9}")
        for name, results in rows.items():
            print(f"  {name:<18}" + "{:>8.3f}{:>12.3f}{:>9.3f}".format(*np.mean(results, axis=0)))


if __name__ == "__main__":
    main()
