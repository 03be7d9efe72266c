"""From a table to the rows that become anchors: its columns, its distinct items, and four ways to sample.

Every draw comes from `numpy.random.RandomState.permutation`, whose stream numpy never changes, so that one
seed gives the same rows in every process and on every platform. Uniform and stratified samples keep the order
of that permutation, farthest-point samples the order in which they were found: then the first m anchors of a
set are a fair sample of their own, even of a sorted table, and a study of the number of anchors can slice.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irp_hf.errors import InputError, MissingDependencyError
from irp_hf.items import is_row

STRATEGIES = ("uniform", "kmeans", "farthest", "stratified")
MAX_SEED = 2**32 - 1


def read_columns(dataset: Any, names: Sequence[str]) -> list[Sequence[Any]]:
    """Return the named columns of a `datasets.Dataset`, a pandas frame or a list of dicts as sequences.

    A list of bare items is its own single column. Pictures of a `datasets.Dataset` stay undecoded and are
    read row by row. Raises `InputError` for any other table and for names that it lacks.
    """
    # Both are slow to import, and a table of theirs exists only where somebody did.
    datasets, pandas = sys.modules.get("datasets"), sys.modules.get("pandas")
    if datasets and isinstance(dataset, datasets.Dataset):
        if dataset.format["type"] == "custom":
            raise InputError(
                "dataset has a transform, but anchors are items as they are stored. Apply it with dataset.map, or take "
                "it off with dataset.reset_format()."
            )
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
            f"{len(names)} columns are asked for, but the dataset is a list of bare items. Pass a list of dicts."
        )
    return [dataset]


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
    if isinstance(dataset, list | tuple) and not any(is_row(item) for item in dataset):
        raise InputError(
            f"label_column is {column!r}, but the dataset is a list of bare items. Pass a list of dicts with that column."
        )
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


def check_request(strategy: str, num_anchors: object, seed: object, embeddings: Any, label_column: object) -> None:
    """Raise `InputError` for options that are wrong whatever the table holds."""
    if strategy not in STRATEGIES:
        raise InputError(f"strategy is {strategy!r}, which is unknown. Use one of {', '.join(STRATEGIES)}.")
    if not isinstance(num_anchors, int | np.integer) or num_anchors < 2:
        raise InputError(f"num_anchors is {num_anchors!r}, but at least 2 anchors are needed. Ask for hundreds.")
    if not isinstance(seed, int | np.integer) or not 0 <= seed <= MAX_SEED:
        raise InputError(f"seed is {seed!r}, but a whole number from 0 to {MAX_SEED} is needed. Use seed=0.")
    for name, value, readers in (
        ("embeddings", embeddings, ("kmeans", "farthest")),
        ("label_column", label_column, ("stratified",)),
    ):
        if strategy in readers and value is None:
            raise InputError(f"strategy {strategy!r} needs {name}=, but none is given. Give it, or use 'uniform'.")
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
    if np.ma.is_masked(embeddings):
        raise InputError("embeddings hold masked values, but every row needs a vector. Drop those rows or fill them.")
    points = np.asarray(embeddings)
    if points.ndim != 2 or len(points) != num_rows or points.shape[1] == 0:
        raise InputError(
            f"embeddings have the shape {points.shape}, but ({num_rows}, d) is needed. "
            "Encode every row of the dataset, in its order."
        )
    if points.dtype.kind not in "fiu":
        raise InputError(f"embeddings hold {points.dtype}, but real numbers are needed. Convert them to float32.")
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


def origin(dataset: Any) -> tuple[str | None, str | None]:
    """The id and the licence that a `datasets.Dataset` says it has, as far as it does."""
    info = getattr(dataset, "info", None)
    files = getattr(info, "download_checksums", None) or {}
    ids = {match[1] for file in files if (match := re.match(r"hf://datasets/([^@]+)@", str(file)))}
    license = getattr(info, "license", None)
    return ids.pop() if len(ids) == 1 else None, license if isinstance(license, str) and license else None


def _shuffled(size: int, seed: int) -> list[int]:
    order: list[int] = np.random.RandomState(seed).permutation(size).tolist()
    return order
