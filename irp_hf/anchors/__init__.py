"""Anchor sets: which items, in which order, how they are drawn from a table, and their files."""

from irp_hf.anchors.anchor_set import AnchorSet

__all__ = ["AnchorSet"]
