"""Files and folders that are replaced whole or not at all, so that a save that is killed leaves no mixture of old and new."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from irp_hf.errors import InputError, reason_of, refusal, shown

STALE_SECONDS = 3600.0  # a temporary file or folder that nobody touched for so long was left by a killed save
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_path(name: str, path: Any) -> Path:
    """A path that a user names; raises `InputError` for what is none, and for one that is empty."""
    place = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(place, str) or not place or "\0" in place:
        raise refusal(name, "a path", shown(path), "Name a place on the disk, as text or as a pathlib.Path.")
    try:
        os.fsencode(place)
    except UnicodeEncodeError as error:
        raise refusal(name, "a path that a disk can hold", shown(path), "Give it another name.") from error
    return Path(place)


@contextlib.contextmanager
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


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of writes of `path` that were killed: those that nobody touched for an hour."""
    ours = re.compile(re.escape(f".{path.name}.irp-") + "[0-9a-f]{8}")
    with contextlib.suppress(OSError):
        for left in path.parent.iterdir():
            if ours.fullmatch(left.name) and left.is_file() and time.time() - left.stat().st_mtime > STALE_SECONDS:
                left.unlink()


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


@contextlib.contextmanager
def replaced_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a fresh folder to write into; at the end it takes the place of the folder `path` in one step.

    What stands in the old folder and was not written anew (README.md, .git, ...) is carried over. After an
    exception the old folder is as it was. A symbolic link is followed, and missing parents are made. Some
    folders cannot be swapped: the working directory or one above it, a mount point, a folder whose parent is
    read-only. There the files are put in place one by one, the largest first and config.json last.

    Raises `InputError` where `path` is no path or cannot be written, where the disk is full, where a file stands at it or at
    one of its parents, and where a file that is to be written meets a folder of the same name, or the other way round.
    """
    try:
        fresh, target, in_place = _prepare(check_path("The folder to save to", path))
    except InputError:
        raise
    except (FileExistsError, NotADirectoryError) as error:
        raise refusal(str(error.filename), "a folder", "a file", "Name another place, or move the file.") from error
    except (OSError, ValueError) as error:
        raise _cannot_be_written(path, error) from error
    try:
        yield fresh
        _refuse_clashes(fresh, target)
        for item in (*fresh.rglob("*"), fresh):
            sync(item)
        if in_place:
            _move_files(fresh, target)
        else:
            _swap(fresh, target)
        sync(target.parent)
    except OSError as error:
        if error.errno in FULL:
            raise _cannot_be_written(path, error) from error
        raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _prepare(path: Path) -> tuple[Path, Path, bool]:
    """An empty folder to write into, the folder that it shall replace, and whether that must be done file by file."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_dir():
        raise refusal(str(path), "a folder", "a file", "Name another place, or move the file.")
    in_place = _cannot_be_swapped(target)
    home = target if in_place else target.parent
    home.mkdir(parents=True, exist_ok=True)
    _tidy(home, target)
    fresh = home / f".{target.name}.irp-{secrets.token_hex(4)}"
    fresh.mkdir()
    return fresh, target, in_place


def _cannot_be_written(path: str | os.PathLike[str], error: Exception) -> InputError:
    return refusal(
        str(path), "a folder that can be written", f"the error: {reason_of(error)}", "Make room, or name another place."
    )


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


def _tidy(home: Path, target: Path) -> None:
    """Remove what killed saves left; put the old folder back where a save died between two renames."""
    ours = re.compile(re.escape(f".{target.name}.irp-") + "(old-)?[0-9a-f]{8}")
    for left in home.iterdir():
        if match := ours.fullmatch(left.name):
            if match[1] and not target.exists():
                left.rename(target)
            elif time.time() - _last_touched(left) > STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _last_touched(folder: Path) -> float:
    try:
        return max(item.lstat().st_mtime for item in (folder, *folder.rglob("*")))
    except FileNotFoundError:  # its owner is at work in it
        return time.time()


def _move_files(fresh: Path, target: Path) -> None:
    files = [item for item in fresh.rglob("*") if item.is_symlink() or not item.is_dir()]
    for file in sorted(files, key=lambda file: (file == fresh / "config.json", -file.lstat().st_size)):
        place = target / file.relative_to(fresh)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)


def _swap(fresh: Path, target: Path) -> None:
    if target.exists():
        _carry_over(target, fresh)
        shutil.copymode(target, fresh)
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
    old = target.with_name(f".{target.name}.irp-old-{secrets.token_hex(4)}")
    try:
        target.rename(old)
        fresh.rename(target)
    except BaseException:
        with contextlib.suppress(OSError):  # nothing to put back, or the new folder is there already
            old.rename(target)
        raise
    old.rename(fresh)
