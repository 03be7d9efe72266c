"""Heads that give probabilities where logits are wanted: known by their last layer, by what computed them, or by what they are.

Cosines and radial similarities may lie between 0 and 1 too, and are scores like others. What tells a sigmoid apart from them is
the node that the graph of gradients ends in, and that far from all anchors it gives 0 or 1 and little else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

POSITIVE = (nn.Sigmoid, nn.Softmax, nn.Softmin, nn.Hardsigmoid)
LOGARITHMS = (nn.LogSoftmax, nn.LogSigmoid)
PASSING = (nn.Identity, nn.Dropout, nn.Flatten)  # layers that change no number of a head in evaluation
SLACK = 2e-3  # of the sum of a row: half precision gives no nearer one
SOME, MANY = 3, 20  # rows: fewer logits may sum to 1 by chance, or all lie between 0 and 1

NODES = {"Sigmoid": "a sigmoid", "Softmax": "a softmax", "Hardsigmoid": "a sigmoid"}  # by what gradients call them
OF_LOGARITHMS = {"LogSigmoid": "a sigmoid", "LogSoftmax": "a softmax"}  # whose exponentials they are
MOVING = frozenset(  # nodes that take, turn, join or cast numbers and change none
    {
        "Alias",
        "AsStrided",
        "Cat",
        "Clone",
        "Expand",
        "Index",
        "IndexSelect",
        "Permute",
        "ReshapeAlias",
        "Select",
        "Slice",
    }
    | {"Split", "Squeeze", "Stack", "T", "ToCopy", "Transpose", "Unbind", "UnsafeView", "Unsqueeze", "View"}
)
TRIED = 2  # rows whose graph is looked at

AWAY = 100.0  # times as far from their mean, on both sides
AT_AN_END, BOTH, NEAR = 0.9, 0.05, 0.01  # shares of what a sigmoid gives there: near 0 or 1, and near each; how near


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


def like_probabilities(scorer: Any, score: Callable[[Tensor], Tensor], vectors: Tensor, outputs: Tensor) -> str | None:
    """How `outputs (n, num_labels)` of a head tell that they are probabilities, in words; None where they do not.

    They are what `score` gives of `vectors (n, d_Y)`; it is asked of others too. Logits of a few rows may lie between 0 and 1
    by chance, and those of a constant head: of these nothing is said.
    """
    layer = last_layer(scorer)
    if isinstance(layer, POSITIVE) or (isinstance(layer, LOGARITHMS) and outputs.shape[1] == 1):
        return f"probabilities, since {ending(scorer)}"
    if outputs.is_meta or not _are_shares(outputs) or (outputs == outputs[:1, :1]).all():
        return None
    if outputs.shape[1] > 1 and len(outputs) >= SOME and ((outputs.sum(1) - 1).abs() <= SLACK).all():
        return "numbers that sum to 1 in each row, as a softmax gives"
    if (node := _ending_of(_traced(score, vectors[:TRIED]))) is not None:
        return f"nothing but numbers from 0 to 1, since it ends in {node}"
    saturates = len(outputs) >= MANY and _saturates(score, vectors)
    return "nothing but numbers from 0 to 1, as a sigmoid gives" if saturates else None


def _are_shares(outputs: Tensor) -> bool:
    return bool(((outputs >= 0) & (outputs <= 1)).all())


def _traced(score: Callable[[Tensor], Tensor], vectors: Tensor) -> Tensor | None:
    """What `score` gives of vectors through which gradients flow; None where none can."""
    try:
        with torch.enable_grad():
            return score(vectors.detach().clone().requires_grad_())
    except Exception:  # numpy takes no such tensor, and a foreign head may fail in any way
        return None


def _ending_of(outputs: Tensor | None) -> str | None:
    """What outputs were computed by at last, in words, where that gives probabilities."""
    nodes, found = [None if outputs is None else outputs.grad_fn], None
    while nodes:
        node = nodes.pop()
        kind = _kind(node)
        before = [] if node is None else [one for one, _ in node.next_functions]
        if kind in MOVING:
            nodes += [one for one in before if one is not None]
            continue
        found = NODES.get(kind)
        if kind == "Exp":
            found = OF_LOGARITHMS.get(_kind(before[0]))
        if found is None:
            return None
    return found


def _kind(node: Any) -> str:
    """The operation of a node of the graph of gradients: "Sigmoid" of SigmoidBackward0."""
    return "" if node is None else str(node.name()).partition("Backward")[0]


def _saturates(score: Callable[[Tensor], Tensor], vectors: Tensor) -> bool:
    """Whether far from all `vectors (n, d)` a score is near 0 here and near 1 there, and hardly ever between.

    Cosines are the same there or below 0, and a similarity that falls with the distance is near 0 alone.
    """
    mean = vectors.mean(0)
    away = AWAY * (vectors - mean)
    try:
        far = score(torch.cat([mean + away, mean - away]))
    except Exception:  # which reads no such vectors
        return False
    low, high = (float((side.abs() <= NEAR).double().mean()) for side in (far, far - 1))
    return _are_shares(far) and low + high >= AT_AN_END and min(low, high) >= BOTH
