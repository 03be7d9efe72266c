"""Files and folders that are replaced whole or not at all, so that a save that is killed leaves no mixture of old and new."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from irp_hf.disk.in_place import finish, put_in_place
from irp_hf.disk.leftovers import claimed, old_folders, old_name, remove_leftovers, temporary_name
from irp_hf.disk.modes import hidden, inherit, inherit_all
from irp_hf.disk.places import check_path, check_utf8, sync, written_in_words
from irp_hf.disk.plain import NO_FILE, is_plain
from irp_hf.errors import refusal

BINARY = getattr(os, "O_BINARY", 0)


@contextlib.contextmanager
def written_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write to, which takes the name `path` in one step once it is on the disk.

    A link is replaced, and not followed: it may be a stranger's. What is replaced hands on its mode and, where that is allowed,
    its owner; until then nobody else may read more than of the result. Raises `OSError` where a folder, a pipe or a device has
    the name.
    """
    if os.path.lexists(path) and not os.path.islink(path) and not is_plain(path):
        raise OSError(NO_FILE)
    fresh = temporary_name(path)
    mode = 0o600 if os.path.exists(path) else 0o666  # of which the umask takes its part
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, mode)
        with os.fdopen(descriptor, "wb") as file, claimed(descriptor):
            yield file
            file.flush()
            inherit(path, fresh)
            os.fsync(descriptor)
            if sys.platform != "win32":  # which renames no open file
                fresh.replace(path)
        if sys.platform == "win32":
            fresh.replace(path)
        sync(path.parent)
    finally:
        fresh.unlink(missing_ok=True)


@contextlib.contextmanager
def replaced_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a fresh folder to write into; at the end it takes the place of the folder `path` in one step.

    What stands in the old folder and was not written anew (README.md, .git, ...) is carried over. After an
    exception the old folder is as it was. A symbolic link is followed, and missing parents are made. Some
    folders cannot be swapped: the working directory or one above it, a mount point, a folder whose parent is
    read-only. There `irp_hf.disk.in_place` commits the new files in one step and then moves them; `read_folder` knows.

    What is replaced hands on its mode and, where that is allowed, its owner; what is new is as the umask has it, and nobody
    else can read anything before.

    Raises `InputError` where `path` is no path or cannot be written, where the disk is full, where a file stands at it or at
    one of its parents, and where a file that is to be written meets a folder of the same name, or the other way round.
    """
    place = check_path("The folder to save to", path)
    check_utf8("The folder to save to", place)
    with written_in_words(place, "a folder"):
        fresh, target, in_place = _prepare(place)
        try:
            with claimed(fresh):
                mode = hidden(fresh)
                yield fresh
                _refuse_clashes(fresh, target)
                if not in_place and target.exists():
                    _carry_over(target, fresh)
                inherit_all(target, fresh, mode)
                for item in (*fresh.rglob("*"), fresh):
                    sync(item)
                if in_place:
                    put_in_place(fresh, target)
                else:
                    _swap(fresh, target)
                sync(target.parent)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _prepare(path: Path) -> tuple[Path, Path, bool]:
    """An empty folder to write into, the folder that it shall replace, and whether that must be done file by file."""
    target = Path(os.path.realpath(path))
    for above in (target, *target.parents):
        if os.path.lexists(above):
            if not above.is_dir():
                raise refusal(str(above), "a folder", "a file", "Name another place, or move the file.")
            break
    in_place = _cannot_be_swapped(target)
    home = target if in_place else target.parent
    home.mkdir(parents=True, exist_ok=True)
    _put_back(target)
    remove_leftovers(home / target.name)
    finish(target)
    fresh = temporary_name(home / target.name)
    fresh.mkdir()
    return fresh, target, in_place


def _refuse_clashes(fresh: Path, target: Path) -> None:
    """Raise `InputError` where a file would take a folder's place, or a folder a file's: the old one would be lost."""
    for item in fresh.rglob("*"):
        old = target / item.relative_to(fresh)
        if os.path.lexists(old) and not old.is_symlink() and old.is_dir() != item.is_dir():
            got, expected = ("a folder", "a file") if old.is_dir() else ("a file", "a folder")
            advice = "Move it, or name another place."
            raise refusal(str(old), f"{expected}, as one is written there", got, advice)


def _cannot_be_swapped(target: Path) -> bool:
    if not target.is_dir():
        return False
    with contextlib.suppress(FileNotFoundError):  # the working directory itself was removed
        here = Path.cwd()
        if any(target.samefile(folder) for folder in (here, *here.parents)):
            return True
    return os.path.ismount(target) or not os.access(target.parent, os.W_OK)


def _put_back(target: Path) -> None:
    """Put the old folder back where a save died between two renames."""
    for old in old_folders(target):
        if not target.exists():
            with contextlib.suppress(OSError):
                old.rename(target)


def _swap(fresh: Path, target: Path) -> None:
    try:
        fresh.rename(target)
    except OSError:  # a folder with something in it stands there
        if not _exchange(fresh, target):
            _rename_twice(fresh, target)
        _carry_over(fresh, target)  # what another program wrote there meanwhile


def _carry_over(old: Path, new: Path) -> None:
    """Give `new` every file of `old` that it lacks, by hard link where possible."""
    for item in old.iterdir():
        twin = new / item.name
        missing = not os.path.lexists(twin)
        if item.is_dir() and not item.is_symlink():
            if missing:
                twin.mkdir()
            if twin.is_dir() and not twin.is_symlink():
                _carry_over(item, twin)
            if missing:
                shutil.copystat(item, twin)
        elif missing:
            try:
                os.link(item, twin, follow_symlinks=False)
            except (OSError, NotImplementedError):
                shutil.copy2(item, twin, follow_symlinks=False)
    sync(new)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two folders in one step; False where the system or the file system cannot."""
    if sys.platform == "win32":
        return False
    libc = ctypes.CDLL(None)
    one, two = os.fsencode(first), os.fsencode(second)
    try:
        if sys.platform == "darwin":
            return bool(libc.renamex_np(one, two, 2) == 0)  # RENAME_SWAP
        return bool(libc.renameat2(-100, one, -100, two, 2) == 0)  # AT_FDCWD, RENAME_EXCHANGE
    except AttributeError:  # an older C library
        return False


def _rename_twice(fresh: Path, target: Path) -> None:
    old = old_name(target)
    try:
        target.rename(old)
        fresh.rename(target)
    except BaseException:
        with contextlib.suppress(OSError):  # nothing to put back, or the new folder is there already
            old.rename(target)
        raise
    old.rename(fresh)
