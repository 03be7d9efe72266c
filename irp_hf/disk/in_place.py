"""Saves into folders that cannot be swapped: mount points, the working directory, folders in a read-only one.

All new files are written into a folder inside; one rename of it commits the save; then the files are moved to their places.
Who finds such a folder takes its files for the newer ones, so that the old or the new state is there at any moment. Only
who saves into the folder moves them; who reads it leaves all as it is.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from irp_hf.disk.leftovers import wait_for_turn
from irp_hf.disk.places import sync
from irp_hf.errors import DamagedFolderError, reason_of, refusal

COMMITTED = re.compile(r"\.irp-new-[0-9a-f]{8}")
MOST_ITEMS, DEEPEST = 10_000, 16  # of a save: what holds more was made by no save of ours


def put_in_place(fresh: Path, target: Path) -> None:
    """Let what is in `fresh`, a folder inside `target`, take the place of what is there. Afterwards `fresh` is gone.

    Raises `InputError` where another user's save is still to be finished there.
    """
    with _turn(target):
        _finish_all(target)
        committed = target / f".irp-new-{secrets.token_hex(4)}"
        fresh.rename(committed)
        sync(target)
        _move(committed, target)


def committed_in(target: Path) -> list[Path]:
    """Folders whose files are still to be moved: of a save at work, or of one that was killed.

    A folder that came from elsewhere may hold anything under such a name. What a save cannot have made (a link, a file, names
    with a dot in front, links inside) is none. Raises `DamagedFolderError` for one that this user may not look into.
    """
    try:
        names = [entry.name for entry in os.scandir(target) if COMMITTED.fullmatch(entry.name)]
    except OSError:
        return []
    return [target / name for name in sorted(names) if _is_of_a_save(target / name)]


def finish(target: Path) -> None:
    """For who saves there: move what killed saves have committed, once no save is at work.

    Raises `InputError` where that is for another user to do.
    """
    if committed_in(target):
        with _turn(target):
            _finish_all(target)


def unfinished(target: Path) -> list[Path]:
    """For who reads there: what killed saves have committed, once no save is at work. Nothing is changed."""
    if not committed_in(target):
        return []
    with _turn(target):
        return committed_in(target)


def overlay(committed: list[Path], target: Path, view: Path) -> None:
    """Fill `view` with links to what is in `target`, the committed files before those that they replace.

    No link is followed, and of `target` no more is looked at than the folders that the committed ones have, too.
    """
    for folder in committed:
        _link_files(folder, view)
    _link_rest(target, view)


def _link_files(folder: Path, view: Path) -> None:
    for entry in os.scandir(folder):
        place = view / entry.name
        if entry.is_dir(follow_symlinks=False):
            place.mkdir(exist_ok=True)
            _link_files(Path(entry), place)
        elif not os.path.lexists(place):
            place.symlink_to(os.path.abspath(entry))


def _link_rest(folder: Path, view: Path) -> None:
    for entry in os.scandir(folder):
        place = view / entry.name
        if not os.path.lexists(place):
            if not entry.name.startswith("."):
                place.symlink_to(os.path.abspath(entry))
        elif entry.is_dir(follow_symlinks=False) and place.is_dir() and not place.is_symlink():
            _link_rest(Path(entry), place)


def _is_of_a_save(committed: Path) -> bool:
    """Whether there are only files and folders in it, by plain names, and not too many."""
    folders, count = [(committed, 0)], 0
    while folders:
        folder, depth = folders.pop()
        try:
            if not stat.S_ISDIR(folder.lstat().st_mode) or depth > DEEPEST:
                return False
            for entry in os.scandir(folder):
                count += 1
                is_folder = entry.is_dir(follow_symlinks=False)
                plain = is_folder or entry.is_file(follow_symlinks=False)
                if entry.name.startswith(".") or not plain or count > MOST_ITEMS:
                    return False
                if is_folder:
                    folders.append((Path(entry), depth + 1))
        except FileNotFoundError:  # it is moved just now
            continue
        except OSError as error:
            expected = "an unfinished save that this user may read"
            advice = "Ask who saved there to save again, or for the right to read it."
            got = f"the error: {reason_of(error)}"
            raise refusal(str(committed), expected, got, advice, DamagedFolderError) from error
    return os.path.lexists(committed)


def _finish_all(target: Path) -> None:
    earlier = committed_in(target)
    for committed in earlier:  # all are looked at before one is moved
        owner = committed.stat().st_uid
        if hasattr(os, "geteuid") and owner not in (os.geteuid(), target.stat().st_uid):
            expected = "no unfinished save of another user"
            advice = "Let that user save there again, or remove it."
            raise refusal(str(committed), expected, f"one of the user with the number {owner}", advice)
    for committed in earlier:
        _move(committed, target)


def _move(committed: Path, target: Path) -> None:
    items = sorted(committed.rglob("*"))  # a folder before what is in it
    folders = [committed, *(item for item in items if item.is_dir() and not item.is_symlink())]
    for folder in folders[1:]:
        place = target / folder.relative_to(committed)
        if place.is_symlink():  # files are moved into this folder, never to where a link leads
            place.unlink()
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
            descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
            stack.callback(os.close, descriptor)
            wait_for_turn(descriptor)
        yield
