"""A file that an item names, read whole: a regular one alone, since a device or a pipe may have no end."""

from __future__ import annotations

from typing import Any

from irp_hf.disk.plain import read_plain

LARGEST_FILE = 1 << 31  # bytes of one picture or sound


def read_file(path: Any, most: int | None = LARGEST_FILE) -> bytes:
    """The bytes of a regular file; raises `OSError` for another, and for one of more than `most` bytes."""
    return read_plain(path, most)
