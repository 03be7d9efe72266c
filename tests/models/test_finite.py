"""Finite vectors in, finite vectors out: a NaN in an index or before a head is found late, if at all."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.maths.projection import unit_rows

HALF = np.random.default_rng(0).normal(size=(20, 4))
SYMMETRIC = np.concatenate([HALF, -HALF])  # about 0, so that nothing is added to what is small
TARGET = np.tanh(SYMMETRIC @ np.random.default_rng(1).normal(size=(4, 3)))
FITS: dict[str, dict[str, Any]] = {
    "kernel": dict(method="kernel", lift=0.0),
    "narrow kernel": dict(method="kernel", gamma=1000.0, lift=0.0),
    "lifted kernel": dict(method="kernel", lift=2.0),
    "no ridge": dict(method="whitened", balance=1.0, ridge=0.0, lift=0.0),
    "lifted": dict(method="whitened", lift=1.0),
    "pruned": dict(method="pruned"),
}
SIZES = st.sampled_from([0.0, 1e-45, 1e-40, 1e-30, 1e-25, 1e-23, 1e-21, 1e-19, 1e-17, 1e-10, 1.0, 1e8, 1e14, 1e15])


@pytest.fixture(scope="module")
def adapters() -> dict[str, IRPAdapter]:
    return {name: IRPAdapter.from_anchors(SYMMETRIC, TARGET, **options) for name, options in FITS.items()}


@pytest.mark.parametrize("name", FITS)
@given(sizes=st.lists(SIZES, min_size=1, max_size=6), seed=st.integers(0, 9), double=st.booleans())
@settings(max_examples=10, deadline=None)
def test_rows_of_any_size_are_translated_to_finite_ones(adapters, name, sizes, seed, double):
    """Rows 1e-23 from the mean gave NaN: the squares of their numbers are 0 in float32."""
    adapter, dtype = adapters[name], torch.float64 if double else torch.float32
    rows = np.random.default_rng(seed).uniform(-1, 1, size=(len(sizes), 4)) * np.array(sizes)[:, None]
    x = torch.from_numpy(rows).to(dtype)
    translated, expected = adapter.translate(x, return_confidence=True)
    assert translated.isfinite().all()
    assert expected.isfinite().all()
    assert expected.abs().max() <= 1
    output = adapter(embeddings=x).translated
    assert torch.equal(output, translated)
    space, other = AnchoredSpace.from_embeddings(SYMMETRIC), AnchoredSpace.from_embeddings(TARGET)
    relative = space.to_relative(x, FITS[name]["method"])
    assert relative.isfinite().all()
    assert other.to_absolute(relative, FITS[name]["method"]).isfinite().all()


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_rows_of_any_size_are_finite(adapters, name, dtype):
    """One row near the mean would make NaN of all weights of a model that is trained through an adapter."""
    for size in (
        0.0,
        1e-45,
        1e-40,
        1e-30,
        1e-25,
        1e-22,
        1e-21,
        1e-20,
        1e-19,
        1e-18,
        1e-17,
        1e-16,
        1e-10,
        1.0,
        1e8,
        1e14,
    ):
        rows = np.random.default_rng(0).uniform(-1, 1, size=(5, 4)) * size
        x = torch.from_numpy(rows).to(dtype).requires_grad_()
        output = adapters[name](x, return_confidence=True)
        (output.translated.sum() + output.confidence.sum()).backward()
        assert x.grad is not None
        assert x.grad.isfinite().all(), size
        torch.testing.assert_close(
            output.translated.detach(), adapters[name].translate(x.detach()), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_row_is_made_longer_than_one(dtype, flushed):
    """A norm that is lost to rounding would blow up a row, and with it everything that reads cosines."""
    sizes = torch.logspace(math.log10(torch.finfo(dtype).tiny) - 10, 14, 300, dtype=dtype)
    rows = torch.randn(300, 4096, dtype=dtype, generator=torch.Generator().manual_seed(0)).clamp(-3, 3) * sizes[:, None]
    torch.set_flush_denormal(flushed)
    try:
        unit = unit_rows(rows)
    finally:
        torch.set_flush_denormal(False)
    norms = torch.linalg.vector_norm(unit.double(), dim=1)
    assert norms.max() <= 1 + (0.05 if flushed else 1e-5)
    assert (norms[sizes > 1e-16] - 1).abs().max() <= 1e-5


def spoiled(kind: str, k: int = 24, d: int = 4) -> np.ndarray:
    """Anchors that are finite, and that some formula divides by zero for."""
    rows = np.random.default_rng(2).normal(size=(k, d))
    first, half = np.arange(k)[:, None] == 0, np.arange(k)[:, None] < k // 2
    return {
        "two": rows[:2],
        "two vectors": np.repeat(rows[:2], k // 2, axis=0),
        "one differs": np.where(first, rows, 1.0),
        "rank one": rows[:, :1] * rows[:1],
        "constant columns": np.where(np.arange(d) > 0, 3.0, rows),
        "narrow": rows[:, :1],
        "an outlier": np.where(first, 1e13, 1.0) * rows,
        "some tiny": np.where(half, 1e-23, 1.0) * rows,
        "a zero row": np.where(first, 0.0, rows),
        "signs": np.sign(rows),
        "huge": 1e14 * rows,
        "tiny": 1e-13 * rows,
    }[kind]


KINDS = (
    *("two", "two vectors", "one differs", "rank one", "constant columns", "narrow", "an outlier", "some tiny"),
    *("a zero row", "signs", "huge", "tiny"),
)


@pytest.mark.filterwarnings("ignore")  # that such anchors are of little use
@pytest.mark.parametrize("method", ["kernel", "whitened", "pruned"])
@pytest.mark.parametrize("kind", KINDS)
def test_anchors_of_any_shape_make_finite_adapters(kind, method):
    rows = spoiled(kind)
    other = np.tanh(np.random.default_rng(3).normal(size=(len(rows), 3)))
    for source, target in ((rows, other), (other, rows)):
        adapter = IRPAdapter.from_anchors(source, target, method=method)
        assert all(tensor.isfinite().all() for tensor in adapter.parameters())
        assert math.isfinite(adapter.config.score)
        translated, expected = adapter.translate(np.concatenate([source, 0 * source]), return_confidence=True)
        assert np.isfinite(translated).all()
        assert np.isfinite(expected).all()
        for measure in adapter.evaluate(source, target).measures().values():
            assert math.isfinite(measure.mean + measure.low + measure.high)
