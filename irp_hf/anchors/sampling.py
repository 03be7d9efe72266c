"""From a table to the rows that become anchors: its columns, its distinct items, and four ways to sample.

Every draw comes from `numpy.random.RandomState.permutation`, whose stream numpy never changes, so that one
seed gives the same rows in every process and on every platform. Uniform and stratified samples keep the order
of that permutation, farthest-point samples the order in which they were found: then the first m anchors of a
set are a fair sample of their own, even of a sorted table, and a study of the number of anchors can slice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from irp_hf.checks import check_absent, check_choice, check_count, quoted
from irp_hf.data.arrays import as_matrix
from irp_hf.errors import missing, refusal
from irp_hf.maths.pruning import farthest_walk

Strategy: TypeAlias = Literal["uniform", "kmeans", "farthest", "stratified"]
STRATEGIES: tuple[str, ...] = get_args(Strategy)
MAX_SEED = 2**32 - 1


def check_sampling(strategy: Any, num_anchors: Any, seed: Any, embeddings: Any, label_column: Any) -> None:
    """Raise `InputError` for options that are wrong whatever the table holds."""
    check_choice("strategy", strategy, STRATEGIES)
    check_count("num_anchors", num_anchors, least=2, advice="Ask for at least 2; hundreds are usual.")
    check_count("seed", seed, least=0, most=MAX_SEED)
    for name, value, readers in (
        ("embeddings", embeddings, ("kmeans", "farthest")),
        ("label_column", label_column, ("stratified",)),
    ):
        if strategy in readers and value is None:
            raise refusal(name, f"a value for strategy {strategy!r}", "None", "Give it, or choose 'uniform'.")
        if strategy not in readers:
            given = None if value is None else f"{name}="  # embeddings would fill the page
            check_absent(name, given, f"strategy {strategy!r} does not read it; {quoted(readers)} would")


def unit_points(embeddings: Any, num_rows: int) -> NDArray[np.float32]:
    """`embeddings (num_rows, d)` with every row scaled to length 1, from any kind of matrix; whole numbers count too.

    Raises `InputError` unless they are finite, `num_rows` of them, and none of zeros.
    """
    if "int" in str(getattr(embeddings, "dtype", "")):  # quantized
        embeddings = embeddings.double() if hasattr(embeddings, "double") else embeddings.astype(np.float64)
    points = as_matrix(embeddings).cpu().double().numpy()  # half precision overflows in the norm
    if len(points) != num_rows:
        advice = "Encode every row of the dataset, in its order."
        raise refusal("embeddings", f"shape ({num_rows}, d)", f"shape {points.shape}", advice)
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    if len(zeros := np.flatnonzero(lengths == 0)):
        got = f"only zeros, as in {len(zeros)} rows"
        advice = "Drop such rows, or encode them again."
        raise refusal(f"Row {zeros[0]} of embeddings", "a vector with a direction", got, advice)
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

    def distances(rows: torch.Tensor) -> torch.Tensor:
        """Less 1, so that small cosines are not rounded, which would make ties."""
        return torch.from_numpy(-(points @ points[int(rows)]))[None]

    start = torch.from_numpy(np.array(_shuffled(len(points), seed)[:1]))
    order, _ = farthest_walk(start, distances, count)
    chosen: list[int] = order[0].tolist()
    return chosen


def kmeans(points: NDArray[np.float32], count: int, seed: int) -> list[int]:
    """Cluster the unit rows `points` (n, d) and take the row nearest to the centre of each cluster.

    Where equal embeddings give fewer than `count` clusters, uniform rows make up the number.
    Raises `MissingDependencyError` without scikit-learn.
    """
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise missing("strategy 'kmeans'", "scikit-learn", "irp_hf[sampling]") from error
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
