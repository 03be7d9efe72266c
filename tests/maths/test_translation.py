"""The folded map at work: any kind, dtype and chunk size; nothing is written before all is checked."""

import datasets
import numpy as np
import pyarrow as pa
import pytest
import torch

from irp_hf import IRPAdapter
from irp_hf.errors import InputError

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
TOLERANCE = {torch.float16: 5e-3, torch.bfloat16: 4e-2, torch.float32: 1e-4, torch.float64: 1e-4}


def by_hand(adapter: IRPAdapter, x: np.ndarray) -> np.ndarray:
    """The translation from the stored tensors, in plain numpy."""
    stored = {name: tensor.double().numpy() for name, tensor in adapter.state_dict().items()}
    rows = x - stored["source_mean"]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    if adapter.config.method == "kernel":
        similarity = np.exp(adapter.config.gamma * (rows @ stored["landmarks"].T - 1))
        directions = similarity @ stored["coefficients"] + stored["intercept"]
    else:
        directions = rows @ stored["weight"]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions * stored["target_scale"] + stored["target_mean"]


def test_a_translation_is_the_papers(adapter, digits):
    """Centre, project, invert, scale, shift: one of them would be missing or out of order."""
    x = digits.held_source.astype(np.float64)
    np.testing.assert_allclose(adapter.translate(x), by_hand(adapter, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
def test_torch_keeps_its_dtype(adapter, digits, dtype):
    """Half precision in would not be half precision out, or be computed in half precision."""
    x = torch.from_numpy(digits.held_source[:50]).to(dtype)
    made = adapter.translate(x)
    assert made.dtype == dtype
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(made.double(), by_hand(adapter, x.double().numpy()), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_numpy_and_arrow_keep_their_kind_and_dtype(adapter, digits, dtype):
    """A column of an index would change its type."""
    x = digits.held_source[:20].astype(dtype)
    made = adapter.translate(x)
    assert (type(made), made.dtype, made.shape) == (np.ndarray, dtype, (20, 24))
    column = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), x.shape[1])
    for arrow in (column, pa.chunked_array([column[:7], column[7:]])):
        translated = adapter.translate(arrow)
        assert translated.type == pa.list_(pa.from_numpy_dtype(dtype), 24)
        np.testing.assert_array_equal(translated.flatten().to_numpy(zero_copy_only=False), made.reshape(-1))


def test_lists_and_columns_give_arrays(adapter, digits):
    """What `datasets` holds, plain or formatted, would not translate."""
    x = digits.held_source[:20]
    made = adapter.translate(x.astype(np.float64))
    np.testing.assert_array_equal(adapter.translate(x.astype(np.float64).tolist()), made)
    features = datasets.Features({"e": datasets.List(datasets.Value("float32"), length=64)})
    dataset = datasets.Dataset.from_dict({"e": x}, features=features)
    for kind in (None, "numpy", "torch"):
        np.testing.assert_array_equal(adapter.translate(dataset.with_format(kind)["e"]), adapter.translate(x))


@pytest.mark.parametrize("chunk_size", [None, 1, 2, 7, 99, 100, np.int64(64), 10**9])
def test_any_chunk_size_gives_the_same(adapter, digits, chunk_size):
    """Rows would be lost, doubled or mixed at the seams."""
    x = digits.held_source[:100]
    expected = adapter.translate(x)
    np.testing.assert_allclose(adapter.translate(x, chunk_size=chunk_size), expected, rtol=1e-4, atol=1e-4)
    expected = adapter.confidence(x)
    np.testing.assert_allclose(adapter.confidence(x, chunk_size=chunk_size), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("chunk_size", [0, -1, 2.5, "8", True, np.nan])
def test_a_chunk_size_that_cannot_be_is_refused(adapter, digits, chunk_size, refusal):
    """A negative one would skip all work and return memory that nobody wrote."""
    for call in (adapter.translate, adapter.confidence):
        words = refusal(call, digits.held_source, chunk_size=chunk_size, error=InputError)
        assert words.startswith("chunk_size: ")
        assert f"got {chunk_size!r}. " in words


def test_one_row(adapter, digits):
    """A single vector is the commonest query."""
    made = adapter.translate(digits.held_source[:1])
    np.testing.assert_allclose(made, adapter.translate(digits.held_source)[:1], rtol=1e-4, atol=1e-4)


def test_views_are_read_as_they_are(adapter, digits):
    """Strides would be ignored, or the caller's array changed."""
    x = digits.held_source[:40]
    expected = adapter.translate(x)
    wide = np.repeat(x, 2, axis=1)
    read_only = x.copy()
    read_only.flags.writeable = False
    for view in (wide[:, ::2], np.asfortranarray(x), x[::-1].copy()[::-1], read_only):
        np.testing.assert_array_equal(adapter.translate(view), expected)
    transposed = torch.from_numpy(x.T.copy()).T
    np.testing.assert_allclose(adapter.translate(transposed), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(read_only, x)


def test_memory_maps_in_and_out(adapter, digits, tmp_path):
    """An index larger than memory could not be translated."""
    np.save(tmp_path / "x.npy", digits.held_source)
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    out = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", np.float32, (400, 24))
    assert adapter.translate(x, out=out, chunk_size=64) is out
    out.flush()
    expected = adapter.translate(digits.held_source, chunk_size=64)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)


def test_out_takes_tensors_and_views(adapter, digits):
    """The result would go to a copy of `out`, and `out` stay empty."""
    x = digits.held_source[:10]
    expected = adapter.translate(x)
    tensor = torch.zeros(10, 24)
    assert adapter.translate(torch.from_numpy(x), out=tensor) is tensor
    np.testing.assert_array_equal(tensor, expected)
    large = np.zeros((20, 48), np.float32)
    adapter.translate(x, out=large[::2, ::2])
    np.testing.assert_array_equal(large[::2, ::2], expected)
    assert not large[1::2].any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38])
