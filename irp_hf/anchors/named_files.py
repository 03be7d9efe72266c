"""Files that a table names: they are copied into no anchor set, unless the table is the listing of a user's own folder.

A row `{"bytes": None, "path": ...}` of somebody else's table may name any file of this machine, and anchors get published.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from irp_hf.data.columns import Columns
from irp_hf.data.items import is_row
from irp_hf.data.pictures import PictureColumn
from irp_hf.errors import refusal, shown

FOLDERS = "imagefolder"  # the builder of `datasets` that lists the pictures of a folder
SNAPSHOTS = "snapshots"  # of a repository in the cache of the Hub
SAVED = "state.json"  # of a data set that was saved, whose description may be anybody's


def refuse_named_files(columns: Columns) -> None:
    """Raise `InputError` for a row that names a file instead of holding its bytes."""
    behind_a_link = cache(_behind_a_link)  # the same for all pictures of a folder
    for view, column in columns.items():
        items = column.stored if isinstance(column, PictureColumn) else column
        if len(items) == 0 or isinstance(items[0], str):
            continue
        listed = _lists_a_folder(column)
        for row, item in enumerate(items):
            if not isinstance(item, Mapping) or is_row(item) or item.get("bytes") is not None:
                continue
            path = item.get("path")
            if path is not None and not (listed and _stays_in_its_folder(path, behind_a_link)):
                advice = (
                    "Anchors are published, and a table may name any file: open the pictures that you want yourself, "
                    "[PIL.Image.open(path) for path in paths], or load their folder with "
                    "datasets.load_dataset('imagefolder', data_dir=os.path.realpath(folder))."
                )
                place = f"Row {row} of view {view!r}"
                raise refusal(place, "a picture", f"the name of a file, {shown(path)}", advice)


def _lists_a_folder(column: Any) -> bool:
    """Whether `datasets` made all rows on this machine, by listing a folder: its builder looks for each file there."""
    source, library = getattr(column, "source", None), sys.modules.get("datasets")
    if library is None or not isinstance(source, library.Dataset) or source.info.builder_name != FOLDERS:
        return False
    places = {Path(file["filename"]).parent for file in source.cache_files}
    return bool(places) and all(_was_listed(place) for place in places)


def _stays_in_its_folder(path: str, behind_a_link: Callable[[str], bool]) -> bool:
    """Whether a file is not, and lies behind, no link out of the folder that it is in: somebody else's may lead to any file.

    In the cache of the Hub all files are links, to what was fetched with them.
    """
    place = Path(os.path.abspath(path))
    if SNAPSHOTS in place.parts:
        repository = Path(*place.parts[: place.parts.index(SNAPSHOTS)])
        return Path(os.path.realpath(place)).is_relative_to(os.path.realpath(repository))
    return not (_leads_out(place) or behind_a_link(str(place.parent)))


def _behind_a_link(folder: str) -> bool:
    return any(_leads_out(place) for place in (Path(folder), *Path(folder).parents) if not _of_the_system(place))


def _leads_out(place: Path) -> bool:
    return place.is_symlink() and not Path(os.path.realpath(place)).is_relative_to(os.path.realpath(place.parent))


def _of_the_system(place: Path) -> bool:
    """Whether no user made it: /home may be a link, say."""
    return place.parent == place.parent.parent or (
        place.lstat().st_uid == 0 and os.name == "posix" and os.geteuid() != 0
    )


def _was_listed(place: Path) -> bool:
    try:
        if (place / SAVED).exists():
            return False
        return bool(json.loads((place / "dataset_info.json").read_text("utf-8"))["builder_name"] == FOLDERS)
    except (OSError, ValueError, KeyError, TypeError):
        return False
