"""One vector for many items, and batches that were written twice: what no encoder gives, and what is no reason to worry."""

import numpy as np
import pytest
import torch

from irp_hf.evaluation.copies import copied_batch, copies_of_one

SIDE = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
ALL = torch.arange(200)


def with_copies(*counts: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A side of which so many scattered rows are one vector, so many others another one, and its items."""
    items, order = ALL.clone(), torch.randperm(200, generator=torch.Generator().manual_seed(1))
    for rows in order.split([*counts, 200 - sum(counts)])[:-1]:
        items[rows] = rows.min()
    return SIDE[items], items


@pytest.mark.parametrize("counts", [(10,), (30,), (30, 8), (90,)])
def test_one_vector_for_many_items_is_told(counts: tuple[int, ...]):
    """An encoder's answer to what it could not read, at a fifth of the rows, cost a fifth of the neighbours, unsaid."""
    said = copies_of_one("targets", *with_copies(*counts), ALL)
    assert f"{counts[0]} of 200 targets are the same vector" in said
    assert "Encode these again, or drop them on both sides." in said


@pytest.mark.parametrize("counts", [(9,), (30, 30), (40, 20, 20), (5, 5, 5)])
def test_what_is_as_often_as_others_is_not(counts: tuple[int, ...]):
    """Classes and captions, which come as often as each other, would be called failures."""
    assert copies_of_one("targets", *with_copies(*counts), ALL) == ""


def test_what_says_nothing_here():
    """An item that was given many times would be called a failure, and so would a class, or zeros, which are told elsewhere."""
    side, items = with_copies(30)
    assert copies_of_one("targets", side, items, items) == ""
    assert copies_of_one("targets", side, items, ALL, classes=True) == ""
    assert copies_of_one("targets", torch.where((items == items.mode().values)[:, None], 0, side), items, ALL) == ""
    side, items = with_copies(120)
    assert "120 of 200 targets are the same vector: what" in copies_of_one("targets", side, items, ALL)
    assert copies_of_one("targets", side, items, ALL, classes=True) == ""
    side, items = with_copies(190)
    assert "190 of 200 targets are the same vector: what" in copies_of_one("targets", side, items, ALL, classes=True)


@pytest.mark.parametrize(("first", "size", "before"), [(168, 32, 32), (100, 8, 8), (50, 20, 37), (60, 60, 60)])
def test_a_batch_that_was_written_again_is_found(first: int, size: int, before: int):
    """The last batch, written over by the one before, made a fit worse without a word."""
    items = ALL.clone()
    items[first : first + size] -= before
    assert copied_batch(items, ALL) == (first, first + size, before)


@pytest.mark.parametrize(
    "items",
    [ALL, ALL % 100, ALL // 5, ALL * 0, torch.where(ALL % 7 == 0, 0, ALL), torch.where(ALL > 193, ALL - 6, ALL)],
    ids=["each its own", "all twice", "captions", "one", "scattered", "few"],
)
def test_what_is_no_batch(items: torch.Tensor):
    """Items that come again in an order of their own would be called a mistake."""
    assert copied_batch(items, ALL) is None


def test_items_that_are_the_same_on_both_sides_are_none():
    """Rows that were given twice, as pairs, are what they are."""
    items = torch.from_numpy(np.r_[np.arange(150), np.arange(50)])
    assert copied_batch(items, items) is None
