"""Which of a few centres of one space are which of another: by how alike they are among themselves, a quadratic assignment.

Of two symmetric matrices, A and B, the order p of B's rows and columns is sought for which `Σ A_ij B_p(i)p(j)` is largest. Soft
assignments are sharpened step by step (graduated assignment; Gold and Rangarajan 1996), rounded, and improved by exchanges of
two, from several starts at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

STEPS, FIRST, LAST = 30, 1.0, 100.0  # sharpnesses, in units of what a gradient spreads
BALANCING = 8  # of rows and columns, at each step
NOISE = 0.5  # of the logarithm of a first assignment


def assigned(one: Tensor, other: Tensor, tries: int, generator: torch.Generator) -> tuple[Tensor, float]:
    """The best order `(n,)` found of `other (n, n)` for `one (n, n)`, both of one number on the diagonal, and its sum."""
    n = len(one)
    noise = torch.randn(tries, n, n, generator=generator, dtype=torch.float64, device="cpu").to(one.device)
    soft = _balanced(NOISE * noise)
    for step in range(STEPS):
        gradient = one @ soft @ other
        spread = gradient.std((1, 2), keepdim=True).clamp(min=torch.finfo(gradient.dtype).tiny)
        sharpness = FIRST * (LAST / FIRST) ** (step / (STEPS - 1))
        soft = _balanced(sharpness * (gradient - gradient.amax((1, 2), keepdim=True)) / spread)
    orders = _exchanged(one, other, _rounded(soft))
    sums = (one * other[orders[:, :, None], orders[:, None, :]]).sum((1, 2))
    best = int(sums.argmax())
    return orders[best], float(sums[best])


def _balanced(logits: Tensor) -> Tensor:
    """Assignments `(t, n, n)` whose rows and columns sum to 1, nearly (Sinkhorn 1964)."""
    for _ in range(BALANCING):
        logits = logits - logits.logsumexp(2, keepdim=True)
        logits = logits - logits.logsumexp(1, keepdim=True)
    return logits.exp()


def _rounded(soft: Tensor) -> Tensor:
    """Orders `(t, n)`: the surest pairs first."""
    tries, n, _ = soft.shape
    left, orders = soft.clone(), torch.empty(tries, n, dtype=torch.int64, device=soft.device)
    every = torch.arange(tries, device=soft.device)
    for _ in range(n):
        best = left.flatten(1).argmax(1)
        row, column = best // n, best % n
        orders[every, row] = column
        left[every, row, :] = -1
        left[every, :, column] = -1
    return orders


def _exchanged(one: Tensor, other: Tensor, orders: Tensor) -> Tensor:
    """`orders (t, n)` after exchanges of two, the best first, until none gains anything."""
    n, every = len(one), torch.arange(len(orders), device=orders.device)
    level = (one[0, 0], other[0, 0])
    for _ in range(4 * n):
        there = other[orders[:, :, None], orders[:, None, :]]
        product = one @ there
        own = product.diagonal(dim1=1, dim2=2)
        gain = product + product.mT - own[:, :, None] - own[:, None, :] - 2 * (level[0] - one) * (there - level[1])
        value, best = gain.flatten(1).max(1)
        better = value > 1e-9
        if not bool(better.any()):
            break
        first, second = best // n, best % n
        rows = every[better]
        first, second = first[better], second[better]
        orders = orders.clone()
        orders[rows, first], orders[rows, second] = orders[rows, second], orders[rows, first]
    return orders
