"""Which rows are not independent: those that share a source or a target, exactly or to within rounding.

A row that is held out while a copy of it stays is no row that was never seen. So whatever is held out takes whole groups.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.projection import unit_rows

TOLERANCES = (2.0**-6, 2.0**-10, 2.0**-20)
"""Of a row's distance from the mean: how far apart two encodings of one item may lie that were computed in bfloat16, in
float16, or in other batches. By MiniLM, two of 5,871 questions of TREC and two of 64,000 English sentences are nearer than
the first of them; by static token vectors, one and 53, which hold the same tokens."""
DENSE = 4.0  # tolerances: where more rows lie between one and so many than within one, nearness tells nothing
TIGHT = (2.0**-1, 2.0**-2, 2.0**-3, 2.0**-4, 2.0**-5)
"""Distances of unit rows within which groups are sought of what is no copy to within rounding, widest first."""
GAP = 2.0  # times as far hardly anything more may lie
CROWDED = 0.5  # share of rows that must have others so near
WITNESSES = 512  # rows that tell how dense it is around them
SKETCH = 16  # directions that tell most rows apart
AXES = 3  # of them span the grid in which neighbours are sought
PRIMES = (1, 73_856_093, 19_349_663 * 83_492_791)  # that make one number of a cell's coordinates
LEAST_GROUPS = 20  # two a fold
MANY, FEW = (20.0, 0.2), (4.0, 0.5)
"""Distinct sources to a target, on average, from which on targets may be classes, where the sources of one vary so much, as a
share of the variance of all. Captions of one picture have some .45, pictures of a class .5 and more, noisy variants .1."""
MOST_CLASSES = 50  # of few sources each; more can be held out, and are where their sources tell how they lie
UNTOLD, TOLD = 0.45, 5.0  # the share where they do not, and the deviations of chance from which on they do
BLOCK = 2**22  # numbers that are compared at once
SMALLEST = 1e-30  # sum of squares that is divided by


@dataclass(frozen=True)
class Groups:
    """Groups of rows that hang together by what they share."""

    labels: Tensor
    """The number of every row's group, shape (k,)."""
    sources: Tensor
    """The number of every row's source, shape (k,): copies have the same, which is the first one's row number."""
    targets: Tensor
    """The number of every row's target, likewise."""
    by: str = "both"
    """"both": rows that share a source or a target are one group; "source": a source alone makes one, since so few targets
    are distinct; "row": nothing does, since too little would be left."""

    @cached_property
    def copies(self) -> list[Tensor]:
        """Row numbers of the groups of more than one row, those of `m` rows as one tensor `(n, m)`."""
        return groups_by_size(self.labels)


def group_rows(source: Tensor, target: Tensor) -> Groups:
    """The groups of `source (k, d_X)` and `target (k, d_Y)`, row by row.

    Where the sources of a target are unlike each other and many, or where targets are few or lie as no source tells, as with
    one target for each class, and where targets would leave fewer groups than folds, a shared source alone counts: to hold out
    a class tells nothing of other rows of the classes that there are.
    """
    by_source, by_target = same_rows(source), same_rows(target)
    sources, targets = (components(edges, len(source)) for edges in (by_source, by_target))
    both = components(torch.cat([by_source, by_target]), len(source))
    enough = can_hold_out(both) and len(both.unique()) >= min(LEAST_GROUPS, len(sources.unique()) / 2)
    if enough and not _are_classes(source, target, sources, targets):
        return Groups(both, sources, targets)
    if can_hold_out(sources):
        return Groups(sources, sources, targets, "source")
    rows = torch.arange(len(source), device=source.device)
    return Groups(rows, sources, targets, "row")


def _are_classes(source: Tensor, target: Tensor, sources: Tensor, targets: Tensor) -> bool:
    """Whether many unlike rows of `source` share each of `target`'s; `sources (k,)` and `targets (k,)` number the distinct."""
    first = sources.unique()
    _, group = targets[first].unique(return_inverse=True)
    each = len(first) / len(group.unique())
    if each < FEW[0]:
        return False
    rows = unit_rows(source[first] - source[first].mean(0))
    count = group.bincount()
    means = rows.new_zeros(len(count), rows.shape[1]).index_add_(0, group, rows) / count[:, None]
    share = float((rows - means[group]).square().sum() / rows.square().sum().clamp(min=SMALLEST))
    within = share * len(first) / max(len(first) - len(count), 1)
    if each >= MANY[0] and within >= MANY[1]:
        return True
    if len(count) <= MOST_CLASSES:
        return within >= FEW[1]
    return within >= UNTOLD and not _are_told(means, target[targets[first].unique()])


