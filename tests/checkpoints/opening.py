"""Open a model of any kind, as its users do."""

import tiny_encoders as tiny

from irp_hf.encoding import encode
from irp_hf.heads import open_head


def items_of(kind):
    return {"image": tiny.pictures, "swin": tiny.pictures, "audio": tiny.waves}.get(kind, tiny.texts)(2)


def run(kind, folder):
    """Open it and use it."""
    if kind in ("topics", "animals"):
        return open_head(str(folder))
    pooling = None if kind == "sentences" else "mean"
    return encode(str(folder), items_of(kind), pooling=pooling, device="cpu")
