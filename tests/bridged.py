"""Two small encoders with an adapter from the new one to the old, for what frameworks ask of a bridge."""

from pathlib import Path
from typing import NamedTuple

import tiny_encoders as tiny

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter

ANCHORS = 120
TEXTS = tiny.texts(260)
HELD = TEXTS[ANCHORS:]


class Pair(NamedTuple):
    """Folders of both encoders, and the adapter between them."""

    new: Path
    old: Path
    adapter: IRPAdapter


def bridged(root: Path) -> Pair:
    """Random BERTs, 16 and 24 wide, saved under `root`."""
    new = tiny.save(root / "new", tiny.model("bert", **tiny.LAYERS, **tiny.VOCAB), tiny.tokenizer())
    wide = tiny.LAYERS | dict(hidden_size=24)
    old = tiny.save(root / "old", tiny.model("bert", **wide, **tiny.VOCAB), tiny.tokenizer())
    anchors = AnchorSet(TEXTS[:ANCHORS])
    spaces = [AnchoredSpace.encode(str(folder), anchors, pooling="mean", progress=False) for folder in (new, old)]
    return Pair(new, old, IRPAdapter.connect(*spaces, method="kernel", gamma=1.0, ridge=1e-2))
