"""What columns of Arrow are in a database: the id of a row, its text, or what has a type in no column of its own."""

from __future__ import annotations

import pyarrow as pa

MARK = b"irp_hf.is"  # of a field, and goes along where Arrow's schemas go
ID, DOCUMENT, JSON, OPTIONAL = b"id", b"document", b"json", b"optional"
"""The id of a row; its text; values as JSON; values of which a null means that a row has none, not even null."""
NAMED = ("id", "_id")


def marked(field: pa.Field, what: bytes) -> pa.Field:
    """A field that says what it is."""
    return field.with_metadata({MARK: what})


def mark_of(field: pa.Field) -> bytes | None:
    """What a field says that it is."""
    found: bytes | None = (field.metadata or {}).get(MARK)
    return found


def id_column(schema: pa.Schema) -> str | None:
    """The column of ids: the one that says so, or else is called so."""
    for field in schema:
        if mark_of(field) == ID:
            return str(field.name)
    return next((name for name in NAMED if name in schema.names), None)
