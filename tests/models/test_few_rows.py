"""Few rows take a short road: to the vectors of the road that all rows can take, and to its refusals."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irp_hf import IRPAdapter
from irp_hf.errors import InputError
from irp_hf.models import few_rows

RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.normal(size=(80, 12)).astype(np.float32)
TARGET = np.tanh(SOURCE @ RANDOM.normal(size=(12, 9)) / 3).astype(np.float32)
FITS: dict[str, dict[str, Any]] = {
    "linear": dict(method="whitened", balance=1.0, ridge=0.1, lift=0.0),
    "lifted": dict(method="whitened", balance=0.5, ridge=0.1, lift=1.0),
    "kernel": dict(method="kernel", gamma=1.0, ridge=0.1, lift=0.0, rigid=0.0),
    "rigid kernel": dict(method="kernel", gamma=1.0, ridge=0.1, lift=1.0, rigid=0.5),
}
ANYTHING = st.one_of(st.floats(-3, 3, width=32), st.sampled_from([0.0, 1e-30, 1e14, 1e15, 2e15, 1e30, np.inf, np.nan]))


@pytest.fixture(scope="module")
def adapters() -> dict[str, IRPAdapter]:
    found = {name: IRPAdapter.from_anchors(SOURCE, TARGET, **options) for name, options in FITS.items()}
    for adapter in found.values():
        adapter.translate(SOURCE)  # puts together what is kept
    return found


def short(adapter: IRPAdapter, x: Any) -> Any:
    """What the short road alone gives."""
    return few_rows.translated(x, adapter._kept, adapter._parameters, adapter._settings())


def said(adapter: IRPAdapter, x: Any, chunk_size: int | None) -> Any:
    """The translations, or the words of the refusal."""
    try:
        return adapter.translate(x, chunk_size=chunk_size)
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("name", FITS)
@given(st.integers(1, few_rows.FEW), st.integers(0, 99), st.sampled_from([1e-20, 1e-3, 1.0, 1e3, 1e12]), st.data())
@settings(max_examples=40, deadline=None)
def test_both_roads_lead_to_the_same_vectors_and_refusals(adapters, name, num_rows, seed, size, data):
    """A service's answers would differ from those of the index that was translated in one go, or hold NaN."""
    adapter = adapters[name]
    x = np.random.default_rng(seed).normal(size=(num_rows, 12)).astype(np.float32) * np.float32(size)
    if data.draw(st.booleans()):
        x[data.draw(st.integers(0, num_rows - 1)), data.draw(st.integers(0, 11))] = data.draw(ANYTHING)
    if data.draw(st.booleans()):
        x[0] = adapter.source_mean.numpy()  # which has no direction
    rows: Any = x if data.draw(st.booleans()) else torch.from_numpy(x)
    want, got = (said(adapter, rows, chunk_size) for chunk_size in (num_rows, None))
    assert type(got) is type(want)
    np.testing.assert_array_equal(got, want)
    if isinstance(want, str):
        assert short(adapter, rows) is None


@pytest.mark.parametrize("name", FITS)
def test_plain_rows_take_it(adapters, name):
    """Everything would be right, and take twice as long."""
    for x in (SOURCE[:1], SOURCE[: few_rows.FEW], torch.from_numpy(SOURCE[:3]), SOURCE.T[:12, :2].T.copy()):
        assert short(adapters[name], x) is not None
    with torch.no_grad():
        assert short(adapters[name], SOURCE[:1]) is not None


@pytest.mark.parametrize(
    "x",
    [
        SOURCE[: few_rows.FEW + 1],
        SOURCE[:0],
        SOURCE[0],
        SOURCE[:1, :5],
        SOURCE[:2, ::-1],
        SOURCE[:1].astype(">f4"),
        SOURCE[:1].astype(np.float64),
        SOURCE[:1].view(np.matrix),
        np.ma.masked_array(SOURCE[:1], SOURCE[:1] > 0),
        torch.from_numpy(SOURCE[:1]).half(),
        torch.from_numpy(SOURCE[:1]).to_sparse(),
        torch.from_numpy(SOURCE[:1]).to("meta"),
        torch.nn.Parameter(torch.from_numpy(SOURCE[:1])),
        SOURCE[:1].tolist(),
        "a text",
        None,
    ],
    ids=repr,
)
def test_what_is_not_plain_takes_the_other(adapters, x):
    """It would be read as what it is not, or a bare error of torch come out."""
    assert short(adapters["kernel"], x) is None


@pytest.mark.parametrize(
    "mode",
    [
        torch.inference_mode,
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: torch.device("meta"),
        lambda: torch.device("cpu"),
    ],
    ids=["inference", "autocast", "meta", "cpu"],
)
def test_a_mode_takes_the_other(adapters, mode):
    """Vectors in half precision, tensors that nobody can write to."""
    want = adapters["kernel"].translate(torch.from_numpy(SOURCE[:1]))
    with mode():
        assert short(adapters["kernel"], SOURCE[:1]) is None
        got = adapters["kernel"].translate(torch.from_numpy(SOURCE[:1]))
    assert torch.equal(got, want)
    assert not got.is_inference()


def test_gradients_are_on_or_off_as_they_were(adapters):
    """A training loop would go on without any."""
    x = torch.from_numpy(SOURCE[:1]).clone().requires_grad_()
    for on in (True, False):
        with torch.set_grad_enabled(on):
            assert not adapters["linear"].translate(x).requires_grad
            assert torch.is_grad_enabled() is on
            assert short(adapters["linear"], x * torch.nan) is None
            assert torch.is_grad_enabled() is on
