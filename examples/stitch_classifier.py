"""Feed the head of an ordinary classifier from a small encoder, and see what survives.

The classifier is all-mpnet-base-v2 (110 million parameters, 768 wide) with a head that was fitted on the training questions
of TREC, saved as any `AutoModelForSequenceClassification`; nothing of irp_hf is in it. MiniLM (22 million, 384 wide)
encodes in mpnet's place: of the classifier, the pipeline opens the head alone. Both have encoded the same 3,500 training
questions, the anchors. No head is trained again, and no test question is an anchor.

It reads the packages of the demo and of `requirements-examples.txt`; the first run takes some minutes, a later one seconds.
`--picture FILE` draws into that file.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from both_ways import DIRECT, METHODS
from sklearn.linear_model import LogisticRegression
from stitch_classifier_plot import draw
from stitch_text import QUESTIONS, converse
from torch import Tensor, nn
from tqdm import tqdm
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Pipeline, PreTrainedModel, pipeline
from transformers.utils import logging
from trec import (
    CACHE,
    CLASSES,
    MPNET_PARTS,
    SEED,
    Trec,
    adapter_folder,
    cached,
    embed,
    fingerprint,
    load_trec,
    minilm_folder,
    mpnet_folder,
    sample_anchors,
    version,
)  # fmt: skip

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.encoding import encode
from irp_hf.evaluation import Measure, bootstrap, number
from irp_hf.heads import Head, open_head

NUM_ANCHORS = 3500
CLASSIFIER = "mpnet-trec"
OWN, NEW, OURS = "its own encoder", "a new head, trained on MiniLM", "irp_hf"
EPOCHS, BATCH, RATE, DECAY = 10, 64, 1e-3, 0.1  # of the classifier's head; chosen on a fourth of the training questions


@dataclass(frozen=True)
class Classifier:
    """A folder as transformers saves it, and what its head reads of all questions, `(n, 768)`."""

    folder: Path
    vectors: Tensor
    record: dict[str, Any]


def main(path: Path) -> None:
    start = time.perf_counter()
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # mpnet comes without the head that it gets here, and is told to
    trec = load_trec()
    test, labels = slice(trec.num_train, None), trec.labels[trec.num_train :]
    anchors = sample_anchors(trec, NUM_ANCHORS)
    print(f"TREC: {trec.num_train:,} training questions, {len(labels):,} test questions, {len(anchors):,} anchors")
    classifier = prepare_classifier(trec)
    minilm, record = embed("MiniLM-384", trec.texts)
    known = list(anchors.indices)
    source = AnchoredSpace.from_embeddings(minilm[known], anchors, record)
    target = AnchoredSpace.from_embeddings(classifier.vectors[known], anchors, classifier.record)
    folders = connect_all(source, target)

    classify = pipeline("irp-stitch", model=folders[OURS], encoder=minilm_folder(), head=classifier.folder)
    found = answer_all(classify, trec.texts[test])
    head = open_head(classifier.folder)
    new = LogisticRegression(max_iter=3000).fit(minilm[: trec.num_train].numpy(), trec.labels[: trec.num_train])
    paper = IRPAdapter.from_pretrained(folders["the paper's inverse"])
    answers = {
        OWN: classes(head, classifier.vectors[test]),
        NEW: new.predict(minilm[test].numpy()),
        **{title: classes(head, fit(source.anchors, target.anchors)(minilm[test])) for title, fit in DIRECT.items()},
        "the paper's inverse": classes(head, paper.translate(minilm[test])),
        OURS: np.array([answer["label"] for answer in found]),
    }
    correct, agreeing = compare(answers, labels), compare(answers, answers[OWN])
    print_table(correct, agreeing, classify.model.config.method)
    sizes = megabytes(classifier.folder, classify)
    print_sizes(sizes)
    answer(classify, classifier.folder, QUESTIONS)

    confidence = torch.tensor([answer["confidence"] for answer in found])
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(correct, confidence, torch.from_numpy(answers[OURS] == labels).double(), sizes, path)
    print(f"\nPicture: {os.path.relpath(path)} ({time.perf_counter() - start:.0f} s in all)")
    if sys.stdin.isatty():
        converse(classify)


def prepare_classifier(trec: Trec) -> Classifier:
    """Encode all questions by mpnet, fit a head on the training ones, and save both as a classifier, once."""
    print("all-mpnet-base-v2: encoding, and fitting its classifier's head")
    key = [version(MPNET_PARTS[0]), *trec.texts]

    def encoded() -> tuple[Tensor, dict[str, Any]]:
        model = new_classifier().eval()
        return encode(model, trec.texts, at="head", processor=AutoTokenizer.from_pretrained(mpnet_folder()))

    vectors, record = cached(CLASSIFIER, key, encoded)  # the backbone is frozen: they are the fitted classifier's, too
    folder = CACHE / f"{CLASSIFIER}-{fingerprint([*key, str((EPOCHS, BATCH, RATE, DECAY))])}"
    if not folder.exists():
        model = new_classifier()
        fit_head(model.classifier, vectors[: trec.num_train], trec.labels[: trec.num_train])
        fresh = folder.with_suffix(f".{os.getpid()}.tmp")
        model.save_pretrained(fresh)
        AutoTokenizer.from_pretrained(mpnet_folder()).save_pretrained(fresh)
        fresh.rename(folder)
    return Classifier(folder, vectors, record)


def new_classifier() -> PreTrainedModel:
    """mpnet with a random head, always the same, for the classes of TREC."""
    torch.manual_seed(SEED)
    names = dict(enumerate(CLASSES))
    return AutoModelForSequenceClassification.from_pretrained(
        mpnet_folder(), num_labels=len(names), id2label=names, label2id={name: row for row, name in names.items()}
    )


def fit_head(head: nn.Module, vectors: Tensor, labels: np.ndarray) -> None:
    """Fit the classifier's own head, which reads the first token of each text, on `vectors (n, 768)`."""
    wanted = torch.tensor([CLASSES.index(label) for label in labels])
    optimizer = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=DECAY)
    batches = [rows for _ in range(EPOCHS) for rows in torch.randperm(len(vectors)).split(BATCH)]
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, len(batches))
    head.train()
    for rows in tqdm(batches, "Fitting the head", leave=False):
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(vectors[rows, None]), wanted[rows]).backward()
        optimizer.step()
        schedule.step()
    head.eval()


