"""What frameworks of retrieval ask of an encoder: vectors of queries, and of documents, for one index."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from irp_hf.checks import check_batch_size
from irp_hf.models.adapter import IRPAdapter
from irp_hf.stitching import Bridge

BridgeLike = Bridge | IRPAdapter | str | os.PathLike[str]
Vectors = np.ndarray[Any, Any]


def bridge_of(bridge: BridgeLike) -> Bridge:
    """A bridge; or that of an adapter, an object or a place, with the encoder on the Hub that it names as its source.

    Raises `InputError` for anything else.
    """
    return bridge if isinstance(bridge, Bridge) else Bridge(adapter=bridge)


class Embedder:
    """Queries and documents by a bridge."""

    def __init__(self, bridge: BridgeLike, batch_size: int) -> None:
        self.batch_size = check_batch_size(batch_size)
        self.bridge = bridge_of(bridge)

    @property
    def name(self) -> str:
        """Of the encoder and of the space that it is led to."""
        config = self.bridge.adapter.config
        return f"{config.source_record.name} to {config.target_record.name}"

    def queries(self, texts: list[str]) -> Vectors:
        """Vectors `(n, d)` of queries."""
        return self.bridge.encode(texts, self.batch_size, progress=False)

    def documents(self, texts: list[str]) -> Vectors:
        """Vectors `(n, d)` of documents."""
        return self.bridge.encode_documents(texts, self.batch_size, progress=False)
