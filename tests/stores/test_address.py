"""An address that is read another way than it is written moves vectors to a place that nobody named."""

from __future__ import annotations

from pathlib import Path

import pytest

from irp_hf import InputError
from irp_hf.stores.address import Address


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("vectors.npy", (None, "vectors.npy", None)),
        ("a/b.parquet#embedding", (None, "a/b.parquet", "embedding")),
        ("lancedb:a/b#table.column", ("lancedb", "a/b", "table.column")),
        ("qdrant:http://localhost:6333#collection", ("qdrant", "http://localhost:6333", "collection")),
        ("datasets:user/name#column", ("datasets", "user/name", "column")),
        (r"C:\vectors.parquet#a", (None, r"C:\vectors.parquet", "a")),
        ("a#b#c", (None, "a#b", "c")),
    ],
)
def test_parts(text: str, parts: tuple[str | None, str, str | None]) -> None:
    """Each part goes to another library; a colon of Windows or of a network address is no scheme of ours."""
    found = Address.of("source", text)
    assert (found.scheme, found.place, found.inside) == parts
    assert str(found) == text
    assert Address.of("source", found) is found


def test_a_file_may_have_the_sign_in_its_name(tmp_path: Path) -> None:
    """Such a file would be reported missing."""
    place = tmp_path / "of#all.npy"
    place.touch()
    assert Address.of("source", place) == Address(None, str(place))


@pytest.mark.parametrize("text", ["", "#a", "a#", "lancedb:", "qdrant:#c", 3, None, b"a", "a\0b"])
def test_no_address(text: object) -> None:
    """An empty part would be another library's default, the working folder say."""
    with pytest.raises(InputError, match="Name one"):
        Address.of("destination", text)
