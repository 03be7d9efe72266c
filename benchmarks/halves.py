"""What two halves, each of which knows its own side alone, keep of a pair that was tuned: `python benchmarks/halves.py`.

Cosine about the target's mean on rows that are no anchors, by `target.to_absolute(source.to_relative(x))` with nothing given,
over that by `connect`. Questions of TREC by two encoders (packages of `requirements-demo.txt`), and pictures of digits
(scikit-learn) as pixels and as features after a random layer and a ReLU; in both directions.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
from trec import embed, load_trec

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.evaluation import number
from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.metrics import cosines

NUM_TEST = 497  # rows that are no anchors, the last ones


def data() -> dict[str, dict[str, Tensor]]:
    """Sets of rows `(n, d)` by encoder, the same items in each."""
    texts = load_trec().texts
    pixels = torch.from_numpy(load_digits().data / 16).float()
    layer = 0.4 * torch.randn(pixels.shape[1], 128, generator=torch.Generator().manual_seed(3))
    return {
        "TREC": {name: embed(name, texts)[0] for name in ("static-256", "MiniLM-384")},
        "digits": {"pixels-64": pixels, "features-128": (pixels @ layer).relu()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anchors", type=int, nargs="+", default=[30, 100, 300, 1000])
    options = parser.parse_args()
    print("| anchors | pair | " + " | ".join(INVERSES) + " |\n|---:|---|" + "---:|" * len(INVERSES))
    for encoders in data().values():
        for (source, target), k in itertools.product(itertools.permutations(encoders, 2), options.anchors):
            x, y = encoders[source], encoders[target]
            spaces = AnchoredSpace.from_embeddings(x[:k]), AnchoredSpace.from_embeddings(y[:k])
            cells = [_cell(method, *spaces, x[-NUM_TEST:], y[-NUM_TEST:]) for method in INVERSES]
            print(f"| {k:,} | {source} → {target} | " + " | ".join(cells) + " |", flush=True)


def _cell(method: str, source: AnchoredSpace, target: AnchoredSpace, x: Tensor, y: Tensor) -> str:
    """Cosine by halves, that of the tuned pair, and what share is kept."""
    halves = target.to_absolute(source.to_relative(x, method), method)  # type: ignore[arg-type]
    tuned = IRPAdapter.connect(source, target, method).translate(x)  # type: ignore[arg-type]
    one, both = (float(cosines(found - target.mean, y - target.mean).mean()) for found in (halves, tuned))
    return f"{number(one)} of {number(both)} ({number(one / both)})"


if __name__ == "__main__":
    main()
