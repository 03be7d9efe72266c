"""The case that ships with irp_hf: a head for MiniLM's vectors, and emoji whose names two encoders have encoded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from irp_hf import IRPAdapter
from irp_hf.examples_data import EMOJI, HEAD

NUM_ANCHORS = 400  # the other emoji are new to the adapter, and are what visitors pick from
NUM_NEIGHBORS = 8


@dataclass(frozen=True)
class Answer:
    """What the head says of one item, and what lies next to it, by either way to the head's space."""

    translated: np.ndarray
    """Probabilities `(groups,)` by the static vector, translated."""
    native: np.ndarray | None
    """By the vector of the head's own encoder, where it has one."""
    confidence: float
    """Expected cosine of the translation to the native vector."""
    surer_than: float
    """A share of the emoji that are no anchors."""
    neighbors: dict[str, list[int]]
    """Rows of the emoji nearest to it: before, after, and by the native vector."""


class Shipped:
    """The head, an adapter from static vectors to it, and a gallery of emoji; fitted in seconds."""

    def __init__(self) -> None:
        self.emoji = pd.read_parquet(EMOJI)
        self.source, self.target = (
            np.stack(self.emoji[name].to_list()).astype(np.float32) for name in ("static", "MiniLM")
        )
        self.groups = sorted(set(self.emoji["group"]))
        self.head = load_file(HEAD)
        self.adapter = IRPAdapter.from_anchors(self.source[:NUM_ANCHORS], self.target[:NUM_ANCHORS])
        self.usual = np.sort(self.adapter.confidence(self.source[NUM_ANCHORS:]))
        self.means = self.source[:NUM_ANCHORS].mean(0), self.target[:NUM_ANCHORS].mean(0)
        self.galleries = tuple(
            unit(rows - mean) for rows, mean in zip((self.source, self.target), self.means, strict=True)
        )
        new = self.emoji.iloc[NUM_ANCHORS:]
        self.rows = dict(zip(new["name"], new.index, strict=True))
        """Of the emoji that are no anchors, by name."""

    def answer(self, source: np.ndarray, target: np.ndarray) -> Answer:
        """Of an item with these vectors, `(256,)` by the static encoder and `(384,)` by MiniLM."""
        translated, (confidence,) = self.adapter.translate(source[None], return_confidence=True)
        nearest = {
            "before": self.nearest(source - self.means[0], self.galleries[0]),
            "after": self.nearest_name(translated[0]),
            "native": self.nearest_name(target),
        }
        surer_than = float(np.searchsorted(self.usual, confidence) / len(self.usual))
        return Answer(self.says(translated[0]), self.says(target), float(confidence), surer_than, nearest)

    def says(self, vector: np.ndarray) -> np.ndarray:
        """The head's probabilities `(groups,)` by a vector `(384,)`."""
        logits = self.head["weight"] @ vector + self.head["bias"]
        scores = np.exp(logits - logits.max())
        return scores / scores.sum()

    def nearest_name(self, vector: np.ndarray) -> list[int]:
        """Rows of the emoji whose names' vectors by MiniLM are nearest to this one `(384,)`."""
        return self.nearest(vector - self.means[1], self.galleries[1])

    def nearest(self, centred: np.ndarray, gallery: np.ndarray) -> list[int]:
        """Rows of a gallery of unit vectors."""
        return (-(gallery @ unit(centred))).argsort()[:NUM_NEIGHBORS].tolist()


def unit(rows: np.ndarray) -> np.ndarray:
    """The same directions, of length 1."""
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)
