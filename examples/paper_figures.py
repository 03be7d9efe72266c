"""The paper's figures (arXiv 2406.15057) on real encoders: `python examples/paper_figures.py [--only 2 5]`.

Each becomes a picture in `examples/results/`, with its numbers as JSON and a table beside it, and one sentence that says
whether it agrees with the paper. A second run gives the same numbers. The first run encodes, which takes minutes; the
encoders come with the packages of `requirements-demo.txt` and `requirements-examples.txt`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import torch
from paper_figures_norms import figure_5
from paper_figures_outcome import Outcome
from paper_figures_scale import figure_2, figure_4
from paper_figures_stability import figure_3
from tqdm import tqdm
from transformers.utils import logging
from trec import RESULTS

FIGURES: dict[str, Callable[[Path], Outcome]] = {"2": figure_2, "3": figure_3, "4": figure_4, "5": figure_5}


def main(names: list[str]) -> None:
    torch.set_num_threads(1)  # the order of sums, and so the last digits, would depend on the machine's cores
    logging.disable_progress_bar()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in tqdm(names, desc="Figures"):
        picture = RESULTS / f"figure-{name}.png"
        outcome = FIGURES[name](picture)
        outcome.write(name, picture)
        tqdm.write(f"Figure {name} ({os.path.relpath(picture)}). {outcome.verdict}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=list(FIGURES), metavar="FIGURE")
    main(parser.parse_args().only)
