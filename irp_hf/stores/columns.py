"""Values under names, as databases of points keep them, and columns of Arrow: there and back, exactly.

A name whose values are of one kind in all points is a column of that kind; all others stand in one column of JSON.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from irp_hf.errors import InputError, refusal, shown

MARK = b"irp_hf.is"  # of a field, and goes along where Arrow's schemas go
ID, TEXT, URI, JSON, OPTIONAL = b"id", b"text", b"uri", b"json", b"optional"
"""An id; a text; an address of something; values as JSON; values of which a null means that a point has none, not even null."""
IDS, TEXTS = ("id", "_id"), ("text", "document")
KINDS = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
SMALLEST, LARGEST = -(2**63), 2**63 - 1
Values = dict[str, Any]


def marked(field: pa.Field, what: bytes) -> pa.Field:
    """A field that says what it is."""
    return field.with_metadata({MARK: what})


def mark_of(field: pa.Field) -> bytes | None:
    """What a field says that it is."""
    found: bytes | None = (field.metadata or {}).get(MARK)
    return found


def column_that_is(what: bytes, schema: pa.Schema, names: Sequence[str] = ()) -> str | None:
    """The column that says that it is `what`, or else has the first of some names."""
    for field in schema:
        if mark_of(field) == what:
            return str(field.name)
    return next((name for name in names if name in schema.names), None)


def id_column(schema: pa.Schema) -> str | None:
    """The column of ids: the one that says so, or else is called so."""
    return column_that_is(ID, schema, IDS)


class Seen:
    """What values all points have, told one by one."""

    def __init__(self) -> None:
        self.num_points = 0
        self._kinds: dict[str, set[type]] = defaultdict(set)
        self._counts: dict[str, int] = defaultdict(int)

    @property
    def names(self) -> set[str]:
        """Of all values."""
        return set(self._kinds)

    def look(self, points: Iterable[Mapping[str, Any]]) -> None:
        """Take note of the values of some points."""
        for values in points:
            self.num_points += 1
            for name, value in values.items():
                self._kinds[name].add(_kind(value))
                self._counts[name] += 1

    def fields(self, taken: Iterable[str], rest: str) -> list[pa.Field]:
        """Columns in the order of their names, and at last that of JSON, called `rest`, where one is needed."""
        reserved = {*taken, rest, ""}
        found, others = [], False
        for name in sorted(self._kinds):
            kinds, everywhere = self._kinds[name] - {type(None)}, self._counts[name] == self.num_points
            null = type(None) in self._kinds[name]
            kind = KINDS.get(next(iter(kinds))) if len(kinds) == 1 else None
            if kind is None or name in reserved or (null and not everywhere) or not _is_text(name):
                others = True
                continue
            field = pa.field(name, kind)
            found.append(field if everywhere else marked(field, OPTIONAL))
        if others:
            found.append(marked(pa.field(rest, pa.string()), JSON))
        return found


def arrays_of(points: Sequence[Mapping[str, Any]], fields: Sequence[pa.Field]) -> list[pa.Array]:
    """The values of points as columns of `fields`, as `Seen` has them; raises `InputError` where a value is of another kind."""
    typed = [field for field in fields if mark_of(field) != JSON]
    names = {field.name for field in typed}
    arrays = []
    for field in fields:
        if mark_of(field) == JSON:
            rest = [{name: values[name] for name in values if name not in names} for values in points]
            arrays.append(pa.array([json.dumps(some) if some else None for some in rest], pa.string()))
            continue
        try:
            arrays.append(pa.array([values.get(field.name) for values in points], field.type))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            advice = "It was changed meanwhile: begin again."
            raise refusal(field.name, f"values of {field.type}, as before", "others", advice) from error
    return arrays


def points_of(batch: pa.RecordBatch, left_out: Iterable[str]) -> list[Values]:
    """The reverse, of all columns but some: the values of each row; a null of what is not optional is None."""
    points: list[Values] = [{} for _ in range(batch.num_rows)]
    for number, field in enumerate(batch.schema):
        if field.name in left_out:
            continue
        what = mark_of(field)
        for values, value in zip(points, _plain(batch.column(number)), strict=True):
            if what == JSON:
                values.update(json.loads(value) if value is not None else {})
            elif value is not None or what != OPTIONAL:
                values[field.name] = value
    return points


def check_plain(schema: pa.Schema, left_out: Iterable[str], kind: str) -> None:
    """Raise `InputError` for a column that has no form in JSON; dates and times have one, as texts."""
    for field in schema:
        if field.name not in left_out and not _has_form(field.type):
            expected = f"texts, numbers, booleans, dates, or lists of them, which {kind} can hold"
            raise refusal(f"Column {shown(field.name)}", expected, str(field.type), "Leave it out of the source.")


def first_not_finite(points: Sequence[Values], start: int) -> InputError | None:
    """The error for a number that JSON cannot hold, in points of which the first is row `start`."""
    for number, values in enumerate(points):
        for name, value in values.items():
            if isinstance(value, float) and not math.isfinite(value):
                advice = "Put a null there, or a number."
                return refusal(f"{name} of row {start + number}", "a finite number", str(value), advice)
    return None


def _kind(value: Any) -> type:
    """Of a value: that of a column, None's, or `object` for what is in none."""
    kind = type(value)
    if kind is int and not SMALLEST <= value <= LARGEST:
        return object
    if kind is str and not _is_text(value):
        return object
    return kind if kind in KINDS or value is None else object


def _is_text(value: str) -> bool:
    """Whether UTF-8 has a form of it: half of a character that takes two has none."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _has_form(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _has_form(kind.value_type)
    if pa.types.is_struct(kind):
        return all(_has_form(kind.field(number).type) for number in range(kind.num_fields))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _has_form(kind.value_type)
    plain = (
        pa.types.is_boolean,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_string,
        pa.types.is_large_string,
    )
    dated = (pa.types.is_date, pa.types.is_timestamp, pa.types.is_time, pa.types.is_null, pa.types.is_string_view)
    return any(is_kind(kind) for is_kind in (*plain, *dated))


def _plain(column: pa.Array) -> Iterator[Any]:
    for value in column.to_pylist():
        yield _as_json(value)


def _as_json(value: Any) -> Any:
    """A value of Python as JSON has it: dates and times as ISO 8601 writes them."""
    if isinstance(value, dict):
        return {name: _as_json(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_as_json(inner) for inner in value]
    return value.isoformat() if hasattr(value, "isoformat") else value
