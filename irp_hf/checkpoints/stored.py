"""Safetensors files, read as files and not as maps: one that another process cuts meanwhile would end this one by a signal.

What a header says is checked against the file's size before memory is taken for a tensor.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from irp_hf.disk.plain import opened
from irp_hf.errors import first_line, kind_of

LENGTH = 8  # bytes in front of the header, which say how long it is
LONGEST_HEADER = 100_000_000  # bytes; as the safetensors library has it
MOST_DIMENSIONS = 64
METADATA = "__metadata__"
DTYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "C64": torch.complex64, "BOOL": torch.bool},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8},
    **{"U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8},
}


class Entry(NamedTuple):
    """A tensor, as the header of its file has it."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    """Where its bytes begin, counted from the first tensor's."""
    stop: int
    """Where they end."""


def header_length(first: bytes, size: int) -> int:
    """How many bytes the header has, of a file of `size` bytes; raises `ValueError` where they cannot be."""
    if size < LENGTH or len(first) < LENGTH:
        raise ValueError(f"it has {size} bytes")
    (length,) = struct.unpack("<Q", first[:LENGTH])
    if length > min(LONGEST_HEADER, size - LENGTH):
        raise ValueError(f"its header is {length} bytes long, the file {size}")
    return int(length)


def entries_of(header: bytes, num_bytes: int) -> dict[str, Entry]:
    """The tensors by name, of which there are `num_bytes` in all; raises `ValueError` for a header that no save writes.

    The tensors lie one behind the other: none about another, no byte between two, and none left at the end.
    """
    try:
        content = json.loads(header.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("its header is no JSON") from None
    except UnicodeDecodeError:
        raise ValueError("its header is no UTF-8") from None
    except json.JSONDecodeError:
        raise ValueError("its header is no JSON") from None
    except ValueError as error:  # of `_once` and `_no_number`, or of Python for a number of very many digits
        raise ValueError(f"its header is wrong: {first_line(error)}") from None
    if not isinstance(content, dict):
        raise ValueError(f"its header is {kind_of(content)} and no JSON object")
    entries = {name: _entry(name, value) for name, value in content.items() if name != METADATA}
    place = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)):
        if entry.start != place:
            raise ValueError(f"its header is wrong about {name:.80}, which does not begin where another ends")
        place = entry.stop
    if place != num_bytes:
        raise ValueError(f"its header tells of {place} bytes, and there are {num_bytes}")
    return entries


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; readers do not agree about one that says something twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} in it")


def _entry(name: str, value: Any) -> Entry:
    try:
        dtype, shape, (start, stop) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
        right = isinstance(dtype, str) and len(shape) <= MOST_DIMENSIONS
        right = right and all(type(number) is int and 0 <= number < 2**63 for number in (*shape, start, stop))
    except (KeyError, TypeError, ValueError):
        right = False
    if not right or start > stop or (dtype in DTYPES and stop - start != _size(dtype, shape)):
        raise ValueError(f"its header is wrong about {name:.80}")
    return Entry(dtype, shape, start, stop)


def _size(dtype: str, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * DTYPES[dtype].itemsize


def tensor_of(entry: Entry, data: bytes) -> Tensor:
    """A tensor of its own of these bytes; raises as `TensorFile.read` does."""
    tensor = _empty(entry)
    if tensor.numel():
        tensor.reshape(-1).view(torch.uint8).numpy()[:] = np.frombuffer(data, np.uint8)
    return tensor


def _empty(entry: Entry) -> Tensor:
    if entry.dtype not in DTYPES:
        raise ValueError(f"it holds {entry.dtype:.80}, which torch does not have")
    check_room(entry.stop - entry.start)
    try:
        return torch.empty(entry.shape, dtype=DTYPES[entry.dtype], device="cpu")
    except RuntimeError as error:  # torch's words for it
        raise MemoryError(f"{entry.stop - entry.start:,} bytes") from error


class TensorFile:
    """A safetensors file that is open: what it holds, and each tensor where it is asked for."""

    def __init__(self, file: BinaryIO) -> None:
        """Read its header; raises `ValueError` where that or the file's size is wrong."""
        self._file = file
        size = os.fstat(file.fileno()).st_size
        length = header_length(self._bytes(0, min(LENGTH, size)), size)
        self._data = LENGTH + length
        self.entries = entries_of(self._bytes(LENGTH, self._data), size - self._data)

    @property
    def num_bytes(self) -> int:
        """Of all tensors."""
        return sum(entry.stop - entry.start for entry in self.entries.values())

    def read(self, name: str) -> Tensor:
        """A tensor of its own, on the CPU.

        Raises `ValueError` where the file is shorter by now, and for a dtype that torch has not; `MemoryError` where there is
        no room.
        """
        tensor = _empty(self.entries[name])
        if tensor.numel():
            self._fill(tensor.reshape(-1).view(torch.uint8).numpy().data, self._data + self.entries[name].start)
        return tensor

    def _bytes(self, start: int, stop: int) -> bytes:
        content = bytearray(stop - start)
        self._fill(memoryview(content), start)
        return bytes(content)

    def _fill(self, memory: memoryview, start: int) -> None:
        self._file.seek(start)
        while len(memory):
            count = self._file.readinto(memory)  # type: ignore[attr-defined]
            if not count:
                raise ValueError("it was cut while it was read")
            memory = memory[count:]


@contextmanager
def tensor_file(path: Path) -> Iterator[TensorFile]:
    """A safetensors file, open; raises `ValueError` where it is damaged, and `OSError` where it is no plain file."""
    with opened(path) as file:
        yield TensorFile(file)


def check_room(num_bytes: int) -> None:
    """Raise `MemoryError` for more than the machine has: the system may promise it, and end the process once it is used."""
    try:
        has = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # it does not tell
        return
    if num_bytes > has > 0:
        raise MemoryError(f"{num_bytes:,} bytes, more than the machine's {has:,}")
