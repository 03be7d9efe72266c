"""From a table to the rows that become anchors: its columns, its distinct items, and four ways to sample.

Every draw comes from `numpy.random.RandomState.permutation`, whose stream numpy never changes, so that one
seed gives the same rows in every process and on every platform. Uniform and stratified samples keep the order
of that permutation, farthest-point samples the order in which they were found: then the first m anchors of a
set are a fair sample of their own, even of a sorted table, and a study of the number of anchors can slice.
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from PIL.Image import Image

Digests: TypeAlias = dict[int, tuple[bytes, ...]]  # a row and the sha256 of its item in each view

STRATEGIES = ("uniform", "kmeans", "farthest", "stratified")
MAX_SEED = 2**32 - 1

# Pixel modes that a file format keeps bit for bit. Pictures of other modes become RGB or RGBA.
PNG_MODES = {"1", "L", "LA", "I;16", "RGB", "RGBA"}
TIFF_MODES = {"I", "I;16B", "F", "CMYK", "LAB", "YCbCr"}
EXIF_ORIENTATION = 0x0112


def read_columns(dataset: Any, names: Sequence[str]) -> list[Sequence[Any]]:
    """Return the named columns of a `datasets.Dataset`, a pandas frame or a list of dicts as sequences.

    A list of bare items is its own single column. Pictures of a `datasets.Dataset` stay undecoded and are
    read row by row. Raises `InputError` for any other table and for names that it lacks.
    """
    # Both are slow to import, and a table of theirs exists only where somebody did.
    datasets, pandas = sys.modules.get("datasets"), sys.modules.get("pandas")
    if datasets and isinstance(dataset, datasets.Dataset):
        _check_names(names, dataset.column_names)
        table = dataset.with_format(None).select_columns(list(dict.fromkeys(names)))
        for name, feature in table.features.items():
            if isinstance(feature, datasets.Image):
                table = table.cast_column(name, datasets.Image(decode=False))
        return [table[name] for name in names]
    if pandas and isinstance(dataset, pandas.DataFrame):
        _check_names(names, list(dataset.columns))
        return [dataset[name].tolist() for name in names]
    if isinstance(dataset, Mapping):
        raise InputError(
            f"dataset is a {type(dataset).__name__} of {', '.join(map(repr, dataset))}, but one table is "
            "needed. Pass one of its parts."
        )
    if not isinstance(dataset, list | tuple):
        raise InputError(
            f"dataset is a {type(dataset).__name__}, but a datasets.Dataset, a pandas DataFrame or a list is "
            "needed. Of a stream, take rows first: list(dataset.take(100_000))."
        )
    if any(is_row(item) for item in dataset):
        return [_of_rows(dataset, name) for name in names]
    if len(names) != 1:
        raise InputError(
            f"{len(names)} columns are asked for, but the dataset is a list of bare items. "
            "Pass a list of dicts."
        )
    return [dataset]


def is_row(item: object) -> bool:
    """Tell a dict of columns from the {"bytes", "path"} dict that `datasets` makes of a picture."""
    return isinstance(item, Mapping) and not set(item) <= {"bytes", "path"}


def _check_names(names: Iterable[str], known: Sequence[object]) -> None:
    for name in names:
        if known.count(name) != 1:
            raise InputError(
                f"The dataset has {known.count(name) or 'no'} columns named {name!r}; its columns are "
                f"{', '.join(map(repr, known))}. Name one of them by column= or views=."
            )


def _of_rows(rows: Sequence[Any], name: str) -> list[Any]:
    for number, row in enumerate(rows):
        if not is_row(row) or name not in row:
            has = f"the columns {', '.join(map(repr, row))}" if is_row(row) else "no columns"
            raise InputError(
                f"Row {number} of the dataset has {has}, but {name!r} is asked for. "
                "Name a column that every row has by column= or views=."
            )
    return [row[name] for row in rows]


def read_labels(dataset: Any, column: str) -> Sequence[Any]:
    """Return the label of every row; raise `InputError` where one is missing or cannot be compared."""
    labels = list(read_columns(dataset, [column])[0])
    for number, label in enumerate(labels):
        if _is_no_label(label):
            raise InputError(
                f"Row {number} of {column!r} is {label!r}, but every row needs a label. "
                "Fill in or drop such rows first."
            )
    return labels


def _is_no_label(label: Any) -> bool:
    try:
        return label is None or bool(label != label) or not isinstance(label, Hashable)
    except (TypeError, ValueError):  # pandas.NA and arrays
        return True


def distinct_rows(columns: Mapping[str, Sequence[Any]]) -> Digests:
    """Map each row that repeats no earlier one in any view to its digests, one for each view."""
    seen: list[set[bytes]] = [set() for _ in columns]
    distinct: Digests = {}
    for row, digests in enumerate(zip(*(_digests(*view) for view in columns.items()), strict=True)):
        if all(digest not in known for digest, known in zip(digests, seen, strict=True)):
            distinct[row] = digests
            for digest, known in zip(digests, seen, strict=True):
                known.add(digest)
    return distinct


def _digests(view: str, column: Sequence[Any]) -> Iterator[bytes]:
    """Yield the sha256 of each item of one view; raise `InputError` for an item that cannot be an anchor."""
    texts = isinstance(column[0], str)
    for row, item in enumerate(column):
        place = f"Row {row} of view {view!r}"
        if isinstance(item, str):
            parts = _text_parts(item, place)
        elif is_picture(item):
            parts = _picture_parts(item, place)
        else:
            raise _unfit(place, f"of type {type(item).__name__} ({str(item)[:40]})")
        if isinstance(item, str) != texts:
            raise InputError(
                f"{place} is a {'picture' if texts else 'text'}, but the view began with a "
                f"{'text' if texts else 'picture'}. Put texts and pictures into two views."
            )
        yield hashlib.sha256(_packed(parts)).digest()


def _text_parts(text: str, place: str) -> list[bytes]:
    if not text.strip():
        raise _unfit(place, "an empty text")
    try:
        return [b"text", text.encode()]
    except UnicodeEncodeError as error:
        raise _unfit(place, f"no valid Unicode ({error.reason} at {error.start})") from error


def _picture_parts(item: Any, place: str) -> list[bytes]:
    try:
        picture = open_picture(item)
        if 0 in picture.size:
            raise ValueError("it has no pixels")
        size = [side.to_bytes(8, "big") for side in picture.size]
        return [b"image", picture.mode.encode(), *size, picture.tobytes()]
    except MissingDependencyError:
        raise
    except Exception as error:  # a broken file makes Pillow raise almost anything
        raise _unfit(place, f"no picture that Pillow can read ({error})") from error


def _unfit(place: str, what: str) -> InputError:
    return InputError(
        f"{place} is {what}, but an anchor is a picture or a text with something in it. "
        "Drop or mend such rows."
    )


def is_picture(item: Any) -> bool:
    """Tell a PIL image, the bytes of a picture file or the dict that `datasets` makes of it from others."""
    if isinstance(item, Mapping):
        return not is_row(item)
    pillow = sys.modules.get("PIL.Image")  # no item is Pillow's before somebody has imported it
    return isinstance(item, bytes) or (pillow is not None and isinstance(item, pillow.Image))


def open_picture(item: Any) -> Image:
    """Decode a picture, turned upright as `datasets` does it, in a mode that a file can keep."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingDependencyError(
            "Pictures need Pillow, which is not installed. Run: pip install pillow"
        ) from error
    picture = item if isinstance(item, Image.Image) else Image.open(io.BytesIO(_file_bytes(item)))
    picture.load()
    if picture.getexif().get(EXIF_ORIENTATION, 1) != 1:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode not in PNG_MODES | TIFF_MODES:
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    return picture