def _are_told(means: Tensor, targets: Tensor) -> bool:
    """Whether the likeness of `targets (m, d_Y)` is told by that of the means `(m, d_X)` of their sources, as of items it is.

    Names of classes, or items whose pairs are wrong, lie as they please. The correlation of both tables of cosines is without
    bias, and by chance its square is 2 / m(m - 3) (Székely and Rizzo 2013), whatever the widths.
    """
    chosen = torch.linspace(0, len(means) - 1, min(len(means), WITNESSES), dtype=torch.float32, device="cpu").long()
    one, other = (_likeness(side[chosen.to(side.device)]) for side in (means, targets))
    m = len(chosen)
    spread = (one.square().sum() * other.square().sum()).sqrt().clamp(min=SMALLEST)
    return float((one * other).sum() / spread) > TOLD * math.sqrt(2 / (m * (m - 3)))


def _likeness(rows: Tensor) -> Tensor:
    """The cosines `(m, m)` of `rows (m, d)` about their mean, less what each row has with all; none of a row with itself."""
    units = unit_rows(rows - rows.mean(0))
    table, m = (units @ units.T).fill_diagonal_(0), len(rows)
    sums = table.sum(0)
    return (table - (sums + sums[:, None]) / (m - 2) + sums.sum() / ((m - 1) * (m - 2))).fill_diagonal_(0)


def can_hold_out(labels: Tensor) -> bool:
    """Whether any group can be held out whole, since two rows or more are left to fit on."""
    _, count = labels.unique(return_counts=True)
    return len(count) > 1 and int(count.max()) <= max(1, len(labels) - 2)


def same_rows(x: Tensor) -> Tensor:
    """Pairs of row numbers `(e, 2)` that connect the rows of `x (k, d)` which are one item, to within rounding.

    The widest tolerance counts at which nearness tells something: along a line, or in a plane, rows are near by chance.
    """
    return _same_rows(x)[0]


def tolerance_of(x: Tensor) -> float:
    """How near two rows of `x (k, d)` are that are one item, as a share of their distance from the mean."""
    return _same_rows(x)[1]


def _same_rows(x: Tensor) -> tuple[Tensor, float]:
    centred = x - x.mean(0)
    norms = torch.linalg.vector_norm(centred, dim=1)
    sketch = _sketch(centred)
    largest = torch.stack(x.aminmax()).abs().max()
    slack = torch.finfo(x.dtype).eps * largest * x.shape[1] ** 0.5  # of the centring itself
    lengths = norms.clamp(min=float(slack) / TOLERANCES[-1] or 1.0)
    for tolerance in (*TOLERANCES, 0.0):
        radius = tolerance * norms + slack
        edges = _near(centred, sketch, radius, lengths)
        if not len(edges) or not tolerance or not _is_dense(centred, radius, edges):
            break
    return edges, tolerance


def _sketch(centred: Tensor) -> Tensor:
    """Coordinates `(k, at most 16)` of `centred (k, d)` along its longest directions, longest first: distances only shrink."""
    d = centred.shape[1]
    generator = torch.Generator("cpu").manual_seed(0)
    start = torch.randn(d, min(SKETCH, d), generator=generator, dtype=centred.dtype, device="cpu").to(centred.device)
    # In this order, since products with a matrix of few rows are quicker than with one of few columns.
    directions = torch.linalg.qr(((start.T @ centred.T) @ centred).T).Q
    sketch = (directions.T @ centred.T).T.contiguous()
    rotation: Tensor = torch.linalg.eigh(sketch.T @ sketch).eigenvectors
    longest: Tensor = sketch @ rotation.flip(1)
    return longest


