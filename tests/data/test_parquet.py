"""A column of vectors in Parquet files: the rows of one matrix, however they are asked for; what is none is refused."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from says import says

from irp_hf import IRPAdapter
from irp_hf.data import ParquetColumn
from irp_hf.data.arrays import Rows, as_matrix
from irp_hf.errors import InputError

X = np.random.RandomState(0).randn(1000, 5).astype(np.float32)


def write(path, matrix, **options):
    column = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])
    pq.write_table(pa.table({"name": [str(row) for row in range(len(matrix))], "x": column}), path, **options)
    return path


@pytest.fixture
def files(tmp_path):
    """Two, of row groups that are no multiples of anything."""
    return [write(tmp_path / "a.parquet", X[:620], row_group_size=97), write(tmp_path / "b.parquet", X[620:])]


def test_rows_come_as_they_were_written(files, monkeypatch):
    """If it fails, rows of many files are mixed up, or some are lost between two groups."""
    monkeypatch.setattr("irp_hf.data.parquet.BATCH", 40)
    column = ParquetColumn(files, "x")
    assert column.shape == (1000, 5)
    assert np.array_equal(as_matrix(column).numpy(), X)
    for rows in (slice(0, 3), slice(90, 500), slice(619, 621), slice(999, 1000), slice(10, 20)):
        assert np.array_equal(column[rows], X[rows])
    numbers = torch.tensor([999, 3, 620, 619, 41, 0])
    assert np.array_equal(Rows(column).take(numbers).numpy(), X[numbers.numpy()])


def test_rows_are_asked_for_as_of_an_array(files, monkeypatch):
    """A step was dropped, and a number ended in an error of Python's own."""
    monkeypatch.setattr("irp_hf.data.parquet.BATCH", 40)
    column = ParquetColumn(files, "x")
    assert len(column) == 1000
    assert np.array_equal(np.stack(list(column)), X)
    for rows in (3, -1, np.int64(620), slice(5, 5), slice(None, None, 7), slice(None, None, -1), slice(700, 600, -3)):
        assert np.array_equal(column[rows], X[rows])
        assert column[rows].dtype == np.float32
    for numbers in ([], [3, 620]):
        assert np.array_equal(column.take(np.array(numbers, int)), X[numbers])


@pytest.mark.parametrize("rows", [1000, -1001, None, "x", 2.0, [1, 2], (1, 2), np.arange(1000) > 9, slice("a", 3), ...])
def test_what_is_no_number_of_a_row_is_refused(files, rows, refusal):
    assert says(refusal(ParquetColumn(files, "x").__getitem__, rows, error=InputError), "rows from 0 to 999", "take")


def test_a_file_without_rows(files, tmp_path, refusal):
    nothing = write(tmp_path / "nothing.parquet", X[:0])
    assert np.array_equal(as_matrix(ParquetColumn([nothing, *files, nothing], "x")), X)
    column = ParquetColumn(nothing, "x")
    assert len(column) == 0
    assert len(column[:]) == 0
    assert says(refusal(as_matrix, column, error=InputError), "at least one row")


def test_it_stands_for_an_array(files, tmp_path):
    """If it fails, a fit or a translation from files is another than that from the array."""
    y = write(tmp_path / "y.parquet", np.tanh(X[:, :3]))
    options = dict(method="kernel", gamma=1.0, ridge=0.01)
    one = IRPAdapter.from_anchors(ParquetColumn(files, "x"), ParquetColumn(y, "x"), **options)
    two = IRPAdapter.from_anchors(X, np.tanh(X[:, :3]), **options)
    assert one.checksum() == two.checksum()
    assert np.array_equal(one.translate(ParquetColumn(files, "x")), two.translate(X))
    out = np.empty((1000, 3), np.float32)
    assert np.array_equal(one.translate(ParquetColumn(files, "x"), out=out), two.translate(X))


