"""What commands write that the library has no call for: a table with its vectors beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROWS = 8192  # at a time


def refuse_existing(out: Path, what: str = "a file") -> None:
    """Raise `InputError` where something has the name already."""
    from irp_hf.errors import refusal, shown

    if out.exists() or out.is_symlink():
        raise refusal("--out", f"the name of {what} that is to be made", shown(str(out)), "Move it, or name another.")


def drawn(table: Any, sample: int) -> Any:
    """At most so many rows of a `datasets.Dataset`, in their order: always the same ones."""
    import numpy as np

    rows = np.random.RandomState(0).permutation(len(table))[:sample]
    return table.select(np.sort(rows))


def write_parquet(out: Path, table: Any, vectors: Any, column: str) -> None:
    """Write a table, and its vectors `(n, d)` as one more `column`, whole or not at all.

    `table` is a `datasets.Dataset`, of which every column is carried over, or None for the vectors alone. Raises `InputError`
    where it has such a column, and where nothing can be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    from irp_hf.disk.atomic import written_file
    from irp_hf.disk.places import written_in_words
    from irp_hf.stores.base import as_lists

    refuse_existing(out)
    with written_in_words(out, "a file"), written_file(out) as file:
        writer = None
        for start in range(0, len(vectors), ROWS):
            lists = as_lists(vectors[start : start + ROWS].numpy())
            part = pa.table({column: lists})
            if table is not None:
                part = table.with_format("arrow")[start : start + ROWS].append_column(column, lists)
            writer = writer or parquet.ParquetWriter(file, part.schema)
            writer.write_table(part)
        if writer is not None:
            writer.close()


def check_no_vectors(table: Any, column: str) -> None:
    """Raise `InputError` where a table has such a column already."""
    from irp_hf.errors import refusal

    if table is not None and column in table.column_names:
        advice = "Name another behind the file, as in new.parquet#vector, or write the vectors to an .npy file."
        raise refusal("The table", f"no column {column!r}, which is to be added", "one", advice)
