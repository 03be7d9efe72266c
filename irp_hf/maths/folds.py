"""K folds of parallel anchors, each seen with what the others alone tell of means and scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import Statistics, denormalize, normalize

NUM_FOLDS = 10
FEW_FOLDS = 3  # of a sample, on which hyper-parameters are compared that move little


class Folds:
    """K folds; all of a fold is seen with the statistics of the pairs outside of it."""

    def __init__(
        self, pairs: Pairs, seed: int, lift: float = 0.0, num_folds: int = NUM_FOLDS, count: int | None = None
    ) -> None:
        """Of `num_folds`, the first `count` are held out, by default all."""
        self.pairs, self.num_folds = pairs, num_folds
        self.held = pairs.folds(num_folds, seed)[:count]
        self.train = [pairs.without(held) for held in self.held]
        self.rows = [
            normalize(pairs.source[h], t.source_stats, lift) for h, t in zip(self.held, self.train, strict=True)
        ]
        self.true = [normalize(pairs.target[h], t.target_stats) for h, t in zip(self.held, self.train, strict=True)]

    def gather(self, parts: list[Tensor]) -> Tensor:
        """One part `(n_f, d)` of each fold, in the order of the pairs, shape (k, d)."""
        return gathered(self.held, parts)


def gathered(folds: Sequence[Tensor], parts: Sequence[Tensor]) -> Tensor:
    """One part `(n_f, d)` of each of the `folds`, row numbers, in the order of the rows, shape (k, d)."""
    rows = torch.empty(sum(map(len, parts)), parts[0].shape[1], dtype=parts[0].dtype, device=parts[0].device)
    for fold, part in zip(folds, parts, strict=True):
        rows[fold] = part
    return rows


def fold_statistics(x: Tensor, folds: Sequence[Tensor]) -> list[Statistics]:
    """Mean and scale of all rows of `x (k, d)` but those of each of the `folds`, from sums over all less the fold's own."""
    mean = x.mean(0)
    centred, k = x - mean, len(x)
    shifts = torch.stack([-centred[fold].sum(0) / max(k - len(fold), 1) for fold in folds])
    squares, products = centred.square().sum(1), centred @ shifts.T
    found = []
    for shift, product, fold in zip(shifts, products.T, folds, strict=True):
        apart = (squares - 2 * product + shift @ shift).clamp(min=0).sqrt()
        found.append(Statistics(mean + shift, (apart.sum() - apart[fold].sum()) / max(k - len(fold), 1)))
    return found


class Vectors:
    """Out-of-fold directions as vectors, each fold with the mean and scale that the others have."""

    def __init__(self, pairs: Pairs, folds: list[Tensor]) -> None:
        self.folds, self.statistics = folds, fold_statistics(pairs.target, folds)

    def __call__(self, directions: Tensor, length: float = 1.0) -> Tensor:
        """Vectors `(k, d_Y)` of `directions (k, d_Y)`, so many scales long about the mean."""
        vectors = torch.empty_like(directions)
        for fold, others in zip(self.folds, self.statistics, strict=True):
            vectors[fold] = denormalize(directions[fold], others, length)
        return vectors
