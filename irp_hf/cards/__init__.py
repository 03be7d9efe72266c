"""The craft of cards: what others wrote stays as it is, and no value that others chose escapes its place."""

from irp_hf.cards.card import with_checksums
from irp_hf.cards.merging import merged

__all__ = ["merged", "with_checksums"]
