"""The digest of items in order, by which a run that goes on knows that they are the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from irp_hf.errors import InputError
from irp_hf.items import is_picture, open_picture

AT_ONCE = 1024  # rows


def digest(items: Sequence[Any]) -> str:
    """The fingerprint of a column of `datasets`, or a sha256 of the content of all items in order.

    Raises `InputError` for items whose content cannot be told, such as objects of a class of your own.
    """
    source, column = getattr(items, "source", None), getattr(items, "column_name", None)
    if source is not None and hasattr(source, "_fingerprint"):
        return f"datasets:{source._fingerprint}:{column}"
    hashed = hashlib.sha256()
    for start in range(0, len(items), AT_ONCE):
        for row, item in enumerate(items[start : start + AT_ONCE], start):
            try:
                _feed(hashed, item)
            except (OSError, TypeError, ValueError) as error:
                raise InputError(
                    f"Item {row} is a {type(item).__name__} that cannot be told from others ({error}), as a run that is to be "
                    "resumed must. Leave out= out, or pass texts, pictures or arrays."
                ) from error
    return f"sha256:{hashed.hexdigest()}"


def _feed(hashed: Any, item: Any) -> None:
    """Add the kind, the length and the content of an item."""
    if isinstance(item, Mapping):
        parts = [part for key in sorted(item) for part in (key, item[key])]
        hashed.update(b"mapping %d " % len(parts))
        for part in parts:
            _feed(hashed, part)
        return
    if isinstance(item, os.PathLike):
        stat = os.stat(item)
        content = f"{os.fspath(item)} {stat.st_size} {stat.st_mtime_ns}".encode()
    elif isinstance(item, str):
        content = item.encode("utf-8", "surrogatepass")
    elif isinstance(item, bytes):
        content = item
    elif item is None or isinstance(item, bool | int | float):
        content = repr(item).encode()
    elif is_picture(item):
        picture = open_picture(item)
        content = f"{picture.mode} {picture.size} ".encode() + picture.tobytes()
    else:
        array = np.asarray(item)
        if array.dtype.hasobject:
            raise TypeError("its content has no fixed form")
        content = f"{array.dtype} {array.shape} ".encode() + array.tobytes()
    hashed.update(f"{type(item).__name__} {len(content)} ".encode())
    hashed.update(content)
