"""Columns of items; what tables `AnchorSet.sample` takes is tested beside it."""

import numpy as np
import pandas
import pytest
from datasets import Dataset
from says import says

from irp_hf.data.columns import check_items, check_request, column_of, read_labels, read_views
from irp_hf.errors import InputError


@pytest.mark.parametrize(
    "items", [["a", "b"], ("a", "b"), np.array(["a", "b"]), pandas.Series(["a", "b"], index=[7, 8]), range(3, 5)]
)
def test_the_first_of_any_list(items):
    """If it fails, items that can be read in pieces are refused, or the kind of another item decides."""
    assert check_items(items) == check_request(items, 1) == next(iter(items))


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