def connect_all(source: AnchoredSpace, target: AnchoredSpace) -> dict[str, Path]:
    """Folders of the adapters from MiniLM to what the head reads, chosen from the anchors alone; fitted once."""
    folders = {}
    with tqdm(METHODS.items(), leave=False) as steps:
        for title, method in steps:
            steps.set_description(f"Fitting {title}")
            folders[title] = adapter_folder(source, target, method=method)
    return folders


def answer_all(classify: Pipeline, texts: list[str]) -> list[dict[str, Any]]:
    """What the stitched pipeline says of each text."""
    answers = classify((text for text in texts), batch_size=32, return_confidence=True)
    return list(tqdm(answers, "Classifying", len(texts), leave=False))


@torch.no_grad()
def classes(head: Head, vectors: Tensor) -> np.ndarray:
    """Names of the classes that the head gives to `vectors (n, 768)`."""
    names = head.names(len(CLASSES))
    return np.array([names[row] for row in head(vectors).argmax(1).tolist()])


def compare(answers: dict[str, np.ndarray], wanted: np.ndarray) -> dict[str, Measure]:
    """How often each answers as wanted."""
    rows = [torch.from_numpy(given == wanted) for given in answers.values()]
    return dict(zip(answers, bootstrap(torch.stack(rows).double()), strict=True))


def megabytes(folder: Path, classify: Any) -> dict[str, dict[str, float]]:
    """Weights that the classifier and the stitched model hold, part by part."""

    def size(part: nn.Module) -> float:
        return sum(weight.nbytes for weight in part.parameters()) / 1e6

    stitched = classify.stitched
    head, whole = size(stitched.head), (folder / "model.safetensors").stat().st_size / 1e6
    parts = {"MiniLM": size(stitched.encoder_module), "adapter": size(stitched.adapter), "head": head}
    return {"the classifier": {"mpnet": whole - head, "head": head}, "stitched": parts}


def print_table(correct: dict[str, Measure], agreeing: dict[str, Measure], method: str) -> None:
    """Accuracy and agreement with half their 95 % intervals, and which inverse was chosen."""

    def line(title: str, *cells: object) -> None:
        print(f"{title:<33}" + "".join(f"{cell!s:>17}" for cell in cells))

    print()
    line("head of the classifier on mpnet", "test accuracy", "as at home")
    print("─" * 67)
    line(OWN, correct[OWN], "")
    print("\nfed by MiniLM")
    line("  without translation", "widths differ", "")
    for title in (*DIRECT, *METHODS):
        line(f"  {title}", correct[title], agreeing[title])
    print()
    line(NEW, correct[NEW], agreeing[NEW])
    line("inverse that irp_hf chose", method)
    print("as at home: the share of test questions that get the class which the classifier itself gives them")


def print_sizes(sizes: dict[str, dict[str, float]]) -> None:
    """Megabytes of weights, part by part."""
    print("\nMegabytes of weights")
    for title, parts in sizes.items():
        words = " + ".join(f"{name} {size:.1f}" for name, size in parts.items())
        print(f"  {title:<16}{sum(parts.values()):>6.1f} = {words}")


def answer(stitched: Pipeline, folder: Path, questions: Sequence[str]) -> None:
    """Let the classifier itself and its head on MiniLM classify the same questions."""
    whole = pipeline("text-classification", model=folder)
    print(f"\n{'':<51}{'classifier':<14}{'fed by MiniLM':<15}confidence")
    both = zip(whole(list(questions)), stitched(list(questions), return_confidence=True), strict=True)
    for question, (native, found) in zip(questions, both, strict=True):
        print(f"  {question:<49}{native['label']:<14}{found['label']:<15}{number(found['confidence'])}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, default=CACHE / "stitch_classifier.png", help="where to draw")
    main(parser.parse_args().picture)
