"""An adapter puts its translation together once; what is changed afterwards must not be answered by what was before."""

import copy
import pickle

import pytest
import torch

from irp_hf import IRPAdapter

K = 60


def _sides():
    """Anchors of both sides, and five rows of the source."""
    random = torch.Generator().manual_seed(0)
    source = torch.randn(K + 5, 8, generator=random)
    return source[:K], (source @ torch.randn(8, 6, generator=random)).tanh()[:K], source[K:]


@pytest.fixture(params=["whitened", "kernel"])
def adapter(request):
    return IRPAdapter.from_anchors(*_sides()[:2], method=request.param, ridge=0.1)  # computed in float32


@pytest.fixture
def rows():
    return _sides()[2]


def _afresh(adapter, rows):
    """What an adapter says that never translated before."""
    return pickle.loads(pickle.dumps(adapter)).translate(rows)


@pytest.mark.parametrize("how", ["in place", "through data", "another tensor", "another parameter"])
def test_changed_tensors_are_the_next_calls(adapter, rows, how):
    """Otherwise an adapter whose tensors were edited or loaded anew would go on with the old ones."""
    before = adapter.translate(rows)
    if how == "in place":
        with torch.no_grad():
            adapter.target_mean += 1
    elif how == "through data":
        adapter.target_mean.data += 1
    elif how == "another tensor":
        adapter.target_mean.data = adapter.target_mean.data + 1
    else:
        adapter.target_mean = torch.nn.Parameter(adapter.target_mean + 1, requires_grad=False)
    torch.testing.assert_close(adapter.translate(rows), before + 1)
    assert torch.equal(adapter.translate(rows), _afresh(adapter, rows))


def test_a_changed_state_dict_is_the_next_calls(adapter, rows):
    """`load_state_dict` writes in place: what follows must be the other adapter's answer."""
    adapter.translate(rows)
    state = {name: tensor + 0.5 if name == "target_mean" else tensor for name, tensor in adapter.state_dict().items()}
    adapter.load_state_dict(state)
    assert torch.equal(adapter.translate(rows), _afresh(adapter, rows))


def test_a_changed_configuration_is_the_next_calls(rows):
    """γ is no tensor, and the kept map holds it."""
    adapter = IRPAdapter.from_anchors(*_sides()[:2], method="kernel", gamma=1.0)
    before = adapter.translate(rows)
    adapter.config.gamma = 2.0
    assert not torch.equal(adapter.translate(rows), before)
    adapter.config.gamma = 1.0
    assert torch.equal(adapter.translate(rows), before)


def test_a_copy_keeps_nothing_of_the_original(adapter, rows):
    """A copy that held the original's tensors would change with it, and its pickle would be twice as large."""
    size = len(pickle.dumps(adapter))
    before = adapter.translate(rows)
    assert len(pickle.dumps(adapter)) == size
    other = copy.deepcopy(adapter)
    with torch.no_grad():
        adapter.target_mean += 1
    assert torch.equal(other.translate(rows), before)


def test_dtypes_take_turns(adapter, rows):
    """float32, float64 and half precision come from one adapter in any order."""
    single, double = adapter.translate(rows), adapter.translate(rows.double())
    assert double.dtype == torch.float64
    assert single.dtype == torch.float32
    adapter.translate(rows.half())
    assert torch.equal(adapter.translate(rows), single)
    assert torch.equal(adapter.translate(rows.double()), double)


def test_the_same_is_not_put_together_again(adapter, rows, monkeypatch):
    """One row at a time would take half as long again."""
    adapter.translate(rows)
    monkeypatch.setattr(IRPAdapter, "_translation_in", None)
    adapter.translate(rows)
    adapter.confidence(rows)
    adapter.translate(rows, return_confidence=True)
    adapter(embeddings=rows)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_tensors_of_another_dtype_are_the_next_calls(adapter, rows, dtype):
    """A float32 copy of them is made for each call: a kept one would answer with weights that were trained on since."""
    for tensor in adapter.parameters():
        tensor.data = tensor.data.to(dtype)
    before = adapter.translate(rows)
    with torch.no_grad():
        adapter.target_mean += 1
    torch.testing.assert_close(adapter.translate(rows), before + 1, atol=1e-2, rtol=0)


def test_a_functional_call_takes_its_own_tensors(adapter, rows):
    """`torch.func` puts other tensors into the model for one call; the next edit of them must count."""
    given = {name: tensor.detach().double().clone() for name, tensor in adapter.named_parameters()}
    before = torch.func.functional_call(adapter, given, (rows,)).translated
    given["target_mean"] += 1
    torch.testing.assert_close(torch.func.functional_call(adapter, given, (rows,)).translated, before + 1)
    given["target_mean"].requires_grad_()
    assert torch.func.functional_call(adapter, given, (rows,)).translated.requires_grad


def test_a_parametrized_tensor_is_made_anew(adapter, rows):
    """A parametrization computes the tensor at each use, from a parameter of another name."""

    class Shift(torch.nn.Module):
        by = 1.0

        def forward(self, tensor):
            return tensor + self.by

    before, shift = adapter.translate(rows), Shift()
    torch.nn.utils.parametrize.register_parametrization(adapter, "target_mean", shift)
    torch.testing.assert_close(adapter.translate(rows), before + 1)
    shift.by = 2.0
    torch.testing.assert_close(adapter.translate(rows), before + 2)