def _file_bytes(item: bytes | Mapping[str, Any]) -> bytes:
    if isinstance(item, bytes):
        return item
    data = item.get("bytes")
    return data if data is not None else Path(item["path"]).read_bytes()


def content(item: Any) -> str | bytes:
    """Return what is kept of an item: its text, or the bytes of a picture file without loss."""
    if isinstance(item, str):
        return str(item)
    if isinstance(item, bytes | Mapping):
        return _file_bytes(item)
    picture = open_picture(item)
    file = io.BytesIO()
    picture.save(file, format="PNG" if picture.mode in PNG_MODES else "TIFF")
    return file.getvalue()


def fingerprint(views: Sequence[str], rows: Iterable[tuple[bytes, ...]]) -> str:
    """Return the sha256, in hex, of the names of `views` and the digests of all rows, sorted by name."""
    order = sorted(range(len(views)), key=views.__getitem__)
    names = [views[place].encode() for place in order]
    items = [digests[place] for digests in rows for place in order]
    return hashlib.sha256(_packed([b"AnchorSet", str(len(names)).encode(), *names, *items])).hexdigest()


def _packed(parts: Iterable[bytes]) -> bytes:
    """Join with the length before each part, so that no two lists of parts give the same bytes."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def check_request(
    strategy: str, num_anchors: object, seed: object, embeddings: Any, label_column: object
) -> None:
    """Raise `InputError` for options that are wrong whatever the table holds."""
    if strategy not in STRATEGIES:
        raise InputError(f"strategy is {strategy!r}, which is unknown. Use one of {', '.join(STRATEGIES)}.")
    if not isinstance(num_anchors, int | np.integer) or num_anchors < 2:
        raise InputError(
            f"num_anchors is {num_anchors!r}, but at least 2 anchors are needed. Ask for hundreds."
        )
    if not isinstance(seed, int | np.integer) or not 0 <= seed <= MAX_SEED:
        raise InputError(f"seed is {seed!r}, but a whole number from 0 to {MAX_SEED} is needed. Use seed=0.")
    for name, value, readers in (
        ("embeddings", embeddings, ("kmeans", "farthest")),
        ("label_column", label_column, ("stratified",)),
    ):
        if strategy in readers and value is None:
            raise InputError(
                f"strategy {strategy!r} needs {name}=, but none is given. Give it, or use 'uniform'."
            )
        if strategy not in readers and value is not None:
            raise InputError(
                f"{name}= is given, but strategy {strategy!r} does not read it. "
                f"Leave it out, or use {' or '.join(map(repr, readers))}."
            )


def unit_rows(embeddings: Any, num_rows: int) -> NDArray[np.float32]:
    """Return numpy or torch `embeddings` (num_rows, d) with every row scaled to length 1.

    Raises `InputError` unless they are finite real numbers of that shape, with no row of zeros.
    """
    if hasattr(embeddings, "detach"):
        embeddings = embeddings.detach().cpu().double()  # numpy lacks bfloat16
    points = np.asarray(embeddings)
    if points.ndim != 2 or len(points) != num_rows or points.shape[1] == 0:
        raise InputError(
            f"embeddings have the shape {points.shape}, but ({num_rows}, d) is needed. "
            "Encode every row of the dataset, in its order."
        )
    if points.dtype.kind not in "fiu":
        raise InputError(
            f"embeddings hold {points.dtype}, but real numbers are needed. Convert them to float32."
        )
    points = points.astype(np.float64)  # half precision overflows in the norm
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    wrong = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(wrong):
        raise InputError(
            f"Row {wrong[0]} of embeddings holds NaN, infinity or only zeros ({len(wrong)} such rows), but "
            "finite rows with a direction are needed. Encode again, or drop these rows."
        )
    unit: NDArray[np.float32] = (points / lengths).astype(np.float32)
    return unit


def choose_rows(
    rows: Sequence[int],
    strategy: str,
    count: int,
    seed: int,
    points: NDArray[np.float32] | None,
    labels: Sequence[Any] | None,
) -> list[int]:
    """Choose `count` of `rows`; `points` and `labels` describe all rows of the table, where they are read."""
    if points is not None:
        spread = farthest if strategy == "farthest" else kmeans
        places = spread(points[rows], count, seed)
    elif labels is not None:
        places = stratified([labels[row] for row in rows], count, seed)
    else:
        places = uniform(len(rows), count, seed)
    return [rows[place] for place in places]


def uniform(size: int, count: int, seed: int) -> list[int]:
    """Draw `count` of `size` rows, all equally likely."""
    return _shuffled(size, seed)[:count]


def stratified(labels: Sequence[Any], count: int, seed: int) -> list[int]:
    """Draw `count` rows in which every label keeps its share, rounded by largest remainder."""
    totals = Counter(labels)
    places = {label: total * count // len(labels) for label, total in totals.items()}
    remainder = {label: total * count % len(labels) for label, total in totals.items()}
    for label in sorted(remainder, key=remainder.__getitem__, reverse=True)[: count - sum(places.values())]:
        places[label] += 1
    chosen = []
    for row in _shuffled(len(labels), seed):
        if places[labels[row]]:
            places[labels[row]] -= 1
            chosen.append(row)
    return chosen


def farthest(points: NDArray[np.float32], count: int, seed: int) -> list[int]:
    """Draw one of the unit rows `points` (n, d), then always the row that is farthest from all chosen ones.

    The distance is 1 - cos; the cost is `count` products of (n, d) with (d,).
    """
    chosen = _shuffled(len(points), seed)[:1]
    nearest = np.full(len(points), -np.inf, dtype=np.float32)  # cosine with the nearest chosen row
    while len(chosen) < count:
        np.maximum(nearest, points @ points[chosen[-1]], out=nearest)
        nearest[chosen[-1]] = np.inf
        chosen.append(int(nearest.argmin()))
    return chosen


def kmeans(points: NDArray[np.float32], count: int, seed: int) -> list[int]:
    """Cluster the unit rows `points` (n, d) and take the row nearest to the centre of each cluster.

    Where equal embeddings give fewer than `count` clusters, uniform rows make up the number.
    Raises `MissingDependencyError` without scikit-learn.
    """
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise MissingDependencyError(
            "strategy 'kmeans' needs scikit-learn, which is not installed. Run: pip install irp_hf[sampling]"
        ) from error
    fitted = KMeans(n_clusters=count, n_init=1, max_iter=30, random_state=seed).fit(points)
    distances = np.linalg.norm(points - fitted.cluster_centers_[fitted.labels_], axis=1)
    order = _shuffled(len(points), seed)
    medoids: dict[int, int] = {}
    for row in order:
        cluster = int(fitted.labels_[row])
        if cluster not in medoids or distances[row] < distances[medoids[cluster]]:
            medoids[cluster] = row
    chosen = set(medoids.values())
    others = [row for row in order if row not in chosen]
    return [*(row for row in order if row in chosen), *others][:count]


def _shuffled(size: int, seed: int) -> list[int]:
    order: list[int] = np.random.RandomState(seed).permutation(size).tolist()
    return order
