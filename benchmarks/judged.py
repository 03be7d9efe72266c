"""Which rows of an index answer a query, judged by what people wrote of the items and not by any encoder.

TREC's questions and Fashion-MNIST's pictures answer those of the same class: 47 fine ones, and ten. English sentences of
Tatoeba answer those with which they share a Spanish translation. Of what is found, nDCG at ten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from vectors import ALIKE, CLASS, FASHION, FINE, SENTENCES, TREC, column


class Board(NamedTuple):
    """Numbers of rows that ask, and of rows that are searched."""

    queries: Tensor
    index: Tensor


@dataclass(frozen=True)
class Judgements:
    """Pairs of a query's row and the row of an answer, of all items of a data set."""

    classes: Tensor | None
    """Shape (n,); items of one class answer each other."""
    alike: Tensor | None
    """Shape (m, 2): rows of items that answer each other, each way once."""

    def ask(self, rows: Tensor, most: int, largest: int) -> Board:
        """Queries that have an answer among these rows, and the other rows as an index, which keeps the answers."""
        if self.alike is None:
            return Board(rows[:most], rows[most:][:largest])
        asked = self.alike[torch.isin(self.alike, rows).all(1)][:, 0]
        queries = rows[torch.isin(rows, asked)][:most]
        others = rows[~torch.isin(rows, queries)]
        answer = torch.isin(others, asked)
        return Board(queries, torch.cat([others[answer], others[~answer]])[:largest])

    def answers(self, queries: Tensor, found: Tensor) -> Tensor:
        """Whether each row of `found (n, k)` answers its query, of `queries (n,)`."""
        if self.classes is not None:
            return self.classes[found] == self.classes[queries, None]
        assert self.alike is not None
        return torch.isin(self._codes(queries[:, None], found), self._codes(*self.alike.T))

    def num_answers(self, queries: Tensor, index: Tensor) -> Tensor:
        """How many rows of an index answer each query, shape (n,)."""
        if self.classes is not None:
            counts = self.classes[index].bincount(minlength=int(self.classes.max()) + 1)
            return counts[self.classes[queries]]
        assert self.alike is not None
        asked, answer = self.alike.T
        counts = asked[torch.isin(answer, index)].bincount(minlength=int(max(asked.max(), queries.max())) + 1)
        return counts[queries]

    @staticmethod
    def _codes(asked: Tensor, answer: Tensor) -> Tensor:
        return asked * 2**31 + answer


def judgements(data: str) -> Judgements:
    """What is known of a data set."""
    if data == SENTENCES:
        return Judgements(None, column(data, ALIKE))
    return Judgements(column(data, {TREC: FINE, FASHION: CLASS}[data]), None)


def ndcg(answers: Tensor, num_answers: Tensor) -> Tensor:
    """Normalised discounted cumulative gain `(n,)` of `answers (n, k)`, in the order found; NaN where there is none."""
    weights = 1 / torch.arange(2, answers.shape[1] + 2, dtype=torch.float64).log2()
    ideal = torch.cat([weights.new_zeros(1), weights.cumsum(0)])
    return answers.double() @ weights / ideal[num_answers.clamp(max=answers.shape[1])]
