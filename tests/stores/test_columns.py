"""Values of points become columns and come back: one that changes on the way is somebody's data that is lost."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irp_hf import InputError
from irp_hf.stores.columns import JSON, OPTIONAL, Seen, arrays_of, check_plain, mark_of, points_of

LETTERS = st.text(st.characters(), max_size=4)  # halves of characters among them
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), LETTERS)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LETTERS, inner, max_size=3))
NAMES = st.sampled_from(["a", "b", "year", "id", "vector", "payload", "", "\ud800", "ä"])
POINTS = st.lists(st.dictionaries(NAMES, VALUES, max_size=6), min_size=1, max_size=8)


def there_and_back(points: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[pa.Field]]:
    seen = Seen()
    seen.look(points)
    fields = seen.fields({"id", "vector"}, "payload")
    schema = pa.schema([pa.field("id", pa.int64()), *fields])
    columns = [pa.array(range(len(points)), pa.int64()), *arrays_of(points, fields)]
    return points_of(pa.RecordBatch.from_arrays(columns, schema=schema), {"id"}), fields


def exact(value: Any) -> Any:
    """So that True, 1 and 1.0 differ, and names in another order do not."""
    if isinstance(value, dict):
        return sorted((name, exact(inner)) for name, inner in value.items())
    return [exact(inner) for inner in value] if isinstance(value, list) else repr(value)


@pytest.mark.slow
@given(POINTS)
def test_all_values_come_back(points: list[dict[str, Any]]):
    """Whatever JSON holds, in whatever mixture."""
    assert exact(there_and_back(points)[0]) == exact(points)


@given(st.lists(st.fixed_dictionaries({"text": LETTERS}, optional={"year": st.integers(0, 3000)}), min_size=1))
def test_what_is_alike_has_a_column(points: list[dict[str, Any]]):
    """If it fails, texts cannot be encoded anew, since no column has them."""
    _, fields = there_and_back(points)
    kinds = {field.name: field.type for field in fields if mark_of(field) != JSON}
    if all(point["text"].isascii() for point in points):
        assert kinds["text"] == pa.string()
    if any("year" in point for point in points):
        assert kinds["year"] == pa.int64()


def test_null_and_nothing_differ():
    """A filter for what is null finds the one, and not the other."""
    points, fields = there_and_back([{"a": None, "b": 1}, {"a": "x"}])
    assert points == [{"a": None, "b": 1}, {"a": "x"}]
    assert [(field.name, mark_of(field)) for field in fields] == [("a", None), ("b", OPTIONAL)]
    _, fields = there_and_back([{"a": None}, {"a": 1}, {}])
    assert [(field.name, mark_of(field)) for field in fields] == [("payload", JSON)]


def test_a_value_of_another_kind_than_before():
    """If it fails, a collection that changes while it is read ends in an error of another library."""
    seen = Seen()
    seen.look([{"a": 1}])
    with pytest.raises(InputError, match="int64"):
        arrays_of([{"a": "x"}], seen.fields((), "payload"))


def test_dates_are_texts_and_bytes_are_refused():
    """If it fails, a database ends a run of hours with an error of its own."""
    day = datetime.date(2026, 1, 31)
    batch = pa.RecordBatch.from_pydict({"day": [day, None], "in": [[{"at": day}], []]})
    check_plain(batch.schema, (), "Qdrant")
    assert points_of(batch, ()) == [{"day": "2026-01-31", "in": [{"at": "2026-01-31"}]}, {"day": None, "in": []}]
    for kind in (
        pa.binary(),
        pa.decimal128(3),
        pa.list_(pa.binary()),
        pa.duration("s"),
        pa.map_(pa.string(), pa.int8()),
    ):
        with pytest.raises(InputError, match="bad"):
            check_plain(pa.schema([("good", pa.int8()), ("bad", kind)]), (), "Qdrant")
    check_plain(pa.schema([("bad", pa.binary())]), {"bad"}, "Qdrant")
