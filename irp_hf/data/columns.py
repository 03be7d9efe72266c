"""Columns of items: one of a `datasets.Dataset` to encode, or those of a table that become the views of an anchor set."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from irp_hf.checks import check_batch_size, check_choice, check_list, quoted
from irp_hf.data.items import is_picture, is_row
from irp_hf.data.listed import LISTED, in_order
from irp_hf.data.wrong import module_of, reader_of_items
from irp_hf.errors import kind_of, refusal, shown

Columns: TypeAlias = Mapping[str, Sequence[Any]]


def check_request(items: Any, batch_size: Any, least: int = 1) -> Sequence[Any]:
    """The items to encode, by position; raises `InputError` for what is no list of them, and for a wrong batch size.

    There must be `least` of them.
    """
    listed = in_order(items, least=least)
    check_batch_size(batch_size)
    return listed


def column_of(dataset: Any, column: Any) -> Any:
    """A column of a `datasets.Dataset`; raises `InputError` where it has none of that name."""
    names = getattr(dataset, "column_names", None)
    if not isinstance(names, list) or not hasattr(dataset, "__len__"):
        advice = "Of a dictionary of splits, give one; of a stream, a list of its rows as a Dataset."
        raise refusal("dataset", "a datasets.Dataset", kind_of(dataset), advice)
    return dataset[check_choice("column", column, names, "Name a column of the dataset.")]


def read_views(dataset: Any, column: str | Sequence[str], views: Mapping[str, str] | None) -> Columns:
    """Columns of a table as views, by the names of the views.

    `column` is one, or several that become views of the same names; `views` gives the column of each view instead.

    Raises `InputError` for what is no table, and where it lacks a column.
    """
    if views is None and isinstance(column, str):
        return as_views(_read_columns(dataset, [column])[0])
    if views is None:
        names = check_list("column", column, advice="Name one, or a list of them.")
        views = {_check_name("column", name): name for name in names}
    elif not isinstance(views, Mapping):
        raise refusal("views", "a dictionary from views to columns", shown(views), "Write {'en': 'text_en'}, say.")
    columns = [_check_name(f"The column of view {view!r}", name) for view, name in views.items()]
    return as_views(dict(zip(views, _read_columns(dataset, columns), strict=True)))


def as_views(items: Any) -> Columns:
    """Items by view; one list is the view "text" or "image". Raises `InputError` unless all are lists of one length."""
    views = dict(items) if isinstance(items, Mapping) else {"text": items}
    for name, column in views.items():
        if not isinstance(name, str) or not name.strip():
            raise refusal("The name of a view", "a text", shown(name), "Write {'en': [...]}, say.")
        views[name] = in_order(column, f"items of view {name!r}" if isinstance(items, Mapping) else "items", least=0)
    lengths = {name: len(column) for name, column in views.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        held = ", ".join(f"{length} in {name!r}" for name, length in lengths.items()) or "no view"
        raise refusal("items", "as many in each view, and at least 2", held, "Pair the views row by row.")
    if not isinstance(items, Mapping) and is_picture(views["text"][0]):
        return {"image": views["text"]}
    return views


def read_labels(dataset: Any, column: Any) -> Sequence[Any]:
    """The label of every row; raises `InputError` where one is missing or cannot be compared."""
    _check_name("label_column", column)
    if isinstance(dataset, list | tuple) and not any(is_row(item) for item in dataset):
        expected, advice = f"rows with the label_column {column!r}", "Give a list of dictionaries with that column."
        raise refusal("dataset", expected, "a list of bare items", advice)
    labels = list(_read_columns(dataset, [column])[0])
    for number, label in enumerate(labels):
        if _is_no_label(label):
            raise refusal(
                f"Row {number} of {column!r}", "a label", shown(label), "Fill in such rows, or drop them first."
            )
    return labels


def origin(dataset: Any) -> tuple[str | None, str | None]:
    """The id and the licence that a `datasets.Dataset` says it has, as far as it does."""
    info = getattr(dataset, "info", None)
    files = getattr(info, "download_checksums", None) or {}
    ids = {match[1] for file in files if (match := re.match(r"hf://datasets/([^@]+)@", str(file)))}
    license = getattr(info, "license", None)
    return ids.pop() if len(ids) == 1 else None, license if isinstance(license, str) and license else None


def _read_columns(dataset: Any, names: Sequence[str]) -> list[Sequence[Any]]:
    """The named columns of a `datasets.Dataset`, a pandas frame or a list of dictionaries as sequences.

    A list of bare items is its own single column. Pictures of a `datasets.Dataset` stay undecoded and are
    read row by row. Raises `InputError` for any other table and for names that it lacks.
    """
    # Both are slow to import, and a table of theirs exists only where somebody did.
    datasets, pandas = sys.modules.get("datasets"), sys.modules.get("pandas")
    if datasets and isinstance(dataset, datasets.Dataset):
        return _of_dataset(dataset, names, datasets.Image)
    if pandas and isinstance(dataset, pandas.DataFrame):
        _check_names(names, list(dataset.columns))
        return [dataset[name].tolist() for name in names]
    if module_of(dataset) in ("polars", "pyarrow") and hasattr(dataset, "schema"):
        _check_names(names, [*map(str, dataset.schema.names if hasattr(dataset.schema, "field") else dataset.columns)])
        return [in_order(dataset[name]) for name in names]
    if isinstance(dataset, Mapping):
        raise refusal("dataset", "one table", f"{kind_of(dataset)} of {quoted(dataset)}", "Give one of its parts.")
    if isinstance(dataset, np.ndarray) or (module_of(dataset) in LISTED and not hasattr(dataset, "column_names")):
        dataset = list(in_order(dataset, "dataset"))
    if not isinstance(dataset, list | tuple):
        expected = "a datasets.Dataset, a pandas DataFrame or a list"
        advice = "Of a stream, take rows first: list(dataset.take(100_000))."
        if isinstance(dataset, str | os.PathLike):
            read = (reader_of_items(dataset) or "").replace("['the column']", "")
            advice = read or "Load it first: datasets.load_dataset(name, split='train')."
        raise refusal("dataset", expected, kind_of(dataset), advice)
    if any(is_row(item) for item in dataset):
        return [_of_rows(dataset, name) for name in names]
    if len(names) != 1:
        advice = "Give a list of dictionaries."
        raise refusal("dataset", f"rows with {len(names)} columns", "a list of bare items", advice)
    return [dataset]


def _of_dataset(dataset: Any, names: Sequence[str], picture: Any) -> list[Sequence[Any]]:
    if dataset.format["type"] == "custom":
        advice = "Apply it with dataset.map, or take it off with dataset.reset_format()."
        raise refusal("dataset", "items as they are stored", "one with a transform", advice)
    _check_names(names, dataset.column_names)
    table = dataset.with_format(None).select_columns(list(dict.fromkeys(names)))
    for name, feature in table.features.items():
        if isinstance(feature, picture):
            table = table.cast_column(name, picture(decode=False))
    return [table[name] for name in names]


def _check_name(place: str, name: Any) -> Any:
    if not isinstance(name, str | int):  # pandas numbers the columns that have no name
        raise refusal(place, "the name of a column", shown(name), "Name one as a text.")
    return name


def _check_names(names: Iterable[str], known: Sequence[object]) -> None:
    for name in names:
        if (times := known.count(name)) != 1:
            got = f"{times} of that name among {quoted(known)}"
            raise refusal("dataset", f"one column {name!r}", got, "Name a column by column= or views=.")


def _of_rows(rows: Sequence[Any], name: str) -> list[Any]:
    for number, row in enumerate(rows):
        if not is_row(row) or name not in row:
            got = f"the columns {quoted(row)}" if is_row(row) else "no columns"
            advice = "Name a column that every row has by column= or views=."
            raise refusal(f"Row {number} of the dataset", f"a column {name!r}", got, advice)
    return [row[name] for row in rows]


def _is_no_label(label: Any) -> bool:
    try:
        return label is None or bool(label != label) or not isinstance(label, Hashable)
    except (TypeError, ValueError):  # pandas.NA and arrays
        return True
