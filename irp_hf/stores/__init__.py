"""Stored vectors: files, data sets and vector databases, translated as a whole and never in place."""

from irp_hf.stores.base import Store
from irp_hf.stores.open import open_store
from irp_hf.stores.record import StoreRecord
from irp_hf.stores.translate import Translated, translate_store

__all__ = ["Store", "StoreRecord", "Translated", "open_store", "translate_store"]
