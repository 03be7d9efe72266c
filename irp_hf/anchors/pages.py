"""What a Parquet table will take, as its pages say before one is unpacked; and its columns, counted while they are read.

A page says how large it unpacks. But values that repeat lie in a dictionary once and come out many times, so that the rows are
read a few at a time, and their bytes are counted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

LARGEST_FOOTER = 10_000_000  # bytes: 200 for each column of each row group
SMALL, TIMES_AS_LARGE, LARGEST = 1 << 26, 100, 1 << 32  # bytes: what any file may unpack to, what a large one, what all
ROWS_AT_ONCE = 1024
# Encodings; others copy what stands before a value.
PLAIN, RLE, OLD_DICTIONARY, DELTA_LENGTH, DICTIONARY = 0, 3, 2, 6, 8
ENCODINGS = (PLAIN, RLE, OLD_DICTIONARY, DELTA_LENGTH, DICTIONARY)
TAIL = b"PAR1"


@dataclass(frozen=True)
class Page:
    """What the header of a page says."""

    unpacked: int
    values: int
    encoding: int
    is_dictionary: bool


@dataclass(frozen=True)
class Chunk:
    """A column in a row group."""

    path: str
    rows: int
    start: int
    """Where its pages begin."""
    end: int


def most_bytes(data: bytes) -> int:
    """How many bytes the values of a file may have: of a table whose items all differ, no packer gets far below."""
    return min(LARGEST, max(SMALL, TIMES_AS_LARGE * len(data)))


def check_footer(data: bytes) -> None:
    """Raise `ValueError` for a footer that would take memory by itself: one of millions of columns, say."""
    if len(data) < 12:
        raise ValueError("it is too short")
    length, tail = struct.unpack("<I4s", data[-8:])
    if tail == TAIL and length > LARGEST_FOOTER:
        raise ValueError(f"its footer has {length:,} bytes")


def rows_at_once(data: bytes, paths: list[str], columns: list[str], most: int) -> int:
    """How many rows to read at a time; raises `ValueError` where the pages of these columns would unpack to more than `most`.

    `paths` are those of all leaves in their order, `columns` some of them. The footer is read here: where one byte of it was
    changed, pyarrow may end the process once it is asked for a part or a column of it (`terminate called`).
    """
    chunks = [chunk for chunk in _chunks(data, paths) if chunk.path in columns]
    _check_apart([(chunk.start, chunk.end) for chunk in chunks])
    total, largest = 0, 1
    for chunk in chunks:
        values = 0
        for page in _pages(data, chunk):
            if not page.is_dictionary:
                if not page.values:
                    raise ValueError("a page without values")
                values += page.values
            total, largest = total + page.unpacked, max(largest, page.unpacked)
            if page.encoding not in ENCODINGS:
                raise ValueError(f"values of {chunk.path} are packed by encoding {page.encoding}")
            if total > most:
                raise ValueError(f"its values have {total:,} bytes and more, the file {len(data):,}")
        if values != chunk.rows:
            raise ValueError(f"{values} values of {chunk.path} in {chunk.rows} rows")
    return max(1, min(ROWS_AT_ONCE, most // largest))


def _chunks(data: bytes, paths: list[str]) -> list[Chunk]:
    """The columns of all row groups, as the footer has them; raises `ValueError` for one that cannot be read."""
    length = struct.unpack("<I", data[-8:-4])[0]
    if length > len(data) - 8:
        raise ValueError("a footer before the beginning")
    footer = _Thrift(data, len(data) - 8 - length).struct()
    chunks: list[Chunk] = []
    total = 0
    for group in _structs(footer.get(4)):
        total += (rows := _whole(group.get(3)))
        part = [_chunk(column.get(3), rows) for column in _structs(group.get(1))]
        if [chunk.path for chunk in part] != paths:  # Arrow goes by their order, whatever they are called
            raise ValueError("a part with columns of other names")
        chunks += part
    if total != _whole(footer.get(3)):
        raise ValueError(f"its parts have {total} rows, and it {footer.get(3)}")
    return chunks


def _chunk(about: Any, rows: int) -> Chunk:
    """A column in a row group of so many rows, of what the footer says about it."""
    (about,) = _structs([about])
    path = about.get(3)
    if not isinstance(path, list) or not all(isinstance(part, bytes) for part in path):
        raise ValueError("a column without a name")
    start, dictionary = _whole(about.get(9)), about.get(11)
    if type(dictionary) is int and 0 < dictionary < start:  # as Arrow has it: some write 0 where there is none
        start = dictionary
    return Chunk(b".".join(path).decode(errors="replace"), rows, start, start + _whole(about.get(7)))


def _structs(values: Any) -> list[dict[int, Any]]:
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise ValueError("a footer whose parts are none")
    return values


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("a footer whose numbers are none")
    return value


def _check_apart(spans: list[tuple[int, int]]) -> None:
    """Raise `ValueError` where two spans overlap: the same pages would be read once for each."""
    ordered = sorted(spans)
    if any(start < end for (_, end), (start, _) in pairwise(ordered)):
        raise ValueError("pages that are of two columns")


def _pages(data: bytes, chunk: Chunk) -> Iterator[Page]:
    """The headers of all pages of a column in a row group; raises `ValueError` for one that cannot be read."""
    place, end = chunk.start, min(chunk.end, len(data))
    while place < end:
        header = _Thrift(data, place)
        fields = header.struct()
        kinds = [fields.get(key) for key in (5, 7, 8)]  # a data page, a dictionary, a data page of the second kind
        inner = next((kind for kind in kinds if isinstance(kind, dict)), None)
        unpacked, packed = fields.get(2), fields.get(3)
        if inner is None or not isinstance(unpacked, int) or not isinstance(packed, int) or min(unpacked, packed) < 0:
            raise ValueError("a page without a header")
        values, encoding = inner.get(1), inner.get(4 if inner is kinds[2] else 2)
        if not isinstance(values, int) or values < 0 or not isinstance(encoding, int):
            raise ValueError("a page without a number of values")
        yield Page(unpacked, values, encoding, inner is kinds[1])
        place = header.place + packed


class _Thrift:
    """A reader of Thrift's compact protocol: structures by the numbers of their fields, lists, numbers and bytes."""

    DEPTH = 8
    MOST_VALUES = 1_000_000  # of a footer; a column of a row group has some thirty

    def __init__(self, data: bytes, place: int) -> None:
        self.data, self.place, self.left = data, place, self.MOST_VALUES

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """The fields of a structure."""
        if depth > self.DEPTH:
            raise ValueError("a page with a header in a header")
        fields: dict[int, Any] = {}
        key = 0
        while (head := self._byte()) != 0:
            key = key + (head >> 4) if head >> 4 else _signed(self._number())
            fields[key] = self._value(head & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        self.left -= 1
        if self.left < 0 or depth > self.DEPTH:
            raise ValueError("a footer, or the header of a page, of very many values")
        if kind in (1, 2):  # true and false, which have no bytes of their own
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return _signed(self._number())
        if kind == 7:
            return self._skip(8)
        if kind == 8:
            return self._skip(self._number())
        if kind in (9, 10):
            head = self._byte()
            count = self._number() if head >> 4 == 15 else head >> 4
            return [self._byte() if head & 15 in (1, 2) else self._value(head & 15, depth + 1) for _ in range(count)]
        if kind == 12:
            return self.struct(depth + 1)
        raise ValueError(f"a page whose header has a field of kind {kind}")

    def _byte(self) -> int:
        if self.place >= len(self.data):
            raise ValueError("a page beyond the end")
        self.place += 1
        return self.data[self.place - 1]

    def _number(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number without an end")

    def _skip(self, count: int) -> bytes:
        if count > len(self.data) - self.place:
            raise ValueError("a page beyond the end")
        self.place += count
        return self.data[self.place - count : self.place]


def _signed(number: int) -> int:
    """Zigzag: 0, -1, 1, -2, ..."""
    return (number >> 1) ^ -(number & 1)
