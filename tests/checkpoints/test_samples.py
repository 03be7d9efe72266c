"""Edits that torch does not count: one of a single row went unseen, and answers came from weights that nobody knows."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from irp_hf.checkpoints.digests import weights_digest
from irp_hf.checkpoints.samples import TURNS, Samples

SHAPE = (211, 67)  # more than are looked at in full
DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.int64, torch.complex64]
KINDS: dict[str, Any] = {
    "plain": lambda: torch.randn(SHAPE),
    "nan": lambda: torch.full(SHAPE, torch.nan),
    "turned": lambda: torch.randn(SHAPE[::-1]).T,
    "part": lambda: torch.randn(SHAPE[0], 90)[:, 5:72],
    "float8": lambda: torch.randn(SHAPE).to(torch.float8_e4m3fn),
    "convolution": lambda: torch.randn(SHAPE[0], 10, 3, 3),
    "channels": lambda: torch.randn(SHAPE[0], 10, 3, 3).to(memory_format=torch.channels_last),
    "inference": lambda: in_inference(torch.randn(SHAPE)),
    **{str(kind): lambda kind=kind: torch.randn(SHAPE).mul(50).to(kind) for kind in DTYPES},
}


@torch.inference_mode()
def in_inference(tensor: Tensor) -> Tensor:
    return tensor.clone()


def overwrite(place: Tensor) -> None:
    """As numpy does, of which torch knows nothing."""
    with torch.inference_mode():
        place.data.copy_(torch.full(place.shape, 3.0).to(place.dtype))


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_of_any_row_is_seen(kind):
    for row in (0, 1, 67, 100, SHAPE[0] - 1):
        tensor = KINDS[kind]()
        samples = Samples([torch.zeros(3), tensor])
        assert samples.are_still_so()
        overwrite(tensor[row])
        assert not samples.are_still_so()
        assert not all(map(samples.are_still_so, range(TURNS)))


def test_an_edit_of_any_column_of_a_tall_matrix_is_seen():
    for column in range(SHAPE[1]):
        tensor = torch.randn(SHAPE)
        samples = Samples([tensor])
        overwrite(tensor[:, column])
        assert not samples.are_still_so()


def test_of_a_small_tensor_any_number():
    for row in range(9):
        tensor = torch.randn(9, 7)
        samples = Samples([tensor])
        overwrite(tensor[row, 3:4])
        assert not samples.are_still_so()


def test_what_has_no_numbers_to_look_at_is_left_out():
    odd: list[Tensor] = [torch.empty(0), torch.eye(3).to_sparse(), torch.empty(3, device="meta"), torch.tensor(2.0)]
    odd += [
        torch.quantize_per_tensor(torch.randn(9), 0.1, 0, torch.qint8),
        torch.randn(9, dtype=torch.complex64).conj(),
    ]
    samples = Samples(odd)
    assert samples.are_still_so()
    overwrite(odd[3])
    assert not samples.are_still_so()


def test_a_digest_is_taken_anew_where_a_row_was_edited_through_numpy():
    """A run that goes on would mix rows of two encoders, both of the first one's digest."""
    layer = nn.Embedding(300, 64)
    before = weights_digest(layer)
    layer.weight.detach().numpy()[123] = 0
    changed = weights_digest(layer)
    twin = nn.Embedding.from_pretrained(layer.weight.detach().clone())
    assert before != changed == weights_digest(twin)
