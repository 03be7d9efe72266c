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
PLAIN, RLE, OLD_DICTIONARY, DELTA_LENGTH, DICTIONARY = (
    0,
    3,
    2,
    6,
    8,
)  # encodings; others copy what stands before a value
ENCODINGS = (PLAIN, RLE, OLD_DICTIONARY, DELTA_LENGTH, DICTIONARY)
TAIL = b"PAR1"


@dataclass(frozen=True)
class Page:
    """What the header of a page says."""

    unpacked: int
    values: int
    encoding: int
    is_dictionary: bool


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


def rows_at_once(data: bytes, metadata: Any, columns: list[str], most: int) -> int:
    """How many rows to read at a time; raises `ValueError` where the pages of these columns would unpack to more than `most`.

    `columns` are paths of leaves, `metadata` is what pyarrow read of the footer.
    """
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    if (rows := sum(group.num_rows for group in groups)) != metadata.num_rows:
        raise ValueError(f"its parts have {rows} rows, and it {metadata.num_rows}")
    chunks = [(group.num_rows, group.column(number)) for group in groups for number in range(metadata.num_columns)]
    chunks = [(rows, chunk) for rows, chunk in chunks if chunk.path_in_schema in columns]
    _check_apart([_span(chunk) for _, chunk in chunks])
    total, largest = 0, 1
    for rows, chunk in chunks:
        values = 0
        for page in _pages(data, chunk):
            if not page.is_dictionary:
                if not page.values:
                    raise ValueError("a page without values")
                values += page.values
            total, largest = total + page.unpacked, max(largest, page.unpacked)
            if page.encoding not in ENCODINGS:
                raise ValueError(f"values of {chunk.path_in_schema} are packed by encoding {page.encoding}")
            if total > most:
                raise ValueError(f"its values have {total:,} bytes and more, the file {len(data):,}")
        if values != rows:
            raise ValueError(f"{values} values of {chunk.path_in_schema} in {rows} rows")
    return max(1, min(ROWS_AT_ONCE, most // largest))


def _span(chunk: Any) -> tuple[int, int]:
    """Where the pages of a column in a row group begin, and where they end."""
    starts = [chunk.data_page_offset, *([chunk.dictionary_page_offset] if chunk.has_dictionary_page else [])]
    place = min(start for start in starts if start is not None)
    return place, place + chunk.total_compressed_size


def _check_apart(spans: list[tuple[int, int]]) -> None:
    """Raise `ValueError` where two spans overlap: the same pages would be read once for each."""
    ordered = sorted(spans)
    if any(start < end for (_, end), (start, _) in pairwise(ordered)):
        raise ValueError("pages that are of two columns")


def _pages(data: bytes, chunk: Any) -> Iterator[Page]:
    """The headers of all pages of a column in a row group; raises `ValueError` for one that cannot be read."""
    place, end = _span(chunk)
    end = min(end, len(data))
    if place < 0:
        raise ValueError("a page before the beginning")
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
    """A reader of Thrift's compact protocol: numbers and structures by the numbers of their fields, all else skipped."""

    DEPTH = 8

    def __init__(self, data: bytes, place: int) -> None:
        self.data, self.place = data, place

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
            for _ in range(self._number() if head >> 4 == 15 else head >> 4):
                self._byte() if head & 15 in (1, 2) else self._value(head & 15, depth + 1)
            return None
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

    def _skip(self, count: int) -> None:
        if count > len(self.data) - self.place:
            raise ValueError("a page beyond the end")
        self.place += count


def _signed(number: int) -> int:
    """Zigzag: 0, -1, 1, -2, ..."""
    return (number >> 1) ^ -(number & 1)
