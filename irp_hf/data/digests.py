"""The digest by which a run knows its items again: of what they are, and not of what they are called."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from irp_hf.data.files import read_file
from irp_hf.data.items import AT_ONCE, is_picture, is_row, open_picture
from irp_hf.errors import IRPError, first_line, kind_of, refusal


def digest(items: Sequence[Any], files: bool = False) -> str:
    """A sha256 of the content of all items in order.

    Of a file it is what stands in it, wherever it lies: a path as `pathlib` has it, or where `files` says so any text. A column
    of `datasets` is read as it is stored, its pictures and sounds undecoded.

    Raises `InputError` for items whose content cannot be told, such as objects of a class of your own; a column of `datasets`
    then goes by its fingerprint.
    """
    return digests(items, files)[0]


def digests(items: Sequence[Any], files: bool = False) -> tuple[str, ...]:
    """`digest`, and behind it what earlier versions noted of the same items, where that was another."""
    fingerprint = getattr(getattr(items, "source", None), "_fingerprint", None)
    by_name = f"datasets:{fingerprint}:{getattr(items, 'column_name', None)}" if fingerprint else None
    hashed, before = hashlib.sha256(), None  # the older one where it differs
    for row, item in _stored(items):
        try:
            if before is None and (isinstance(item, os.PathLike | Mapping) or files):
                before = hashed.copy()
            _feed(hashed, item, files, by_path=False)
            if before is not None:
                _feed(before, item, False, by_path=True)
        except IRPError:
            raise
        except Exception as error:  # items may be of any class, and a broken picture makes Pillow raise almost anything
            if by_name is not None:  # a film, say, or a file inside an archive
                return (by_name,)
            expected = "a text, a picture, an array or a file, whose content can be recorded"
            advice = "A run that is to be resumed needs that; encode without out= otherwise."
            got = f"{kind_of(item)} ({first_line(error)})"
            raise refusal(f"Item {row}", expected, got, advice) from error
    found, older = f"sha256:{hashed.hexdigest()}", by_name or f"sha256:{(before or hashed).hexdigest()}"
    return (found,) if older == found else (found, older)


def _stored(items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Rows and items; of a column of `datasets` as they are stored, so that nothing is decoded for it."""
    column = _column(items)
    for start in range(0, len(items), AT_ONCE):
        yield from enumerate(column[start : start + AT_ONCE], start)


def _column(items: Any) -> Any:
    """A column of `datasets` without its format, and with its files undecoded; anything else as it is.

    Where a transform of the user's makes the items, they are what it makes.
    """
    source, name = getattr(items, "source", None), getattr(items, "column_name", None)
    library = sys.modules.get("datasets")
    if library is None or not isinstance(source, library.Dataset) or source.format["type"] == "custom":
        return items
    table = source.with_format(None).select_columns([name])
    feature = table.features[name]
    if isinstance(feature, library.Image | library.Audio):
        table = table.cast_column(name, type(feature)(decode=False))
        return table[name]
    return table[name] if source.format["type"] is None else items


def _feed(hashed: Any, item: Any, files: bool, *, by_path: bool) -> None:
    """Add the kind, the length and the content of an item; `by_path`: of a file its name, size and time, as it once was."""
    if isinstance(item, Mapping):
        if not by_path and item.keys() & {"bytes", "path"} and not is_row(item):
            _feed_file(hashed, item.get("bytes"), item.get("path"))
            return
        parts = [part for key in sorted(item) for part in (key, item[key])]
        hashed.update(b"mapping %d " % len(parts))
        for part in parts:
            _feed(hashed, part, files and part not in item, by_path=by_path)
        return
    if isinstance(item, os.PathLike) or (files and isinstance(item, str)):
        if not by_path:
            _feed_file(hashed, None, item)
            return
        stat = os.stat(item)
        data = f"{os.fspath(item)} {stat.st_size} {stat.st_mtime_ns}".encode()
    else:
        data = _content(item)
    hashed.update(f"{type(item).__name__} {len(data)} ".encode())
    hashed.update(data)


def _feed_file(hashed: Any, content: bytes | None, path: Any) -> None:
    data = read_file(path, most=None) if content is None else content
    hashed.update(f"file {len(data)} ".encode())
    hashed.update(data)


def _content(item: Any) -> bytes:
    if isinstance(item, str):
        return item.encode("utf-8", "surrogatepass")
    if isinstance(item, bytes):
        return item
    if item is None or isinstance(item, bool | int | float):
        return repr(item).encode()
    if is_picture(item):
        picture = open_picture(item)
        return f"{picture.mode} {picture.size} ".encode() + picture.tobytes()
    if isinstance(item, date | time | timedelta | Decimal):
        return repr(item).encode()
    try:
        array = np.asarray(item)
    except ValueError:  # rows of unequal length
        array = np.empty(0, object)
    if array.dtype.hasobject:
        if isinstance(item, Mapping):
            item = sorted(item.items())
        if not isinstance(item, list | tuple):
            raise TypeError("its content has no fixed form")
        parts = [(type(part).__name__, _content(part)) for part in item]
        return b"".join(f"{kind} {len(part)} ".encode() + part for kind, part in parts)
    return f"{array.dtype} {array.shape} ".encode() + array.tobytes()