@pytest.mark.parametrize("row", [0, 399])
def test_nothing_is_written_before_all_is_checked(adapter, digits, row, value, refusal):
    """A bad row in a late chunk would leave half an index overwritten."""
    x = digits.held_source.copy()
    x[row, 3] = value
    out = np.full((400, 24), 7, np.float32)
    what = {True: "NaN", False: "infinity"}[np.isnan(value)] if not np.isfinite(value) else "1e+38"
    words = refusal(adapter.translate, x, out=out, chunk_size=32, error=InputError)
    assert all(part in words for part in ("embeddings", what, f"Row {row} of")), words
    assert (out == 7).all()
    for call in (adapter.translate, adapter.confidence):
        assert refusal(call, x, chunk_size=32, error=InputError) == words


READ_ONLY = np.zeros((5, 24), np.float32)
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("out", "said"),
    [
        (np.zeros((4, 24), np.float32), ["(4, 24)", "(5, 24)"]),
        (np.zeros((5, 24)), ["float64", "float32"]),
        (torch.zeros(5, 24).half(), ["float16", "float32"]),
        (np.zeros((5, 24), ">f4"), [">f4", "float32"]),
        (np.zeros((5, 24), np.float32)[::-1], ["(5, 24)", "float32"]),
        ([[0.0] * 24] * 5, ["list", "(5, 24)"]),
        ("y.npy", ["str", "(5, 24)"]),
        (READ_ONLY, ["read-only"]),
    ],
    ids=["shape", "dtype", "torch dtype", "byte order", "backwards", "list", "str", "read-only"],
)
def test_an_out_that_cannot_take_the_result_is_refused(adapters, digits, out, said, refusal):
    """The result would be cast, cut or lost; in a read-only memory map the process would crash."""
    words = refusal(adapters["pruned"].translate, digits.held_source[:5], out=out, error=InputError)
    assert words.startswith("out: ")
    assert all(part in words for part in said), words


