"""A column of vectors in Parquet files: the rows of one matrix, however they are asked for; what is none is refused."""

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
    for given, column, words in (
        (files, "y", ["column", "'x'", "'y'"]),
        (files, "name", ["name"]),
        (tmp_path / "text", "x", ["Parquet", "text"]),
        (tmp_path / "nothing", "x", ["no file"]),
        ([], "x", ["files"]),
        (tmp_path, "x", ["no file"]),
    ):
        with pytest.raises(InputError) as error:
            ParquetColumn(given, column)
        assert says(str(error.value), *words)
    other = write(tmp_path / "c.parquet", X[:, :4])
    with pytest.raises(InputError):
        as_matrix(ParquetColumn([*files, other], "x"))
