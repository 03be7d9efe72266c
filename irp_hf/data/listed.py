"""Items in the order of their positions, whatever holds them: a table's own labels, which `[]` may mean, do not count."""

from __future__ import annotations

import os
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, Sequence, Set, ValuesView
from contextlib import suppress
from typing import Any

import numpy as np
from torch import Tensor

from irp_hf.data.arrow import check_whole
from irp_hf.data.pictures import PictureColumn, decoded_here
from irp_hf.data.wrong import module_of, reader_of_items
from irp_hf.errors import InputError, first_line, kind_of, refusal, shown


def in_order(items: Any, name: str = "items", least: int = 1) -> Sequence[Any]:
    """A sequence with `len`, and with `[]` by position alone, for numbers and slices; a slice gives a list or an array.

    Columns of pandas, polars, Arrow and xarray give plain Python objects. A column of `datasets`, an array, a map-style
    data set of torch and an Arrow column are read piece by piece, where they are asked.

    Raises `InputError` for fewer than `least` items, and for what has no order or no end: sets, mappings, streams and
    whole tables.
    """
    if isinstance(items, list | tuple | ByPosition | PictureColumn):
        listed: Any = items
    elif (refused := _no_list(items, name)) is not None:
        raise refused
    else:
        listed = LISTED.get(module_of(items), _other)(items, name)
    if len(listed) < least:
        raise refusal(name, "a list of at least one", f"{shown(items)}, which is empty", "Give one item at least.")
    return listed  # type: ignore[no-any-return]


class ByPosition(Sequence[Any]):
    """Rows of what gives one for its position; slices are its own where it is a sequence that has some, else lists."""

    def __init__(self, rows: Any, length: int) -> None:
        self._rows, self._length = rows, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, where: Any) -> Any:
        if isinstance(where, slice) and isinstance(self._rows, Sequence):
            with suppress(TypeError):  # a deque has none
                return self._rows[where]
        rows = range(self._length)[where]
        return [self._row(row) for row in rows] if isinstance(rows, range) else self._row(rows)

    def _row(self, row: int) -> Any:
        return self._rows[row]


class OfArrow(ByPosition):
    """Rows of an Arrow column as Python's own values."""

    def _row(self, row: int) -> Any:
        return self._rows[row].as_py()


def _no_list(items: Any, name: str) -> InputError | None:
    """The error for what is known to be no list of items; None for all else."""
    if isinstance(items, str | bytes | bytearray | os.PathLike):
        advice = reader_of_items(items) or "Give a list: [item, ...]."
        return refusal(name, "a list of at least one", shown(items), advice)
    if isinstance(items, KeysView | ValuesView | ItemsView):
        return None  # in the order in which the dictionary was filled
    if isinstance(items, Set):
        return refusal(name, "items in an order", f"{kind_of(items)}, which has none", "Give sorted(items), say.")
    if isinstance(items, Mapping):
        key = next(iter(items), "text")
        advice = f"Give one of its columns, items[{key!r}], or list(items.values())."
        return refusal(name, "one list", f"{kind_of(items)} with {shown(key)} and others", advice)
    if hasattr(items, "collect") and hasattr(items, "collect_schema"):
        return refusal(name, "a column", f"{kind_of(items)}, which holds a query", "Give items.collect()['text'].")
    names = getattr(items, "column_names", None)
    of_table = getattr(items, "ndim", None) == 2 or hasattr(items, "get_column")  # the latter of polars
    if names is None and of_table and hasattr(items, "columns"):
        names = list(items.columns)
    if hasattr(items, "column_names") or names is not None:
        column = repr(next(iter(names or ()), "text"))
        if not hasattr(items, "__len__"):
            advice = f"Take rows of it: [row[{column}] for row in items.take(1000)]."
            return refusal(name, "a list", f"{kind_of(items)}, a stream of rows", advice)
        return refusal(name, "one column", f"{kind_of(items)} of several", f"Give one: dataset[{column}], say.")
    if isinstance(items, Iterator) or (hasattr(items, "__iter__") and not hasattr(items, "__len__")):
        advice = "Give list(items), or the first of them: list(itertools.islice(items, 1000))."
        return refusal(name, "a list", f"{kind_of(items)}, which may have no end", advice)
    return None


def _other(items: Any, name: str) -> Any:
    """Arrays and tensors as they are; what else has a length and gives a row for a number."""
    if isinstance(items, np.ndarray | Tensor):
        if not items.ndim:
            raise refusal(name, "a list", f"a single value, {shown(items)}", "Give a list: [item].")
        if isinstance(items, np.ndarray) and np.ma.is_masked(items):
            row = int(np.flatnonzero(np.ma.getmaskarray(items).reshape(len(items), -1).any(1))[0])
            raise refusal(f"Item {row}", "a value", "a masked one", "Drop such items first.")
        return items
    if isinstance(items, KeysView | ValuesView | ItemsView):
        return list(items)
    rows = getattr(items, "iloc", items)  # of other tables like those of pandas
    try:
        length = len(items)
        if length and not isinstance(items, Sequence):
            rows[0]
    except Exception as error:  # whatever a foreign class may raise
        got = f"{kind_of(items)}, {shown(items)} ({first_line(error)})"
        advice = "Give a list: [item, ...], or list(items)."
        if hasattr(items, "one_by_one"):  # an anchor set, which has no [ ]
            advice = "Give the items of a view of it: anchors.view()."
        raise refusal(name, "a list of at least one", got, advice) from error
    return ByPosition(rows, length)


def _as_python(items: Any, name: str) -> Any:
    """Of a Series, an Index, a categorical."""
    make = getattr(items, "tolist", None) or getattr(items, "to_list", None)
    return _other(items, name) if make is None else make()


def _of_arrow(items: Any, name: str) -> Any:
    if not hasattr(items, "to_pylist"):
        return _other(items, name)
    check_whole(items, name)
    return OfArrow(items, len(items))


def _of_datasets(items: Any, name: str) -> Any:
    return decoded_here(items) if isinstance(items, Sequence) else _other(items, name)


def _of_xarray(items: Any, name: str) -> Any:
    return _other(np.asarray(items), name)


LISTED: dict[str, Callable[[Any, str], Any]] = {
    "pandas": _as_python,
    "polars": _as_python,
    "pyarrow": _of_arrow,
    "xarray": _of_xarray,
    "datasets": _of_datasets,
}