def test_half_precision_that_cannot_hold_the_target_is_refused(digits, refusal):
    """Vectors of infinity would be written."""
    adapter = IRPAdapter.from_anchors(digits.source, digits.target * 1e5, "whitened", balance=0.5, ridge=0.1)
    x, out = digits.held_source.astype(np.float16), np.zeros((400, 24), np.float16)
    words = refusal(adapter.translate, x, out=out, error=InputError)
    assert all(part in words for part in ("embeddings", "float16", "65504", "float32")), words
    assert not out.any()
    assert np.isfinite(adapter.translate(digits.held_source)).all()
    assert np.isfinite(adapter.confidence(x)).all()


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6, 1e12])
def test_far_inputs_translate_as_their_direction(adapter, digits, scale):
    """Norms would overflow or vanish in float32, and every translation silently be the target's mean."""
    mean = adapter.source_mean.numpy()
    x = (digits.held_source[:30] - mean) * max(scale, 1e-3) + mean
    expected = by_hand(adapter, x.astype(np.float64))
    np.testing.assert_allclose(adapter.translate(x), expected, rtol=2e-3, atol=2e-3)
    far = IRPAdapter.from_anchors(digits.source * scale, digits.target / scale, **_options(adapter))
    made = far.translate(digits.held_source * np.float32(scale)) * scale
    np.testing.assert_allclose(made, adapter.translate(digits.held_source), rtol=2e-3, atol=2e-3)


def _options(adapter: IRPAdapter) -> dict[str, object]:
    config = adapter.config
    options = {name: getattr(config, name) for name in config.given}
    return {"method": config.method, **options}


def test_the_mean_itself_has_no_direction(adapter):
    """A vector at the centre would be divided by zero."""
    made = adapter.translate(adapter.source_mean[None].double())
    assert torch.isfinite(made).all()
    assert torch.isfinite(adapter.confidence(adapter.source_mean[None])).all()
    assert torch.isfinite(adapter.translate(torch.zeros(3, 64))).all()


def test_translated_vectors_have_the_targets_mean_scale(adapter, digits):
    """A head would get vectors of another size than it was trained on."""
    made = adapter.translate(digits.held_source.astype(np.float64)) - adapter.target_mean.double().numpy()
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), float(adapter.target_scale), rtol=1e-6)


def test_the_input_is_not_changed(adapter, digits):
    """The kernel works in place, but on its own numbers."""
    x = torch.from_numpy(digits.held_source.copy())
    adapter.translate(x)
    adapter.confidence(x)
    adapter(embeddings=x)
    np.testing.assert_array_equal(x, digits.held_source)


def test_an_out_that_shares_memory_is_refused(adapter, digits, refusal):
    """If it fails, later chunks read what earlier ones wrote: wrong vectors and no error."""
    width = adapter.config.source_size
    if adapter.config.target_size != width:
        buffer = np.zeros((60, max(width, adapter.config.target_size)), dtype=np.float32)
        x, out = buffer[:50, :width], buffer[1:51, : adapter.config.target_size]
    else:
        buffer = np.zeros((51, width), dtype=np.float32)
        x, out = buffer[:50], buffer[1:]
    x[:] = digits.held_source[:50]
    assert "memory" in refusal(adapter.translate, x, out=out, error=InputError)
    strange = np.lib.stride_tricks.as_strided(np.zeros(400, np.float32), (50, adapter.config.target_size), (4, 4))
    assert "memory" in refusal(adapter.translate, digits.held_source[:50], out=strange, error=InputError)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_forward_refuses_what_translate_refuses(adapter, digits, value, refusal):
    """If it fails, NaN passes through a pipeline unseen."""
    x = torch.tensor(digits.held_source[:3])
    x[1, 0] = value
    assert "Row 1 of embeddings" in refusal(adapter, embeddings=x, error=InputError)
