"""The anchor set: which items, in which order. It is the concept that two encoders both encode."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from irp_hf import sampling
from irp_hf.errors import DamagedFolderError, InputError
from irp_hf.items import Digests, content, distinct_rows, is_picture, open_picture, set_fingerprint
from irp_hf.saving import replaced_folder

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image

Item: TypeAlias = "str | bytes | Image | Mapping[str, Any]"
Columns: TypeAlias = Mapping[str, Sequence[Any]]
Strategy: TypeAlias = Literal["uniform", "kmeans", "farthest", "stratified"]

FORMAT_VERSION = 1
MANIFEST = "anchor_set.json"
TABLE = "data/anchors-00000-of-00001.parquet"
MANIFEST_TYPES: dict[str, Any] = dict(
    views=list,
    fingerprint=str,
    num_items=int,
    num_duplicates=int,
    strategy=str,
    seed=int | None,
    indices=list,
)


class AnchorSet:
    """Distinct items in a fixed order, in one or several views (a sentence in two languages, say).

    `items` is a list, or a dict of equally long lists, one for each view; a bare list is the view "text" or
    "image". An item is a string, a PIL image, the bytes of a picture file, or the dict {"bytes", "path"} that
    `datasets` makes of a picture. Pictures are compared upright and by their pixels. A row that repeats an
    earlier row in any view would leak when an anchor is held out, so it is dropped and counted.

    Two sets are equal where their fingerprints are. Raises `InputError` for items of any other kind,
    for empty strings, for views of unequal length and for fewer than two distinct items.
    """

    def __init__(self, items: Sequence[Item] | Mapping[str, Sequence[Item]]) -> None:
        columns = _by_view(items)
        digests = distinct_rows(columns)
        if len(digests) < 2:
            raise InputError(f"There are {len(digests)} distinct items, but a set needs at least 2. Add more.")
        self._fill(columns, digests, list(digests), "given", None)

    @classmethod
    def sample(
        cls,
        dataset: Any,
        column: str | Sequence[str] = "text",
        num_anchors: int = 1000,
        seed: int = 0,
        strategy: Strategy = "uniform",
        embeddings: Any = None,
        label_column: str | None = None,
        views: Mapping[str, str] | None = None,
    ) -> AnchorSet:
        """Choose `num_anchors` distinct rows of `dataset`, the same ones for the same seed everywhere.

        `dataset` is a `datasets.Dataset`, a pandas DataFrame, a list of items or a list of dicts; of a
        stream, pass `list(stream.take(n))`. `column` names one column, or several that become views of the
        same names; `views` maps names of views to columns and wins over `column`. Every row is read once, to
        find duplicates.

        Strategies: "uniform"; "stratified" keeps the shares of the labels in `label_column`; "farthest" and
        "kmeans" spread the anchors over `embeddings` (n, d), one row per row of the dataset, by greedy
        farthest-point sampling under 1 - cos or by taking the items nearest to the centres of k-means.

        Raises `InputError` for options, items or embeddings that do not fit and for too few distinct rows,
        and `MissingDependencyError` for "kmeans" without scikit-learn.
        """
        sampling.check_request(strategy, num_anchors, seed, embeddings, label_column)
        columns = _columns_of(dataset, column, views)
        num_rows = len(next(iter(columns.values())))
        points = None if embeddings is None else sampling.unit_rows(embeddings, num_rows)
        labels = None if label_column is None else sampling.read_labels(dataset, label_column)
        digests = distinct_rows(columns)
        if len(digests) < num_anchors:
            raise InputError(
                f"num_anchors is {num_anchors}, but the dataset has {len(digests)} distinct rows "
                f"({num_rows - len(digests)} duplicates dropped). Ask for at most {len(digests)} or add rows."
            )
        rows = sampling.choose_rows(list(digests), strategy, int(num_anchors), int(seed), points, labels)
        chosen = cls.__new__(cls)
        chosen._fill(columns, digests, rows, strategy, int(seed))
        return chosen

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> AnchorSet:
        """Read the set that `save_pretrained` wrote to `folder`.

        Raises `DamagedFolderError` where a file is missing, broken or altered: the items must give the saved
        fingerprint again.
        """
        manifest_path, table = Path(folder) / MANIFEST, Path(folder) / TABLE
        for path in (manifest_path, table):
            if not path.is_file():
                raise _damaged(path, "is missing")
        manifest = _read_manifest(manifest_path)
        columns = _read_table(table, manifest["views"])
        try:
            digests = distinct_rows(columns)
        except InputError as error:
            raise _damaged(table, f"holds an item that is no anchor ({error})") from error
        loaded = cls.__new__(cls)
        loaded._fill(columns, digests, list(digests), manifest["strategy"], manifest["seed"])
        if (len(loaded), loaded.fingerprint) != (manifest["num_items"], manifest["fingerprint"]):
            raise _damaged(
                table,
                f"holds {len(loaded)} items with fingerprint {loaded.fingerprint[:6]}…, but {MANIFEST} "
                f"promises {manifest['num_items']} with {manifest['fingerprint'][:6]}…",
            )
        loaded._indices = tuple(manifest["indices"])
        loaded._num_duplicates = manifest["num_duplicates"]
        return loaded

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the set to `folder`, which `datasets.load_dataset` reads too; other files there stay."""
        from pyarrow import parquet

        manifest = {"format_version": FORMAT_VERSION, **{key: getattr(self, key) for key in MANIFEST_TYPES}}
        with replaced_folder(folder) as fresh:
            (fresh / TABLE).parent.mkdir()
            parquet.write_table(self.to_dataset().data.table, fresh / TABLE)
            (fresh / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False), encoding="utf-8")

    def to_dataset(self) -> Dataset:
        """Return a `datasets.Dataset` with a column for each view; it decodes pictures row by row."""
        from datasets import Dataset, Features, Image, Value

        features, columns = Features(), {}
        for view, contents in self._contents.items():
            features[view] = Value("string") if isinstance(contents[0], str) else Image()
            columns[view] = [{"bytes": item} if isinstance(item, bytes) else item for item in contents]
        return Dataset.from_dict(columns, features=features)

    def view(self, name: str | None = None) -> list[Any]:
        """Return the items of one view in order: strings, or PIL images that are decoded anew at each call.

        The name is needed only where there are several views. Raises `InputError` for a wrong or missing one.
        """
        if name is None and len(self._contents) == 1:
            name = self.views[0]
        if name not in self._contents:
            raise InputError(
                f"view is {name!r}, but this anchor set has the views {', '.join(map(repr, self.views))}. "
                "Name one of them."
            )
        contents = self._contents[name]
        return [open_picture(item) if isinstance(item, bytes) else item for item in contents]

    @property
    def views(self) -> tuple[str, ...]:
        """The names of the views."""
        return tuple(self._contents)

    @property
    def fingerprint(self) -> str:
        """The sha256, in hex, of all items in order and of the names of their views (in any order)."""
        return self._fingerprint

    @property
    def num_items(self) -> int:
        """How many items there are, k; the same as `len`."""
        return len(self._indices)

    @property
    def num_duplicates(self) -> int:
        """How many rows were dropped because some view repeats an earlier row."""
        return self._num_duplicates

    @property
    def indices(self) -> tuple[int, ...]:
        """The row of the original table, or of the list, that each item was."""
        return self._indices

    @property
    def strategy(self) -> str:
        """How the items were sampled, or "given"."""
        return self._strategy

    @property
    def seed(self) -> int | None:
        """The seed of the sample; None for items that were given."""
        return self._seed

    def __len__(self) -> int:
        return self.num_items

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnchorSet) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        facts = [
            f"{len(self)} items",
            f"views: {', '.join(self.views)}",
            f"fingerprint {self.fingerprint[:6]}…",
        ]
        if self.num_duplicates:
            facts.append(f"{self.num_duplicates} duplicate{'s' if self.num_duplicates > 1 else ''} dropped")
        return f"AnchorSet({', '.join(facts)})"

    def _fill(self, columns: Columns, digests: Digests, rows: list[int], strategy: str, seed: int | None) -> None:
        self._contents = {view: [content(items[row]) for row in rows] for view, items in columns.items()}
        self._fingerprint = set_fingerprint(list(columns), [digests[row] for row in rows])
        self._indices = tuple(rows)
        self._num_duplicates = len(next(iter(columns.values()))) - len(digests)
        self._strategy = strategy
        self._seed = seed


