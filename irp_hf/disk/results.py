"""Results: arrays by name, as a function gives them for a block, and as they lie on the disk."""

from __future__ import annotations

import errno
import hashlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.lib.format import dtype_to_descr, write_array_header_1_0

from irp_hf.disk.plain import opened
from irp_hf.errors import InputError, first_line, kind_of, refusal, shown

ONLY = "values"  # the name of a result that is one array
PIECE = 2**20  # bytes that are read at once, or written to give a file its space
NUMBERS = "biufc"  # kinds of numpy's dtypes

Array: TypeAlias = np.ndarray[Any, Any]
Arrays: TypeAlias = dict[str, Array]


def named_arrays(result: Any, num_rows: int, block: int) -> Arrays:
    """The arrays of a block's result by name; raises `InputError` unless each has a row of numbers for each item."""
    given = result if isinstance(result, Mapping) else {ONLY: result}
    if not given or not all(isinstance(name, str) and name.isidentifier() for name in given):
        advice = "Name each array by an identifier: logits, say."
        raise refusal(f"Block {block}", "arrays whose names are identifiers", shown(list(given)), advice)
    arrays = {name: _array(value, f"Block {block}") for name, value in given.items()}
    for name, array in arrays.items():
        if array.ndim < 1 or len(array) != num_rows or array.dtype.kind not in NUMBERS:
            advice = "Return numbers, one row for each item: one array, or a dict of arrays."
            got = f"{name} {array.dtype} of shape {array.shape}"
            raise refusal(f"Block {block}", f"numbers in {num_rows} rows", got, advice)
    return arrays


def _array(value: Any, place: str) -> Array:
    if hasattr(value, "detach"):  # a tensor, known by what it can do: this folder needs numpy alone
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()  # numpy has no bfloat16
    try:
        array: Array = np.asarray(value)
    except (TypeError, ValueError) as error:
        advice = "Return one array, or a dict of arrays."
        raise refusal(place, "arrays of numbers", f"{kind_of(value)} ({first_line(error)})", advice) from error
    return native(array)


def native(array: Array) -> Array:
    """The same values, their bytes in this machine's order, which torch asks for."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def row_kinds(arrays: Arrays) -> str:
    """Names, dtypes and shapes of the rows, as text."""
    return ", ".join(f"{name} {array.dtype}{list(array.shape[1:])}" for name, array in sorted(arrays.items()))


def layout(dtype: object, shape: tuple[int, ...]) -> dict[str, Any]:
    """An array's dtype and shape, as a journal notes them."""
    return {"dtype": str(dtype), "shape": list(shape)}


def digest_of(path: Path) -> str:
    """The sha256 of a file, in hex; raises `OSError` where it cannot be read."""
    hashed, piece = hashlib.sha256(), bytearray(PIECE)
    with opened(path) as file:
        while count := file.readinto(piece):  # type: ignore[attr-defined]
            hashed.update(memoryview(piece)[:count])
    return hashed.hexdigest()


def map_array(path: Path) -> Array:
    """The array of numbers in a file, mapped; changing it does not change the file. Raises `InputError` for any other file."""
    try:
        with opened(path):  # no pipe
            array = np.load(path, mmap_mode="c")
    except Exception as error:  # a damaged file makes numpy raise almost anything
        raise _foreign(path, f"an error ({first_line(error)})") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise _foreign(path, "several arrays in one file")
    if not array.ndim or array.dtype.kind not in NUMBERS or not array.dtype.isnative:
        raise _foreign(path, f"{array.dtype} of shape {array.shape}")
    return array


def _foreign(path: Path, got: str) -> InputError:
    return refusal(str(path), "the array of numbers that this run wrote", got, "Name another place, or move it.")


def reserve(files: Mapping[str, Path], like: Arrays, num_rows: int) -> dict[str, np.memmap[Any, Any]]:
    """Files for whole arrays with rows as `like`, mapped; where one cannot be made, none is left.

    The disk gives their space now: a map of a full one ends in a signal.
    """
    matrices: dict[str, np.memmap[Any, Any]] = {}
    try:
        for name, array in like.items():
            matrices[name] = _new_map(files[name], array.dtype, (num_rows, *array.shape[1:]))
    except BaseException:
        matrices.clear()  # Windows removes no mapped file
        for name in like:
            files[name].unlink(missing_ok=True)
        raise
    return matrices


def _new_map(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """A file with room for an array, mapped. It is a new one: what stood there may be a link to another place."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    with open(descriptor, "w+b") as file:
        about = {"descr": dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        write_array_header_1_0(file, about)
        start = file.tell()
        file.flush()
        _allocate(file, start + dtype.itemsize * math.prod(shape))
        return np.memmap(file, dtype, "r+", start, shape)


def _allocate(file: BinaryIO, size: int) -> None:
    """Give a file, which has its header, the space for `size` bytes."""
    try:
        os.posix_fallocate(file.fileno(), 0, size)
        return
    except AttributeError:  # macOS
        pass
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    # A file system without such a call: what is written has its space.
    for start in range(file.tell(), size, PIECE):
        file.write(bytes(min(PIECE, size - start)))
    file.flush()


def errors(kept: Array, again: Array) -> Array:
    """How far rows `(n, ...)` that were made again are off, `(n,)`: as a share of their length, or of the mean length.

    Of whole numbers it is the share of those that differ; NaN in the same place is no error.
    """
    one, other = (array.reshape(len(array), -1) for array in (kept, again))
    if one.dtype.kind not in "fc":
        differ: Array = (one != other).mean(1)
        return differ
    one, other = (array.astype(np.complex128 if array.dtype.kind == "c" else np.float64) for array in (one, other))
    alike = (one == other) | (np.isnan(one) & np.isnan(other))  # infinities, too
    off = np.linalg.norm(np.where(alike, 0, other - one), axis=1)
    length: Array = np.linalg.norm(np.where(np.isfinite(one), one, 0), axis=1)
    scale: Array = np.maximum(length, np.sqrt((length**2).mean()))
    share: Array = np.divide(off, scale, out=np.where(off > 0, np.inf, 0.0), where=scale > 0)
    return share
