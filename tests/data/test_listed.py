"""Items by position: whatever labels a table has, and whatever `[]` of it means."""

from collections import OrderedDict, deque

import numpy as np
import pandas
import pyarrow as pa
import pytest
import torch
from datasets import Dataset, DatasetDict
from says import says

from irp_hf import AnchorSet
from irp_hf.data.arrays import as_matrix
from irp_hf.data.columns import check_request, read_views
from irp_hf.data.digests import digest
from irp_hf.data.listed import in_order
from irp_hf.encoding import encode
from irp_hf.errors import InputError
from irp_hf.parallel import run_sharded

TEXTS = ["a b c", "d", "e f", "g h i j", "k"]


def shuffled(**options):
    """A column of pandas whose labels are numbers in another order."""
    return pandas.Series(TEXTS, index=[3, 1, 4, 0, 2], **options)


class Pairs(torch.utils.data.Dataset):
    """Knows no slices."""

    def __len__(self):
        return len(TEXTS)

    def __getitem__(self, row):
        return TEXTS[row]


KINDS = {
    "list": TEXTS,
    "tuple": tuple(TEXTS),
    "shuffled labels": shuffled(),
    "labels with gaps": pandas.Series(TEXTS, index=[7, 8, 20, 21, 40]),
    "labels twice": pandas.Series(TEXTS, index=[0, 0, 1, 1, 0]),
    "backwards": pandas.Series(TEXTS[::-1])[::-1],
    "labels of text": pandas.Series(TEXTS, index=list("vwxyz")),
    "labels of two levels": pandas.Series(TEXTS, index=pandas.MultiIndex.from_product([[1], [4, 3, 2, 1, 0]])),
    "labels of floats": pandas.Series(TEXTS, index=[2.0, 1.0, 0.0, 3.0, 4.0]),
    "part of a frame": pandas.DataFrame({"t": ["-", *TEXTS, "-"]})["t"][1:-1],
    "category": shuffled(dtype="category"),
    "string": shuffled(dtype="string"),
    "Arrow in pandas": shuffled(dtype=pandas.ArrowDtype(pa.string())),
    "index": pandas.Index(TEXTS),
    "extension array": shuffled(dtype="string").array,
    "numpy": np.array(TEXTS),
    "objects": np.array(TEXTS, object),
    "backwards in numpy": np.array(TEXTS[::-1])[::-1],
    "numpy's own strings": np.array(TEXTS, np.dtypes.StringDType()),
    "Arrow": pa.array(TEXTS),
    "part of Arrow": pa.array(["-", *TEXTS, "-"])[1:-1],
    "Arrow chunks": pa.chunked_array([TEXTS[:2], [], TEXTS[2:]]),
    "Arrow dictionary": pa.array(TEXTS).dictionary_encode(),
    "column": Dataset.from_dict({"t": TEXTS})["t"],
    "selected column": Dataset.from_dict({"t": TEXTS[::-1]}).select([4, 3, 2, 1, 0])["t"],
    "deque": deque(TEXTS),
    "values": dict(enumerate(TEXTS)).values(),
    "keys": OrderedDict.fromkeys(TEXTS).keys(),
    "torch": Pairs(),
    "part of torch": torch.utils.data.Subset(Pairs(), [0, 1, 2, 3, 4]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_by_position(kind):
    """Answers would stand beside the items of other rows, in the order of a table's labels."""
    listed = check_request(KINDS[kind], 2)
    assert len(listed) == len(TEXTS)
    assert [listed[row] for row in range(5)] == TEXTS
    assert [str(item) for item in listed[1:4]] == TEXTS[1:4]
    assert listed[-1] == TEXTS[-1]
    assert all(isinstance(item, str) for item in listed)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_encoded_in_its_order(kind):
    """The same, where batches are cut."""
    lengths, _ = encode(lambda texts: np.array([[len(text), 1.0] for text in texts]), KINDS[kind], batch_size=2)
    assert lengths[:, 0].tolist() == [len(text) for text in TEXTS]


def test_polars_and_xarray():
    """The same of columns of two more libraries."""
    polars = pytest.importorskip("polars")
    assert list(in_order(polars.Series(TEXTS))) == TEXTS
    assert list(read_views(polars.DataFrame({"t": TEXTS}), "t", None)["text"]) == TEXTS
    xarray = pytest.importorskip("xarray")
    assert list(in_order(xarray.DataArray(TEXTS, coords={"row": [4, 3, 2, 1, 0]}, dims="row"))) == TEXTS


def test_anchor_sets_and_blocks_and_digests(tmp_path):
    """Anchors of one side would stand in another order than those of the other, and a run be resumed with other rows."""
    expected = AnchorSet(TEXTS)
    for kind in ("shuffled labels", "objects", "Arrow chunks", "index", "deque"):
        assert AnchorSet(KINDS[kind]) == AnchorSet({"text": KINDS[kind]}) == expected
        assert digest(in_order(KINDS[kind])) == digest(TEXTS)
    assert AnchorSet.sample(shuffled(), num_anchors=3) == AnchorSet.sample(TEXTS, num_anchors=3)
    table = pa.table({"t": TEXTS, "n": [2, 1, 0, 0, 1]})
    assert AnchorSet.sample(table, "t", 3) == AnchorSet.sample(pandas.DataFrame({"t": shuffled()}), "t", 3)
    done = run_sharded(lambda rows: np.array([[len(row)] for row in rows]), shuffled(), tmp_path / "out", block_size=2)
    assert done["values"][:, 0].tolist() == [len(text) for text in TEXTS]


REFUSED = {
    "set": ({"a", "b"}, ["a set", "order"]),
    "frozen": (frozenset("ab"), ["a frozenset", "order"]),
    "dictionary": ({"text": TEXTS}, ["a dict", "items['text']"]),
    "frame": (pandas.DataFrame({"words": TEXTS}), ["a DataFrame", "['words']"]),
    "table": (pa.table({"words": TEXTS}), ["a Table", "['words']"]),
    "data set": (Dataset.from_dict({"words": TEXTS}), ["a Dataset", "['words']"]),
    "splits": (DatasetDict(train=Dataset.from_dict({"words": TEXTS})), ["a DatasetDict", "'train'"]),
    "stream": (Dataset.from_dict({"words": TEXTS}).to_iterable_dataset(), ["stream", "row['words']", "take"]),
    "column of a stream": (Dataset.from_dict({"words": TEXTS}).to_iterable_dataset()["words"], ["IterableColumn"]),
    "generator": ((text for text in TEXTS), ["a generator", "list(items)"]),
    "map": (map(str, TEXTS), ["a map", "list(items)"]),
    "masked": (np.ma.masked_array(TEXTS, [0, 0, 1, 0, 0]), ["Item 2", "masked"]),
    "text": ("words", ["'words'"]),
    "bytes": (b"words", ["b'words'"]),
    "one number": (np.float32(3), ["3.0"]),
    "no items": (pandas.Series([], dtype=str), ["at least one"]),
    "group": (pandas.DataFrame({"a": TEXTS}).groupby("a"), ["GroupBy"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_order_or_no_end(case, refusal):
    """A set would be encoded in any order, a whole table by the names of its columns, and a stream never end."""
    items, words = REFUSED[case]
    assert says(refusal(in_order, items, error=InputError), *words)


def test_missing_texts_are_named_by_position(refusal):
    """The row that a user must find would be a label, or a float would be told of where a text is missing."""
    series = pandas.Series(["a", None, "b"], index=[5, 6, 7])
    for missing in (series, series.astype("string"), series.astype("category"), pa.array(["a", None, "b"])):
        text = refusal(encode, lambda texts: np.ones((len(texts), 2)), missing, prompt="q: ", error=InputError)
        assert says(text, "Item 1", "a missing value")
    assert says(refusal(encode, len, [b"a"], prompt="q: ", error=InputError), "Item 0", "bytes", "decode()")


def test_what_polars_has_besides_columns(refusal):
    """A frame was taken for a list of frames, and an expression for a column."""
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"text": ["a", "b"], "vector": [[1.0, 2.0], [3.0, 4.0]]})
    assert list(in_order(frame["text"])) == ["a", "b"]
    for items in (frame, frame.lazy()):
        assert says(refusal(in_order, items, error=InputError), "one column" if items is frame else "a column", "text")
    for odd in (polars.col("vector"), frame.group_by("text"), frame.lazy()):
        assert "['embedding']" in refusal(as_matrix, odd, error=InputError)
