"""A file that an item names, read whole: a regular one alone, since a device or a pipe may have no end."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

LARGEST_FILE = 1 << 31  # bytes of one picture or sound


def read_file(path: Any, most: int | None = LARGEST_FILE) -> bytes:
    """The bytes of a regular file; raises `ValueError` for another, and for one of more than `most` bytes."""
    path = Path(path)
    if not stat.S_ISREG(path.stat().st_mode):  # before it is opened, which may wait for ever or start a device
        raise ValueError("it is no regular file")
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
        now = os.fstat(file.fileno())
        if not stat.S_ISREG(now.st_mode):
            raise ValueError("it is no regular file")
        if most is not None and now.st_size > most:
            raise ValueError(f"it has {now.st_size:,} bytes, more than {most:,}")
        return file.read(now.st_size)
