"""Columns of items; what tables `AnchorSet.sample` takes is tested beside it."""

import pandas
import pytest
from datasets import Dataset
from says import says

from irp_hf.data.columns import column_of, read_labels, read_views
from irp_hf.errors import InputError


def test_columns_that_have_no_name():
    """If it fails, a frame of pandas without names, whose columns are numbers, has no views and no labels."""
    frame = pandas.DataFrame([["a", 1], ["b", 2]])
    assert read_views(frame, "text", {"en": 0}) == {"en": ["a", "b"]}
    assert read_labels(frame, 1) == [1, 2]


@pytest.mark.parametrize("column", ["b", None, 0, ["a"], True])
def test_a_column_that_is_not_there(column, refusal):
    """If it fails, a bare KeyError or TypeError of another library."""
    text = refusal(column_of, Dataset.from_dict({"a": ["x"]}), column, error=InputError)
    assert says(text, "column", "'a'", f"got {column!r}")
