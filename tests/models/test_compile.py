"""What torch makes of an adapter by compiling, exporting or tracing it gives the vectors that the adapter gives."""

import copy
import warnings

import numpy as np
import pytest
import torch

from irp_hf import IRPAdapter

RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.normal(size=(60, 8)).astype(np.float32)
TARGET = np.tanh(SOURCE @ RANDOM.normal(size=(8, 6)) / 3).astype(np.float32)
X = torch.from_numpy(RANDOM.normal(size=(10, 8)).astype(np.float32))
FITS = {
    "kernel": dict(method="kernel", gamma=1.0, ridge=1e-2, lift=0.0),
    "lifted": dict(method="whitened", balance=1.0, ridge=0.1, lift=1.0),
}


@pytest.fixture(params=FITS)
def adapter(request) -> IRPAdapter:
    torch._dynamo.reset()
    return IRPAdapter.from_anchors(SOURCE, TARGET, **FITS[request.param])


@pytest.mark.slow
def test_a_compiled_adapter_is_one_graph_and_gives_the_same(adapter):
    backend = "aot_eager"  # which traces all that "eager" does, and then what runs backwards
    compiled = torch.compile(adapter, backend=backend, fullgraph=True)
    want, sure = adapter.translate(X, return_confidence=True)
    assert torch.equal(compiled(embeddings=X).translated, want)
    both = compiled(X, return_confidence=True)
    assert torch.equal(both.translated, want)
    assert torch.equal(both.confidence, sure)
    assert torch.equal(compiled(X[:3]).translated, adapter(X[:3]).translated)
    assert torch.equal(compiled.translate(X), want)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(torch.compile(adapter, backend=backend)(X).translated, want)
    x = X.clone().requires_grad_()
    compiled(x).translated.sum().backward()
    plain = X.clone().requires_grad_()
    adapter(plain).translated.sum().backward()
    torch.testing.assert_close(x.grad, plain.grad)


@pytest.mark.slow
def test_inductor_gives_the_same_to_rounding(adapter):
    compiled = torch.compile(adapter)
    torch.testing.assert_close(compiled(X).translated, adapter(X).translated, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("strict", [False, True])
def test_an_exported_adapter_takes_any_number_of_rows(adapter, strict):
    rows = {"embeddings": {0: torch.export.Dim("rows")}}
    exported = torch.export.export(adapter, (X,), dynamic_shapes=rows, strict=strict).module()
    for count in (1, 5, 10):
        assert torch.equal(exported(X[:count]).translated, adapter(X[:count]).translated)


def test_a_traced_adapter_gives_the_same(adapter):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, of tracing
        traced = torch.jit.trace(adapter, X, strict=False)
    for count in (3, 10):
        rows = X[:count]
        torch.testing.assert_close(traced(rows)["translated"], adapter(rows).translated, rtol=1e-4, atol=1e-4)


class Translate(torch.nn.Module):
    """A user's own model that calls `translate`, as a part of it."""

    def __init__(self, adapter: IRPAdapter) -> None:
        super().__init__()
        self.adapter = adapter

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.adapter.translate(x), self.adapter.confidence(x)


@pytest.mark.slow
def test_translate_inside_of_another_model_is_traced_and_exported(adapter):
    """It writes into a buffer, which a trace forgets: what is left would be other vectors, without a word."""
    model = Translate(adapter)
    exported = torch.export.export(model, (X,), dynamic_shapes={"x": {0: torch.export.Dim("rows")}}).module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model, X)
    for count in (1, 10):
        for made in (exported, traced):
            for found, wanted in zip(made(X[:count]), model(X[:count]), strict=True):
                torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_values_are_checked_again_once_it_runs_by_itself(adapter, refusal):
    torch.export.export(adapter, (X,))
    broken = X.clone()
    broken[3, 1] = float("nan")
    assert "Row 3" in refusal(adapter, broken)
    assert "Row 3" in refusal(copy.deepcopy(adapter).translate, broken)


@pytest.mark.slow
def test_what_cannot_be_refused_in_a_graph_comes_out_as_nan(adapter, refusal):
    """A row that is no vector would come out as a plausible one."""
    model = Translate(adapter)
    exported = torch.export.export(model, (X,), dynamic_shapes={"x": {0: torch.export.Dim("rows")}}).module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model, X)
    compiled = torch.compile(adapter, backend="eager")
    others = torch.arange(len(X)) != 3
    for value in (float("nan"), float("inf"), -float("inf"), 1e30, 3e38):
        broken = X.clone()
        broken[3, 1] = value
        assert "Row 3" in refusal(adapter, broken)
        output = compiled(broken, return_confidence=True)
        for translated, sure in (exported(broken), traced(broken), (output.translated, output.confidence)):
            assert translated[3].isnan().all(), value
            assert sure[3].isnan(), value
            torch.testing.assert_close(translated[others], adapter(X).translated[others], rtol=1e-4, atol=1e-4)
        assert "Row 3" in refusal(compiled.translate, broken)


@pytest.mark.slow
@pytest.mark.parametrize("confidence", [False, True])
def test_an_onnx_file_gives_the_same_to_rounding(adapter, confidence, tmp_path):
    """What runs without torch, in a browser say, must not give other vectors."""
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    file = tmp_path / "adapter.onnx"
    shapes = {"embeddings": {0: "rows"}} | ({"return_confidence": None} if confidence else {})
    options = {"return_confidence": True} if confidence else {}
    torch.onnx.export(adapter, (X,), file, kwargs=options, dynamo=True, dynamic_shapes=shapes, verbose=False)
    session = runtime.InferenceSession(file)
    (name,) = [entry.name for entry in session.get_inputs()]
    for count in (1, 7):
        found = session.run(None, {name: X[:count].numpy()})
        want = adapter.translate(X[:count].numpy(), return_confidence=True)
        assert len(found) == 1 + confidence
        for one, other in zip(found, want, strict=False):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
