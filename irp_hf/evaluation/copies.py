"""Copies on one side alone: an encoder's answer where it failed, or a batch that was written over another one."""

from __future__ import annotations

import torch
from torch import Tensor

MOSTLY, NEARLY_ALL = 0.5, 0.9  # of the rows of one side: so many copies of one vector are said; of a class
COPIED, LEAST = 0.05, 10  # share and number of copies of one vector from which on they are said
STANDS_OUT = 3  # times as many as of any other: targets of classes, and captions of one picture, are about as many each
LEAST_BATCH = 8  # rows in a row that are those before them
MOST_BATCHES = 1 / 3  # of all rows: where more are copies in this order, each item was meant to come again


def copies_of_one(name: str, side: Tensor, items: Tensor, others: Tensor, classes: bool = False) -> str:
    """What is said of one vector of `side (k, d)` that stands for many items; nothing where none does.

    `items (k,)` and `others (k,)` number what is distinct on this side and on the other. Of targets that are `classes` only
    one that most rows have is said.
    """
    _, group, count = items.unique(return_inverse=True, return_counts=True)
    ranked = count.sort(descending=True).values.tolist()
    largest, second = ranked[0], max(ranked[1:2], default=0)
    rows = (group == count.argmax()).nonzero()[:, 0]
    if largest > (NEARLY_ALL if classes else MOSTLY) * len(side):
        return f"{largest:,} of {len(side):,} {name} are the same vector: what is translated from or to it tells nothing apart."
    enough = largest >= max(LEAST, COPIED * len(side)) and largest >= STANDS_OUT * second
    if classes or not enough or 2 * len(others[rows].unique()) < largest or not bool(side[rows[0]].any()):
        return ""
    return (
        f"{largest:,} of {len(side):,} {name} are the same vector, while what stands beside them differs: so looks an "
        "encoder's answer to what it could not read. Encode these again, or drop them on both sides."
    )


def copied_batch(items: Tensor, others: Tensor) -> tuple[int, int, int] | None:
    """A run of rows that are those of some rows before, on one side alone: where it begins, where it ends, and how far before.

    `items (k,)` and `others (k,)` number what is distinct on this side and on the other. None where there is no such run.
    """
    k = len(items)
    order = items.argsort(stable=True)
    earlier, later = order[:-1], order[1:]
    copied = (items[earlier] == items[later]) & (others[earlier] != others[later])
    before = torch.zeros_like(items)
    before[later[copied]] = (later - earlier)[copied]
    begins = torch.cat([before.new_ones(1, dtype=torch.bool), before[1:] != before[:-1]]).nonzero()[:, 0]
    ends = torch.cat([begins[1:], begins.new_tensor([k])])
    lengths = ends - begins
    found = (before[begins] >= lengths) & (lengths >= LEAST_BATCH)
    if not bool(found.any()) or int(lengths[found].sum()) > MOST_BATCHES * k:
        return None
    longest = int((lengths * found).argmax())
    return int(begins[longest]), int(ends[longest]), int(before[begins[longest]])
