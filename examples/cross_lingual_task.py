"""What was built in English: an index to search and a head to classify with, and how well Spanish questions feed them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from cross_lingual_data import ENGLISH, embed, load_pairs
from grid import Score
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from trec import load_trec

from irp_hf.maths.metrics import reciprocal_ranks

SEARCH = ("recall@1", "recall@10", "MRR")
HEAD = ("class as in English", "right class")
MEASURES = (*SEARCH, *HEAD)


@dataclass(frozen=True)
class Built:
    """An index and a head on the English vectors of one encoder, and `n` questions in English to test them with."""

    index: Tensor
    """The questions, and then sentences that nobody asks for, shape (n + m, d)."""
    head: LogisticRegression
    """Trained on TREC's questions."""
    asked: np.ndarray
    """The class `(n,)` that each question's first words ask for."""

    @property
    def questions(self) -> Tensor:
        """In English, shape (n, d)."""
        return self.index[: len(self.asked)]

    def score(self, native: np.ndarray) -> Score:
        """By measure and question `(5, n)`; `native (n,)` are the classes of the questions in English."""

        def score(x: Tensor) -> Tensor:
            ranks = reciprocal_ranks(x.double(), self.index.double())
            answers = self.answers(x)
            right = [torch.from_numpy(answers == wanted).double() for wanted in (native, self.asked)]
            return torch.stack([*recalls(ranks), *right])

        return score

    def answers(self, x: Tensor) -> np.ndarray:
        """Classes `(n,)` that the head gives to vectors `(n, d)`."""
        return np.asarray(self.head.predict(x.float().numpy()))

    def chance(self) -> list[float]:
        """By measure: of a ranking at random, and of classes drawn at random, as often as the head gives each."""
        ranks = 1 / torch.arange(1, len(self.index) + 1).double()
        given, wanted = (
            np.array([(answers == name).mean() for name in self.head.classes_])
            for answers in (self.answers(self.questions), self.asked)
        )
        return [*(float(values.mean()) for values in recalls(ranks)), float(given @ given), float(given @ wanted)]


@cache
def build(name: str) -> Built:
    """The index and the head on the vectors of the encoder of that name."""
    pairs, trec = load_pairs(), load_trec()
    train = slice(trec.num_train)
    head = LogisticRegression(max_iter=3000).fit(embed(name, trec.texts)[train].numpy(), trec.labels[train])
    index = torch.cat([embed(name, part[ENGLISH].tolist()) for part in (pairs.questions, pairs.sentences)])
    return Built(index, head, pairs.questions["class"].to_numpy(str))


def recalls(reciprocal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Recall@1, recall@10 and reciprocal rank, each `(n,)`, of reciprocal ranks `(n,)`."""
    return (reciprocal == 1).double(), (reciprocal >= 1 / 10).double(), reciprocal
