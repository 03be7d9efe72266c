"""The measures of a translation by name, and what each is called wherever it is shown.

Those that come of a search hold for a pool of that size alone: of more rows fewer neighbours are kept. So the pool is named
wherever such a figure stands.
"""

from __future__ import annotations

from typing import NamedTuple

from irp_hf.evaluation.printed import POOL
from irp_hf.maths.metrics import NEIGHBORS

FEW = 20  # rows: fewer tell hardly anything
TRIVIAL = NEIGHBORS + 2  # rows: of fewer, all others but one are the nearest


class MeasureText(NamedTuple):
    """What a measure is called."""

    title: str
    """At the head of a column, and in a sentence."""
    short: str
    """In a list of facts."""
    meaning: str
    """In full, for readers who see nothing else."""


MEASURES = {
    "cosine": MeasureText("cosine", "cosine", "cosine with the target's own vector"),
    "neighbors": MeasureText(
        "neighbours", "neighbours kept", "share of the target's own nearest neighbours by cosine that are kept"
    ),
    "recall": MeasureText(
        "recall",
        "recall",
        "share of the target's own ten nearest neighbours by cosine that are among the first {} found",
    ),
    "mrr": MeasureText("MRR", "MRR", "one over the rank of the target's own vector among all of them"),
    "retrieval": MeasureText(
        "retrieval",
        "items told apart",
        "how surely a translation tells its own item from others: 1 is sure, 0 knows nothing",
    ),
    "agreement": MeasureText(
        "agreement", "agreement of the head", "how often the head says the same as of the target's own vector"
    ),
    "coverage": MeasureText("bounds held", "bounds held", "how often the true cosine is above the lower bound at 90 %"),
}
"""In the order in which they are shown."""
SEARCHED = ("neighbors", "recall", "mrr")  # measures that come of a search among so many rows


def among(name: str, pool: int, text: str | None = None, depth: int | None = None) -> str:
    """A measure's title, or another `text` for it, with the number of rows searched where there is a search.

    As `neighbours among 1,000`; of recall with how many are found, as `recall@100 among 1,000`.
    """
    text = MEASURES[name].title if text is None else text
    if depth is not None and name == "recall":
        text = text.format(depth) if "{}" in text else f"{text}@{depth}"
    return f"{text}{POOL}{pool:,}" if name in SEARCHED else text


def titles(names: list[str], pool: int) -> list[str]:
    """The heads of columns for these measures."""
    return [among(name, pool) for name in names]


def told_by(num_rows: int) -> str:
    """A sentence or two on what figures of so few rows do not tell; empty for enough."""
    if num_rows >= FEW:
        return ""
    trivial = (
        f" Among fewer than {TRIVIAL} nearly all others count as nearest, so that neighbours are high whatever the translation."
        if num_rows < TRIVIAL
        else ""
    )
    return f"So few rows tell hardly anything, whatever the interval: give some hundred.{trivial}"
