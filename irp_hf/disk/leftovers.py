"""What is written under a name of its own first: who is still at work in it, and what killed processes left."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from irp_hf.disk.places import written_in_words

try:
    import fcntl
except ImportError:  # Windows has none: age alone tells there
    fcntl = None  # type: ignore[assignment]

STALE_SECONDS = 3600.0  # a temporary file that nobody touched for so long may have been left by a killed process
LONGEST_NAME = 200  # bytes
PREFIX = "irp_hf-"  # of folders among the system's temporary files


def temporary_name(path: Path) -> Path:
    """A free name beside `path`, for what shall take its place."""
    return path.with_name(f"{_start(path)}{secrets.token_hex(4)}")


def leftover_of(path: Path, kind: str = "") -> re.Pattern[str]:
    """Matches what `temporary_name` gives beside `path`; `kind` is a regular expression of what comes before the number."""
    return re.compile(re.escape(_start(path)) + kind + "[0-9a-f]{8}")


def old_name(target: Path) -> Path:
    """A free name beside the folder `target` for what stands there, where it must make room before the new one comes."""
    return target.with_name(f"{_start(target)}old-{secrets.token_hex(4)}")


def old_folders(target: Path) -> list[Path]:
    """Folders of such a name, of this user or of the owner of the folder that they are in: anybody may put some in /tmp."""
    ours = leftover_of(target, "old-")
    try:
        owners = {os.stat(target.parent).st_uid} | ({os.geteuid()} if hasattr(os, "geteuid") else set())
        found = [entry for entry in os.scandir(target.parent) if ours.fullmatch(entry.name)]
        folders = [entry for entry in found if entry.is_dir(follow_symlinks=False)]
        return [Path(entry) for entry in folders if entry.stat(follow_symlinks=False).st_uid in owners]
    except OSError:
        return []


def _start(path: Path) -> str:
    name = os.fsencode(path.name)
    if len(name) > LONGEST_NAME:  # with more in front of it and behind, it would be too long for the system
        return f".{hashlib.sha256(name).hexdigest()[:32]}.irp-"
    return f".{path.name}.irp-"


@contextlib.contextmanager
def claimed(path: Path | int) -> Iterator[None]:
    """Within it `is_abandoned` knows, also in other processes, that somebody is at work in a file or a folder."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # some file systems have no locks
            if isinstance(path, Path):
                descriptor = os.open(path, os.O_RDONLY)
                stack.callback(os.close, descriptor)
            else:
                descriptor = path
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield


def wait_for_turn(descriptor: int) -> None:
    """Wait until nobody else has taken a turn at a file or a folder, and take one until it is closed."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def is_abandoned(path: Path) -> bool:
    """Whether nobody touched it for an hour, and nobody is at work in it. What may not be looked at is somebody's."""
    try:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) and not stat.S_ISREG(found.st_mode):  # a pipe: opening it would wait
            return False
        if hasattr(os, "geteuid") and os.geteuid() not in (0, found.st_uid):
            return False
        last = max(item.lstat().st_mtime for item in (path, *path.rglob("*")))
        if time.time() - last <= STALE_SECONDS:
            return False
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:  # its owner is at work, or it is another user's
        return False
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    finally:
        os.close(descriptor)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files and folders of writes of `path` that were killed."""
    _remove(path.parent, leftover_of(path, "(old-)?"))


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield an empty folder that this user alone can read, removed at the end; so are those that killed processes left.

    Raises `InputError` where there is no room for it, or for what is written there.
    """
    home = Path(tempfile.gettempdir())
    _remove(home, re.compile(re.escape(PREFIX) + "[a-z0-9_]{8}"))
    with written_in_words(home, "a folder for temporary files", "Make room, or name another one by TMPDIR."):
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            with claimed(folder):
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove(home: Path, ours: re.Pattern[str]) -> None:
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(home)):
            if ours.fullmatch(entry.name) and not entry.is_symlink() and is_abandoned(Path(entry)):
                if entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    with contextlib.suppress(OSError):
                        os.unlink(entry)
