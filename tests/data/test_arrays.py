"""Rows of any kind are read alike, checked before use, and given back in kind."""

import math
from collections import deque
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import datasets
import ml_dtypes
import numpy as np
import pandas
import pyarrow as pa
import pytest
import scipy.sparse
import torch
from says import says

from irp_hf.data.arrays import LARGEST, Rows, as_matrix
from irp_hf.errors import InputError

X = np.random.RandomState(0).randn(30, 4).astype(np.float32)
FLAT = pa.FixedSizeListArray.from_arrays(pa.array(X.reshape(-1)), 4)


def column(values: object = X, **features: object) -> datasets.Dataset:
    kind = datasets.Features({"e": datasets.List(datasets.Value("float32")), **features})
    return datasets.Dataset.from_dict({"e": [list(row) for row in values]}, features=kind)


def read(x: object) -> torch.Tensor:
    return as_matrix(x, "x")


ALIKE = {
    "numpy": X,
    "torch": torch.from_numpy(X),
    "needs gradients": torch.from_numpy(X.copy()).requires_grad_(),
    "every other column": np.repeat(X, 2, axis=1)[:, ::2],
    "backwards": X[::-1].copy()[::-1],
    "column order": np.asfortranarray(X),
    "unmasked": np.ma.masked_array(X, mask=False),
    "frame": pandas.DataFrame(X),
    "fixed-size lists": FLAT,
    "chunks": pa.chunked_array([FLAT[:7], FLAT[7:7], FLAT[7:]]),
    "lists": pa.array(X.tolist(), pa.list_(pa.float32())),
    "large lists": pa.array(X.tolist(), pa.large_list(pa.float32())),
    "tensor extension": pa.FixedShapeTensorArray.from_numpy_ndarray(X),
    "column": column()["e"],
    "numpy column": column().with_format("numpy")["e"],
    "torch column": column().with_format("torch")["e"],
    "arrow column": column().with_format("arrow")["e"],
    "pandas column of arrays": pandas.Series(list(X), index=range(30, 0, -1)),
    "pandas column of lists": pandas.Series([list(row) for row in X]),
    "pandas column of tensors": pandas.Series(list(torch.from_numpy(X))),
    "pandas column of Arrow": pandas.Series(FLAT, dtype=pandas.ArrowDtype(FLAT.type)),
    "objects": np.array([*X, None], object)[:-1],
    "big-endian": X.astype(">f4"),
    "np.matrix": np.asmatrix(X),
    "list of tensors": list(torch.from_numpy(X)),
    "list that needs gradients": [row.requires_grad_() for row in torch.from_numpy(X.copy())],
    "list of rows": list(X),
    "tuple": tuple(X),
    "deque": deque(X),
    "memoryview": memoryview(X),
    "Arrow's own values": list(pa.array(X.tolist(), pa.list_(pa.float32()))),
}
if find_spec("polars"):
    polars = pytest.importorskip("polars")
    ALIKE["polars lists"] = polars.Series(X.tolist(), dtype=polars.List(polars.Float32))
    ALIKE["polars arrays"] = polars.Series(X)
    ALIKE["polars frame"] = polars.DataFrame(X)
if find_spec("xarray"):
    xarray = pytest.importorskip("xarray")
    ALIKE["xarray"] = xarray.DataArray(X)


@pytest.mark.parametrize("kind", ALIKE)
def test_every_kind_gives_the_same_rows(kind):
    """The same vectors would translate to others, or be refused, in another container."""
    found = read(ALIKE[kind])
    found = found.float() if found.dtype == torch.float64 else found  # lists of Python's own numbers
    assert (found.dtype, found.requires_grad) == (torch.float32, False)
    np.testing.assert_array_equal(found, X)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (FLAT[5:9], X[5:9]),
        (FLAT[5:20][3:8], X[8:13]),
        (pa.chunked_array([FLAT[2:4], FLAT[20:21]]), X[[2, 3, 20]]),
        (pa.array(X.tolist(), pa.list_(pa.float32()))[11:13], X[11:13]),
        (pa.array([None, *X.tolist()], pa.list_(pa.float32(), 4))[1:], X),
        (pa.array([[None] * 4, *X.tolist()], pa.list_(pa.float32(), 4))[1:], X),
        (column().select([4, 2, 9])["e"], X[[4, 2, 9]]),
        (column().select(range(3, 7))["e"], X[3:7]),
        (X[3:7].tolist(), X[3:7]),
        ([torch.from_numpy(row) for row in X[:3]], X[:3]),
    ],
)
def test_slices_are_read_where_they_begin(made, expected):
    """Arrow offsets or the order of a selection would be lost: silently the wrong rows."""
    np.testing.assert_array_equal(read(made).float(), expected)


