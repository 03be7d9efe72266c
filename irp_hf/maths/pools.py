"""Neighbours kept in pools of many sizes: what an index of more rows will keep is read off how they fall."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from irp_hf.maths.copies import are_copies
from irp_hf.maths.extrapolation import Pools
from irp_hf.maths.metrics import NEIGHBORS
from irp_hf.maths.mixing import mixed
from irp_hf.maths.nearest import HIDDEN, Nearest
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


@dataclass(frozen=True)
class HeldOutPools:
    """Shares kept among held-out anchors, of what is called old and new by which of both encoders the truth is."""

    queries: Pools
    """Translated queries search the target's own vectors, for the target's own nearest."""
    moved: Pools
    """The target's own queries search translated vectors, for the same."""
    nothing: Pools
    """The source's own queries search the source's own vectors, for the same; or the reverse, which is the same share."""
    asked: Pools
    """Translated queries search the target's own vectors, for the source's own nearest."""
    mixed: Pools
    """The same queries, mixed with the target's own."""


def held_out_pools(choice: Choice, pairs: Pairs, seed: int, weight: float = 1.0) -> HeldOutPools:
    """What searches find among held-out anchors, whichever side is translated and whichever is the truth; see `HeldOutPools`.

    Neither queries nor pool are in the fit: a row that the fit had is found more easily than a row of an index. Where only the
    two rows are left out that meet, too few are found, for what lies around them in the fit is thinner than around new rows.
    Such fits have fewer anchors, so two numbers of them are measured, which tells what all will do. Mixed queries have this
    `weight` of the translation. Where nothing is translated, nothing is fitted, and all anchors are searched.
    """
    queries, moved, nothing, asked, both = (_Tally(len(pairs)) for _ in range(5))
    for repeat in range(seed, seed + (2 if len(pairs) < QUERIES else 1)):
        for num_folds, fitted in SPLITS:
            for fold in _enough(pairs.folds(num_folds, repeat)):
                rows = fold[:MOST]
                translated = _translated(choice, pairs, fold, rows, fitted, repeat)
                target = pairs.target[rows]
                searches = (
                    (target, target),
                    (pairs.source[rows], pairs.source[rows]),
                    *((translated, target), (target, translated), (mixed(translated, target, weight), target)),
                )
                for kind, size, (by_target, by_source, translations, index, mix) in _search(
                    searches, pairs.labels[rows]
                ):
                    asking = fold[: len(by_target.rows)]
                    for tally, found, truth in (
                        (queries, translations, by_target),
                        (moved, index, by_target),
                        (asked, translations, by_source),
                        (both, mix, by_source),
                    ):
                        _count(tally, (kind, fitted), size, asking, found, truth)
    everybody = pairs.permutation(seed)[:MOST]
    sides = tuple((side[everybody], side[everybody]) for side in (pairs.target, pairs.source))
    for kind, size, (by_target, by_source) in _search(sides, pairs.labels[everybody]):
        _count(nothing, (kind, 1.0), size, everybody[: len(by_source.rows)], by_source, by_target)
    return HeldOutPools(*(tally.pools() for tally in (queries, moved, nothing, asked, both)))


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
    nearest = [[Nearest(len(rows), rows.device) for _ in sides] for _ in levels]
    searched = torch.zeros(len(levels), len(rows), dtype=torch.float64, device="cpu")
    draws, own = torch.Generator("cpu").manual_seed(seed), unit_rows(true)
    for part, block in blocks:
        block = unit_rows(block.to(rows.device, torch.float32))
        copies = are_copies(own, block)
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


def _search(searches: Iterable[tuple[Tensor, Tensor]], labels: Tensor) -> Iterator[tuple[int, float, list[Nearest]]]:
    """The nearest that `queries (n, d)` find in a `pool (n, d)` of the same items, whole and in ever smaller parts.

    Level, rows searched, and what each of the searches found; rows of one of the `labels (n,)` do not find each other.
    """
    count = min(len(labels), QUERIES)
    same = labels[:count, None] == labels
    similar = [
        (unit_rows(queries[:count]).float() @ unit_rows(pool).float().T).masked_fill_(same, HIDDEN)
        for queries, pool in searches
    ]
    for level in range(len(labels).bit_length()):
        if len(labels) >> level < SMALLEST:
            return
        for part in torch.arange(len(labels), device=labels.device).tensor_split(2**level)[:PARTS]:
            nearest = [Nearest(count, labels.device) for _ in similar]
            for one, similarity in zip(nearest, similar, strict=True):
                one.show(similarity[:, part], part)
            yield level, float((~same[:, part]).sum(1).double().mean()), nearest


def _count(
    tally: _Tally, kind: tuple[int, float], size: float, queries: Tensor, found: Nearest, wanted: Nearest
) -> None:
    """Tell a tally what these `queries (n,)` found of what they wanted, of the nearest one and of more."""
    for nearby in COUNTS:
        tally.add((kind[0], nearby, kind[1]), size, queries, found.share_of(wanted, nearby))
