"""Functions as encoders: what they hold is watched after they were opened."""

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from irp_hf.encoding.base import Options
from irp_hf.encoding.held import Held
from irp_hf.encoding.open import open_encoder

GLOBAL = nn.Linear(2, 2)


class Called:
    """An encoder of a user's own."""

    def __init__(self) -> None:
        self.vectors, self.small = torch.arange(12.0).view(6, 2), np.arange(4.0)
        self.large, self.table = np.arange(100_000.0), np.ones((500, 300), np.float32)
        self.words = torch.ones(500, 300)
        self.weights, self.parts = np.arange(6.0), {"scale": 2.0, "layers": [nn.Linear(2, 2)]}
        self.calls, self.vocabulary = 0, {str(row): row for row in range(1000)}

    def __call__(self, items: list[Any]) -> torch.Tensor:
        self.calls += 1
        return self.vectors[: len(items)]

    def encode(self, items: list[Any]) -> torch.Tensor:
        return self(items)


def by_a_global(items: list[Any]) -> Any:
    return GLOBAL(torch.ones(len(items), 2))


def permuted(called: Any) -> None:
    called.vectors = called.vectors[[1, 0, 2, 3, 4, 5]]


def in_place(called: Any) -> None:
    called.vectors.mul_(2)


def one_number(called: Any) -> None:
    called.small[1] = 7


def all_of_many(called: Any) -> None:
    called.large *= 2


def one_row(called: Any) -> None:
    called.table[123] *= 2


def one_row_of_a_tensor(called: Any) -> None:
    called.words.numpy()[123] *= 2


def by_its_data(called: Any) -> None:
    called.vectors.data.mul_(2)


def a_setting(called: Any) -> None:
    called.parts["scale"] = 3.0


@torch.no_grad()
def trained(called: Any) -> None:
    called.parts["layers"][0].weight.add_(1)


def a_word_more(called: Any) -> None:
    called.vocabulary["more"] = 1


IN_ARRAYS = [permuted, in_place, one_number, all_of_many, one_row, one_row_of_a_tensor]
WAYS: list[Any] = [
    lambda called: called,
    lambda called: called.encode,
    lambda called: functools.partial(called.encode),
    lambda called: lambda items: called(items),
    lambda called: lambda items, by=called: by(items),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "edit",
    [*IN_ARRAYS, by_its_data, a_setting, trained, a_word_more],
)
def test_an_edit_of_what_a_function_holds_is_seen(way, edit):
    called = Called()
    held = Held(way(called))
    assert held.is_still_so()
    edit(called)
    assert not held.is_still_so()
    held.renew()
    assert held.is_still_so()
    edit(called)
    if edit is not a_word_more and edit not in (one_number, a_setting):  # which changed nothing anew
        assert not held.is_still_so()


@pytest.mark.parametrize("options", [{}, {"prompt": "query: ", "modality": "text"}, {"truncate_dim": 1}])
def test_globals_that_it_names_are_seen_and_other_ones_are_not(options):
    held = Held(open_encoder(by_a_global, Options(**options)).embed)
    WAYS.append(None)
    assert held.is_still_so()
    WAYS.pop()
    with torch.no_grad():
        GLOBAL.weight.add_(1)
    assert not held.is_still_so()


def test_what_holds_itself_and_what_is_odd_has_an_end():
    called: Any = Called()
    called.own, called.sparse = called, torch.eye(3).to_sparse()
    called.meta, called.nan, called.texts = torch.empty(3, device="meta"), torch.full((3,), torch.nan), np.array([None])
    called.many = [[[[[[[[1]]]]]]]] * 9
    assert Held(called).is_still_so()
