"""Feed a real head by an encoder that it was not trained for, and see what survives.

Two encoders that share nothing, a table of token vectors (256 wide) and the transformer MiniLM (384 wide), encode the questions
of TREC. A linear head is trained on MiniLM's vectors, and then reads static ones, translated through 100 to 3,500 pairs. The
head is not trained again, no label is used for a translation, and no test question is a pair.

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

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from stitch_text_plot import ALONE, NEW, PROCRUSTES, UNPAIRED, draw
from torch import Tensor
from tqdm import tqdm
from transformers import Pipeline, pipeline
from transformers.utils import logging
from trec import CACHE, SEED, StaticEncoder, Trec, embed, load_trec, sample_anchors

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
from irp_hf.baselines import procrustes
from irp_hf.evaluation import Measure, bootstrap, number

NUM_ANCHORS = 3500
NUM_PAIRS = (100, 300, 1000, NUM_ANCHORS)
FEW, NUM_UNPAIRED = 100, 1500  # pairs that are joined by so many rows of each side that nobody paired
SOURCE, READER = "static-256", "MiniLM-384"
QUESTIONS = (
    "Who carved the statue of David in Florence?",
    "How many moons does Jupiter have?",
    "Where is the deepest lake on Earth?",
    "What does HTML stand for?",
    "Why do cats purr?",
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
    start = time.perf_counter()
    logging.disable_progress_bar()
    trec = load_trec()
    print(
        f"What comes, in about a minute on two idle cores, and in half of it the next time, when vectors are read:\n"
        f"  1  {len(trec.texts):,} questions are encoded by MiniLM (384 wide) and by a table of token vectors (256 wide)\n"
        f"  2  a head is trained on MiniLM's vectors of {trec.num_train:,} questions\n"
        f"  3  it is fed by static vectors, translated: five fits, from {FEW} to {NUM_ANCHORS:,} pairs\n"
        f"  4  a table, a picture, and what was gained",
        flush=True,
    )
    anchors = sample_anchors(trec, NUM_ANCHORS)
    reader, source = (prepare(name, trec, anchors) for name in (READER, SOURCE))
    torch.set_num_threads(1)  # what is fitted is small: on a busy machine two threads wait for each other
    adapter, results, native = feed(trec, source, reader)
    print_table(results, native, len(trec.texts) - trec.num_train)

    path.parent.mkdir(parents=True, exist_ok=True)
    draw(results, native, FEW, path)
    print(f"\nPicture: {os.path.relpath(path)} ({time.perf_counter() - start:.0f} s in all)")
    classify = pipeline("irp-stitch", model=adapter, encoder=StaticEncoder(), head=reader.head)
    answer(classify, QUESTIONS)
    tell_sure(adapter, reader, source.vectors[trec.num_train :], trec.labels[trec.num_train :])
    tell_gain(results, native)
    if sys.stdin.isatty():
        converse(classify)


def prepare(name: str, trec: Trec, anchors: AnchorSet) -> Side:
    """Encode all questions, and train a head on the training ones."""
    print(f"\n{name}: encoding {len(trec.texts):,} questions", end="", flush=True)
    start = time.perf_counter()
    vectors, record = embed(name, trec.texts)
    print(f", {time.perf_counter() - start:.0f} s", flush=True)
    space = AnchoredSpace.from_embeddings(vectors[list(anchors.indices)], anchors, record)
    train = slice(trec.num_train)
    head = LogisticRegression(max_iter=3000).fit(vectors[train].numpy(), trec.labels[train])
    return Side(vectors, space, head)


def feed(trec: Trec, source: Side, reader: Side) -> tuple[IRPAdapter, dict[int, dict[str, Measure]], Measure]:
    """The adapter of most pairs; for each number of pairs the accuracies of what feeds the head; and the head's own."""
    test, labels = slice(trec.num_train, None), trec.labels[trec.num_train :]
    order = np.random.RandomState(SEED).permutation(trec.num_train)
    correct = {(0, ""): reader.correct(reader.vectors[test], labels)}
    with tqdm(NUM_PAIRS, leave=False, disable=None) as steps:
        for count in steps:
            steps.set_description(f"Fitting on {count:,} pairs")
            rows = order[:count]
            x, y = source.vectors[rows], reader.vectors[rows]
            adapter = IRPAdapter.from_anchors(x, y)
            correct[count, ALONE] = reader.correct(adapter.translate(source.vectors[test]), labels)
            if count == FEW:
                backed = with_unpaired(source, reader, order)
                correct[count, UNPAIRED] = reader.correct(backed.translate(source.vectors[test]), labels)
            correct[count, PROCRUSTES] = reader.correct(procrustes(x, y)(source.vectors[test]).float(), labels)
            new = LogisticRegression(max_iter=3000).fit(x.numpy(), trec.labels[rows])
            correct[count, NEW] = torch.from_numpy(new.predict(source.vectors[test].numpy()) == labels).double()
    native, *others = bootstrap(torch.stack(list(correct.values())))
    results: dict[int, dict[str, Measure]] = {count: {} for count in NUM_PAIRS}
    for (count, title), measure in zip(list(correct)[1:], others, strict=True):
        results[count][title] = measure
    return adapter, results, native