def test_what_is_no_column_of_vectors_is_refused(files, tmp_path):
    """If it fails, a wrong path or column ends in an error of pyarrow."""
    (tmp_path / "text").write_text("no table")
    empty = tmp_path / "empty.parquet"
    pq.write_table(pa.table({}), empty)
    for given, column, words in (
        (files, "y", ["column", "'x'", "'y'"]),
        (files, "name", ["name"]),
        (tmp_path / "text", "x", ["Parquet", "text"]),
        (tmp_path / "nothing", "x", ["no file"]),
        ([], "x", ["files"]),
        (tmp_path, "x", ["no file"]),
        ([1], "x", ["a path", "got 1"]),
        ([files[0], None], "x", ["a path", "got None"]),
        ([b"x"], "x", ["a path", "b'x'"]),
        ("a\0b", "x", ["a path"]),
        ("\ud800", "x", ["a path"]),
        (files, "Name", ["Write 'name'"]),
        (files, 3, ["column", "a text"]),
        (empty, "x", ["of which it has none"]),
    ):
        with pytest.raises(InputError) as error:
            ParquetColumn(given, column)
        assert says(str(error.value), *words)
    other = write(tmp_path / "c.parquet", X[:, :4])
    with pytest.raises(InputError):
        as_matrix(ParquetColumn([*files, other], "x"))


def test_threads_share_a_column(files, monkeypatch):
    """If it fails, two threads that read one column get each other's rows, or an error of Python's generators."""
    monkeypatch.setattr("irp_hf.data.parquet.BATCH", 7)
    column = ParquetColumn(files, "x")
    places = [np.random.RandomState(seed).randint(0, 950, 60) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda starts: [column[start : start + 50] for start in starts], places))
    for starts, parts in zip(places, found, strict=True):
        for start, part in zip(starts, parts, strict=True):
            assert np.array_equal(part, X[start : start + 50])
    assert np.array_equal(as_matrix(pickle.loads(pickle.dumps(column))).numpy(), X)


@pytest.mark.parametrize("wrong", [None, [1.0, 2.0]])
def test_the_row_that_is_wrong_is_named_each_time(tmp_path, monkeypatch, wrong):
    """If it fails, a null far down is looked for in row 0, or a second attempt ends in an error of Python's generators."""
    monkeypatch.setattr("irp_hf.data.parquet.BATCH", 40)
    rows = X.tolist()
    rows[500] = wrong
    pq.write_table(pa.table({"x": pa.array(rows, pa.list_(pa.float32()))}), tmp_path / "x.parquet", row_group_size=300)
    column = ParquetColumn(tmp_path / "x.parquet", "x")
    for _ in range(2):
        with pytest.raises(InputError, match="row 500"):
            as_matrix(column)
    assert np.array_equal(column[0:450], X[:450])


def test_damaged_files_are_refused(tmp_path):
    """If it fails, a damaged file ends in an error of another library, or in rows that are none."""
    whole = write(tmp_path / "x.parquet", X[:60], compression="NONE").read_bytes()
    random, refused = np.random.RandomState(0), 0
    for _ in range(150):
        broken = bytearray(whole)
        for place in random.randint(len(whole) - 900, len(whole) - 8, 2):
            broken[place] = random.randint(256)
        (tmp_path / "x.parquet").write_bytes(broken)
        try:
            as_matrix(ParquetColumn(tmp_path / "x.parquet", "x"))
        except InputError:
            refused += 1
    assert refused > 20


def test_a_name_that_two_columns_have(tmp_path, refusal):
    """If it fails, either of them is read, or the advice is to write what was written."""
    rows = pa.array([[1.0, 2.0]] * 3)
    pq.write_table(pa.Table.from_arrays([rows, rows], names=["v", "v"]), tmp_path / "twice.parquet")
    assert says(refusal(ParquetColumn, tmp_path / "twice.parquet", "v"), "'v'", "2 of twice.parquet")
