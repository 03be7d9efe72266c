"""A map between two spaces of which nobody has paired a row: the surest matches stand as pairs, all others behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from irp_hf.maths.folds import FEW_FOLDS
from irp_hf.maths.metrics import Labels
from irp_hf.maths.objectives import objective_score
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import unit_rows
from irp_hf.maths.request import Given, Objective
from irp_hf.maths.selection import Choice
from irp_hf.maths.unpaired.background import Background
from irp_hf.maths.unpaired.choosing import METHODS, Backed, Defaults
from irp_hf.maths.unpaired.csls import mutual
from irp_hf.maths.unpaired.discovery import DIMENSIONS, Discovered, discover
from irp_hf.maths.unpaired.matching import Matcher
from irp_hf.maths.unpaired.pseudo_pairs import PseudoPairs
from irp_hf.maths.unpaired.side import Side

MOST_PAIRS = 1000  # matches that stand as pairs, the surest
SETTINGS = Defaults(weight=1.0, ridge=0.3)  # what was found counts no more as a pair than as a pseudo-pair


class Matches(NamedTuple):
    """Rows of both sides that match each other best, the surest first."""

    source: Tensor
    """Their numbers, shape (k,)."""
    target: Tensor
    """Those of the rows that match them."""
    sure: Tensor
    """Their CSLS."""


@dataclass(frozen=True)
class Apart:
    """Different rows of two spaces, in no correspondence that is known."""

    background: Background
    sides: tuple[Side, Side]
    seed: int

    @classmethod
    def of(cls, source: Tensor, target: Tensor, seed: int) -> Apart:
        """Of different rows `(n, d_X)` and `(m, d_Y)`."""
        rows = Background.of(source, target)
        sides = Side.of(rows.source_rows, DIMENSIONS), Side.of(rows.target_rows, DIMENSIONS)
        return cls(rows, sides, seed)

    def discovered(self) -> Discovered:
        """The rotation that starts from clusters agree about, or the best one."""
        return discover(*self.sides, self.seed)

    def matches(self, rotation: Tensor) -> Matches:
        """The rows that match each other best by a `rotation (r, q)`: half of them at most, which leaves others to fit with."""
        source, target = self.sides
        rows, matches, sure = mutual(unit_rows(source.low @ rotation), target.low)
        best = sure.argsort(descending=True, stable=True)[: min(MOST_PAIRS, len(source) // 2)]
        return Matches(rows[best], matches[best], sure[best])

    def choice(
        self,
        rotation: Tensor,
        matches: Matches,
        methods: Sequence[str],
        objective: Objective,
        given: Given,
        labels: Labels | None,
    ) -> tuple[Choice, Pairs]:
        """The fit by the first of the `methods` that sums serve, and the matches as the pairs that it is of."""
        x, y = self.background.source[matches.source], self.background.target[matches.target]
        rest = self.background.without(matches.source)
        pairs = rest.behind(Pairs(x, y, torch.arange(len(x), device=x.device)))
        source, target = self.sides
        matcher = Matcher(source.without(matches.source), target, None, self.seed)
        there = PseudoPairs.of(matcher, rotation, rest.target_rows).target
        folds = pairs.folds(FEW_FOLDS, self.seed)
        # Nothing of the match is made anew without a fold: there is no pair that it could have known.
        backed = Backed(pairs, rest, given, folds, [there] * (len(folds) + 1), SETTINGS, few=True)
        score = objective_score(objective, pairs, labels, folds, given.depth)
        return backed.choice(next(method for method in methods if method in METHODS), objective, score), pairs