def test_a_transformed_or_nested_column_is_read_as_its_user_sees_it():
    """The stored values would be read past the user's own transform, or the nesting would crash."""
    doubled = column().with_transform(lambda batch: {"e": [[2 * v for v in row] for row in batch["e"]]})
    np.testing.assert_allclose(read(doubled["e"]), 2 * X)
    nested = datasets.Dataset.from_dict({"a": [{"e": row.tolist()} for row in X]})
    np.testing.assert_array_equal(read(nested["a"]["e"]).float(), X)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_numpy_dtypes_stay(dtype):
    """A user's half precision would silently become another."""
    rows = Rows(X.astype(dtype))
    assert rows.dtype == getattr(torch, dtype)
    assert rows.wrap(rows[0:2]).dtype == dtype


def test_results_come_back_in_kind():
    """Numpy in would not be numpy out, torch not torch, Arrow not Arrow."""
    result, scores = torch.ones(2, 3), torch.ones(2)
    assert Rows(torch.from_numpy(X)).wrap(result) is result
    for x in (X, X.tolist(), column()["e"]):
        assert isinstance(Rows(x).wrap(result), np.ndarray)
    assert Rows(FLAT).wrap(result).type == pa.list_(pa.float32(), 3)
    assert Rows(pa.chunked_array([FLAT])).wrap(scores).type == pa.float32()
    assert isinstance(Rows(list(torch.from_numpy(X))).wrap(result), torch.Tensor)
    series = Rows(pandas.Series(list(X[:2]), index=[7, 3], name="e"))
    assert series.wrap(result).index.tolist() == series.wrap(scores).index.tolist() == [7, 3]
    np.testing.assert_array_equal(series.wrap(result)[3], [1, 1, 1])
    assert series.wrap(scores).dtype == np.float32


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.dtype(ml_dtypes.bfloat16)])
def test_bfloat16_of_numpy_is_read_and_given_back(dtype):
    """Half of what GPUs give today would be refused, or silently become another dtype."""
    x = X.astype(dtype)
    for rows in (Rows(x), Rows(list(x)), Rows(x[:, ::-1][:, ::-1])):
        assert rows.dtype == torch.bfloat16
        back = rows.wrap(rows[0:30])
        assert back.dtype == ml_dtypes.bfloat16
        np.testing.assert_array_equal(back, x)
    whole = Rows(list(torch.from_numpy(X).bfloat16()))
    assert torch.equal(whole.wrap(whole[0:30]), torch.from_numpy(X).bfloat16())


def test_a_big_endian_map_is_read_slice_by_slice(tmp_path):
    """A file larger than memory would be copied whole to turn its bytes round."""
    X.astype(">f4").tofile(tmp_path / "x")
    mapped = np.memmap(tmp_path / "x", ">f4", "r", shape=X.shape)
    rows = Rows(mapped)
    assert np.shares_memory(rows._matrix, mapped)
    np.testing.assert_array_equal(rows[3:5], X[3:5])


def test_read_only_memory_is_never_lent_out():
    """Torch could write to it; where it is a memory map the process would crash."""
    read_only = X.copy()
    read_only.flags.writeable = False
    chunk = Rows(read_only)[0:2]
    chunk += 1
    np.testing.assert_array_equal(read_only, X)


def test_chunks_cover_all_rows_in_order():
    """Rows would be lost or doubled at the seams."""
    parts = list(Rows(X).chunks(7))
    assert [(rows.start, rows.stop) for rows, _ in parts] == [(0, 7), (7, 14), (14, 21), (21, 28), (28, 30)]
    np.testing.assert_array_equal(torch.cat([chunk for _, chunk in parts]), X)