def _near(centred: Tensor, sketch: Tensor, radius: Tensor, lengths: Tensor) -> Tensor:
    """Pairs of row numbers `(e, 2)` that connect rows nearer than the smaller radius `(k,)`; all have a length `(k,)`.

    In the order of their first coordinate, rows that are one item stand near each other. Neighbours are joined first, until
    none are left to join, so that many copies of one item cost no more than others.
    """
    kept = sketch[:, 0].argsort(stable=True)
    edges = []
    while True:
        pairs = torch.stack([kept[:-1], kept[1:]], dim=1)
        near = _are_near(pairs, centred, sketch, radius)
        edges.append(pairs[near])
        kept = torch.cat([kept[:1], kept[1:][~near]])
        if not near.any():
            break
    points, apart = (
        sketch[kept, :AXES] / lengths[kept, None],
        float((radius / lengths).max()),
    )  # directions are no farther
    edges += [pairs[_are_near(pairs, centred, sketch, radius)] for pairs in _neighbours(points, kept, apart)]
    return torch.cat(edges)


def _neighbours(points: Tensor, numbers: Tensor, apart: float) -> Iterator[Tensor]:
    """Pairs `(e, 2)` of `numbers (n,)` whose `points (n, p)` lie in one cell of a grid so wide, or in two that touch."""
    cells = (points / (apart or 1.0)).floor().long()
    steps = torch.tensor(list(product((-1, 0, 1), repeat=cells.shape[1])), dtype=torch.int64, device=cells.device)
    weights = torch.tensor(PRIMES[: cells.shape[1]], dtype=torch.int64, device=cells.device)
    # Two cells of one key only cost a comparison. No product: a GPU multiplies no matrices of integers.
    keys, order = (cells * weights).sum(1).sort(stable=True)
    numbers, n = numbers[order], len(order)
    for step in steps[: len(steps) // 2 + 1]:  # each pair of cells once; the last step is none
        low, high = (torch.searchsorted(keys, keys + (step * weights).sum(), right=right) for right in (False, True))
        if not step.any():
            low = torch.arange(1, n + 1, device=low.device)
        count = (high - low).clamp(min=0)
        for rows in count.nonzero()[:, 0].split(max(1, BLOCK // max(1, int(count.max())) // SKETCH)):
            first = rows.repeat_interleave(count[rows])
            start = (count[rows].cumsum(0) - count[rows] - low[rows]).repeat_interleave(count[rows])
            second = torch.arange(len(first), device=first.device) - start
            yield torch.stack([numbers[first], numbers[second]], dim=1)


def _are_near(pairs: Tensor, centred: Tensor, sketch: Tensor, radius: Tensor) -> Tensor:
    """Whether each of `pairs (e, 2)` of rows is nearer than the smaller radius, `(e,)`; of most the sketch tells that not."""
    bound = radius[pairs].min(1).values
    near: Tensor = torch.linalg.vector_norm(sketch[pairs[:, 0]] - sketch[pairs[:, 1]], dim=1) <= bound
    rows = near.nonzero()[:, 0]
    for part in rows.split(max(1, BLOCK // centred.shape[1])):
        left, right = pairs[part].T
        near[part] = torch.linalg.vector_norm(centred[left] - centred[right], dim=1) <= bound[part]
    return near


def _is_dense(centred: Tensor, radius: Tensor, edges: Tensor) -> bool:
    """Whether there are more pairs of rows that lie a little farther apart than of such as lie within the radius `(k,)`."""
    k = len(centred)
    rows = torch.linspace(0, k - 1, min(k, WITNESSES), dtype=torch.float32, device="cpu").long().to(centred.device)
    within = around = 0
    squares = centred.square().sum(1)
    for part in rows.split(max(1, BLOCK // k)):
        apart = (squares[part, None] + squares - 2 * centred[part] @ centred.T).clamp(min=0).sqrt()
        near = apart <= radius[part, None]
        within += int(near.sum()) - len(part)
        around += int((apart <= DENSE * radius[part, None]).sum()) - int(near.sum())
    return around > max(within, len(edges.unique()) * len(rows) / k)  # those that have copies may be few


def tight_groups(rows: Tensor, cosines: Tensor | None = None) -> tuple[Tensor, float] | None:
    """The number `(k,)` of the tight group that each of the unit `rows (k, d)` lies in, and how near rows of a group are.

    `cosines (k, k)` of the rows with each other spare their products, where they are known.

    None where there are no such groups: most rows must have another within that distance, hardly any one a little farther
    off, and there must be three rows to two groups on average. Near duplicates among other rows, and rows that lie near each
    other since there are many, in few dimensions say, are none.
    """
    k = len(rows)
    few = torch.linspace(0, k - 1, min(k, WITNESSES), dtype=torch.float32, device="cpu").long().to(rows.device)
    single = rows.to(working_dtype(torch.float32, rows.device))  # rounding is far below the narrowest of TIGHT
    if cosines is None:
        similar = torch.cat([single[part] @ single.T for part in few.split(max(1, BLOCK // k))])
    else:
        similar = cosines[few].to(single.dtype)
    similar[torch.arange(len(few), device=rows.device), few] = -1  # a row is not its own neighbour
    for width in TIGHT:
        near, around = (similar >= 1 - (reach * width) ** 2 / 2 for reach in (1.0, GAP))
        crowded = float(near.any(1).double().mean()) >= CROWDED
        if crowded and int(around.sum()) <= 1.5 * int(near.sum()):
            unit = torch.ones_like(rows[:, 0])
            labels = components(_near(rows, _sketch(rows), width * unit, unit), k)
            if 1 < len(labels.unique()) <= 2 / 3 * k:
                return labels, width
    return None


def row_labels(x: Tensor) -> Tensor:
    """The number `(k,)` of the item that each row of `x (k, d)` is, to within rounding."""
    return components(same_rows(x), len(x))


def components(edges: Tensor, count: int) -> Tensor:
    """The number `(count,)` of the connected component of each row, the smallest row number in it; `edges (e, 2)`."""
    labels = torch.arange(count, device=edges.device)
    left, right = edges.T
    while True:
        before = labels
        least = torch.minimum(labels[left], labels[right])
        labels = labels.clone()
        for side in (left, right):
            labels.scatter_reduce_(0, before[side], least, "amin")  # a component's root follows
            labels.scatter_reduce_(0, side, least, "amin")
        labels = labels[labels]
        if torch.equal(labels, before):
            return labels


def groups_by_size(labels: Tensor) -> list[Tensor]:
    """Row numbers of groups of more than one row, `(n, m)` for each size m; `labels (k,)` are the groups' numbers."""
    _, group, count = labels.unique(return_inverse=True, return_counts=True)
    order = group.argsort(stable=True)
    size = count[group[order]]
    return [order[size == m].view(-1, m) for m in count.unique().tolist() if m > 1]


def first_groups(labels: Tensor, count: int) -> Tensor:
    """Which rows `(k,)` belong to groups that are taken in their order until they are `count`.

    A group that is too large for that is left out; where all are, the smallest is taken.
    """
    _, group = labels.unique(return_inverse=True)
    size = group.bincount().tolist()
    taken, rows = [], 0
    for one in dict.fromkeys(group.tolist()):
        if rows + size[one] <= count:
            taken.append(one)
            rows += size[one]
    taken = taken or [size.index(min(size))]
    return torch.isin(group, torch.tensor(taken, dtype=torch.int64, device=group.device))


def whole_folds(labels: Tensor, order: Tensor, num_folds: int) -> list[Tensor]:
    """Folds of row numbers that keep groups whole, the largest fold first.

    Each group, the largest first and then in this `order (k,)`, goes to the fold that has fewest rows.
    """
    _, group = labels[order].unique(return_inverse=True)
    count = group.bincount()
    first = torch.full_like(count, len(order)).scatter_reduce_(
        0, group, torch.arange(len(order), device=group.device), "amin"
    )
    sequence = sorted(range(len(count)), key=lambda one: (-int(count[one]), int(first[one])))
    sizes, folds = [0] * min(num_folds, len(count)), torch.empty_like(count)
    for one in sequence:
        fold = sizes.index(min(sizes))
        sizes[fold] += int(count[one])
        folds[one] = fold
    of_row = folds[group]
    return sorted((order[of_row == fold] for fold in range(len(sizes))), key=len, reverse=True)
