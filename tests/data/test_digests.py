"""The digest of items: equal content gives an equal one, and anything else another."""

from collections import OrderedDict
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from datasets import Image as Pictures
from PIL import Image
from says import says

from irp_hf import AnchorSet
from irp_hf.data.digests import digest
from irp_hf.errors import InputError

PICTURE = Image.new("RGB", (2, 3), (1, 2, 3))
DIFFERENT = [
    ["ab", "c"],
    ["a", "bc"],
    ["abc"],
    [b"ab", b"c"],
    [1, 2],
    [1.0, 2.0],
    [None, None],
    [{"a": 1, "b": 2}],
    [{"a": 2, "b": 1}],
    [PICTURE],
    [PICTURE.resize((3, 2))],
    [np.zeros(4, np.float32)],
    [np.zeros((2, 2), np.float32)],
    [np.zeros(2, np.float64)],
    [Path(__file__)],
]


def test_different_items_differ():
    """In kind, content, order, and in where one ends and the next begins."""
    digests = [digest(items) for items in [*DIFFERENT, ["c", "ab"]]]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("items", DIFFERENT)
def test_equal_items_agree(items):
    """Whatever holds them."""
    assert digest(items) == digest(tuple(items))


def test_what_does_not_count():
    """The order of keys, and how many rows are read at a time."""
    assert digest([{"a": 1, "b": 2}]) == digest([{"b": 2, "a": 1}]) != digest([OrderedDict(a=1, b=3)])
    many = [str(row) for row in range(3000)]
    assert digest(many) == digest(list(many)) != digest(many[:-1])


@pytest.mark.parametrize(
    "column",
    [
        [[[1, 2], [3]], [[1], [2, 3]]],
        [["a", None], ["a", "b"]],
        [[{"a": 1}], [{"a": 2}]],
        [datetime(2024, 1, 1), datetime(2024, 1, 2)],
        [{"a": [1, 2]}, {"a": [1]}],
        [True, False],
    ],
)
def test_columns_of_any_type(column):
    """If it fails, a run over lists of unequal length or over dates is refused, or takes one for another."""
    one, other = (Dataset.from_dict({"a": rows})["a"] for rows in (column, column[::-1]))
    assert digest(one) == digest(column) != digest(other)
    numpy = Dataset.from_dict({"a": [[1.0, 2.0], [3.0, 4.0]]}).with_format("numpy")
    assert digest(numpy["a"]).startswith("sha256:")


def test_a_column_that_cannot_be_read_goes_by_its_fingerprint(tmp_path):
    """A file that lies elsewhere, in an archive say: the run that it belongs to goes on as before."""
    column = Dataset.from_dict({"a": [str(tmp_path / "missing.png")]}).cast_column("a", Pictures())["a"]
    assert digest(column) == f"datasets:{column.source._fingerprint}:a"


def test_a_column_of_datasets_has_its_own():
    """Of its content, whatever it is called."""
    dataset = Dataset.from_dict({"a": ["x", "y"], "b": ["z", "w"]})
    assert digest(dataset["a"]) == digest(dataset["a"])
    assert len({digest(dataset["a"]), digest(dataset["b"]), digest(dataset.select([1, 0])["a"])}) == 3


def test_what_has_no_content(refusal, tmp_path):
    """If it fails, two runs over different items pass for the same one: an object of your own, a file that is not there."""
    text = refusal(digest, ["a", object()], error=InputError)
    assert says(text, "Item 1", "an object", "no fixed form", "out=")
    assert "Item 0" in refusal(digest, [tmp_path / "missing"], error=InputError)


def test_items_that_cannot_be_read(refusal):
    """If it fails, torch's or Python's own error says neither which item it is nor what to do."""
    own: dict[str, object] = {}
    own["self"] = own
    for item, what in ((torch.ones(2, requires_grad=True), "a Tensor"), (own, "a dict")):
        assert says(refusal(digest, ["a", item], error=InputError), "Item 1", what, "out=")


def test_the_name_of_a_view_that_no_file_holds(refusal):
    """If it fails, a bare UnicodeEncodeError after all items were read."""
    text = refusal(AnchorSet, {"\ud800": ["a", "b"]}, error=InputError)
    assert says(text, "view", "'\\ud800'", "surrogates")
