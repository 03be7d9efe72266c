"""The files of an anchor set: a manifest, and a Parquet table that `datasets` reads too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from irp_hf.errors import DamagedFolderError

FORMAT_VERSION = 1
MANIFEST = "anchor_set.json"
TABLE = "data/anchors-00000-of-00001.parquet"
LARGEST_MANIFEST = 500_000_000  # bytes: an index is some ten letters
MANIFEST_TYPES: dict[str, Any] = dict(
    views=list,
    fingerprint=str,
    num_items=int,
    num_duplicates=int,
    strategy=str,
    seed=int | None,
    indices=list,
    dataset_id=str | None,
    license=str | None,
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
            raise damaged(path, "is missing")
    manifest = _read_manifest(folder / MANIFEST)
    return manifest, _read_table(folder / TABLE, manifest)


def damaged(path: Path, what: str) -> DamagedFolderError:
    """An error that says what is wrong with a file."""
    return DamagedFolderError(f"{path} {what}. Save the anchor set again, or fetch a whole copy of it.")


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST_MANIFEST:
            raise ValueError(f"{path.stat().st_size:,} bytes")
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, f"is no JSON file ({error})") from error
    if not isinstance(manifest, dict) or "format_version" not in manifest:
        raise damaged(path, "describes no anchor set")
    if manifest["format_version"] != FORMAT_VERSION:
        raise DamagedFolderError(
            f"{path} has the format version {manifest['format_version']!r}, but this irp_hf reads "
            f"{FORMAT_VERSION}. Install the irp_hf that wrote it, or a newer one."
        )
    for key, kind in MANIFEST_TYPES.items():
        if not isinstance(manifest.get(key), kind):
            raise damaged(path, f"has {key} = {manifest.get(key)!r}")
    if len(manifest["indices"]) != manifest["num_items"]:
        raise damaged(path, f"has {len(manifest['indices'])} indices for {manifest['num_items']} items")
    if not all(type(index) is int and index >= 0 for index in manifest["indices"]):
        raise damaged(path, "has indices that are no row numbers")
    return manifest


def _read_table(path: Path, manifest: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(path) as file:
            names, num_rows = file.schema_arrow.names, file.metadata.num_rows
            if (
                names != manifest["views"] or num_rows != manifest["num_items"] or not num_rows
            ):  # before it takes memory
                raise damaged(
                    path, f"holds {num_rows} rows of {names}, not {manifest['num_items']} of {manifest['views']}"
                )
            table = file.read()
            columns = {name: table[name].to_pylist() for name in table.column_names}
            if any(len(column) != num_rows for column in columns.values()):
                raise damaged(path, f"holds other than the {num_rows} rows that its footer promises")
    except DamagedFolderError:
        raise
    except (OSError, ValueError, KeyError, ArrowException) as error:
        raise damaged(path, f"is no whole Parquet file ({error})") from error
    # Pictures come from the file alone: a path in somebody else's table could name any file of this machine.
    return {
        name: [item.get("bytes") if isinstance(item, dict) else item for item in column]
        for name, column in columns.items()
    }
