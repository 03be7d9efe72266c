"""A few numbers of every tensor, one of each row at least: what tells an edit that torch does not count, at next to no cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

WHOLE = 4096  # numbers: so small a tensor is looked at in full
TURNS = 8  # in which all numbers are looked at, where one look at all would take too long
BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes: NaN is like itself


class Samples:
    """Numbers of tensors as they were, and where they stand.

    One of as many as a row has, but one: they move on by one column a row, and so each row is met, and of a matrix with more
    rows than columns each column. Of MiniLM that is one number in 270.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        """Look at them now."""
        groups = sampled(tensors)
        self._all = list(map(_noted, groups))
        self._parts = [[_noted([view[turn::TURNS] for view in group]) for group in groups] for turn in range(TURNS)]

    def are_still_so(self, turn: int | None = None) -> bool:
        """Whether the numbers are the same; in a turn from 0 to `TURNS - 1`, whether that part of each tensor's is."""
        noted = self._all if turn is None else self._parts[turn]
        return all(torch.equal(torch.cat(views), numbers) for views, numbers in noted)


def _noted(views: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    return views, torch.cat(views)


def sampled(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """The numbers' bits, `(m,)` of each tensor and in its own memory; together what can be compared at once.

    What has no strides, or is packed in a way of its own, is left out.
    """
    groups: dict[Any, list[Tensor]] = {}
    for tensor in tensors:
        plain = tensor.layout is torch.strided and not (tensor.is_meta or tensor.is_quantized or tensor.is_conj())
        if plain and tensor.numel() and tensor.element_size() in BITS and not is_traceable_wrapper_subclass(tensor):
            groups.setdefault((tensor.device, tensor.element_size()), []).append(_sample(tensor.detach()))
    return list(groups.values())


def _sample(tensor: Tensor) -> Tensor:
    if tensor.is_contiguous():
        row = tensor.numel() // tensor.shape[0] if tensor.dim() > 1 else 1
        numbers = tensor.view(-1)[:: 1 if tensor.numel() <= WHOLE else max(1, row - 1)]
    else:  # turned, or a part of another one: its middle column
        numbers = tensor
        while numbers.dim() > 1:
            numbers = numbers.select(-1, numbers.shape[-1] // 2)
    return numbers.view(BITS[tensor.element_size()])
