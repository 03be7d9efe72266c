"""Pictures for the head that ships with irp_hf: what it says of one, and of emoji that are known again.

`pictures.parquet`, which `examples/shipped_data.py` wrote, has the emoji of `irp_hf.examples_data` in their order: the vector
of the picture, by `lite0.encode`, and the fingerprint of its pixels.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import lite0
import numpy as np
import pandas as pd
from pictures import fingerprint
from PIL import Image
from shipped import NUM_ANCHORS, Answer, Shipped, unit

from irp_hf import IRPAdapter

FILE = Path(__file__).with_name("pictures.parquet")
UNLIKE = 0.05  # a share of the emoji; with less confidence than they have, a picture is nothing like them


@dataclass(frozen=True)
class Shares:
    """How often the head is right on the emoji that are no anchors, by each of three ways, and the interval of the first."""

    pictures: float
    low: float
    high: float
    names: float
    commonest: float
    count: int


class Pictures:
    """An adapter from a picture encoder to MiniLM, fitted in seconds on emoji: their pictures, and MiniLM's of their names."""

    def __init__(self, case: Shipped) -> None:
        self.case = case
        table = pd.read_parquet(FILE)
        vectors = np.stack(table["lite0"].to_list()).astype(np.float32)
        source = vectors[:NUM_ANCHORS]
        self.adapter = IRPAdapter.from_anchors(source, case.target[:NUM_ANCHORS])
        self.translated, confidence = self.adapter.translate(vectors[NUM_ANCHORS:], return_confidence=True)
        self.usual = np.sort(confidence)
        self.mean = source.mean(0)
        self.gallery = unit(vectors - self.mean)
        self.rows = dict(zip(table["pixels"], table.index, strict=True))
        """Of all emoji, by their pictures' fingerprints."""

    def answer(self, picture: Image.Image) -> tuple[Answer, int | None]:
        """Of a picture in RGB, and the row of the emoji that it is, if it is one."""
        row = self.rows.get(fingerprint(picture))
        vector = lite0.encode(picture)
        (translated,), (confidence,) = self.adapter.translate(vector[None], return_confidence=True)
        nearest = {
            "before": self.case.nearest(vector - self.mean, self.gallery),
            "after": self.case.nearest_name(translated),
        }
        native = None
        if row is not None:
            native = self.case.says(self.case.target[row])
            nearest["native"] = self.case.nearest_name(self.case.target[row])
        surer_than = float(np.searchsorted(self.usual, confidence) / len(self.usual))
        return Answer(self.case.says(translated), native, float(confidence), surer_than, nearest), row

    def shares(self) -> Shares:
        """Of the emoji that are no anchors."""
        truth = self.case.emoji["group"].to_numpy()
        (commonest, _), *_ = Counter(truth[:NUM_ANCHORS]).most_common(1)
        truth = truth[NUM_ANCHORS:]
        names = self.case.target[NUM_ANCHORS:]
        said = [
            [self.case.groups[int(self.case.says(row).argmax())] for row in rows] for rows in (self.translated, names)
        ]
        pictures, by_name = (float((np.array(groups) == truth).mean()) for groups in said)
        low, high = wilson(pictures, len(truth))
        return Shares(pictures, low, high, by_name, float((truth == commonest).mean()), len(truth))


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of so many (Wilson 1927)."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5
    return middle - half, middle + half
