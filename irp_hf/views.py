"""The items of an anchor set as columns, one for each view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from irp_hf import sampling
from irp_hf.errors import InputError
from irp_hf.items import is_picture

Columns: TypeAlias = Mapping[str, Sequence[Any]]


def columns_of(dataset: Any, column: str | Sequence[str], views: Mapping[str, str] | None) -> Columns:
    """Read columns of a table as views; raises `InputError` where one is missing."""
    if views is None and isinstance(column, str):
        return by_view(sampling.read_columns(dataset, [column])[0])
    wanted = {name: name for name in column} if views is None else dict(views)
    read = sampling.read_columns(dataset, list(wanted.values()))
    return by_view(dict(zip(wanted, read, strict=True)))


def by_view(items: Any) -> Columns:
    """Give one list the name of its kind; raise `InputError` unless all views are lists of one length."""
    views = dict(items) if isinstance(items, Mapping) else {"text": items}
    for name, column in views.items():
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"A view is named {name!r}, but a name is a string. Write {{'en': [...]}}.")
        if isinstance(column, str | bytes) or not isinstance(column, Sequence):
            raise InputError(
                f"The items are a {type(column).__name__}, but a list or a dict of lists is needed. "
                "Turn them into a list, or give a table to AnchorSet.sample."
            )
    lengths = {name: len(column) for name, column in views.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        held = ", ".join(f"{length} in {name!r}" for name, length in lengths.items()) or "no views"
        raise InputError(
            f"Each view needs the same items, at least 2, but there are {held}. Pair the views row by row."
        )
    if not isinstance(items, Mapping) and is_picture(items[0]):
        return {"image": items}
    return views
