"""A canary: a few of the anchors' items that are kept, so that an encoder can be known again by what it makes of them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from irp_hf.checks import check_count, check_list
from irp_hf.errors import refusal, shown

MOST_ITEMS = 8
LONGEST_TEXT = 2_000  # characters
LARGEST_PICTURE = 65_536  # bytes of a file
LARGEST_WIDTH = 1 << 17
NAMES = ("rows", "texts", "pictures", "vectors")
MAKE_ANEW = "Encode the anchors again, or leave it out."


@dataclass(frozen=True)
class Canary:
    """Items, the rows of the anchors that they are, and where the items were made smaller their own vectors."""

    rows: list[int]
    items: list[str] | list[bytes]
    """Texts, or pictures as the bytes of their files."""
    vectors: np.ndarray[Any, Any] | None = None
    """`(n, d)`, float32; None where the anchors' rows are the vectors."""

    @classmethod
    def from_dict(cls, values: Any, name: str) -> Canary | None:
        """As a configuration holds it; None of None. Raises `InputError` for what no save would write."""
        if values is None:
            return None
        if (
            not isinstance(values, Mapping)
            or not set(values) <= set(NAMES)
            or ("texts" in values) == ("pictures" in values)
        ):
            raise refusal(name, "a dictionary of rows and texts, or of rows and pictures", shown(values), MAKE_ANEW)
        rows = check_list(f"{name}'s rows", values.get("rows"), least=1, advice=MAKE_ANEW)
        rows = [check_count(f"{name}'s rows", row, 0, advice=MAKE_ANEW) for row in rows]
        kind = "texts" if "texts" in values else "pictures"
        given = check_list(f"{name}'s {kind}", values[kind], advice=MAKE_ANEW)
        if len(rows) != len(given) or len(rows) > MOST_ITEMS or len(set(rows)) != len(rows):
            got = f"{len(given)} for the rows {shown(rows)}"
            raise refusal(f"{name}'s {kind}", f"one for each of at most {MOST_ITEMS} different rows", got, MAKE_ANEW)
        place = f"{name}'s {kind}"
        items: Any = [_text(item, place) if kind == "texts" else _bytes(item, place, LARGEST_PICTURE) for item in given]
        vectors = values.get("vectors")
        return cls(rows, items, None if vectors is None else _matrix(vectors, len(rows), f"{name}'s vectors"))

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        texts = isinstance(self.items[0], str)
        items = self.items if texts else [_written(item) for item in self.items]  # type: ignore[arg-type]
        vectors = {} if self.vectors is None else {"vectors": _written(self.vectors.astype("<f4").tobytes())}
        return {"rows": self.rows, ("texts" if texts else "pictures"): items, **vectors}


def _written(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _text(item: Any, place: str) -> str:
    if not isinstance(item, str) or not item.strip() or len(item) > LONGEST_TEXT:
        raise refusal(place, f"texts of at most {LONGEST_TEXT:,} characters", shown(item), MAKE_ANEW)
    return item


def _bytes(item: Any, place: str, most: int) -> bytes:
    if not isinstance(item, str) or len(item) > (most + 2) // 3 * 4:
        raise refusal(place, f"at most {most:,} bytes in base64", shown(item), MAKE_ANEW)
    try:
        return base64.b64decode(item, validate=True)
    except (binascii.Error, ValueError) as error:
        raise refusal(place, "bytes in base64", shown(item), MAKE_ANEW) from error


def _matrix(item: Any, rows: int, place: str) -> np.ndarray[Any, Any]:
    flat = _bytes(item, place, 4 * rows * LARGEST_WIDTH)
    if not flat or len(flat) % (4 * rows):
        raise refusal(place, f"{rows} rows of float32", f"{len(flat)} bytes", MAKE_ANEW)
    matrix = np.frombuffer(flat, "<f4").reshape(rows, -1).astype(np.float32)
    if not np.isfinite(matrix).all():
        raise refusal(place, "finite numbers", "NaN or infinity", MAKE_ANEW)
    return matrix
