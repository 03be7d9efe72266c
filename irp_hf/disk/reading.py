"""Folders that are read while others may save into them: what is read is what one save left."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from irp_hf.disk.in_place import overlay, unfinished
from irp_hf.disk.leftovers import old_folders, temporary_folder
from irp_hf.disk.places import check_allowed, check_utf8, is_folder, is_path, no_folder
from irp_hf.errors import refusal, shown

Found = TypeVar("Found")
ATTEMPTS = 200  # at a folder that is saved again and again
PATIENCE, LOOKS = 1.0, 50  # seconds for a save to bring the folder back, and how often it is looked for meanwhile


def check_place(name: Any) -> str:
    """A folder that exists, or what may be an id on the Hub, user/name.

    Raises `InputError` for what is neither text nor a path, and `MissingFolderError` for a folder that is not there.
    """
    place = os.fspath(name) if isinstance(name, str | os.PathLike) else name
    if not is_path(place):
        raise refusal("The place to load from", "a folder or an id on the Hub", shown(name), "Name one of them.")
    folder = Path(place)
    no_id = folder.is_absolute() or place[0] in ".~" or len(folder.parts) != 2 or os.path.lexists(folder)
    if not is_saved(folder):
        check_allowed(folder)
        if no_id:
            raise no_folder(place)
    if is_saved(folder):
        check_utf8("The folder to load from", folder)
    return place


def is_saved(folder: Path) -> bool:
    """Whether a folder is there; one that a save is just replacing is."""
    return is_folder(folder) or bool(old_folders(Path(os.path.realpath(folder))))


def read_folder(folder: Path, read: Callable[[Path], Found]) -> Found:
    """What `read` makes of a saved folder; it raises for one that is not whole.

    Where the folder changed while it was read, and `read` raised, it is read again. What a save that was killed has committed
    counts: its files are read from where they are, and the next save puts them in their places. `read` may so be given another
    folder than the one that was asked for. Nothing in the folder is changed.
    """
    for attempt in range(ATTEMPTS):
        before = _state(folder)
        try:
            with _settled(folder) as place:
                return read(place)
        except Exception:  # of a file that grows meanwhile, libraries say almost anything
            if attempt == ATTEMPTS - 1 or _state(folder) == before:
                raise
    raise AssertionError  # the last attempt returns or raises


@contextlib.contextmanager
def _settled(folder: Path) -> Iterator[Path]:
    target = Path(os.path.realpath(folder))
    if not target.exists() and old_folders(target):  # a save is between two renames, or was killed there
        for _ in range(LOOKS):
            if target.exists():
                break
            time.sleep(PATIENCE / LOOKS)
        else:
            if left := old_folders(target):
                yield left[0]
                return
    committed = unfinished(target)
    if not committed:
        yield folder
        return
    with temporary_folder() as view:
        overlay(committed, target, view)
        yield view


def _state(folder: Path) -> list[Any]:
    """What differs after a save: of the folder, its files and those of folders in it, which they are and when they changed."""
    state: list[Any] = []
    with contextlib.suppress(OSError):
        state.append(_facts(os.stat(folder)))
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            state.append((entry.name, _facts(entry.stat(follow_symlinks=False))))
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                for inner in sorted(os.scandir(entry), key=lambda entry: entry.name):
                    state.append((entry.name, inner.name, _facts(inner.stat(follow_symlinks=False))))
    return state


def _facts(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
