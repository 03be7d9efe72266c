"""Zero-shot stitching on Fashion-MNIST: three picture encoders, all six ordered pairs, every baseline and inverse.

A linear head is trained on one encoder's vectors of 4,000 pictures and fed from another encoder's, translated; 4,000 test
pictures are no anchors and choose nothing. Reads the packages of `requirements-examples.txt` and 31 MB of pictures; the first
run encodes (some minutes) and fits for half an hour. `--redraw` writes table and picture from the numbers that are there.

    python examples/paper_images.py
"""

from __future__ import annotations

import argparse
import itertools

from fashion import MODELS, embed, load_fashion
from grid import Task, head_task, run
from grid_plot import draw
from grid_results import RESULTS, Results
from peers import PACKAGE, installed, translators
from transformers.utils import logging

NAME, TITLE = "paper-images", "Fashion-MNIST: a linear head, fed from another encoder"
NUM_TRAIN, NUM_TEST = 4000, 4000
NUM_ANCHORS = 1000
SEEDS = (0, 1, 2)
SHORT = {"ResNet-50": "ResNet", "EfficientNet-lite0": "lite0", "EfficientNet-lite2": "lite2"}


def tasks() -> list[Task]:
    """Every ordered pair."""
    fashion = load_fashion(NUM_TRAIN, NUM_TEST)
    sides = {short: embed(name, fashion)[0].split([NUM_TRAIN, NUM_TEST]) for name, short in SHORT.items()}
    labels = (fashion.labels[:NUM_TRAIN], fashion.labels[NUM_TRAIN:])
    return [head_task((a, b), sides[a], sides[b], labels) for a, b in itertools.permutations(sides, 2)]


def packages() -> list[str]:
    """Whose versions are recorded."""
    return [*([PACKAGE] if installed() else []), *(MODELS[name].package for name in SHORT)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redraw", action="store_true", help="fit nothing")
    parser.add_argument("--anchors", type=int, default=NUM_ANCHORS, help=f"by default {NUM_ANCHORS:,}")
    options = parser.parse_args()
    logging.disable_progress_bar()
    if options.redraw:
        results = Results.read(NAME)
    else:
        contests = tasks()
        scores = run(contests, options.anchors, SEEDS, peers=translators())
        results = Results.of(TITLE, contests, scores, options.anchors, SEEDS, packages())
    results.save(NAME)
    draw(results, RESULTS / f"{NAME}.png")
    print(results.to_markdown())


if __name__ == "__main__":
    main()
