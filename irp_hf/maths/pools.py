"""Neighbours kept in pools of many sizes: what an index of more rows will keep is read off how they fall."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from irp_hf.maths.extrapolation import Pools
from irp_hf.maths.metrics import NEIGHBORS
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import unit_rows
from irp_hf.maths.selection import Choice

COUNTS = (1, 3, NEIGHBORS)  # how many of the nearest are looked at
SMALLEST, LEAST_IN_GALLERY = 12, 50  # rows of a pool
SPLITS = ((4, 0.75), (4, 0.5), (2, 0.5), (2, 0.25))  # folds, and the share of the anchors that a fit has
SHARES = tuple(fitted for num_folds, fitted in SPLITS if num_folds == SPLITS[0][0])  # of fits for a gallery
QUERIES = 1000  # that are enough; of fewer anchors two splits are measured, since one has more chance in it
MOST = 20_000  # held-out anchors that are searched
PARTS = 8  # pools of one size that are searched
COPY = 2.0**-8  # of a direction's distance from the mean one: two encodings of one item lie no farther apart
ROUNDED = 2.0**-5  # of the same, at most: what storing a direction in half precision may move it by, up to COPY
HIDDEN = -3.0  # a similarity that is no cosine


def held_out_pools(choice: Choice, pairs: Pairs, seed: int) -> tuple[Pools, Pools]:
    """Shares kept among held-out anchors: by translated queries in the target's own vectors, and by those in translated ones.

    Neither queries nor pool are in the fit: a row that the fit had is found more easily than a row of an index. Where only the
    two rows are left out that meet, too few are found, for what lies around them in the fit is thinner than around new rows.
    Such fits have fewer anchors, so two numbers of them are measured, which tells what all will do.
    """
    queries, moved = _Tally(len(pairs)), _Tally(len(pairs))
    for repeat in range(seed, seed + (2 if len(pairs) < QUERIES else 1)):
        for num_folds, fitted in SPLITS:
            for fold in _enough(pairs.folds(num_folds, repeat)):
                translated = _translated(choice, pairs, fold, fold[:MOST], fitted, repeat)
                sides = [unit_rows(side).float() for side in (pairs.target[fold[:MOST]], translated)]
                _search(sides[0], sides[1], pairs.labels[fold[:MOST]], fold, fitted, (queries, moved))
    return queries.pools(), moved.pools()


def gallery_pools(
    choice: Choice, pairs: Pairs, blocks: Iterable[tuple[slice, Tensor]], num_rows: int, seed: int
) -> Pools:
    """Shares that translated queries keep in a gallery of the target's own vectors, `num_rows` that come in `blocks (b, d_Y)`.

    Queries are anchors that no fit had. What has the direction of a query's own target, to rounding, is hidden from it: whoever
    keeps vectors at unit length, or in half precision, has the same items.
    """
    rows = pairs.permutation(seed)[:QUERIES]
    true = pairs.target[rows]
    sides = [unit_rows(true).float()]
    for fitted in SHARES:
        translated = torch.empty_like(true)
        for fold in pairs.folds(SPLITS[0][0], seed):
            here = torch.isin(rows, fold)
            translated[here] = _translated(choice, pairs, fold, rows[here], fitted, seed)
        sides.append(unit_rows(translated).float())
    levels = [4.0**-level for level in range(16) if not level or num_rows * 4.0**-level >= LEAST_IN_GALLERY]
    nearest = [[_Nearest(len(rows), rows.device) for _ in sides] for _ in levels]
    searched = torch.zeros(len(levels), len(rows), dtype=torch.float64, device="cpu")
    draws, own = torch.Generator("cpu").manual_seed(seed), unit_rows(true)
    for part, block in blocks:
        block = unit_rows(block.to(rows.device, torch.float32))
        copies = _copies(own, block)
        similar = [(side @ block.T).masked_fill_(copies, HIDDEN) for side in sides]
        chances = torch.rand(len(block), generator=draws, dtype=torch.float32, device="cpu").to(rows.device)
        for level, share in enumerate(levels):  # each a random part of the one before: the gallery may be sorted
            taken = (chances < share).nonzero()[:, 0]
            searched[level] += (~copies[:, taken]).sum(1).cpu()
            for one, similarity in zip(nearest[level], similar, strict=True):
                one.show(similarity[:, taken], taken + part.start)
    tally, everybody = _Tally(len(rows)), torch.arange(len(rows), device="cpu")
    for level, (wanted, *found) in enumerate(nearest):
        for fitted, one in zip(SHARES, found, strict=True):
            for count in COUNTS:
                tally.add((level, count, fitted), float(searched[level].mean()), everybody, one.share_of(wanted, count))
    return tally.pools()


class _Nearest:
    """The nearest rows to each query among all that were shown, `(n, 10)`, the nearest first."""

    def __init__(self, num_queries: int, device: torch.device) -> None:
        self.similarity = torch.full((num_queries, NEIGHBORS), HIDDEN, dtype=torch.float32, device=device)
        self.rows = torch.full((num_queries, NEIGHBORS), -1, dtype=torch.int64, device=device)

    def show(self, similarity: Tensor, rows: Tensor) -> None:
        """Look at the rows of these numbers `(b,)`, by their `similarity (n, b)`."""
        best = similarity.topk(min(NEIGHBORS, len(rows)))
        kept = torch.cat([self.similarity, best.values], 1).topk(NEIGHBORS)
        self.similarity = kept.values
        self.rows = torch.cat([self.rows, rows[best.indices]], 1).gather(1, kept.indices)

    def share_of(self, wanted: _Nearest, count: int) -> Tensor:
        """The share `(n,)` of the `count` nearest of `wanted` that are among the `count` nearest here."""
        real = wanted.similarity[:, :count] > HIDDEN
        found = (wanted.rows[:, :count, None] == self.rows[:, None, :count]).any(2) & real
        return found.sum(1).double() / real.sum(1).clamp(min=1)


class _Tally:
    """Shares kept by queries in kinds of pools, where several pools of one kind are searched."""

    def __init__(self, num_queries: int) -> None:
        self.num_queries = num_queries
        self.rows: dict[tuple[int, int, float], list[float]] = {}
        self.kept: dict[tuple[int, int, float], Tensor] = {}

    def add(self, kind: tuple[int, int, float], rows: float, queries: Tensor, share: Tensor) -> None:
        """`share (n,)` of these `queries (n,)` in a pool of so many `rows`; `kind`: its level, how many count, who fitted."""
        self.rows.setdefault(kind, []).append(rows)
        sums = self.kept.setdefault(kind, torch.zeros(2, self.num_queries, dtype=torch.float64, device="cpu"))
        sums[:, queries.cpu()] += torch.stack([share, torch.ones_like(share)]).cpu()

    def pools(self) -> Pools:
        """All kinds, each with its means."""
        rows = torch.tensor([sum(rows) / len(rows) for rows in self.rows.values()], dtype=torch.float64, device="cpu")
        _, nearest, fitted = torch.tensor(list(self.rows), dtype=torch.float64, device="cpu").T
        sums, counts = torch.stack(list(self.kept.values()), 1)
        useful = rows > nearest  # of fewer, all are kept
        return Pools(rows[useful], nearest[useful], fitted[useful], (sums / counts)[useful])


def _enough(folds: list[Tensor]) -> list[Tensor]:
    """The first of them that have enough queries."""
    return folds[: -(-QUERIES // min(map(len, folds)))]


def _translated(choice: Choice, pairs: Pairs, fold: Tensor, rows: Tensor, fitted: float, seed: int) -> Tensor:
    """Translations of `rows` by a fit that had none of `fold`, and of the others so many as are `fitted` of all pairs."""
    order = pairs.permutation(seed + 1)
    train = order[~torch.isin(order, fold)][: round(fitted * len(pairs))]
    return choice.kept().translator(pairs.take(train))(pairs.source[rows])


def _search(
    true: Tensor, translated: Tensor, labels: Tensor, fold: Tensor, fitted: float, uses: tuple[_Tally, _Tally]
) -> None:
    """Search unit rows `true` and `translated (n, d)` of one fold, whole and in ever smaller parts."""
    count = min(len(true), QUERIES)
    same = labels[:count, None] == labels
    pairs = ((true, true), (translated, true), (true, translated))
    similar = [(query[:count] @ pool.T).masked_fill_(same, HIDDEN) for query, pool in pairs]
    for level in range(len(true).bit_length()):
        if len(true) >> level < SMALLEST:
            return
        for part in torch.arange(len(true), device=true.device).tensor_split(2**level)[:PARTS]:
            nearest = [_Nearest(count, true.device) for _ in similar]
            for one, similarity in zip(nearest, similar, strict=True):
                one.show(similarity[:, part], part)
            rows = float((~same[:, part]).sum(1).double().mean())
            for tally, found in zip(uses, nearest[1:], strict=True):
                for nearby in COUNTS:
                    tally.add((level, nearby, fitted), rows, fold[:count], found.share_of(nearest[0], nearby))


def _copies(query: Tensor, block: Tensor) -> Tensor:
    """Which unit rows of `block (b, d)` are each unit row of `query (n, d)` itself, `(n, b)`."""
    mean = query.mean(0)  # about which single precision tells them apart
    query, block = (query - mean).float(), block - mean.float()
    lengths = query.square().sum(1)[:, None]
    apart: Tensor = lengths + block.square().sum(1) - 2 * query @ block.T
    return apart <= torch.maximum(COPY**2 * lengths, (ROUNDED**2 * lengths).clamp(max=COPY**2))
