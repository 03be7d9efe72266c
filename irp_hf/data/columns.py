"""The items of an anchor set as columns, one for each view."""

from __future__ import annotations

import re
import sys
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from irp_hf.data.items import is_picture, is_row
from irp_hf.errors import InputError


def check_request(items: Any, batch_size: int) -> Any:
    """The first item; raise `InputError` for no items, and for what is no list of them."""
    if isinstance(items, str | bytes) or not hasattr(items, "__len__") or not len(items):
        raise InputError(f"The items are {items!r:.40}; a list of at least one is wanted. Pass [item, ...].")
    if hasattr(items, "column_names"):
        raise InputError(
            f"The items are a whole {type(items).__name__}; one column of it is wanted. "
            f"Pass dataset[{items.column_names[0]!r}], say."
        )
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; at least 1 is wanted. 32 suits most encoders.")
    try:
        return next(iter(items[:1]))
    except (KeyError, TypeError) as error:
        raise InputError(f"The items are a {type(items).__name__}; a list is wanted. Pass list(items).") from error


def column_of(dataset: Any, column: str) -> Any:
    """A column of a `datasets.Dataset`; raises `InputError` where it has none of that name."""
    names = getattr(dataset, "column_names", None) or ()
    if column not in names:
        known = ", ".join(map(repr, names)) or "none"
        raise InputError(f"column is {column!r}, but the columns of the dataset are {known}. Name one of them.")
    return dataset[column]


def read_columns(dataset: Any, names: Sequence[str]) -> list[Sequence[Any]]:
    """Return the named columns of a `datasets.Dataset`, a pandas frame or a list of dicts as sequences.

    A list of bare items is its own single column. Pictures of a `datasets.Dataset` stay undecoded and are
    read row by row. Raises `InputError` for any other table and for names that it lacks.
    """
    # Both are slow to import, and a table of theirs exists only where somebody did.
    datasets, pandas = sys.modules.get("datasets"), sys.modules.get("pandas")
    if datasets and isinstance(dataset, datasets.Dataset):
        if dataset.format["type"] == "custom":
            raise InputError(
                "dataset has a transform, but anchors are items as they are stored. Apply it with dataset.map, or take "
                "it off with dataset.reset_format()."
            )
        _check_names(names, dataset.column_names)
        table = dataset.with_format(None).select_columns(list(dict.fromkeys(names)))
        for name, feature in table.features.items():
            if isinstance(feature, datasets.Image):
                table = table.cast_column(name, datasets.Image(decode=False))
        return [table[name] for name in names]
    if pandas and isinstance(dataset, pandas.DataFrame):
        _check_names(names, list(dataset.columns))
        return [dataset[name].tolist() for name in names]
    if isinstance(dataset, Mapping):
        raise InputError(
            f"dataset is a {type(dataset).__name__} of {', '.join(map(repr, dataset))}, but one table is "
            "needed. Pass one of its parts."
        )
    if not isinstance(dataset, list | tuple):
        raise InputError(
            f"dataset is a {type(dataset).__name__}, but a datasets.Dataset, a pandas DataFrame or a list is "
            "needed. Of a stream, take rows first: list(dataset.take(100_000))."
        )
    if any(is_row(item) for item in dataset):
        return [_of_rows(dataset, name) for name in names]
    if len(names) != 1:
        raise InputError(
            f"{len(names)} columns are asked for, but the dataset is a list of bare items. Pass a list of dicts."
        )
    return [dataset]


def _check_names(names: Iterable[str], known: Sequence[object]) -> None:
    for name in names:
        if known.count(name) != 1:
            raise InputError(
                f"The dataset has {known.count(name) or 'no'} columns named {name!r}; its columns are "
                f"{', '.join(map(repr, known))}. Name one of them by column= or views=."
            )


def _of_rows(rows: Sequence[Any], name: str) -> list[Any]:
    for number, row in enumerate(rows):
        if not is_row(row) or name not in row:
            has = f"the columns {', '.join(map(repr, row))}" if is_row(row) else "no columns"
            raise InputError(
                f"Row {number} of the dataset has {has}, but {name!r} is asked for. "
                "Name a column that every row has by column= or views=."
            )
    return [row[name] for row in rows]


def read_labels(dataset: Any, column: str) -> Sequence[Any]:
    """Return the label of every row; raise `InputError` where one is missing or cannot be compared."""
    if isinstance(dataset, list | tuple) and not any(is_row(item) for item in dataset):
        raise InputError(
            f"label_column is {column!r}, but the dataset is a list of bare items. Pass a list of dicts with that column."
        )
    labels = list(read_columns(dataset, [column])[0])
    for number, label in enumerate(labels):
        if _is_no_label(label):
            raise InputError(
                f"Row {number} of {column!r} is {label!r}, but every row needs a label. "
                "Fill in or drop such rows first."
            )
    return labels


def _is_no_label(label: Any) -> bool:
    try:
        return label is None or bool(label != label) or not isinstance(label, Hashable)
    except (TypeError, ValueError):  # pandas.NA and arrays
        return True


def origin(dataset: Any) -> tuple[str | None, str | None]:
    """The id and the licence that a `datasets.Dataset` says it has, as far as it does."""
    info = getattr(dataset, "info", None)
    files = getattr(info, "download_checksums", None) or {}
    ids = {match[1] for file in files if (match := re.match(r"hf://datasets/([^@]+)@", str(file)))}
    license = getattr(info, "license", None)
    return ids.pop() if len(ids) == 1 else None, license if isinstance(license, str) and license else None


Columns: TypeAlias = Mapping[str, Sequence[Any]]


def columns_of(dataset: Any, column: str | Sequence[str], views: Mapping[str, str] | None) -> Columns:
    """Read columns of a table as views; raises `InputError` where one is missing."""
    if views is None and isinstance(column, str):
        return by_view(read_columns(dataset, [column])[0])
    wanted = {name: name for name in column} if views is None else dict(views)
    read = read_columns(dataset, list(wanted.values()))
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