REFUSED = {
    "one dimension": (X[0], ["(rows, width)", "(4,)", "x[None]"]),
    "no rows": (X[:0], ["at least one row", "(0, 4)"]),
    "no width": (torch.ones(3, 0), ["column", "(3, 0)"]),
    "no Arrow rows": (FLAT[:0], ["at least one row", "(0, 4)"]),
    "integers": (X.astype(int), ["float32", "int64"]),
    "torch integers": (torch.ones(2, 4, dtype=torch.int32), ["bfloat16", "int32"]),
    "bool": (X > 0, ["bool"]),
    "complex": (X.astype(np.complex64), ["complex64"]),
    "objects": (X.astype(object), ["object"]),
    "a path": ("x.npy", ["vectors", "'x.npy'", "np.load"]),
    "ragged": ([[1.0, 2.0], [1.0]], ["one width", "unequal length"]),
    "ragged Arrow": (pa.array([[1.0], [1.0, 2.0]]), ["one width", "unequal length"]),
    "ragged, right on average": (pa.array([[1.0] * 3, [1.0] * 5]), ["unequal length"]),
    "ragged chunks": (pa.chunked_array([pa.array([[1.0] * 4]), pa.array([[1.0] * 3])]), ["unequal length"]),
    "null row": (pa.array([X[0].tolist(), None]), ["missing", "null"]),
    "null row of fixed size": (pa.array([X[0].tolist(), None], pa.list_(pa.float32(), 4)), ["missing", "null"]),
    "null value": (pa.array([[1.0, None, 3.0, 4.0]]), ["missing", "null"]),
    "masked": (np.ma.masked_array(X, X > 0), ["missing", "masked"]),
    "sparse": (torch.eye(4).to_sparse(), ["dense", "sparse"]),
    "meta": (torch.ones(2, 4, device="meta"), ["dense", "meta"]),
    "table": (pa.table({"id": [1] * 30, "e": FLAT}), ["a column of lists", "a Table", "table['e']"]),
    "ragged tensors": ([torch.ones(2), torch.ones(2), torch.ones(3)], ["2 as in row 0", "3 in row 2"]),
    "ragged in the middle": ([[1.0, 2.0], [1.0, 2.0], [1.0]], ["2 as in row 0", "1 in row 2"]),
    "ragged column of pandas": (pandas.Series([[1.0], [1.0, 2.0]], index=[5, 6]), ["1 as in row 0", "2 in row 1"]),
    "a hole": (pandas.Series([*X, None], index=range(31, 0, -1)), ["missing", "None in row 30"]),
    "a hole in a list": ([[1.0, 2.0], [None, 2.0]], ["missing", "None in row 1"]),
    "a hole in a matrix of objects": (
        np.where(np.arange(4) + 4 * np.arange(len(X))[:, None] == 11, None, X.astype(object)),
        ["missing", "None in row 2, column 3"],
    ),
    "NaN for a row": ([X[0], float("nan")], ["missing", "nan in row 1"]),
    "masked rows": (list(np.ma.masked_array(X, X > 2)), ["missing", "masked ones in row"]),
    "one level too deep": ([[X[0]], [X[1]]], ["(2, 1, 4)", "np.concatenate"]),
    "batches": ([X[:2], X[2:]], ["a matrix of shape (2, 4) in row 0", "np.concatenate(x)"]),
    "batches of torch": (list(torch.from_numpy(X).split(7)), ["a matrix of shape (7, 4) in row 0", "torch.cat(x)"]),
    "numbers of torch": (list(torch.from_numpy(X[0])), ["shape (4,)", "[x]"]),
    "two dtypes": ([torch.ones(2), torch.ones(2).half()], ["torch.float32", "torch.float16", "row 1"]),
    "int8": (X.astype(np.int8), ["int8", "precision='float32'", "x.astype('float32')"]),
    "quantised": (torch.quantize_per_tensor(torch.ones(2, 4), 0.1, 0, torch.qint8), ["qint8", "x.dequantize()"]),
    "float8": (torch.ones(2, 4).to(torch.float8_e5m2), ["float8_e5m2", "x.float()"]),
    "float8 of numpy": (X.astype(ml_dtypes.float8_e5m2), ["float8_e5m2", "x.astype('float32')"]),
    "structured": (np.zeros(3, [("a", "f4"), ("b", "f4")]), ["'a'", "structured_to_unstructured"]),
    "long double": (X.astype(np.longdouble), ["float128", "float64"]),
    "sparse of scipy": (scipy.sparse.csr_matrix(X), ["a csr_matrix", "sparse", "x.toarray()"]),
    "sparse rows": ([scipy.sparse.coo_array(X[:1])] * 2, ["sparse", "vstack"]),
    "compressed rows": (torch.from_numpy(X).to_sparse_csr(), ["sparse", "to_dense()"]),
    "data set": (column(), ["a whole data set", "'e'", "dataset['e']"]),
    "stream": (column().to_iterable_dataset(), ["a stream", "'e'", "take"]),
    "splits": (datasets.DatasetDict(train=column()), ["DatasetDict", "x['train']"]),
    "column of a stream": (column().to_iterable_dataset()["e"], ["a column of a stream", "islice"]),
    "frame with text": (pandas.DataFrame({"id": ["a"], "e": [X[0]]}), ["a column 'id'", "table['"]),
    "frame with numbers": (pandas.DataFrame({"id": [1], "x": [0.5]}), ["a column 'id' of int64"]),
    "dictionary": ({"e": X}, ["a dict of 'e'", "x['e']"]),
    "rows of dictionaries": ([{"id": 1, "e": X[0]}], ["'id', 'e'", "for row in x"]),
    "generator": ((row for row in X), ["a generator", "np.stack(list(x))"]),
    "set": ({1.0, 2.0}, ["a set", "order"]),
    "texts": (["a", "b"], ["texts, 'a'", "encode"]),
    "lists as text": (pandas.Series(["[1.0, 2.0]"]), ["'[1.0, 2.0]'", "json.loads"]),
    "bytes": ([row.tobytes() for row in X], ["S16", "np.frombuffer"]),
    "a Parquet file": ("v/x.parquet", ["'v/x.parquet'", "pandas.read_parquet('v/x.parquet')"]),
    "a map of numpy": (Path("x.npy"), ["np.load('x.npy')"]),
    "nothing": (None, ["got None"]),
    "a function": (len, ["builtin_function"]),
    "an answer of a service": (
        SimpleNamespace(data=[SimpleNamespace(embedding=[1.0])]),
        ["row.embedding for row in x.data"],
    ),
    "flat column": (pa.array([1.0, 2.0]), ["a column of lists", "double"]),
    "integer column": (pa.array([[1, 2]]), ["int64"]),
    "text column": (pa.array(["a"]), ["string"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_matrix_is_refused(case, refusal):
    """If it fails, a user reads neither what was given nor what is expected, or other vectors are translated."""
    x, words = REFUSED[case]
    text = refusal(read, x, error=InputError)
    assert text.startswith("x: ")
    assert says(text, *words)


@pytest.mark.parametrize(
    "x",
    [
        None,
        3.0,
        "abc",
        ["a", "b"],
        [["a"] * 4],
        [[None] * 4],
        [[1] * 4],
        [],
        [[]],
        {"a": 1},
        {1.0, 2.0},
        (row for row in X),
        float,
        datasets,
        np.float32(3),
        X[None],
        X.astype("U"),
        X.astype(np.longdouble),
        np.zeros(3, dtype=[("a", "f4")]),
        np.array(["2020"], dtype="datetime64"),
        torch.tensor(3.0),
        torch.ones(3, 4, dtype=torch.complex64),
        torch.nested.nested_tensor([torch.ones(3), torch.ones(2)], layout=torch.jagged),
        pandas.DataFrame({"a": ["x"]}),
        pa.record_batch({"e": FLAT}),
        pa.scalar([1.0]),
        pa.array([None, None]),
        pa.array([{"a": 1.0}]),
        pa.array([[[1.0] * 4]]),
        pa.array([[], []], pa.list_(pa.float32())),
        pa.Tensor.from_numpy(X),
        column(),
        column().select([])["e"],
        column().to_iterable_dataset(),
        column().to_iterable_dataset()["e"],
        datasets.Dataset.from_dict({"e": [[1.0], None]})["e"],
        datasets.Dataset.from_dict({"e": [[1.0], [1.0, 2.0]]})["e"],
        datasets.Dataset.from_dict({"e": ["a"]})["e"],
        datasets.Dataset.from_dict({"e": [1, 2]})["e"],
    ],
    ids=lambda x: type(x).__name__,
)
def test_anything_else_is_refused_in_words(x, refusal):
    """A stranger's input would end in a stack trace from the depths of numpy, torch or Arrow."""
    assert refusal(read, x, error=InputError).partition(":")[0] == "x"


def test_the_expected_width_is_checked(refusal):
    """Vectors of another encoder would be read."""
    text = refusal(Rows, X, "x", 5, error=InputError)
    assert "width 4" in text
    assert "width 5" in text


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor, np.ndarray.tolist])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.nan, ["NaN", "finite"]),
        (np.inf, ["infinity", "finite"]),
        (-np.inf, ["infinity", "finite"]),
        (-1e38, ["1e+38", "1e+15"]),
    ],
)
def test_a_useless_value_is_named_with_its_row(kind, value, words, refusal):
    """One bad value would spread over a whole index; the row is what the user must find."""
    x = X.copy()
    x[17, 2] = value
    x[25, 0] = np.nan  # the first bad row counts
    for text in (
        refusal(read, kind(x), error=InputError),
        refusal(Rows(kind(x), "x").check_finite, 4, error=InputError),
    ):
        assert text.startswith("Row 17 of x: ")
        assert says(text, *words)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_useless_value_in_half_precision(value, dtype, refusal):
    """There the bound itself is infinity, and the row was looked for in vain."""
    x = torch.zeros(5, 3, dtype=dtype)
    x[3, 1] = value
    assert refusal(read, x, error=InputError).startswith("Row 3 of ")


