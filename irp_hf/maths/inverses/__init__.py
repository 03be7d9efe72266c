"""Inverses of the relative projection, one file each."""
