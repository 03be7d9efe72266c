"""Heads that give probabilities where logits are wanted: known by their last layer, or by what they give."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

POSITIVE = (nn.Sigmoid, nn.Softmax, nn.Softmin, nn.Hardsigmoid)
LOGARITHMS = (nn.LogSoftmax, nn.LogSigmoid)
PASSING = (nn.Identity, nn.Dropout, nn.Flatten)  # layers that change no number of a head in evaluation
SLACK = 2e-3  # of the sum of a row: half precision gives no nearer one
SOME, MANY = 3, 20  # rows: fewer logits may sum to 1 by chance, or all lie between 0 and 1


def last_layer(scorer: Any) -> nn.Module | None:
    """The module that gives what a head gives, as far as its make tells that; None of a function."""
    if isinstance(scorer, nn.Sequential):
        layers = [layer for layer in scorer if not isinstance(layer, PASSING)]
        return last_layer(layers[-1]) if layers else None
    return scorer if isinstance(scorer, nn.Module) else None


def ending(scorer: Any) -> str | None:
    """The layer that a head ends in, in words, where its outputs have one sign whatever it reads; else None."""
    layer = last_layer(scorer)
    return f"it ends in {type(layer).__name__}" if isinstance(layer, POSITIVE + LOGARITHMS) else None


def like_probabilities(scorer: Any, outputs: Tensor) -> str | None:
    """How `outputs (n, num_labels)` of a head tell that they are probabilities, in words; None where they do not.

    Logits of a few rows may lie between 0 and 1 by chance, and those of a constant head: of these nothing is said.
    """
    layer = last_layer(scorer)
    if isinstance(layer, POSITIVE) or (isinstance(layer, LOGARITHMS) and outputs.shape[1] == 1):
        return f"probabilities, since {ending(scorer)}"
    if outputs.is_meta or not ((outputs >= 0) & (outputs <= 1)).all() or (outputs == outputs[:1, :1]).all():
        return None
    if outputs.shape[1] > 1 and len(outputs) >= SOME and ((outputs.sum(1) - 1).abs() <= SLACK).all():
        return "numbers that sum to 1 in each row, as a softmax gives"
    return "nothing but numbers from 0 to 1, as a sigmoid gives" if len(outputs) >= MANY else None
