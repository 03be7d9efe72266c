"""Matrices that are read from files, not from maps: a cut file is refused, and orders of bytes and of values are heeded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file
from store_kinds import some_rows, table_of

from irp_hf import InputError
from irp_hf.stores import open_store
from irp_hf.stores.base import vectors_of

ROWS = np.arange(3000, dtype=np.float32).reshape(1000, 3)
CUT = """
import os, sys
from irp_hf import InputError
from irp_hf.stores import open_store
for name in sys.argv[1:]:
    with open_store(name) as store:
        batches = store.batches(0, 100)
        next(batches)
        os.truncate(store.address.place, 400)
        try:
            print(name, 100 + sum(map(len, batches)))
        except InputError as error:
            print(name, error)
"""


def read(address: Any) -> np.ndarray[Any, Any]:
    with open_store(address) as store:
        found = np.concatenate([vectors_of(batch, store.column) for batch in store.batches(0, 7)])
        numbers = np.array([0, 1, 2, 500, 999])
        np.testing.assert_array_equal(vectors_of(store.take(numbers), store.column), found[numbers])
        np.testing.assert_array_equal(vectors_of(next(store.batches(501, 5)), store.column), found[501:506])
    return found


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(dtype: str, order: Any, tmp_path: Path):
    """If it fails, vectors are made of numbers of other rows."""
    np.save(tmp_path / "rows.npy", ROWS.astype(dtype, order=order))
    found = read(tmp_path / "rows.npy")
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found, ROWS.astype(dtype))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_safetensors(dtype: torch.dtype, tmp_path: Path):
    """If it fails, vectors are made of the numbers of another tensor, or of another dtype."""
    rows = torch.from_numpy(ROWS).to(dtype)
    save_file({"a": torch.ones(5), "rows": rows, "z": torch.ones(7)}, tmp_path / "rows.safetensors")
    np.testing.assert_array_equal(read(tmp_path / "rows.safetensors"), rows.double().numpy())


@pytest.mark.parametrize("name", ["rows.npy", "rows.safetensors", "rows.arrow", "rows.parquet"])
def test_a_file_that_was_cut(name: str, tmp_path: Path):
    """If it fails, the last rows are missing, or another library's error tells nobody why."""
    path = write(tmp_path / name)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match="rows"):
        read(path)


@pytest.mark.slow
def test_a_file_that_is_cut_while_it_is_read(tmp_path: Path):
    """If it fails, the process ends by a signal, and says nothing at all."""
    paths = [write(tmp_path / f"rows{end}") for end in (".npy", ".safetensors", ".arrow", ".parquet")]
    done = subprocess.run([sys.executable, "-c", CUT, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *refused, parquet = done.stdout.splitlines()
    assert all("expected" in line for line in refused)
    assert len(refused) == 3
    assert "expected" in parquet or parquet.endswith(" 1000")  # of so small a file all is read ahead


def write(path: Path) -> Path:
    if path.suffix == ".npy":
        np.save(path, ROWS)
    elif path.suffix == ".safetensors":
        save_file({"rows": torch.from_numpy(ROWS)}, path)
    elif path.suffix == ".arrow":
        table = table_of(some_rows(ROWS))
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table, 100)
    else:
        pq.write_table(table_of(some_rows(ROWS)), path, row_group_size=100)
    assert os.path.getsize(path) > 500
    return path


@pytest.mark.parametrize("name", ["x.npy", "x.safetensors", "x.parquet", "x.arrow", "x.feather"])
@pytest.mark.parametrize("content", [None, b"", b"ARROW1", b"\x93NUMPY\x01\x00", b"PAR1", b"\xff" * 4096])
def test_no_such_file(name: str, content: bytes | None, tmp_path: Path):
    """If it fails, what is not there, or is another file, is told by another library's traceback."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="x"):
        open_store(tmp_path / name)


@pytest.mark.parametrize(
    "array",
    [ROWS[0], ROWS.astype(np.int64), ROWS.astype(complex), np.array([[None]]), ROWS[:, :0]],
    ids=["flat", "whole numbers", "complex", "objects", "no width"],
)
def test_no_matrix(array: np.ndarray[Any, Any], tmp_path: Path):
    """If it fails, objects are unpickled, which runs a stranger's code, or numbers are taken for vectors."""
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match="matrix"):
        open_store(tmp_path / "x.npy")
