"""The files of an anchor set: a manifest, and a Parquet table that `datasets` reads too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from irp_hf.errors import DamagedFolderError, first_line, refusal, shown

FORMAT_VERSION = 1
MANIFEST = "anchor_set.json"
TABLE = "data/anchors-00000-of-00001.parquet"
LARGEST_MANIFEST = 500_000_000  # bytes: an index is some ten characters
MANIFEST_TYPES: dict[str, tuple[Any, str]] = dict(
    views=(list, "a list"),
    fingerprint=(str, "a text"),
    num_items=(int, "a whole number"),
    num_duplicates=(int, "a whole number"),
    strategy=(str, "a text"),
    seed=(int | None, "a whole number or null"),
    indices=(list, "a list"),
    dataset_id=(str | None, "a text or null"),
    license=(str | None, "a text or null"),
)
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
        if not path.is_file():
            raise damaged(path, "a file of an anchor set", "none")
    manifest = _read_manifest(folder / MANIFEST)
    return manifest, _read_table(folder / TABLE, manifest)


def damaged(path: Path, expected: str, got: str) -> DamagedFolderError:
    """An error that says what is wrong with a file."""
    advice = "Save the anchor set again, or fetch a whole copy of it."
    return refusal(str(path), expected, got, advice, DamagedFolderError)


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST_MANIFEST:
            raise ValueError(f"{path.stat().st_size:,} bytes")
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, "a file in JSON", f"another ({first_line(error)})") from error
    if not isinstance(manifest, dict) or "format_version" not in manifest:
        raise damaged(path, "the description of an anchor set", shown(manifest))
    if (version := manifest["format_version"]) != FORMAT_VERSION:
        advice = "Install the irp_hf that wrote it, or a newer one."
        raise refusal(str(path), f"format version {FORMAT_VERSION}", shown(version), advice, DamagedFolderError)
    for key, (kind, expected) in MANIFEST_TYPES.items():
        if not isinstance(manifest.get(key), kind):
            raise damaged(path, f"{key} to be {expected}", shown(manifest.get(key)))
    count, indices = manifest["num_items"], manifest["indices"]
    if len(indices) != count:
        raise damaged(path, f"{count} indices, as many as items", f"{len(indices)}")
    if not all(type(index) is int and index >= 0 for index in indices):
        wrong = next(index for index in indices if type(index) is not int or index < 0)
        raise damaged(path, "indices to be row numbers", shown(wrong))
    return manifest


def _read_table(path: Path, manifest: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(path) as file:
            names, num_rows = file.schema_arrow.names, file.metadata.num_rows
            expected = f"{manifest['num_items']} rows of {manifest['views']}"
            if (
                names != manifest["views"] or num_rows != manifest["num_items"] or not num_rows
            ):  # before it takes memory
                raise damaged(path, expected, f"{num_rows} of {names}")
            table = file.read()
            columns = {name: table[name].to_pylist() for name in table.column_names}
            for name, column in columns.items():
                if len(column) != num_rows:
                    raise damaged(path, f"{num_rows} rows, as its footer says", f"{len(column)} in {name!r}")
    except DamagedFolderError:
        raise
    except (OSError, ValueError, KeyError, ArrowException) as error:
        raise damaged(path, "a whole Parquet file", f"another ({first_line(error)})") from error
    # Pictures come from the file alone: a path in somebody else's table could name any file of this machine.
    return {
        name: [item.get("bytes") if isinstance(item, dict) else item for item in column]
        for name, column in columns.items()
    }
