"""Stored vectors: files, data sets and vector databases, translated as a whole and never in place."""

from irp_hf.stores.base import Store
from irp_hf.stores.open import open_store
from irp_hf.stores.record import StoreRecord
from irp_hf.stores.reencoding import Reencoded, reencode
from irp_hf.stores.translate import Translated, translate_store
from irp_hf.stores.verify import Verified, verify_store

__all__ = [
    "Reencoded",
    "Store",
    "StoreRecord",
    "Translated",
    "Verified",
    "open_store",
    "reencode",
    "translate_store",
    "verify_store",
]
