"""Stitch a real encoder to a real head that was trained for another one, and see what survives.

Two encoders that share nothing, a table of token vectors (256 wide) and the transformer MiniLM (384 wide), encode
the same 3,500 training questions of TREC, the anchors. A linear head is trained on each encoder's own vectors and
then reads the other's, translated. No head is trained again, and no test question is an anchor.

`make demo` installs the data and the encoders and runs this file; `--picture FILE` draws into that file.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from both_ways import DIRECT, METHODS, NEW, OWN, connect_all, print_table
from sklearn.linear_model import LogisticRegression
from stitch_text_plot import draw
from torch import Tensor
from transformers import Pipeline, pipeline
from transformers.utils import logging
from trec import CACHE, StaticEncoder, Trec, embed, load_trec, sample_anchors

from irp_hf import AnchoredSpace, AnchorSet
from irp_hf.evaluation import Measure, bootstrap, number

NUM_ANCHORS = 3500
SOURCES = {"MiniLM-384": "static-256", "static-256": "MiniLM-384"}  # what each head reads instead of its own
QUESTIONS = (
    "Who carved the statue of David in Florence?",
    "How many moons does Jupiter have?",
    "Where is the deepest lake on Earth?",
    "What does HTML stand for?",
    "Why do cats purr?",
    "¿Quién esculpió el David de Florencia?",
    "zxq blorf 77 %% vlimp",
)


@dataclass(frozen=True)
class Side:
    """An encoder's vectors of all questions, its anchors, and the head that was trained on its vectors."""

    vectors: Tensor
    space: AnchoredSpace
    head: LogisticRegression

    def correct(self, vectors: Tensor, labels: object) -> Tensor:
        """Whether the head is right about each of `vectors (n, d)`."""
        return torch.from_numpy(self.head.predict(vectors.numpy()) == labels).double()


def main(path: Path) -> None:
    print("The first time this takes about a minute on two cores; later it takes seconds, as all is kept.", flush=True)
    start = time.perf_counter()
    logging.disable_progress_bar()
    trec = load_trec()
    test, labels = slice(trec.num_train, None), trec.labels[trec.num_train :]
    anchors = sample_anchors(trec, NUM_ANCHORS)
    print(f"TREC: {trec.num_train:,} training questions, {len(labels):,} test questions, {len(anchors):,} anchors")
    sides = {name: prepare(name, trec, anchors) for name in SOURCES}
    adapters = connect_all({name: side.space for name, side in sides.items()}, SOURCES)

    results: dict[str, dict[str, Measure]] = {}
    for name, source in SOURCES.items():
        own, other = sides[name], sides[source]
        correct = {OWN: own.correct(own.vectors[test], labels), NEW: other.correct(other.vectors[test], labels)}
        for title, fit in DIRECT.items():
            translated = fit(other.space.anchors, own.space.anchors)(other.vectors[test]).float()
            correct[title] = own.correct(translated, labels)
        for title in METHODS:
            correct[title] = own.correct(adapters[name, title].translate(other.vectors[test]), labels)
        measures = bootstrap(torch.stack(list(correct.values())))
        results[name] = dict(zip(correct, measures, strict=True))
    print_table(results, SOURCES, adapters)

    adapter, reader = adapters["MiniLM-384", "irp_hf"], sides["MiniLM-384"]
    questions = sides["static-256"].vectors[test]
    confidence = adapter.confidence(questions)
    classify = pipeline("irp-stitch", model=adapter, encoder=StaticEncoder(), head=reader.head)
    answer(classify, QUESTIONS)
    tell_usual(confidence)
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(results, SOURCES, confidence, reader.correct(adapter.translate(questions), labels), path)
    print(f"\nPicture: {os.path.relpath(path)} ({time.perf_counter() - start:.0f} s in all)")
    if sys.stdin.isatty():
        converse(classify)
    else:
        print("In a terminal you could now type questions of your own.")


def prepare(name: str, trec: Trec, anchors: AnchorSet) -> Side:
    """Encode all questions, and train a head on the training ones."""
    print(f"{name}: encoding, and training its head")
    vectors, record = embed(name, trec.texts)
    space = AnchoredSpace.from_embeddings(vectors[list(anchors.indices)], anchors, record)
    train = slice(trec.num_train)
    head = LogisticRegression(max_iter=3000).fit(vectors[train].numpy(), trec.labels[train])
    return Side(vectors, space, head)


def answer(classify: Pipeline, questions: Sequence[str]) -> None:
    """Let the head of MiniLM, which is not loaded, classify by static token vectors."""
    print("\nMiniLM's head, fed by static vectors                 class     confidence")
    for question, found in zip(questions, classify(list(questions), return_confidence=True), strict=True):
        print(f"  {question:<49} {found['label']:<13} {number(found['confidence'])}")


def tell_usual(confidence: Tensor) -> None:
    """What is much and little of the confidence of the test questions."""
    low, middle, high = (number(float(confidence.quantile(share))) for share in (0.1, 0.5, 0.9))
    print(
        f"Confidence is the expected cosine with MiniLM's own vector; of the test\n"
        f"questions one in ten has less than {low}, half have less than {middle}, one in ten has more than {high}."
    )


def converse(classify: Pipeline) -> None:
    """Classify what is typed, until an empty line."""
    print("\nAsk a question of yours, or press Enter to end.")
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while question := input("> ").strip():
            (found,) = classify(question, return_confidence=True)
            print(f"  {found['label']}, confidence {number(found['confidence'])}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, default=CACHE / "stitch_text.png", help="where to draw the results")
    main(parser.parse_args().picture)
