"""From items to vectors, by any encoder: a folder, an id, a loaded model, a function."""

from irp_hf.encoding.base import Encoder, Options
from irp_hf.encoding.batches import encode
from irp_hf.encoding.open import open_encoder

__all__ = ["Encoder", "Options", "encode", "open_encoder"]
