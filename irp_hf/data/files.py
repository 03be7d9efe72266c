"""A file that an item names, read whole: a regular one alone, since a device or a pipe may have no end."""

from __future__ import annotations

import os
import re
from typing import Any

from irp_hf.disk.plain import read_plain

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|data:")
LARGEST_FILE = 1 << 31  # bytes of one picture or sound


def read_file(path: Any, most: int | None = LARGEST_FILE) -> bytes:
    """The bytes of a regular file; raises `OSError` for another, for one of more than `most` bytes, and for an address."""
    if not isinstance(path, str | os.PathLike):
        raise OSError("no path and no bytes are given")
    if ADDRESS.match(os.fspath(path)):
        raise OSError("it is an address, and nothing is fetched or unpacked: give the file, or its bytes")
    return read_plain(path, most)
