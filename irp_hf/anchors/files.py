"""The files of an anchor set: a manifest, and a Parquet table that `datasets` reads too."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from irp_hf.anchors.pages import LARGEST, LARGEST_FOOTER, check_footer, most_bytes, rows_at_once
from irp_hf.anchors.sampling import MAX_SEED
from irp_hf.data.files import read_file
from irp_hf.disk.places import cannot_be_read
from irp_hf.disk.plain import opened, read_text
from irp_hf.errors import DamagedFolderError, first_line, refusal, shown
from irp_hf.records import FINGERPRINT, LONGEST

FORMAT_VERSION = 1
MANIFEST = "anchor_set.json"
TABLE = "data/anchors-00000-of-00001.parquet"
LARGEST_MANIFEST = 100_000_000  # bytes: an index is some ten characters
THRIFT = dict(thrift_string_size_limit=LARGEST_FOOTER, thrift_container_size_limit=100_000)  # of a footer's parts
GIVEN = "given"  # the strategy of items that nobody sampled
MOST_ROWS = 2**63 - 1
STRATEGY = re.compile(r"[a-z][a-z0-9_-]{0,63}")  # a newer version may have others
HALF = re.compile("[\ud800-\udfff]")
ADDED = ("dataset_id", "license")  # an older manifest lacks them


def write_files(folder: Path, manifest: Mapping[str, Any], table: Any) -> None:
    """Write the manifest and the Arrow table."""
    from pyarrow import parquet

    (folder / TABLE).parent.mkdir()
    parquet.write_table(table, folder / TABLE)
    content = {"format_version": FORMAT_VERSION, **manifest}
    (folder / MANIFEST).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def read_files(folder: Path) -> tuple[dict[str, Any], dict[str, Sequence[Any]]]:
    """The manifest and the columns of the table, by view; raises `DamagedFolderError` where one is missing or broken."""
    for path in (folder / MANIFEST, folder / TABLE):
        try:
            opened(path).close()
        except PermissionError as error:  # of a file or a folder of another user's; it may well be there
            raise cannot_be_read(str(path), error, DamagedFolderError) from error
        except OSError:
            pass
        if not os.path.isfile(path):
            raise damaged(path, "a file of an anchor set", "none")
    manifest = _read_manifest(folder / MANIFEST)
    return manifest, _read_table(folder / TABLE, manifest)


def damaged(path: Path, expected: str, got: str) -> DamagedFolderError:
    """An error that says what is wrong with a file."""
    advice = "Save the anchor set again, or fetch a whole copy of it."
    return refusal(str(path), expected, got, advice, DamagedFolderError)


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(read_text(path, LARGEST_MANIFEST))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, "a file in JSON", f"another ({first_line(error)})") from error
    if not isinstance(manifest, dict) or "format_version" not in manifest:
        raise damaged(path, "the description of an anchor set", shown(manifest))
    if (version := manifest["format_version"]) != FORMAT_VERSION:
        advice = "Install the irp_hf that wrote it, or a newer one."
        raise refusal(str(path), f"format version {FORMAT_VERSION}", shown(version), advice, DamagedFolderError)
    for key, (holds, expected) in MANIFEST_VALUES.items():
        if not holds(manifest.get(key)):
            raise damaged(path, f"{key} to be {expected}", shown(manifest.get(key)))
    _check_indices(path, manifest["indices"], manifest)
    return manifest


def _check_indices(path: Path, indices: list[Any], manifest: Mapping[str, Any]) -> None:
    """Raise `DamagedFolderError` unless they are as many different rows as there are items, of a table that has them."""
    if len(indices) != manifest["num_items"]:
        raise damaged(path, f"{manifest['num_items']} indices, as many as items", f"{len(indices)}")
    given = manifest["strategy"] == GIVEN
    most = manifest["num_items"] + manifest["num_duplicates"] - 1 if given else MOST_ROWS  # of a sample it is not known
    for index in indices:
        if not _is_whole(index, most):
            raise damaged(path, f"indices to be row numbers up to {most:,}", shown(index))
    if len(set(indices)) < len(indices):
        twice = next(index for index, times in Counter(indices).items() if times > 1)
        raise damaged(path, "indices of different rows", f"{twice} more than once")


def _is_whole(value: Any, most: int = MOST_ROWS) -> bool:
    return type(value) is int and 0 <= value <= most


def _is_text(value: Any, longest: int = LONGEST) -> bool:
    """Whether it is a text that a file can hold: of halves of characters, none is in it."""
    return isinstance(value, str) and len(value) <= longest and not HALF.search(value)


# What a save writes, and so what is believed of a file.
MANIFEST_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = dict(
    views=(lambda value: isinstance(value, list) and bool(value) and all(map(_is_text, value)), "a list of names"),
    fingerprint=(lambda value: isinstance(value, str) and FINGERPRINT.fullmatch(value) is not None, "64 hex digits"),
    num_items=(_is_whole, "a whole number"),
    num_duplicates=(_is_whole, f"a whole number up to {MOST_ROWS:,}"),
    strategy=(lambda value: isinstance(value, str) and STRATEGY.fullmatch(value) is not None, "the name of one"),
    seed=(lambda value: value is None or _is_whole(value, MAX_SEED), f"a whole number up to {MAX_SEED:,} or null"),
    indices=(lambda value: isinstance(value, list), "a list"),
    dataset_id=(lambda value: value is None or _is_text(value), "a text or null"),
    license=(lambda value: value is None or _is_text(value), "a text or null"),
)


def _read_table(path: Path, manifest: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    from pyarrow import ArrowException, BufferReader, parquet

    try:
        data = read_file(path, LARGEST)  # a copy: a map of a file that shrinks meanwhile ends the process
        check_footer(data)
        with parquet.ParquetFile(BufferReader(data), **THRIFT) as file:
            names, num_rows = file.schema_arrow.names, file.metadata.num_rows
            expected = f"{manifest['num_items']} rows of {manifest['views']}"
            if (
                names != manifest["views"] or num_rows != manifest["num_items"] or not num_rows
            ):  # before it takes memory
                raise damaged(path, expected, f"{num_rows} of {names}")
            columns = _read_columns(data, file)
            for name, column in columns.items():
                if len(column) != num_rows:
                    raise damaged(path, f"{num_rows} rows, as its footer says", f"{len(column)} in {name!r}")
            return columns
    except DamagedFolderError:
        raise
    except (OSError, ValueError, KeyError, OverflowError, ArrowException) as error:
        raise damaged(path, "a whole Parquet file", f"another ({first_line(error)})") from error


def _read_columns(data: bytes, file: Any) -> dict[str, Sequence[Any]]:
    """The texts, and the bytes of pictures, by column; counted as they come, since a value may stand there many times.

    Pictures come from the file alone: a path in somebody else's table could name any file of this machine.
    """
    import pyarrow.compute as pc

    leaves = {field.name: _leaf(field) for field in file.schema_arrow}
    most = most_bytes(data)
    rows = rows_at_once(
        data, [file.schema.column(leaf).path for leaf in range(len(file.schema))], list(leaves.values()), most
    )
    columns: dict[str, list[Any]] = {name: [] for name in leaves}
    total = 0
    for batch in file.iter_batches(rows, columns=list(leaves.values()), use_threads=False):
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            values = column if leaves[name] == name else pc.struct_field(column, "bytes")
            total += pc.sum(pc.binary_length(values)).as_py() or 0
            if total > most:
                raise ValueError(f"its values have {total:,} bytes and more, the file {len(data):,}")
            columns[name] += values.to_pylist()
    return dict(columns)


def _leaf(field: Any) -> str:
    """The path to what is read of a column; raises `ValueError` where that is neither a text nor the bytes of a picture."""
    from pyarrow import types

    kinds = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    if any(is_kind(field.type) for is_kind in kinds):
        return str(field.name)
    place = field.type.get_field_index("bytes") if types.is_struct(field.type) else -1
    if place >= 0 and any(is_kind(field.type.field(place).type) for is_kind in kinds[2:]):
        return f"{field.name}.bytes"
    raise ValueError(f"{field.name!r} holds {field.type!s:.80}, and neither texts nor pictures")
