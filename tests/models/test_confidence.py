"""Vectors and their confidence come in one pass, with the bits of two."""

import copy

import numpy as np
import pyarrow as pa
import pytest
import torch

from irp_hf import IRPAdapter
from irp_hf.errors import InputError
from irp_hf.maths import translation
from irp_hf.maths.selection import select


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_both_have_the_bits_of_each(adapter, digits, dtype):
    """If it fails, asking for the confidence changes the vectors, or the other way round."""
    x = digits.held_source.astype(dtype)
    translated, confidence = adapter.translate(x, return_confidence=True)
    assert np.array_equal(translated, adapter.translate(x))
    assert np.array_equal(confidence, adapter.confidence(x))
    assert translated.dtype == confidence.dtype == dtype


def test_chunks_kinds_and_out(adapter, digits):
    """If it fails, large input, Arrow columns or a memory map give other confidences, or none."""
    x = digits.held_source
    whole = adapter.confidence(x)
    out = np.empty((len(x), adapter.config.target_size), np.float32)
    translated, confidence = adapter.translate(x, out=out, chunk_size=7, return_confidence=True)
    assert translated is out
    np.testing.assert_array_equal(out, adapter.translate(x, chunk_size=7))
    np.testing.assert_allclose(confidence, whole, rtol=1e-5, atol=1e-6)
    _, arrow = adapter.translate(pa.array(list(x)), return_confidence=True)
    assert isinstance(arrow, pa.Array)
    np.testing.assert_array_equal(arrow, whole)
    half = torch.from_numpy(x[:5]).bfloat16()
    assert [found.dtype for found in adapter.translate(half, return_confidence=True)] == [torch.bfloat16] * 2


def test_forward_gives_both_and_gradients(adapter, digits):
    """If it fails, who trains an encoder through the adapter cannot weigh by confidence, or gets other vectors."""
    x = torch.from_numpy(digits.held_source[:6]).requires_grad_()
    plain, both = adapter(embeddings=x), adapter(embeddings=x, return_confidence=True)
    assert plain.confidence is None
    assert torch.equal(plain.translated, both.translated)
    assert torch.equal(both.confidence.detach(), adapter.confidence(x.detach()))
    (gradient,) = torch.autograd.grad(both.confidence.sum(), x)
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0
    half = adapter(embeddings=x.detach().half(), return_confidence=True)
    assert (half.translated.dtype, half.confidence.dtype) == (torch.float16, torch.float16)


def test_the_kernel_is_computed_once(adapters, digits, monkeypatch):
    """If it fails, vectors and confidence take 2.5 times as long as one of them."""
    calls, project = [], translation.relative_projection
    monkeypatch.setattr(translation, "relative_projection", lambda *args: (calls.append(1), project(*args))[1])
    monkeypatch.setattr(
        "irp_hf.maths.inverses.base.relative_projection", lambda *args: (calls.append(1), project(*args))[1]
    )
    adapters["kernel"].translate(digits.held_source[:10], return_confidence=True)
    assert len(calls) == 1
    adapters["kernel"].confidence(digits.held_source[:10])
    assert len(calls) == 2


def test_bad_rows_are_named(adapter, digits, refusal):
    """If it fails, NaN goes through where both are asked for."""
    x = digits.held_source[:5].copy()
    x[3, 2] = np.nan
    assert "Row 3" in refusal(adapter.translate, x, return_confidence=True, error=InputError)


def test_a_report_selects_nothing_twice(tuned, monkeypatch):
    """If it fails, `report()` takes as long as the fit took, again, or says something else than that of a loaded one."""
    with monkeypatch.context() as patched:
        patched.setattr("irp_hf.models.reports.select", lambda *args: pytest.fail("selected twice"))
        quick = tuned.report(progress=False, baselines=[])
    twin = copy.deepcopy(tuned)
    assert twin.fitted is None  # as in one that was loaded
    assert twin.report(progress=False, baselines=[]).untimed() == quick.untimed()


def test_a_report_chooses_again_what_was_chosen_otherwise(digits, monkeypatch):
    """If it fails, the table compares inverses that had hyper-parameters fixed, or were chosen by another head."""
    selected = []

    def recorded(pairs, methods, *args):
        selected.extend(methods)
        return select(pairs, methods, *args)

    monkeypatch.setattr("irp_hf.models.reports.select", recorded)
    sides = digits.source[:20], digits.target[:20]
    for options, head, expected in (
        ({"method": "kernel"}, None, ["whitened", "rigid", "pruned"]),
        ({"method": "kernel", "gamma": 1.0}, None, ["whitened", "rigid", "pruned"]),
        ({"balance": 0.5}, None, 3),
        ({"objective": "agreement", "head": first_half}, first_half, 4),  # its weights may have changed since
        ({"objective": "agreement", "head": first_half}, None, 4),
    ):
        selected.clear()
        IRPAdapter.from_anchors(*sides, **options).report(head, progress=False, baselines=[])
        assert (selected if isinstance(expected, list) else len(selected)) == expected, options


def test_a_report_speaks_of_the_adapter_as_it_is(digits):
    """If it fails, an adapter that was given other tensors after the fit is praised for the old ones."""
    options = {"method": "kernel", "gamma": 1.0, "ridge": 0.1, "lift": 0.0}
    fitted, other = (
        IRPAdapter.from_anchors(digits.source[rows], digits.target[rows], **options)
        for rows in (slice(30), slice(30, 60))
    )
    fitted.load_state_dict(other.state_dict())
    report, fresh = (one.report(progress=False, baselines=[]).untimed() for one in (fitted, copy.deepcopy(fitted)))
    assert report == fresh


def test_more_landmarks_than_anchors(digits):
    """If it fails, a report names so many landmarks as were asked for, and that of the loaded adapter as many as there are."""
    adapter = IRPAdapter.from_anchors(digits.source[:30], digits.target[:30], method="kernel", num_landmarks=1000)
    quick = adapter.report(progress=False, baselines=[]).untimed()
    assert quick == copy.deepcopy(adapter).report(progress=False, baselines=[]).untimed()
    assert "num_landmarks=30" in str(quick)


def first_half(vectors):
    return vectors[:, :12]
