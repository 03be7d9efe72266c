"""The measures of a translation by name, and what each is called wherever it is shown."""

from __future__ import annotations

from typing import NamedTuple


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
        "neighbours", "neighbours kept", "share of the target's own nearest neighbours that are kept"
    ),
    "mrr": MeasureText("MRR", "MRR", "one over the rank of the target's own vector among all of them"),
    "agreement": MeasureText(
        "agreement", "agreement of the head", "how often the head says the same as of the target's own vector"
    ),
}
"""In the order in which they are shown."""


def titles(names: list[str]) -> list[str]:
    """The heads of columns for these measures."""
    return [MEASURES[name].title for name in names]
