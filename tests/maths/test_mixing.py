"""Mixed queries: what lies between two encoders' queries, and which weight finds most."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from irp_hf.maths.mixing import NEAREST, WEIGHTS, best_weight, found_by_weight, mixed
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.selection import select


def drawn(rows: int, width: int, seed: int) -> Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(weight=st.floats(0, 1), seed=st.integers(0, 99))
def test_it_lies_between(weight: float, seed: int):
    """If it fails, a weight is no share of two directions, or a mixture has a length that no encoder gives."""
    one, other = 3 * drawn(5, 4, seed), drawn(5, 4, seed + 100)
    found = mixed(one, other, weight)
    for row, a, b in zip(found, one, other, strict=True):
        between = weight * a / a.norm() + (1 - weight) * b / b.norm()
        assert torch.allclose(row / row.norm(), between / between.norm())
        assert float(row.norm()) == pytest.approx(weight * float(a.norm()) + (1 - weight) * float(b.norm()))


def test_what_is_found_is_what_a_search_finds():
    """If it fails, a weight is chosen by rows that the fit had, or by other neighbours than the new encoder's."""
    source = drawn(60, 6, 0)
    pairs = Pairs(source, torch.tanh(source @ drawn(6, 8, 1)))
    choice = select(pairs, ("whitened",))[0]
    shares = found_by_weight(choice, pairs, 0)
    assert shares.shape == (len(WEIGHTS), 60)
    rows: list[Tensor] = []
    for half in pairs.folds(2, 0):
        true = torch.nn.functional.normalize(pairs.source[half])
        own = torch.nn.functional.normalize(pairs.target[half])
        for row in range(len(half)):
            wanted, found = (
                {*(side[row] @ side.T).index_fill(0, torch.tensor(row), -9).topk(NEAREST).indices.tolist()}
                for side in (true, own)
            )
            rows.append(torch.tensor(len(wanted & found) / NEAREST))
    assert torch.allclose(shares[0], torch.stack(rows).double())  # the old encoder's own queries, whatever was fitted


def test_the_better_side_has_the_weight():
    """If it fails, a Bridge listens to the encoder that knows less."""
    source = drawn(120, 6, 2)
    turn = torch.linalg.qr(drawn(6, 6, 3)).Q
    same = Pairs(source, source @ turn)
    noisy = Pairs(source, source @ turn + 2 * drawn(120, 6, 4))
    assert best_weight(select(same, ("rigid",))[0], same, 0) == 0  # both find all, and the least that does is taken
    assert best_weight(select(noisy, ("rigid",))[0], noisy, 0) > 0.5
