"""From a table to the rows that become anchors: its columns, its distinct items, and four ways to sample.

Every draw comes from `numpy.random.RandomState.permutation`, whose stream numpy never changes, so that one
seed gives the same rows in every process and on every platform. Uniform and stratified samples keep the order
of that permutation, farthest-point samples the order in which they were found: then the first m anchors of a
set are a fair sample of their own, even of a sorted table, and a study of the number of anchors can slice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irp_hf.errors import InputError, MissingDependencyError

STRATEGIES = ("uniform", "kmeans", "farthest", "stratified")
MAX_SEED = 2**32 - 1


def check_sampling(strategy: str, num_anchors: object, seed: object, embeddings: Any, label_column: object) -> None:
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


def unit_points(embeddings: Any, num_rows: int) -> NDArray[np.float32]:
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


def _shuffled(size: int, seed: int) -> list[int]:
    order: list[int] = np.random.RandomState(seed).permutation(size).tolist()
    return order
