"""Zero-shot stitching on Fashion-MNIST: three picture encoders, all six ordered pairs, every baseline and inverse.

A linear head is trained on one encoder's vectors of 4,000 pictures and fed from another encoder's, translated; 4,000 test
pictures are no anchors and choose nothing. Reads the packages of `requirements-examples.txt` and 31 MB of pictures; the first
run encodes (some minutes) and fits for half an hour. `--redraw` writes table and picture from the numbers that are there.

    python examples/paper_images.py
"""

from __future__ import annotations

import itertools

from fashion import MODELS, embed, load_fashion
from grid import Task, head_task
from grid_main import main

NAME, TITLE = "paper-images", "Fashion-MNIST: a linear head, fed from another encoder"
NUM_TRAIN, NUM_TEST = 4000, 4000
NUM_ANCHORS = 1000
SEEDS = (0, 1, 2)
SHORT = {"ResNet-50": "ResNet", "EfficientNet-lite0": "lite0", "EfficientNet-lite2": "lite2"}
PACKAGES = [MODELS[name].package for name in SHORT]


def tasks() -> list[Task]:
    """Every ordered pair."""
    fashion = load_fashion(NUM_TRAIN, NUM_TEST)
    sides = {short: embed(name, fashion)[0].split([NUM_TRAIN, NUM_TEST]) for name, short in SHORT.items()}
    labels = (fashion.labels[:NUM_TRAIN], fashion.labels[NUM_TRAIN:])
    return [head_task((a, b), sides[a], sides[b], labels) for a, b in itertools.permutations(sides, 2)]


if __name__ == "__main__":
    main(__doc__, NAME, TITLE, tasks, PACKAGES, NUM_ANCHORS, SEEDS)
