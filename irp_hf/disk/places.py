"""Places that users name: what is a path at all, what stands there, and what the system says of them, in words."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from irp_hf.errors import (
    DamagedFolderError,
    InputError,
    IRPError,
    MissingFolderError,
    Refusal,
    reason_of,
    refusal,
    shown,
)

OF_THE_SYSTEM = re.compile(r"\(os error (\d+)\)|\[errno (\d+)\]")  # so libraries in Rust and Arrow tell what it said
LONGEST_SHOWN = 500  # characters
MAKE_ROOM = "Make room, or name another place."


def check_path(name: str, path: Any) -> Path:
    """A path that a user names; raises `InputError` for what is none, and for one that is empty."""
    place = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not is_path(place) or not Path(os.path.realpath(place)).name:  # the root cannot be replaced
        raise refusal(name, "a path", shown(path), "Name a place on the disk, as text or as a pathlib.Path.")
    return Path(place)


def is_path(place: Any) -> bool:
    """Whether a text can name a place on the disk: none is empty, or holds NUL or half of a character that takes two."""
    try:
        written = os.fsencode(place) if isinstance(place, str) else b""
    except UnicodeEncodeError:
        return False
    return bool(written) and b"\0" not in written


def check_utf8(name: str, place: str | os.PathLike[str]) -> None:
    """Raise `InputError` for a folder whose whole path is no UTF-8: Arrow and safetensors open no file in it."""
    whole = os.path.realpath(place)
    try:
        whole.encode()
    except UnicodeEncodeError as error:
        expected = "a path in UTF-8, which Arrow and safetensors can open"
        raise refusal(name, expected, shown(whole), "Rename what is not, or name another place.") from error


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a folder is there; a path that the system refuses (too long a name, say) leads to none."""
    try:
        return os.path.isdir(path)
    except (OSError, ValueError):
        return False


def no_folder(place: str) -> MissingFolderError:
    """The error for a saved folder that is not there."""
    got, advice = (
        "a file" if os.path.isfile(place) else "none of that name",
        "Name one, or an id on the Hub, user/name.",
    )
    return refusal(named(place), "a folder that exists", got, advice, MissingFolderError)


def cannot_be_read(subject: str, error: OSError, kind: type[Refusal] = InputError) -> Refusal:  # type: ignore[assignment]
    """The error for a file or a folder that the system does not let be read: it may well be whole."""
    advice = "Look at who may read it."
    return refusal(subject, "one that can be read", f"the error: {reason_of(error)}", advice, kind)


def check_allowed(place: str | os.PathLike[str]) -> None:
    """Raise `DamagedFolderError` for a folder of which this user may not even know whether it is there."""
    try:
        os.stat(place)
    except PermissionError as error:
        raise cannot_be_read(named(place), error, DamagedFolderError) from error
    except (OSError, ValueError):  # for others to tell
        pass


def named(place: str | os.PathLike[str]) -> str:
    """A path as it is, for an error; one that no terminal shows, or that is very long, as Python writes it."""
    text = os.fspath(place)
    return text if text.isprintable() and len(text) <= LONGEST_SHOWN else shown(text)


def is_of_the_system(error: BaseException) -> bool:
    """Whether an error tells what the system refused: room, permission, so long a name."""
    return isinstance(error, OSError) or OF_THE_SYSTEM.search(str(error)) is not None


@contextlib.contextmanager
def written_in_words(place: str | os.PathLike[str], what: str = "a place", advice: str = MAKE_ROOM) -> Iterator[None]:
    """Raise `InputError` for what the system refuses while `place`, `what` in words, is written."""
    try:
        yield
    except IRPError:
        raise
    except Exception as error:
        if not is_of_the_system(error) and not isinstance(error, NotImplementedError):  # of a file system without locks
            raise
        raise cannot_be_written(place, error, what, advice) from error


def cannot_be_written(
    place: str | os.PathLike[str], error: BaseException, what: str = "a place", advice: str = MAKE_ROOM
) -> InputError:
    """The error for a place that the system refuses."""
    number = OF_THE_SYSTEM.search(str(error))
    reason = os.strerror(int(number[1] or number[2])) if number else reason_of(error)
    return refusal(named(place), f"{what} that can be written", f"the error: {reason}", advice)


def sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk; Windows offers that to neither folders nor readers."""
    if sys.platform == "win32":
        return
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a link, or a pipe, whose opening would wait
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems have no such call
            raise
    finally:
        os.close(descriptor)
