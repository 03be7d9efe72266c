"""Stitch a real picture encoder to the head of another picture model, and see what survives.

ResNet-50 (2,048 wide, trained without labels) and EfficientNet-lite0 (1,280 wide, trained on ImageNet) share nothing. Both
encode the same 1,000 training pictures of Fashion-MNIST, the anchors. Each model gets a linear head, trained on its own
vectors of 2,000 such pictures, and is saved as an ordinary `AutoModelForImageClassification`. Then each head reads the
other's vectors, translated. No head is trained again, and no test picture is an anchor.

It reads packages of `requirements-examples.txt` and 31 MB of pictures; the first run takes some minutes, a later one seconds.
`--picture FILE` draws into that file.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from both_ways import DIRECT, METHODS, NEW, OWN, connect_all, print_table
from fashion import CLASSES, NUM_TRAIN, Fashion, classifier_folder, embed, load_fashion
from stitch_pictures_plot import NUM_SHOWN, Shown, draw
from torch import Tensor, nn
from transformers import AutoModelForImageClassification, Pipeline, pipeline
from transformers.utils import logging
from trec import CACHE, SEED

from irp_hf import AnchoredSpace, AnchorSet
from irp_hf.evaluation import Measure, bootstrap, number

NUM_ANCHORS = 1000
RESNET, EFFICIENTNET = "ResNet-50", "EfficientNet-lite0"
SOURCES = {RESNET: EFFICIENTNET, EFFICIENTNET: RESNET}  # what each head reads instead of its own


@dataclass(frozen=True)
class Side:
    """A picture model: its vectors of all pictures, its anchors, the folder of its classifier, and the head in it."""

    vectors: Tensor
    space: AnchoredSpace
    folder: Path
    head: nn.Module

    @torch.no_grad()
    def classes(self, vectors: Tensor) -> Tensor:
        """Class numbers `(n,)` that the head gives to `vectors (n, d)`."""
        classes: Tensor = self.head(vectors.float()).argmax(1)
        return classes


def main(path: Path) -> None:
    start = time.perf_counter()
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # a classifier that is opened as an encoder leaves its head unread, and is told to
    fashion = load_fashion()
    anchors = sample_anchors(fashion)
    labels = torch.from_numpy(fashion.labels[NUM_TRAIN:])
    print(f"Fashion-MNIST: {NUM_TRAIN:,} training pictures, {len(labels):,} test pictures, {len(anchors):,} anchors")
    sides = {name: prepare(name, fashion, anchors) for name in SOURCES}
    adapters = connect_all({name: side.space for name, side in sides.items()}, SOURCES)

    results: dict[str, dict[str, Measure]] = {}
    for name, source in SOURCES.items():
        own, other = sides[name], sides[source]
        test = other.vectors[NUM_TRAIN:]
        classes = {OWN: own.classes(own.vectors[NUM_TRAIN:]), NEW: other.classes(test)}
        for title, fit in DIRECT.items():
            classes[title] = own.classes(fit(other.space.anchors, own.space.anchors)(test))
        for title in METHODS:
            classes[title] = own.classes(adapters[name, title].translate(test))
        measures = bootstrap(torch.stack([found == labels for found in classes.values()]).double())
        results[name] = dict(zip(classes, measures, strict=True))
    print_table(results, SOURCES, adapters, width=20)

    classify = pipeline(
        "irp-stitch",
        model=adapters[RESNET, "irp_hf"],
        encoder=sides[EFFICIENTNET].folder,
        head=sides[RESNET].folder,
    )
    shown = show(classify, sides[RESNET], fashion)
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(results, SOURCES, shown, path)
    print(f"\nPicture: {os.path.relpath(path)} ({time.perf_counter() - start:.0f} s in all)")


def sample_anchors(fashion: Fashion) -> AnchorSet:
    """Training pictures, and where they are from."""
    pictures = fashion.pictures[:NUM_TRAIN]
    return AnchorSet.sample(pictures, num_anchors=NUM_ANCHORS, seed=SEED, dataset_id="Fashion-MNIST", license="mit")


def prepare(name: str, fashion: Fashion, anchors: AnchorSet) -> Side:
    """Encode all pictures, train a head on the training ones, and save both as a classifier."""
    print(f"{name}: encoding, and training its head")
    vectors, record = embed(name, fashion)
    space = AnchoredSpace.from_embeddings(vectors[list(anchors.indices)], anchors, record)
    folder = classifier_folder(name, fashion)
    return Side(vectors, space, folder, AutoModelForImageClassification.from_pretrained(folder).eval().classifier)


def show(classify: Pipeline, native: Side, fashion: Fashion) -> list[Shown]:
    """Print what one head says of a few test pictures, on its own encoder and stitched to the other one."""
    rows = slice(NUM_TRAIN, NUM_TRAIN + NUM_SHOWN)
    pictures, labels, at_home = fashion.pictures[rows], fashion.labels[rows], native.classes(native.vectors[rows])
    print(f"\n{RESNET}'s head on the first test pictures, and in the pipeline on top of {EFFICIENTNET}")
    print(f"  {'picture':<14}{'its own encoder':<19}{'stitched':<14}confidence")
    shown = []
    answers = classify(pictures, top_k=1, return_confidence=True)
    for picture, label, own, (found,) in zip(pictures, labels, at_home, answers, strict=True):
        shown.append(row := Shown(picture, CLASSES[label], CLASSES[own], found["label"]))
        print(f"  {row.true:<14}{row.native:<19}{row.stitched:<14}{number(found['confidence'])}")
    return shown


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, default=CACHE / "stitch_pictures.png", help="where to draw the results")
    main(parser.parse_args().picture)
