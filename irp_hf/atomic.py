"""Write a file whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def written_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write to, which takes the name `path` in one step once it is on the disk."""
    fresh = path.with_name(f".{path.name}.irp-{secrets.token_hex(4)}")
    try:
        with open(fresh, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        sync(path.parent)
    finally:
        fresh.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk; Windows offers that to neither folders nor readers."""
    if sys.platform == "win32" or path.is_symlink():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems have no such call
            raise
    finally:
        os.close(descriptor)


def lock(path: Path) -> int:
    """Open a file, making it where it is missing, and lock it until its descriptor is closed or the process dies.

    Raises `BlockingIOError` where another process holds it. Windows has no such lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
    return descriptor
