"""What the rows of one side tell, one by one, while all of many pairs are read: those far off, without content, or longer."""

from __future__ import annotations

from copy import copy

import torch
from torch import Tensor

from irp_hf.evaluation.agreement import BLOCK
from irp_hf.evaluation.doubts import FAR_OFF, FEW, SINGLE, Doubt, constant_doubt, far_doubt, longer_doubt
from irp_hf.evaluation.lengths import LEAST, Lengths

LEAST_BLOCKS = 2  # in a row, which are a group by their length


class OneSide:
    """One side, of which a sample tells what is usual; its medians hardly feel rows far off."""

    def __init__(self, name: str, sample: Tensor) -> None:
        """`sample (s, d)`, in random order."""
        self.name = name
        self.median = sample.double().median(0).values
        distance = self._distance(sample)
        self.usual = float(distance.median())
        self.known = len(sample) >= FEW and self.usual > 0
        norms: Tensor = torch.linalg.vector_norm(sample.double(), dim=1)
        self.norm = float(norms.median()) or 1.0
        logarithms = _logarithms(norms[norms > 0] / self.norm) if self.known else None
        self.lengths, self.in_blocks = Lengths(LEAST, logarithms), Lengths(LEAST_BLOCKS)
        self._none()

    def anew(self) -> OneSide:
        """With the same sample, of no rows yet."""
        found = copy(self)
        found.lengths, found.in_blocks = self.lengths.anew(), self.in_blocks.anew()
        found._none()
        return found

    def _none(self) -> None:
        self.seen, self.far, self.farthest = 0, list[int](), 0.0
        self.constant, self.first_constant, self.all_zero = 0, -1, True

    def _distance(self, chunk: Tensor) -> Tensor:
        rows = chunk.to(torch.promote_types(chunk.dtype, torch.float32))
        distance: Tensor = torch.linalg.vector_norm(rows - self.median.to(rows), dim=1)
        return distance

    def add(self, chunk: Tensor, first: int) -> None:
        """Look at `chunk (n, d)`, whose first row has this number."""
        self.seen += len(chunk)
        low, high = chunk.aminmax(dim=1)
        zero = (low == 0) & (high == 0)
        constant = (low == high).nonzero()[:, 0] if chunk.shape[1] > 1 else zero.new_empty(0)
        if len(constant):
            self.first_constant = self.first_constant if self.constant else first + int(constant[0])
            self.constant += len(constant)
            self.all_zero = self.all_zero and bool(zero[constant].all())
        if not self.known:
            return
        distance = self._distance(chunk)
        if len(self.far) <= SINGLE * self.seen:
            self.far += ((distance > FAR_OFF * self.usual).nonzero()[:, 0] + first).tolist()
            self.farthest = max(self.farthest, float(distance.max()) / self.usual)
        norms = torch.linalg.vector_norm(chunk.to(distance), dim=1)
        lengths, marks = _logarithms(norms / self.norm), _logarithms(distance / self.usual)
        rows = torch.arange(first, first + len(chunk), device=chunk.device)
        self.lengths.add(lengths[~zero], rows[~zero], marks[~zero])
        whole = len(chunk) // BLOCK * BLOCK
        if whole:
            lengths, marks = (side[:whole].unflatten(0, (-1, BLOCK)).median(1).values for side in (lengths, marks))
            self.in_blocks.add(lengths, rows[:whole:BLOCK], marks)

    def doubts(self) -> list[Doubt]:
        """What is to be said of them."""
        found = []
        if self.constant:
            found.append(constant_doubt(self.name, self.constant, self.first_constant, self.all_zero))
        few = 0 < len(self.far) <= SINGLE * self.seen
        if few:
            found.append(far_doubt(self.name, self.far, self.farthest))
        longer, size = self.lengths.apart(), 1
        if longer is None:
            longer, size = self.in_blocks.apart(), BLOCK
        if longer is not None and not (few and longer.rows <= len(self.far)):
            found.append(
                longer_doubt(self.name, longer.rows * size, longer.first, longer.last + size - 1, longer.times)
            )
        return found


def _logarithms(values: Tensor) -> Tensor:
    return values.double().clamp(min=torch.finfo(torch.float32).tiny).log2()
