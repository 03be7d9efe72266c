"""The anchor set: which items, in which order. It is the concept that two encoders both encode."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from huggingface_hub import CommitInfo
from typing_extensions import Unpack

from irp_hf.anchors.card import anchor_card
from irp_hf.anchors.files import ADDED, GIVEN, MANIFEST, MANIFEST_VALUES, TABLE, damaged, read_files, write_files
from irp_hf.anchors.named_files import refuse_named_files
from irp_hf.anchors.sampling import Strategy, check_sampling, choose_rows, unit_points
from irp_hf.cards.merging import merged
from irp_hf.checks import check_choice, check_text
from irp_hf.data.columns import Columns, as_views, origin, read_labels, read_views
from irp_hf.data.items import Digests, content, distinct_rows, open_picture, set_fingerprint
from irp_hf.data.pictures import OneByOne, open_file, room_of
from irp_hf.disk.atomic import replaced_folder
from irp_hf.disk.leftovers import temporary_folder
from irp_hf.disk.reading import check_place, is_saved, read_folder
from irp_hf.errors import InputError, first_line, printable, refusal
from irp_hf.hub.download import fetch
from irp_hf.hub.upload import PushOptions, check_keywords, full_id, push
from irp_hf.records import AnchorRecord

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image


MOST_DECODED = 1 << 33  # bytes of pictures that a user gets at one time

Item: TypeAlias = "str | bytes | Image | Mapping[str, Any]"


class AnchorSet:
    """Distinct items in a fixed order, in one or several views (a sentence in two languages, say).

    `items` is a list, or a dict of equally long lists, one for each view; a bare list is the view "text" or
    "image". An item is a string, a PIL image, the bytes of a picture file, or the dict {"bytes", "path"} that
    `datasets` makes of a picture, with its bytes: a file that a row only names is read where `datasets` listed your folder
    (`imagefolder`), and refused elsewhere, since anchors are published. Pictures are compared upright and by their
    pixels. A row that repeats an earlier row in any view would leak when an anchor is held out, so it is dropped
    and counted.

    `dataset_id` and `license` say where the items come from, for the cards of those who use them.

    Two sets are equal where their fingerprints are. Raises `InputError` for items of any other kind,
    for empty strings, for views of unequal length and for fewer than two distinct items.
    """

    _dataset_id: str | None = None
    _license: str | None = None
    _repository: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self,
        items: Sequence[Item] | Mapping[str, Sequence[Item]],
        *,
        dataset_id: str | None = None,
        license: str | None = None,
    ) -> None:
        _check_origin(dataset_id, license)
        columns = as_views(items)
        refuse_named_files(columns)
        digests = distinct_rows(columns)
        if len(digests) < 2:
            raise refusal("items", "at least 2 distinct ones", f"{len(digests)}", "Add more.")
        self._fill(columns, digests, list(digests), GIVEN, None)
        self._dataset_id, self._license = dataset_id, license

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
        dataset_id: str | None = None,
        license: str | None = None,
    ) -> AnchorSet:
        """Choose `num_anchors` distinct rows of `dataset`, the same ones for the same seed everywhere.

        `dataset` is a `datasets.Dataset`, a pandas DataFrame, a list of items or a list of dicts; of a
        stream, pass `list(stream.take(n))`. `column` names one column, or several that become views of the
        same names; `views` maps names of views to columns and wins over `column`. Every row is read once, to
        find duplicates.

        Strategies: "uniform"; "stratified" keeps the shares of the labels in `label_column`; "farthest" and
        "kmeans" spread the anchors over `embeddings` (n, d), one row per row of the dataset, by greedy
        farthest-point sampling under 1 - cos or by taking the items nearest to the centres of k-means.

        `dataset_id` and `license` say where the items come from; a `datasets.Dataset` of the Hub says so itself.

        Raises `InputError` for options, items or embeddings that do not fit and for too few distinct rows,
        and `MissingDependencyError` for "kmeans" without scikit-learn.
        """
        check_sampling(strategy, num_anchors, seed, embeddings, label_column)
        _check_origin(dataset_id, license)
        columns = read_views(dataset, column, views)
        refuse_named_files(columns)
        num_rows = len(next(iter(columns.values())))
        points = None if embeddings is None else unit_points(embeddings, num_rows)
        labels = None if label_column is None else read_labels(dataset, label_column)
        digests = distinct_rows(columns)
        if len(digests) < num_anchors:
            expected = (
                f"at most {len(digests)}, the dataset's distinct rows ({num_rows - len(digests)} duplicates dropped)"
            )
            raise refusal("num_anchors", expected, f"{num_anchors}", "Ask for fewer, or add rows.")
        rows = choose_rows(list(digests), strategy, int(num_anchors), int(seed), points, labels)
        chosen = cls.__new__(cls)
        chosen._fill(columns, digests, rows, strategy, int(seed))
        known_id, known_license = origin(dataset)
        chosen._dataset_id, chosen._license = dataset_id or known_id, license or known_license
        return chosen

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        **options: Any,
    ) -> AnchorSet:
        """Read the set in `folder`, a folder or an id on the Hub, where `revision` is a branch, a tag or a commit.

        `options` are those of the client of the Hub: `cache_dir`, `local_files_only`, `force_download`. What was fetched once
        is read without a connection. Pictures come from the table alone: paths in it are never followed.

        Raises `DamagedFolderError` where a file is missing, broken or altered: the items must give the saved
        fingerprint again; `HubError` where the Hub does not give it.
        """
        place = check_place(folder)
        if is_saved(Path(place)):
            return read_folder(Path(place), cls._read)
        path, commit = fetch(place, (MANIFEST, TABLE), revision, token, repo_type="dataset", **options)
        loaded = cls._read(path)
        loaded._repository = {"id": place, "revision": commit}
        return loaded

    @classmethod
    def _read(cls, path: Path) -> AnchorSet:
        """The set in a folder."""
        manifest, columns = read_files(path)
        try:
            digests = distinct_rows(columns)
        except InputError as error:
            raise damaged(
                path / TABLE, "items that can be anchors", f"one that cannot ({first_line(error)})"
            ) from error
        loaded = cls.__new__(cls)
        loaded._fill(columns, digests, list(digests), manifest["strategy"], manifest["seed"])
        if (len(loaded), loaded.fingerprint) != (manifest["num_items"], manifest["fingerprint"]):
            raise damaged(
                path / TABLE,
                f"{manifest['num_items']} items with fingerprint {manifest['fingerprint'][:6]}…, as {MANIFEST} says",
                f"{len(loaded)} with {loaded.fingerprint[:6]}…",
            )
        loaded._indices = tuple(manifest["indices"])
        loaded._num_duplicates = manifest["num_duplicates"]
        loaded._dataset_id, loaded._license = (manifest.get(name) for name in ADDED)
        return loaded

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the set to `folder`, which `datasets.load_dataset` reads too; other files there stay."""
        with replaced_folder(folder) as fresh:
            write_files(fresh, self._manifest(), self.to_dataset().data.table)

    def push_to_hub(self, repo_id: str, *, license: str | None = None, **options: Unpack[PushOptions]) -> CommitInfo:
        """Push the set and its card to the data set repository `repo_id` on the Hub, as one commit.

        `license` is the items', as the Hub writes it ("cc-by-4.0"). The options are `private`, `token`, `revision`,
        `create_pr`, `commit_message`, `commit_description` and `exist_ok`, as `AnchoredSpace.push_to_hub` has them. Spaces
        that are encoded from this object afterwards name that repository and its commit.

        Raises `HubError` where the Hub refuses or the connection breaks: then nothing was published.
        """
        check_keywords(options, "license")
        _check_origin(None, license)
        repo_id = full_id(repo_id, options.get("token"))
        self._license = license or self._license
        with temporary_folder() as temporary:
            folder = temporary / "anchors"
            self.save_pretrained(folder)
            card = anchor_card(self._manifest(), repo_id)
            commit = push(folder, repo_id, lambda theirs: merged(card, theirs), repo_type="dataset", **options)
        self._repository = {"id": commit.repo_url.repo_id, "revision": commit.oid}
        return commit

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

        The name is needed only where there are several views. Raises `InputError` for a wrong or missing one, and for
        pictures that take more than 8 GiB together.
        """
        items, found, total = self.one_by_one(name), list[Any](), 0
        for row, item in enumerate(self._view(name)):
            total += room_of(open_file(item)) if isinstance(item, bytes) else 0
            try:
                if total > MOST_DECODED:
                    raise MemoryError
                found.append(items[row])
            except MemoryError as error:
                expected = f"pictures of at most {MOST_DECODED:,} bytes with those before it, once they are decoded"
                advice = "Go through to_dataset(), which decodes them row by row; AnchoredSpace.encode does so, too."
                raise refusal(f"Item {row}", expected, f"{total:,}", advice) from error
        return found

    def one_by_one(self, name: str | None = None) -> Sequence[Any]:
        """The items of one view as `view` gives them, but a picture is decoded only when it is asked for."""
        contents = self._view(name)
        if isinstance(contents[0], str):
            return list(contents)
        return OneByOne(lambda row: open_picture(contents[row]), range(len(contents)))

    def _view(self, name: str | None) -> list[Any]:
        if name is None and len(self._contents) == 1:
            name = self.views[0]
        return self._contents[check_choice("view", name, self.views, "Name one of the set's views.")]

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

    @property
    def dataset_id(self) -> str | None:
        """The data set that the items were drawn from, an id on the Hub or a name; None if it is not known."""
        return self._dataset_id

    @property
    def license(self) -> str | None:
        """The licence of the items; None if it is not known."""
        return self._license

    @property
    def record(self) -> dict[str, Any] | None:
        """Where it lies, as a space notes it down: `id` and `revision` on the Hub, `dataset`, `license`, each where known."""
        known = {**self._repository, "dataset": self._dataset_id, "license": self._license}
        return AnchorRecord.of(**{key: value for key, value in known.items() if value is not None}).to_dict() or None

    def __len__(self) -> int:
        return self.num_items

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnchorSet) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        facts = [
            f"{len(self)} items",
            f"views: {printable(', '.join(self.views))}",
            f"fingerprint {self.fingerprint[:6]}…",
        ]
        if self.num_duplicates:
            facts.append(f"{self.num_duplicates} duplicate{'s' if self.num_duplicates > 1 else ''} dropped")
        return f"AnchorSet({', '.join(facts)})"

    def _manifest(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in MANIFEST_VALUES}

    def _fill(self, columns: Columns, digests: Digests, rows: list[int], strategy: str, seed: int | None) -> None:
        self._contents = {view: [content(items[row]) for row in rows] for view, items in columns.items()}
        self._fingerprint = set_fingerprint(list(columns), [digests[row] for row in rows])
        self._indices = tuple(rows)
        self._num_duplicates = len(next(iter(columns.values()))) - len(digests)
        self._strategy = strategy
        self._seed = seed


def _check_origin(dataset_id: Any, license: Any) -> None:
    """Raise `InputError` for what cannot stand on a card."""
    if dataset_id is not None:
        check_text("dataset_id", dataset_id, "Give an id on the Hub, or a name.")
    if license is not None:
        check_text("license", license, "Give it as the Hub writes it: 'cc-by-4.0', say.")
