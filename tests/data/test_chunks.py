"""Where results go: memory that fits, of its own, and untouched until all input is checked."""

import numpy as np
import pytest
import torch
from says import says

from irp_hf import IRPAdapter
from irp_hf.data.arrays import Rows
from irp_hf.data.chunks import output_buffer, refuse_overflow, run
from irp_hf.errors import InputError

X = np.random.RandomState(0).randn(7, 4).astype(np.float32)
CPU = torch.device("cpu")


def double(x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    return torch.mul(x, 2, out=out)


@pytest.mark.parametrize("chunk_size", [None, 1, 3, np.int64(7), 100])
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_chunks_change_nothing(chunk_size, kind):
    """If it fails, rows are lost or doubled where chunks meet."""
    rows, out = Rows(X.astype(kind)), np.zeros((7, 4), kind)
    for given in (None, out):
        result = run(rows, double, (4,), CPU, rows.dtype, chunk_size, given)
        np.testing.assert_array_equal(result, 2 * X.astype(kind))
    np.testing.assert_array_equal(out, result)


@pytest.mark.parametrize("chunk_size", [0, -1, 2.0, 2.5, True, "7", [7]])
def test_a_chunk_size_is_a_whole_number(chunk_size, refusal):
    """If it fails, a bare TypeError, or nothing is computed."""
    rows = Rows(X)
    text = refusal(run, rows, double, (4,), CPU, torch.float32, chunk_size, error=InputError)
    assert says(text, "chunk_size", "at least 1", repr(chunk_size))


READ_ONLY = np.zeros((7, 3), np.float32)
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (np.zeros((7, 4), np.float32), ["(7, 3)", "(7, 4)"]),
        (np.zeros((7, 3)), ["float32", "float64"]),
        (np.zeros((7, 3), ">f4"), ["float32", ">f4"]),
        (torch.zeros(3, 7), ["(7, 3)", "(3, 7)"]),
        ([[0.0] * 3] * 7, ["a list"]),
        ("out.npy", ["a str"]),
        (READ_ONLY, ["read-only", "'r+'"]),
        (np.broadcast_to(np.zeros(3, np.float32), (7, 3)), ["read-only"]),
        (torch.zeros(3).expand(7, 3), ["memory of its own"]),
    ],
)
def test_memory_that_does_not_fit(out, words, refusal):
    """If it fails, a result is cut, cast or written over itself, or a bare error comes from torch."""
    text = refusal(output_buffer, Rows(X), out, (3,), error=InputError)
    assert text.startswith("out: ")
    assert says(text, *words)


def test_memory_of_the_input_itself(refusal):
    """If it fails, rows that are still to be read are written over."""
    x = X.copy()
    assert says(refusal(output_buffer, Rows(x), x, (4,), error=InputError), "memory of its own")


def test_input_is_checked_before_anything_is_written(refusal):
    """If it fails, a bad row is found when half of a user's array is written over."""
    x, out = X.copy(), np.ones((7, 4), np.float32)
    x[6, 0] = np.nan
    assert says(refusal(output_buffer, Rows(x), out, (4,), error=InputError), "Row 6", "NaN")
    assert (out == 1).all()


def test_half_precision_that_overflows(refusal):
    """If it fails, infinities stand in a result of float16."""
    mean, scale = torch.full((4,), 60_000.0), torch.tensor(7_000.0)
    refuse_overflow(Rows(X), mean, scale)
    text = refusal(refuse_overflow, Rows(X.astype(np.float16)), mean, scale, error=InputError)
    assert says(text, "float16", "6.7e+04")


def test_a_path_for_the_result_is_told_the_call_that_makes_a_file(tmp_path, refusal):
    """The advice runs as it stands, and the result goes into the file."""
    x, adapter = np.ones((5, 3), np.float32), IRPAdapter.from_anchors(np.eye(3).repeat(3, 0), np.eye(3).repeat(3, 0))
    path = tmp_path / "o.npy"
    for given in (path, str(path)):
        text = refusal(adapter.translate, x, out=given)
        call = text[text.index("np.lib") :].rstrip(".")
        wanted = adapter.translate(x, out=eval(call))
        assert np.array_equal(np.load(path), wanted)
