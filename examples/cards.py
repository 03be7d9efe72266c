"""Write the cards of the adapters that the examples build, as their pages on the Hub would show them: `model_cards/`.

For each adapter a folder: README.md, the picture and the numbers of its report, and its configuration. The anchors choose
all there is to choose, and every figure is of anchors that were held out. An adapter whose packages are not installed is left
out, and its folder stays as it is. Fitting and measuring take a few minutes for each; `--text` writes the README.md files
alone, from the numbers that are there.

    make cards
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cross_lingual
import cross_modal
import fashion
import paper_text
import stitch_classifier
import stitch_pictures
import stitch_text
from transformers.utils import logging
from trec import ROOT, adapter_folder, embed, load_trec, sample_anchors

from irp_hf import AnchoredSpace, IRPAdapter, IRPConfig
from irp_hf.evaluation.report import Report
from irp_hf.heads import open_head
from irp_hf.models.cards import adapter_card

CARDS = ROOT / "model_cards"
OWNER = "me"  # of the repositories that the cards speak of
STATIC, MINILM, MPNET = "static-256", "MiniLM-384", "mpnet-768"
LITE0, LITE2 = "EfficientNet-lite0", "EfficientNet-lite2"


def questions(
    source: str, target: str, num_anchors: int = stitch_text.NUM_ANCHORS
) -> tuple[AnchoredSpace, AnchoredSpace, Any]:
    """The spaces of two encoders of questions, and the head on the second: examples/stitch_text.py, paper_text.py."""
    trec = load_trec()
    anchors = sample_anchors(trec, num_anchors)
    sides = [stitch_text.prepare(name, trec, anchors) for name in (source, target)]
    return sides[0].space, sides[1].space, sides[1].head


def classifier() -> tuple[AnchoredSpace, AnchoredSpace, Any]:
    """MiniLM's space, what the head of a classifier on mpnet reads, and that head: examples/stitch_classifier.py."""
    trec = load_trec()
    anchors = sample_anchors(trec, stitch_classifier.NUM_ANCHORS)
    known, made = list(anchors.indices), stitch_classifier.prepare_classifier(trec)
    vectors, record = embed(MINILM, trec.texts)
    source = AnchoredSpace.from_embeddings(vectors[known], anchors, record)
    target = AnchoredSpace.from_embeddings(made.vectors[known], anchors, made.record)
    return source, target, open_head(made.folder)


def pictures(source: str, target: str) -> tuple[AnchoredSpace, AnchoredSpace, Any]:
    """What the heads of two picture models read, and the second head: examples/stitch_pictures.py, paper_images.py."""
    data = fashion.load_fashion()
    anchors = stitch_pictures.sample_anchors(data)
    sides = [stitch_pictures.prepare(name, data, anchors) for name in (source, target)]
    return sides[0].space, sides[1].space, sides[1].head


ADAPTERS: dict[str, Callable[[], tuple[AnchoredSpace, AnchoredSpace, Any]]] = {
    "static-to-minilm": lambda: questions(STATIC, MINILM),
    "minilm-to-static": lambda: questions(MINILM, STATIC),
    "minilm-to-mpnet-classifier": classifier,
    "efficientnet-to-resnet": lambda: pictures(stitch_pictures.EFFICIENTNET, stitch_pictures.RESNET),
    "resnet-to-efficientnet": lambda: pictures(stitch_pictures.RESNET, stitch_pictures.EFFICIENTNET),
    "mpnet-to-minilm": lambda: questions(MPNET, MINILM, paper_text.NUM_ANCHORS),
    "lite2-to-lite0": lambda: pictures(LITE2, LITE0),
    "spanish-to-english": cross_lingual.parts,
    "pictures-to-names": cross_modal.parts,
}


def main(names: list[str]) -> None:
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # a classifier that is opened as an encoder leaves its head unread, and is told to
    for number, name in enumerate(names, 1):
        start = time.perf_counter()
        print(f"{number}/{len(names)} {name}", flush=True)
        try:
            parts = ADAPTERS[name]()
        except SystemExit as reason:  # what a missing package ends a run with
            print(f"  left out. {reason}")
            continue
        write(CARDS / name, *parts)
        print(f"  {(CARDS / name).relative_to(ROOT)} ({time.perf_counter() - start:.0f} s)")


def write(folder: Path, source: AnchoredSpace, target: AnchoredSpace, head: Any) -> None:
    """Fit, measure, and write all of a card's folder."""
    print("  fitting, and measuring", flush=True)
    fitted = adapter_folder(source, target, method="auto")
    report = IRPAdapter.from_pretrained(fitted).report(head=head)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(fitted / "config.json", folder)
    (folder / "report.json").write_text(json.dumps(report.untimed().to_dict(), indent=1) + "\n", encoding="utf-8")
    report.plot(folder / "report.png")
    write_text(folder)


def write_text(folder: Path) -> None:
    """Write README.md of the files beside it."""
    (folder / "README.md").write_text(text(folder), encoding="utf-8")


def text(folder: Path) -> str:
    """The card of the configuration and the numbers in a folder."""
    config = IRPConfig.from_dict(json.loads((folder / "config.json").read_text("utf-8")))
    report = Report.from_dict(json.loads((folder / "report.json").read_text("utf-8")))
    return str(adapter_card(config, f"{OWNER}/{folder.name}", report, "report.png"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which, by default all: {', '.join(ADAPTERS)}")
    parser.add_argument("--text", action="store_true", help="write README.md alone, and measure nothing")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(ADAPTERS))
    if unknown:
        parser.error(f"There is no adapter {unknown[0]!r}; there are {', '.join(ADAPTERS)}.")
    if given.text:
        for found in sorted(CARDS.glob("*/report.json")):
            write_text(found.parent)
    else:
        main(given.names or list(ADAPTERS))
