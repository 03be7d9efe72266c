"""How near translated vectors come to the true ones, row by row. Pure torch; all larger than memory work is in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.projection import norms, unit_rows

Labels = Callable[[Tensor], Tensor]
"""The labels `(n,)` that a head gives to vectors `(n, d)` of the target space."""

NEIGHBORS = 10
BLOCK = 1024
HIDDEN = -2.0  # a cosine below all
SHALLOW = (
    10  # of so many rows one at most is a candidate: in a larger share, good translations find all, and none is better
)


def cosines(translated: Tensor, true: Tensor) -> Tensor:
    """Cosine `(n,)` of each translated vector with the true one, both `(n, d)`."""
    dtype = torch.promote_types(translated.dtype, true.dtype)
    products: Tensor = torch.linalg.vecdot(unit_rows(translated).to(dtype), true.to(dtype))
    return products / norms(true)[:, 0]


def depth_among(depth: int, count: int) -> int:
    """How many candidates stand for `depth` where so many rows are searched: a tenth of them at most, but `NEIGHBORS`."""
    return max(NEIGHBORS, min(depth, count // SHALLOW))


def neighbors_kept(
    translated: Tensor,
    true: Tensor,
    num_neighbors: int = NEIGHBORS,
    groups: Tensor | None = None,
    depth: int | None = None,
) -> Tensor:
    """Share `(n,)` of a vector's own nearest neighbours that its translation finds too, among `true (n, d)` and without itself.

    As `neighbors_found` has it, with translated queries in the index of the true vectors.
    """
    return neighbors_found(translated, true, true, num_neighbors, groups, depth)


def neighbors_found(
    queries: Tensor,
    index: Tensor,
    true: Tensor,
    num_neighbors: int = NEIGHBORS,
    groups: Tensor | None = None,
    depth: int | None = None,
) -> Tensor:
    """Share `(n,)` of an item's nearest neighbours, by `true (n, d)`, that its query finds in an index of the same items.

    Row i of all three is item i, and `queries (n, e)` and `index (n, e)` are of one space; itself is not among what is found,
    the first `depth` rows, by default as many as there are neighbours. With fewer than `num_neighbors + 1` rows, all other rows
    but one are the neighbours; no more are found. Rows of one of the `groups (n,)` are no neighbours of each other.
    """
    most = max(1, true.shape[0] - 2)
    counts = min(num_neighbors if depth is None else depth, most), min(num_neighbors, most)
    kept = []
    for found, wanted in zip(_similarities(queries, index), _similarities(true, true), strict=True):
        for block in (found, wanted):
            block.hide(block.rows[:, None] if groups is None else groups[block.rows, None] == groups)
        share = _share(found.similarity, wanted.similarity, counts, true.dtype)
        kept.append(share if groups is None else _of_others(share, found, wanted, counts))
    return torch.cat(kept)


def classes_found(queries: Tensor, index: Tensor, classes: Tensor, num_neighbors: int = NEIGHBORS) -> Tensor:
    """Share `(n,)` of the nearest that each query finds, among the other items, that are of its own class.

    `queries (n, e)` and `index (n, e)` are of one space, row i of both is item i of `classes (n,)`.
    """
    count = max(1, min(num_neighbors, len(index) - 1))
    kept = []
    for block in _similarities(queries, index):
        block.hide(block.rows[:, None])
        found = classes[block.similarity.topk(count).indices]
        kept.append((found == classes[block.rows, None]).double().mean(1))
    return torch.cat(kept)


def neighbors_among(
    translated: Tensor,
    true: Tensor,
    rows: Tensor,
    num_neighbors: int = NEIGHBORS,
    groups: Tensor | None = None,
    depth: int | None = None,
) -> Tensor:
    """Share `(n,)` of a vector's nearest neighbours among other `rows (m, d)` that its translation finds, both `(n, d)`.

    With the `groups (n,)` of the true vectors these are searched, too, but for those of the vector's own group. What is found
    are the first `depth`, as `neighbors_found` has it.
    """
    most = max(1, len(rows) - 1)
    counts = min(num_neighbors if depth is None else depth, most), min(num_neighbors, most)
    if groups is not None:
        rows = torch.cat([true.to(rows), rows])
    kept = []
    for found, wanted in zip(_similarities(translated, rows), _similarities(true, rows), strict=True):
        if groups is not None:
            for block in (found, wanted):
                block.similarity[:, : len(true)].masked_fill_(groups[block.rows, None] == groups, HIDDEN)
        kept.append(_share(found.similarity, wanted.similarity, counts, true.dtype))
    return torch.cat(kept)


def reciprocal_ranks(translated: Tensor, true: Tensor, groups: Tensor | None = None) -> Tensor:
    """One over the rank `(n,)` of the true vector among all `true (n, d)`, by cosine; a tie counts against it.

    Rows of one of the `groups (n,)` are no rivals of each other.
    """
    ranks = []
    for block in _similarities(translated, true):
        own = block.similarity.gather(1, block.rows[:, None])
        if groups is not None:
            block.hide(groups[block.rows, None] == groups)
            block.similarity.scatter_(1, block.rows[:, None], own)
        ranks.append((block.similarity >= own).sum(1))
    return 1 / torch.cat(ranks).to(true.dtype)


class _Block:
    """Similarities of some rows with all true vectors."""

    def __init__(self, rows: Tensor, similarity: Tensor) -> None:
        self.rows, self.similarity = rows, similarity

    def hide(self, columns: Tensor) -> None:
        """Let these columns be nearest to nothing: their numbers `(b, 1)`, or which they are, `(b, n)`."""
        if columns.dtype == torch.bool:
            self.similarity.masked_fill_(columns, HIDDEN)
        else:
            self.similarity.scatter_(1, columns, HIDDEN)


def _share(found: Tensor, wanted: Tensor, counts: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """The share `(b,)` of the second count of what is most `wanted (b, n)` among the first count of what is `found (b, n)`."""
    depth, count = counts
    hits = torch.zeros_like(found, dtype=torch.bool)
    hits.scatter_(1, wanted.topk(count).indices, True)
    return hits.gather(1, found.topk(depth).indices).sum(1, dtype=dtype) / count


def _of_others(share: Tensor, found: _Block, wanted: _Block, counts: tuple[int, int]) -> Tensor:
    """The `share (b,)`, anew of rows of which so many others are hidden that fewer are left than the counts."""
    most = ((found.similarity > HIDDEN).sum(1) - 1).clamp(min=1)  # all but one, as where each row is alone
    for row in (most < max(counts)).nonzero()[:, 0].tolist():
        left = min(counts[0], int(most[row])), min(counts[1], int(most[row]))
        first, second = (block.similarity[row : row + 1] for block in (found, wanted))
        share[row] = _share(first, second, left, share.dtype)[0]
    return share


def _similarities(queries: Tensor, corpus: Tensor) -> Iterator[_Block]:
    dtype = working_dtype(torch.float32, corpus.device)
    queries, corpus = unit_rows(queries).to(dtype), unit_rows(corpus).to(dtype)
    for rows in torch.arange(len(queries), dtype=torch.int64, device=queries.device).split(BLOCK):
        yield _Block(rows, queries[rows] @ corpus.T)
