"""Vectors in a visitor's file: how large it may be, and what it holds, looked at before any of it is read into memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from irp_hf.data.parquet import ParquetColumn
from irp_hf.errors import InputError, first_line, refusal, shown

MAX_MEGABYTES = 32  # of a file
MAX_ROWS, MAX_WIDTH = 3_000, 2_048
SUFFIXES = (".npy", ".parquet")
UNREADABLE = (OSError, ValueError, EOFError, TypeError, SyntaxError, MemoryError, RecursionError)  # what headers can do
SAMPLE = "Take a sample: more tell little more about the quality; irp_hf on your own machine takes any number."


def columns_of(path: str) -> list[str]:
    """The columns of a Parquet file that may hold vectors; none of another file.

    Raises `InputError` for a file that is too large, is not there any more, or is no Parquet file though it is called so.
    """
    check_size(path)
    if kind_of_file(path) != ".parquet":
        return []
    schema = footer(path).schema_arrow
    return [field.name for field in schema if pa.types.is_nested(field.type)]


def read(side: str, path: str, column: str | None) -> np.ndarray | ParquetColumn:
    """The vectors `(n, d)` of an `.npy` file, or of that column of a Parquet file; `side` is what errors call them.

    Raises `InputError` for what is too large, is pickled, or cannot be read.
    """
    check_size(path)
    if kind_of_file(path) == ".parquet":
        return _of_parquet(side, path, column)
    if kind_of_file(path) == ".npy":
        return _of_numpy(side, path)
    raise refusal(side, f"a file ending in {' or '.join(SUFFIXES)}", shown(Path(path).name), "Write it as one of them.")


def kind_of_file(path: str) -> str:
    """The ending of its name, in small letters."""
    return Path(path).suffix.lower()


def check_size(path: str, most: int = MAX_MEGABYTES, advice: str = "Take fewer rows, or half precision.") -> None:
    """Raises `InputError` for a file that is not there any more, or has more megabytes than `most`."""
    name = Path(path).name
    try:
        size = os.path.getsize(path)
    except OSError:
        raise refusal(
            shown(name), "a file", "one that was removed after a quarter of an hour", "Upload it again."
        ) from None
    if size > most * 1_000_000:
        raise refusal(shown(name), f"at most {most} MB", f"{size / 1e6:,.0f} MB", advice)


def _check_shape(side: str, shape: tuple[int, ...]) -> None:
    if len(shape) == 2 and (shape[0] > MAX_ROWS or shape[1] > MAX_WIDTH):
        got = f"{shape[0]:,} rows of {shape[1]:,}"
        raise refusal(side, f"at most {MAX_ROWS:,} rows of {MAX_WIDTH:,} numbers", got, SAMPLE)


def _of_numpy(side: str, path: str) -> np.ndarray:
    """Header first: neither Python objects nor a promise of more than the file holds is followed."""
    name = shown(Path(path).name)
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            header: Any = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = header(file)
            left = os.path.getsize(path) - file.tell()
    except UNREADABLE as error:
        raise _unreadable(side, f"{name} ({first_line(error)})") from error
    if not all(type(length) is int and length >= 0 for length in shape):  # numpy takes a lone -1 for all that there is
        raise _unreadable(side, f"{name}, whose shape is {shown(shape)}")
    if dtype.hasobject:
        got = f"{name}, which holds pickled Python objects, and opening them may run anything"
        raise refusal(side, "numbers in an .npy file", got, "Save it with np.save(path, array.astype(np.float32)).")
    _check_shape(side, shape)
    if left < dtype.itemsize * int(np.prod(shape, dtype=object)):
        raise _unreadable(side, f"{name}, which ends before its last row")
    try:
        return np.load(path, allow_pickle=False)
    except UNREADABLE as error:
        raise _unreadable(side, f"{name} ({first_line(error)})") from error


def _of_parquet(side: str, path: str, column: str | None) -> ParquetColumn:
    """Footer first, which tells how much there is before anything is unpacked."""
    file = footer(path)
    if column is None:
        raise refusal(side, f"a column of {shown(Path(path).name)}", "none", "Choose the column of the vectors.")
    rows = file.metadata.num_rows
    _check_shape(side, (rows, 0))
    paths = [file.schema.column(at).path for at in range(file.metadata.num_columns)]
    places = [at for at, path in enumerate(paths) if f"{path}.".startswith(f"{column}.")]
    groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups)]
    numbers = sum(group.column(at).num_values for group in groups for at in places)
    unpacked = sum(group.column(at).total_uncompressed_size for group in groups for at in places)
    _check_shape(side, (rows, numbers // max(rows, 1)))
    if unpacked > 8 * MAX_ROWS * MAX_WIDTH:
        got = f"{unpacked / 1e6:,.0f} MB once it is unpacked"
        raise refusal(side, f"at most {8 * MAX_ROWS * MAX_WIDTH / 1e6:,.0f} MB", got, SAMPLE)
    return ParquetColumn(path, column)


def footer(path: str) -> pq.ParquetFile:
    """What a Parquet file says of itself; raises `InputError` for another file."""
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        reason = first_line(error).replace(path, Path(path).name)
        raise refusal(shown(Path(path).name), "a Parquet file", f"another ({reason})", "Write it anew.") from error


def _unreadable(side: str, got: str) -> InputError:
    return refusal(side, "a whole .npy file, as numpy writes it", got, "Write it anew.")
