"""Is the confidence right? TREC, test rows never used: `python benchmarks/confidence.py [--anchors 300 1000 3500]`.

For every ordered pair of three encoders, with anchors drawn from the training questions:

- the mean expected cosine beside the mean true one, their rank correlation, and how often the lower bound at 90 % held;
- what Spanish statements get, which are unlike all anchors, and what vectors get that the source's encoder never gave: for
  each kind its mean confidence, the mean true cosine of its translations with the vectors of the questions in whose place it
  stands, and how well the confidence tells it from the test questions (AUROC; .5 is chance).

Reads the packages of `requirements-examples.txt`; with `--encoders static-256 MiniLM-384`, those of `requirements-demo.txt`.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from scipy.stats import rankdata, spearmanr
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
from trec import ENCODERS, embed, load_trec

from irp_hf import IRPAdapter
from irp_hf.maths.metrics import cosines
from irp_hf.maths.projection import unit_rows

FOREIGN = "Ayer por la tarde llovió mucho y nos quedamos en casa leyendo un libro número {}."  # no question, no English
COVERAGE = 0.9


def strangers(anchors: Tensor, x: Tensor, other: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Vectors `(n, d)` that the encoder of `anchors (k, d)` and of `x (n, d)` never gives; `other (n, e)` are another's."""
    generator = torch.Generator().manual_seed(0)
    mean, deviation, lengths = anchors.mean(0), anchors.std(0), torch.linalg.vector_norm(x, dim=1, keepdim=True)
    noise, uniform = torch.randn(x.shape, generator=generator), torch.rand(x.shape, generator=generator)
    scale = torch.linalg.vector_norm(anchors - mean, dim=1).mean()
    least, most = anchors.min(0).values, anchors.max(0).values
    order = torch.randperm(x.shape[1], generator=generator)
    turned, _ = torch.linalg.qr(torch.randn(x.shape[1], x.shape[1], generator=generator))
    fitted = torch.nn.functional.pad(other, (0, max(0, x.shape[1] - other.shape[1])))[:, : x.shape[1]]
    yield "noise about the mean, as long as the anchors", mean + scale * unit_rows(noise)
    yield "noise with each coordinate's mean and spread", mean + deviation * noise
    yield "noise, uniform between least and most", least + (most - least) * uniform
    yield "noise of unit length", unit_rows(noise)
    yield "zeros", torch.zeros_like(x)
    yield "constants", torch.ones_like(x) * uniform[:, :1]
    yield "coordinates in another order", x[:, order]
    yield "coordinates in an order of each row's own", x.gather(1, uniform.argsort(1))
    yield "turned by a random rotation", x @ turned
    yield "another encoder's, cut or padded", fitted
    yield "another encoder's, at the right length", unit_rows(fitted) * lengths
    yield "10 times as long", 10 * x
    yield "a tenth as long", x / 10
    yield "of the opposite sign", -x
    yield "with as much noise as signal", x + scale * unit_rows(noise)


def auroc(real: Tensor, strange: Tensor) -> float:
    """How often a real row has more confidence than a strange one; ties count half."""
    ranks = rankdata(torch.cat([real, strange]).numpy())
    return float((ranks[: len(real)].sum() - len(real) * (len(real) + 1) / 2) / (len(real) * len(strange)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anchors", type=int, nargs="+", default=[300, 1000, 3500])
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS), choices=list(ENCODERS), metavar="NAME")
    options = parser.parse_args()
    trec = load_trec()
    foreign = [FOREIGN.format(number) for number in range(50)]
    spaces = {name: (embed(name, trec.texts)[0], embed(name, foreign)[0]) for name in options.encoders}
    print(f"{'anchors':>7}  {'pair':<26}{'expected':>9}{'true':>7}{'Spearman':>10}{'held':>7}{'Spanish':>9}  method")
    found: dict[tuple[int, str], dict[str, tuple[float, float, float]]] = {}
    for num_anchors, (source, target) in itertools.product(options.anchors, itertools.permutations(spaces, 2)):
        (x, x_foreign), (y, _) = spaces[source], spaces[target]
        anchors, test = x[:num_anchors], slice(trec.num_train, None)
        adapter = IRPAdapter.from_anchors(anchors, y[:num_anchors])
        expected, true = adapter.confidence(x[test]), cosines(adapter.translate(x[test]), y[test])
        held = float((true >= adapter.confidence(x[test], coverage=COVERAGE)).double().mean())
        rank = float(spearmanr(expected, true).statistic)
        foreign_mean = float(adapter.confidence(x_foreign).mean())
        print(
            f"{num_anchors:>7,}  {f'{source} → {target}':<26}{float(expected.mean()):>9.3f}{float(true.mean()):>7.3f}"
            f"{rank:>10.2f}{held:>7.3f}{foreign_mean:>9.3f}  {adapter.config.method}",
            flush=True,
        )
        found[num_anchors, f"{source} → {target}"] = {
            kind: (float(strange.mean()), float(cosines(translated, y[test]).mean()), auroc(expected, strange))
            for kind, rows in strangers(anchors, x[test], y[test])
            for translated, strange in [adapter.translate(rows, return_confidence=True)]
        }
    for (num_anchors, pair), kinds in found.items():
        print(f"\n{num_anchors:,} anchors, {pair}\n{'':<46}{'confidence':>10}{'true':>8}{'AUROC':>8}")
        for kind, (confidence, true_mean, area) in kinds.items():
            print(f"{kind:<46}{confidence:>10.3f}{true_mean:>8.3f}{area:>8.3f}")


if __name__ == "__main__":
    main()
