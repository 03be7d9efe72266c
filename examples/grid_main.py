"""The command line of a comparison over all ordered pairs of encoders."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from grid import Task, run
from grid_plot import draw
from grid_results import RESULTS, Results
from peers import PACKAGE, installed, translators
from transformers.utils import logging


def main(
    doc: str | None,
    name: str,
    title: str,
    tasks: Callable[[], Sequence[Task]],
    packages: Sequence[str],
    num_anchors: int,
    seeds: Sequence[int],
) -> None:
    """Measure, or read what was measured, and write table and picture; `packages` are those of the encoders."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redraw", action="store_true", help="fit nothing")
    parser.add_argument("--anchors", type=int, default=num_anchors, help=f"by default {num_anchors:,}")
    options = parser.parse_args()
    logging.disable_progress_bar()
    if options.redraw:
        results = Results.read(name)
    else:
        contests = tasks()
        scores = run(contests, options.anchors, seeds, peers=translators())
        recorded = [*([PACKAGE] if installed() else []), *packages]
        results = Results.of(title, contests, scores, options.anchors, seeds, recorded)
    results.save(name)
    draw(results, RESULTS / f"{name}.png")
    print(results.to_markdown())