def _columns_of(dataset: Any, column: str | Sequence[str], views: Mapping[str, str] | None) -> Columns:
    if views is None and isinstance(column, str):
        return _by_view(sampling.read_columns(dataset, [column])[0])
    wanted = {name: name for name in column} if views is None else dict(views)
    read = sampling.read_columns(dataset, list(wanted.values()))
    return _by_view(dict(zip(wanted, read, strict=True)))


def _by_view(items: Any) -> Columns:
    """Give one list the name of its kind; raise `InputError` unless all views are lists of one length."""
    views = dict(items) if isinstance(items, Mapping) else {"text": items}
    for name, column in views.items():
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"A view is named {name!r}, but a name is a string. Write {{'en': [...]}}.")
        if isinstance(column, str | bytes) or not isinstance(column, Sequence):
            raise InputError(
                f"The items are a {type(column).__name__}, but a list or a dict of lists is needed. "
                "Turn them into a list, or give a table to AnchorSet.sample."
            )
    lengths = {name: len(column) for name, column in views.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        held = ", ".join(f"{length} in {name!r}" for name, length in lengths.items()) or "no views"
        raise InputError(
            f"Each view needs the same items, at least 2, but there are {held}. Pair the views row by row."
        )
    if not isinstance(items, Mapping) and is_picture(items[0]):
        return {"image": items}
    return views


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, f"is no JSON file ({error})") from error
    if not isinstance(manifest, dict) or "format_version" not in manifest:
        raise _damaged(path, "describes no anchor set")
    if manifest["format_version"] != FORMAT_VERSION:
        raise DamagedFolderError(
            f"{path} has the format version {manifest['format_version']!r}, but this irp_hf reads "
            f"{FORMAT_VERSION}. Install the irp_hf that wrote it, or a newer one."
        )
    for key, kind in MANIFEST_TYPES.items():
        if not isinstance(manifest.get(key), kind):
            raise _damaged(path, f"has {key} = {manifest.get(key)!r}")
    if len(manifest["indices"]) != manifest["num_items"]:
        raise _damaged(path, f"has {len(manifest['indices'])} indices for {manifest['num_items']} items")
    if not all(type(index) is int and index >= 0 for index in manifest["indices"]):
        raise _damaged(path, "has indices that are no row numbers")
    return manifest


def _read_table(path: Path, views: list[str]) -> Columns:
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(path) as file:
            table = file.read()
            columns = {name: table[name].to_pylist() for name in table.column_names}
    except (OSError, ValueError, KeyError, ArrowException) as error:
        raise _damaged(path, f"is no whole Parquet file ({error})") from error
    if list(columns) != views or not len(table):
        raise _damaged(path, f"holds {len(table)} rows of {list(columns)}, not the views {views}")
    # Pictures come from the file alone: a path in somebody else's table could name any file of this machine.
    return {
        name: [item.get("bytes") if isinstance(item, dict) else item for item in column]
        for name, column in columns.items()
    }


def _damaged(path: Path, what: str) -> DamagedFolderError:
    return DamagedFolderError(f"{path} {what}. Save the anchor set again, or fetch a whole copy of it.")