def with_unpaired(source: Side, reader: Side, order: np.ndarray) -> IRPAdapter:
    """From few pairs, and from questions of which one encoder, or the other, has seen each, but none both."""
    pairs, one, other = np.split(order[: FEW + 2 * NUM_UNPAIRED], [FEW, FEW + NUM_UNPAIRED])
    return IRPAdapter.from_anchors(
        source.vectors[pairs],
        reader.vectors[pairs],
        source_background=source.vectors[one],
        target_background=reader.vectors[other],
    )


def print_table(results: dict[int, dict[str, Measure]], native: Measure, num_test: int) -> None:
    """A line for each number of pairs, with half the 95 % intervals."""
    widths = {title: max(len(title), 10) + 3 for title in (ALONE, UNPAIRED, PROCRUSTES, NEW)}
    print(f"\nMiniLM's head is right on {share(native)} of {num_test:,} new questions by MiniLM's own vectors.")
    print("Fed by static vectors, which it has never seen and which are not even as wide, through\n")
    print("  pairs" + "".join(f"{title:>{width}}" for title, width in widths.items()))
    for count, row in results.items():
        cells = {title: share(row[title]) if title in row else "" for title in widths}
        print(f"{count:>7,}" + "".join(f"{cells[title]:>{width}}" for title, width in widths.items()))


def answer(classify: Pipeline, questions: Sequence[str]) -> None:
    """Let the head of MiniLM, which is not loaded, classify by static token vectors."""
    print("\nMiniLM's head, fed by static vectors:")
    for question, found in zip(questions, classify(list(questions)), strict=True):
        print(f"  {question:<49} {found['label']}")


def tell_sure(adapter: IRPAdapter, reader: Side, source: Tensor, labels: np.ndarray) -> None:
    """How often the head is right where the translation is sure of itself, and where it is not."""
    y, confidence = adapter.translate(source, return_confidence=True)
    correct = reader.correct(y, labels)[confidence.argsort(stable=True)]
    least, *_, most = (f"{100 * float(part.mean()):.0f} %" for part in correct.tensor_split(5))
    print(
        f"It is right on {most} of the fifth of new questions whose translations are surest, on {least} of the least sure."
    )


def tell_gain(results: dict[int, dict[str, Measure]], native: Measure) -> None:
    """What was gained, in words."""
    many, few = ({title: percent(measure) for title, measure in results[count].items()} for count in (NUM_ANCHORS, FEW))
    print(
        f"\nMiniLM's head, never trained on static vectors, is right on {many[ALONE]} of new questions when it is fed by "
        f"them;\nfed by Procrustes, on {many[PROCRUSTES]}; by its own encoder, which costs far more, on {percent(native)}.\n"
        f"Why not train a new head? That takes labels. With {FEW} pairs, no label, and questions that nobody paired, the\n"
        f"old head is right on {few[UNPAIRED]}; a new one, trained on the labels of those {FEW}, on {few[NEW]}."
    )


def share(measure: Measure) -> str:
    """In percent, with half the 95 % interval."""
    return f"{percent(measure)} ±{50 * (measure.high - measure.low):.0f}"


def percent(measure: Measure) -> str:
    return f"{100 * measure.mean:.0f} %"


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
