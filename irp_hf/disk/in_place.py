"""Saves into folders that cannot be swapped: mount points, the working directory, folders in a read-only one.

All new files are written into a folder inside; one rename of it commits the save; then the files are moved to their places.
Who finds such a folder takes its files for the newer ones, so that the old or the new state is there at any moment.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from irp_hf.disk.leftovers import wait_for_turn
from irp_hf.disk.places import sync

COMMITTED = re.compile(r"\.irp-new-[0-9a-f]{8}")


def put_in_place(fresh: Path, target: Path) -> None:
    """Let what is in `fresh`, a folder inside `target`, take the place of what is there. Afterwards `fresh` is gone."""
    with _turn(target):
        for earlier in committed_in(target):
            _move(earlier, target)
        committed = target / f".irp-new-{secrets.token_hex(4)}"
        fresh.rename(committed)
        sync(target)
        _move(committed, target)


def committed_in(target: Path) -> list[Path]:
    """Folders whose files are still to be moved: of a save at work, or of one that was killed."""
    try:
        return [Path(entry) for entry in os.scandir(target) if COMMITTED.fullmatch(entry.name)]
    except OSError:
        return []


def finish(target: Path) -> list[Path]:
    """Move what killed saves have committed, once no save is at work; returns what may not be moved."""
    if not committed_in(target):
        return []
    with _turn(target):
        for committed in committed_in(target):
            with contextlib.suppress(OSError):  # on a read-only disk, or of another user
                _move(committed, target)
        return committed_in(target)


def overlay(committed: list[Path], target: Path, view: Path) -> None:
    """Fill `view` with links to the files of `target`, the committed ones before those that they replace."""
    for folder in (*committed, target):
        _link(folder, view)


def _link(folder: Path, view: Path) -> None:
    for entry in os.scandir(folder):
        link = view / entry.name
        if entry.is_dir() and not COMMITTED.fullmatch(entry.name) and not entry.name.startswith("."):
            link.mkdir(exist_ok=True)
            _link(Path(entry), link)
        elif not entry.is_dir() and not os.path.lexists(link):
            link.symlink_to(os.path.abspath(entry))


def _move(committed: Path, target: Path) -> None:
    items = sorted(committed.rglob("*"))  # a folder before what is in it
    folders = [committed, *(item for item in items if item.is_dir() and not item.is_symlink())]
    for folder in folders[1:]:
        place = target / folder.relative_to(committed)
        if not place.is_dir():
            place.mkdir()
            shutil.copymode(folder, place)
    files = [item for item in items if item not in folders]
    # Other libraries see the files come one by one: the configuration last, which they read first.
    for file in sorted(files, key=lambda file: (file == committed / "config.json", -file.lstat().st_size)):
        with contextlib.suppress(FileNotFoundError):  # moved by another, where there are no locks
            file.replace(target / file.relative_to(committed))
    for folder in reversed(folders):
        sync(target / folder.relative_to(committed))
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Within it no other save, of any process, moves files into `folder`, as far as the file system has locks."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            wait_for_turn(descriptor)
        yield
