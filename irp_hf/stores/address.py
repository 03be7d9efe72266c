"""Where stored vectors lie, as one text: `vectors.parquet#embedding`, `lancedb:path#table.column`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from irp_hf.disk.places import is_path
from irp_hf.errors import refusal, shown

SCHEMES = ("datasets", "lancedb", "qdrant", "chroma")
SCHEME = re.compile(rf"({'|'.join(SCHEMES)}):(.*)", re.DOTALL)
EXAMPLES = (
    "vectors.npy, vectors.parquet#embedding, lancedb:folder#table.column or qdrant:http://localhost:6333#collection"
)


@dataclass(frozen=True)
class Address:
    """An address, taken apart; `str` of it writes it as it was."""

    scheme: str | None
    """A database or data set; None for files, whose kind their names or contents tell."""
    place: str
    """A path, an address on the network, or an id on the Hub."""
    inside: str | None = None
    """What is meant there: a column, a table and its column, a collection and its vector."""

    @classmethod
    def of(cls, name: str, address: Any) -> Address:
        """The address that a user names; raises `InputError` for what is none."""
        if isinstance(address, cls):
            return address
        text = os.fspath(address) if isinstance(address, str | os.PathLike) else address
        if not is_path(text):
            raise refusal(name, "the address of stored vectors", shown(address), f"Name one: {EXAMPLES}.")
        matched = SCHEME.fullmatch(text)
        scheme, rest = matched.groups() if matched else (None, text)
        if scheme is None and os.path.exists(rest):  # a name may hold the sign
            return cls(None, rest)
        place, sign, inside = rest.rpartition("#")
        if not sign:
            place, inside = rest, None
        if not place or inside == "":
            raise refusal(name, "an address with both sides of its #", shown(text), f"Name one: {EXAMPLES}.")
        return cls(scheme, place, inside)

    def __str__(self) -> str:
        scheme = "" if self.scheme is None else f"{self.scheme}:"
        inside = "" if self.inside is None else f"#{self.inside}"
        return f"{scheme}{self.place}{inside}"
