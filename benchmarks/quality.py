"""Everybody on the same rows, TREC and Fashion-MNIST, three encoders each, all ordered pairs: the table of docs/results.md.

It runs `examples/paper_text.py` and `examples/paper_images.py`, whose docstrings say what they read and measure; where
`latentis` is installed (requirements-peers.txt), the translators of the method's authors are there, too. It takes long.

    python benchmarks/quality.py            # measures, then writes benchmarks/quality.md and the table of docs/results.md
    python benchmarks/quality.py --redraw   # writes them from the numbers in examples/results
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
from grid import MEASURES, NATIVE, OURS, RAW
from grid_results import ALL, Results
from trec import ROOT

from irp_hf.evaluation import number
from irp_hf.evaluation.printed import markdown

GRIDS = {"TREC": "paper-text", "Fashion-MNIST": "paper-images"}
TABLE, PAGE = ROOT / "benchmarks" / "quality.md", ROOT / "docs" / "results.md"
BEGIN, END = "<!-- python benchmarks/quality.py -->\n", "<!-- end -->\n"
ACCURACY, NEIGHBORS, KNOWN, _ = MEASURES
COLUMNS = ("accuracy kept", "neighbours", "known items", "`auto` gains")


def table(results: dict[str, Results]) -> str:
    """Contestants down; for each grid what is kept, means over ordered pairs, and what it says."""
    contestants = dict.fromkeys(cell.contestant for one in results.values() for cell in one.cells)
    lines = [["", *(f"{name}: {what}" for name in results for what in COLUMNS)]]
    for contestant in contestants:
        if contestant not in (NATIVE, RAW):
            cells = [cell for one in results.values() for cell in _cells(one, contestant)]
            lines.append([f"**{contestant}**" if contestant == OURS else contestant, *cells])
    data = ", ".join(
        f"{one.num_anchors:,} anchors and {one.num_test:,} test rows of {name}" for name, one in results.items()
    )
    samples = len(next(iter(results.values())).seeds)
    return (
        f"{markdown(lines)}\n\nMeans over six ordered pairs of three encoders and {samples} samples of anchors; {data}. "
        "*Accuracy kept* is the head's accuracy on translated vectors over its accuracy at home, *neighbours* the share of "
        "the target's own ten nearest neighbours that a translated vector finds, *known items* one over the rank of its own "
        "true vector (MRR), both among all test rows; *`auto` gains* is how much more accuracy `auto` has, with the 95 % "
        "interval over test rows.\n"
    )


def _cells(results: Results, contestant: str) -> list[str]:
    """Kept accuracy, neighbours and MRR, means over tasks; and what ours has more than a baseline."""

    def means(name: str, measure: str) -> dict[str, float]:
        return {c.task: c.mean for c in results.cells if (c.contestant, c.measure) == (name, measure)}

    def mean(values: Iterable[float]) -> str:
        every = list(values)
        return number(sum(every) / len(every)) if every else ""

    accuracy, native = means(contestant, ACCURACY), means(NATIVE, ACCURACY)
    if not accuracy:
        return [""] * len(COLUMNS)
    found = [mean(means(contestant, measure).values()) for measure in (NEIGHBORS, KNOWN)]
    gains = [str(d) for d in results.differences if (d.task, d.measure, d.baseline) == (ALL, ACCURACY, contestant)]
    return [mean(accuracy[task] / native[task] for task in native), *found, *(gains or [""])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redraw", action="store_true", help="fit nothing")
    if not parser.parse_args().redraw:
        for script in ("paper_text.py", "paper_images.py"):
            subprocess.run([sys.executable, str(ROOT / "examples" / script)], check=True, cwd=ROOT)
    text = table({name: Results.read(saved) for name, saved in GRIDS.items()})
    TABLE.write_text(text, encoding="utf-8")
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}{text}{END}{rest.partition(END)[2]}", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
