"""Who may read what is saved: a file that replaces another is no more readable than that one was."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

PRIVATE = 0o700  # while it is written


def hidden(folder: Path) -> int:
    """Let nobody else into a new folder; returns the mode that it came with, as the umask has it."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    folder.chmod(mode & ~0o077)
    return mode


def inherit(old: Path, new: Path) -> None:
    """Give `new` the mode of `old` and, where that is allowed, its owner and group; where `old` is not there, nothing."""
    try:
        was = old.stat()
    except OSError:  # none, or a link that leads nowhere
        return
    mode = stat.S_IMODE(was.st_mode)
    if hasattr(os, "chown"):
        for owner, group in ((was.st_uid, -1), (-1, was.st_gid)):
            with contextlib.suppress(OSError):
                os.chown(new, owner, group)
        if new.stat().st_gid != was.st_gid:  # what its group might do is for no other one
            mode &= ~stat.S_IRWXG
    new.chmod(mode)


def inherit_all(old: Path, new: Path, mode: int) -> None:
    """The same for a folder and all in it that stands in the old one, too; a folder that is new gets `mode`."""
    for item in new.rglob("*"):
        twin = old / item.relative_to(new)
        if not item.is_symlink() and twin.exists() and twin.is_dir() == item.is_dir():
            inherit(twin, item)
    if old.exists():
        inherit(old, new)
    else:
        new.chmod(mode)
