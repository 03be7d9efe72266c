"""Plain files, opened to be read: what only has the name of one may make who opens it wait for ever, or have no end."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from irp_hf.errors import InputError, refusal

NO_FILE = "it is no regular file"


def opened(path: str | os.PathLike[str]) -> BinaryIO:
    """A regular file, to be read without a buffer; a link to one is followed.

    Raises `OSError` for a pipe, a device, a socket and a folder, and where the system does not let it be read.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # before it is opened, which may wait for ever or start a device
        raise OSError(NO_FILE)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = open(os.open(path, flags), "rb", buffering=0)  # noqa: SIM115 - who asked for it closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # another one by now
        file.close()
        raise OSError(NO_FILE)
    return file


def read_plain(path: str | os.PathLike[str], most: int | None) -> bytes:
    """All bytes of a regular file; raises `OSError` as `opened` does, and for more than `most` bytes."""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            raise OSError(f"it has {size:,} bytes, more than {most:,}")
        content = bytearray()
        while len(content) < size and (piece := file.read(size - len(content))):  # the system gives 2 GB at a time
            content += piece
        return bytes(content)


def read_text(path: Path, most: int) -> str:
    """The text of a regular file, in UTF-8; raises as `read_plain` does, and `UnicodeDecodeError`."""
    return read_plain(path, most).decode()


def is_plain(path: Path) -> bool:
    """Whether a regular file stands there, and no link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def check_own_file(path: Path) -> None:
    """Raise `InputError` where something stands at `path` that is no regular file of its own.

    Of what we keep beside a user's files, nothing is a link: somebody else made it, and it may lead to any file.
    """
    if os.path.lexists(path) and not is_plain(path):
        raise _foreign(path, "a file, or nothing")


def check_own_folder(path: Path) -> None:
    """The same for a folder."""
    if os.path.lexists(path) and not stat.S_ISDIR(path.lstat().st_mode):
        raise _foreign(path, "a folder, or nothing")


def _foreign(path: Path, expected: str) -> InputError:
    mode = path.lstat().st_mode
    kinds = {stat.S_IFLNK: "a link", stat.S_IFREG: "a file", stat.S_IFDIR: "a folder"}
    got = kinds.get(stat.S_IFMT(mode), "a pipe, a device or the like")
    return refusal(str(path), expected, got, "Remove it, or name another place.")
