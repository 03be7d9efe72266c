"""Inputs unlike the anchors: what is kept, what was expected, and whether choosing on left-out clusters helps.

Anchors of one kind and inputs of another: questions of TREC and English sentences of Tatoeba, short and long sentences, types
of questions and classes of Fashion-MNIST that no anchor has. Each figure stands twice, for inputs of the anchors' kind and for
the others: cosine, neighbours and MRR among 1,000, the mean expected cosine, its rank correlation with the true one, and how
often the lower bound at 90 % held; with the inverse that rows choose and the one that clusters do (`folds="clusters"`).

    python benchmarks/shift.py [--anchors 300 1000] [--seeds 0 1]

Reads the packages of `requirements-examples.txt`. MiniLM encodes 64,000 sentences once, which takes some minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
import fashion
import trec
from index import sentences
from paper_images import NUM_TEST, NUM_TRAIN, SHORT

from irp_hf import IRPAdapter
from irp_hf.maths.metrics import cosines, neighbors_kept, reciprocal_ranks

TEXT, PICTURES = ("static-256", "MiniLM-384"), tuple(SHORT)
ROWS = 1000  # of each kind of inputs
SHORT_SENTENCE, LONG_SENTENCE = 25, 45  # characters: at most, at least
COVERAGE = 0.9


class Shift(NamedTuple):
    """Two kinds of rows, by both encoders: anchors and some inputs are of the first, the others of the second."""

    name: str
    source: tuple[Tensor, Tensor]
    target: tuple[Tensor, Tensor]


class Found(NamedTuple):
    """Of one kind of inputs."""

    cosine: float
    neighbors: float
    mrr: float
    expected: float
    rank: float
    held: float


def shifts(seed: int) -> Iterator[Shift]:
    """All of them; the types and classes that have no anchor differ between seeds."""
    questions, english = trec.load_trec(), sentences()
    spaces = {name: (trec.embed(name, questions.texts)[0], trec.embed(name, english)[0]) for name in TEXT}
    lengths = np.array([len(sentence) for sentence in english])
    short, long = lengths <= SHORT_SENTENCE, lengths >= LONG_SENTENCE
    for source, target in (TEXT, TEXT[::-1]):
        pair = f"{source} → {target}"
        (x, x_english), (y, y_english) = spaces[source], spaces[target]
        yield Shift(f"questions, sentences: {pair}", (x, x_english), (y, y_english))
        yield Shift(f"sentences, questions: {pair}", (x_english, x), (y_english, y))
        yield Shift(f"short, long: {pair}", *((side[short], side[long]) for side in (x_english, y_english)))
        yield Shift(f"long, short: {pair}", *((side[long], side[short]) for side in (x_english, y_english)))
    types = sorted(set(questions.labels.tolist()))
    for turn, (source, target) in enumerate((TEXT, TEXT[::-1])):
        other = np.isin(questions.labels, [types[(turn + seed + step) % len(types)] for step in (0, 3)])
        sides = (spaces[name][0] for name in (source, target))
        yield Shift(f"types of questions: {source} → {target}", *((side[~other], side[other]) for side in sides))
    pictures = fashion.load_fashion(NUM_TRAIN, NUM_TEST)
    seen = {SHORT[name]: fashion.embed(name, pictures)[0] for name in PICTURES}
    names = list(seen)
    for turn, (source, target) in enumerate(zip(names, names[1:] + names[:1], strict=True)):
        other = np.isin(pictures.labels, [(turn + seed + 3 * step) % 10 for step in range(3)])
        sides = (seen[name] for name in (source, target))
        yield Shift(f"classes of pictures: {source} → {target}", *((side[~other], side[other]) for side in sides))


def measured(adapter: IRPAdapter, x: Tensor, y: Tensor) -> Found:
    """Of inputs `x (n, d_X)` with the true vectors `y (n, d_Y)`."""
    translated, expected = adapter.translate(x, return_confidence=True)
    true = cosines(translated, y)
    held = true >= adapter.confidence(x, coverage=COVERAGE)
    figures = (true, neighbors_kept(translated, y), reciprocal_ranks(translated, y), expected)
    rank = float(spearmanr(expected, true).statistic)
    return Found(*(float(one.mean()) for one in figures), rank, float(held.double().mean()))


def lines(shift: Shift, num_anchors: int, seed: int) -> Iterator[tuple[str, Found, Found]]:
    """What decided, and what was found for inputs of the anchors' kind and for the others."""
    generator = torch.Generator().manual_seed(seed)
    like, other = (torch.randperm(len(side), generator=generator) for side in shift.source)
    anchors, like, other = like[:num_anchors], like[num_anchors:][:ROWS], other[:ROWS]
    (x, x_other), (y, y_other) = shift.source, shift.target
    for folds in ("rows", "clusters"):
        adapter = IRPAdapter.from_anchors(x[anchors], y[anchors], folds=folds)
        yield folds, measured(adapter, x[like], y[like]), measured(adapter, x_other[other], y_other[other])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anchors", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options = parser.parse_args()
    print(f"{'':<69}{'cosine':^14}{'neighbours':^14}{'MRR':^14}{'expected':^14}{'Spearman':^14}{'held':^14}")
    found: dict[tuple[int, str], list[tuple[Found, Found]]] = {}
    for num_anchors, seed in product(options.anchors, options.seeds):
        for shift in shifts(seed):
            for folds, like, other in lines(shift, num_anchors, seed):
                found.setdefault((num_anchors, folds), []).append((like, other))
                name = f"{num_anchors:,} {shift.name}"
                print(f"{name:<60}{folds:<9}{both(like, other)}", flush=True)
    print("\nMeans; off: by how much the mean expected cosine is off, on average and at most")
    for (num_anchors, folds), pairs in found.items():
        means = (Found(*np.mean(side, axis=0)) for side in zip(*pairs, strict=True))
        off = [[abs(one.expected - one.cosine) for one in side] for side in zip(*pairs, strict=True)]
        said = "  ".join(f"{np.mean(side):.3f} (at most {max(side):.3f})" for side in off)
        print(f"{f'{num_anchors:,}':<60}{folds:<9}{both(*means)}  off {said}")


def both(like: Found, other: Found) -> str:
    """Each figure of inputs of the anchors' kind and of the others."""
    return "".join(f"{f'{one:.3f} / {two:.3f}':^14}" for one, two in zip(like, other, strict=True))


if __name__ == "__main__":
    main()