def test_large_values_up_to_the_limit_pass():
    """The bound would refuse what float32 still handles."""
    np.testing.assert_array_equal(read(np.full((2, 2), LARGEST)), np.full((2, 2), LARGEST))
    assert torch.isfinite(read(np.full((2, 2), 65504, np.float16))).all()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 11, 100])
def test_an_arrow_column_of_many_chunks_is_read_chunk_by_chunk(size):
    """If it fails, rows are lost or doubled where Arrow chunks meet, or a column larger than memory is copied whole."""
    matrix = np.random.RandomState(0).randn(11, 3).astype(np.float32)
    parts = [matrix[:1], matrix[1:4], matrix[4:4], matrix[4:9], matrix[9:]]
    column = pa.chunked_array([pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), 3) for part in parts])
    rows = Rows(column)
    assert (rows.num_rows, rows.width) == (11, 3)
    read = [(part, chunk) for part, chunk in rows.chunks(size)]
    np.testing.assert_array_equal(torch.cat([chunk for _, chunk in read]), matrix)
    for part, chunk in read:
        np.testing.assert_array_equal(chunk, matrix[part])
    address = column.chunk(1).flatten().buffers()[1].address
    assert rows._matrix.matrices[1].ctypes.data == address  # the column's own memory


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_memory_that_two_tensors_share(dtype):
    """If it fails, rows are overwritten before they are read, or bfloat16, which numpy lacks, cannot be written at all."""
    x = torch.arange(24, dtype=dtype).reshape(8, 3)
    rows = Rows(x[2:6])
    assert not rows.overlaps(torch.empty_like(x))
    assert not rows.overlaps(x[6:])
    assert not rows.overlaps(x[:2])
    for shared in (x, x[5:], x[1:3], x[2:6], x.T, x[::7]):
        assert rows.overlaps(shared)


def test_memory_of_every_kind():
    """If it fails, a reversed array, or values that are negated only when they are read, count as memory of their own."""
    array = X.copy()
    memory = torch.from_numpy(array)
    assert Rows(array[::-1]).overlaps(memory[:1])
    assert Rows(array[::-1][:1]).overlaps(memory[-1:])
    assert not Rows(array[::-1][:1]).overlaps(memory[:1])
    complex_ = torch.ones(4, 3, dtype=torch.complex64)
    negated = complex_.conj().imag
    assert negated.is_neg()
    assert Rows(negated).overlaps(complex_.imag)
    assert Rows(complex_.imag).overlaps(negated)
    assert Rows(memory.clone().requires_grad_()).overlaps(memory) is False
    halves = pa.chunked_array([FLAT, FLAT])
    assert not Rows(halves).overlaps(memory)


def test_an_index_of_faiss(refusal):
    """A user with an index alone would not find the vectors in it."""
    faiss = pytest.importorskip("faiss")
    index = faiss.IndexFlatL2(4)
    index.add(X)
    assert says(refusal(read, index, error=InputError), "IndexFlatL2", "an index of faiss", "reconstruct_n")
    np.testing.assert_array_equal(read(index.reconstruct_n(0, index.ntotal)), X)


def test_memory_on_another_device():
    """If it fails, embeddings on a GPU cannot be written to an array, or the addresses of two devices are compared."""
    rows = Rows(X)
    rows._matrix = torch.empty(X.shape, device="meta")  # the one other device that is everywhere
    assert not rows.overlaps(torch.from_numpy(X))


def test_rows_inside_of_records_are_read():
    """If it fails, torch's error of strides stands where a table of numpy's records holds the vectors."""
    records = np.zeros(40, [("vector", np.float32, (16,)), ("id", np.uint8)])
    records["vector"] = np.random.RandomState(0).rand(40, 16)
    for rows in (records["vector"], records["vector"][:1]):
        assert np.array_equal(Rows(rows).whole().numpy(), rows)
