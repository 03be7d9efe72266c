"""Accelerate keeps tensors elsewhere between calls: an adapter must then work, or say what to do, and not die inside torch."""

import copy

import pytest
import torch
from accelerate import cpu_offload, disk_offload, dispatch_model
from says import says

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.errors import InputError

CPU = torch.device("cpu")


@pytest.fixture(params=["cpu", "disk", "dispatched", "loaded to disk"])
def offloaded(request, adapters, saved, tmp_path) -> IRPAdapter:
    """A kernel adapter whose tensors are fetched for each call."""
    if request.param == "loaded to disk":
        return IRPAdapter.from_pretrained(saved(), device_map={"": "disk"}, offload_folder=tmp_path / "offload")
    adapter = copy.deepcopy(adapters["kernel"])
    if request.param == "cpu":
        cpu_offload(adapter, CPU)
    elif request.param == "disk":
        disk_offload(adapter, tmp_path / "offload", CPU)
    else:
        dispatch_model(adapter, {"": "cpu"}, force_hooks=True)
    return adapter


def test_an_offloaded_adapter_gives_what_it_gave(offloaded, adapters, digits, tmp_path):
    x, plain = torch.from_numpy(digits.held_source[:20]), adapters["kernel"]
    for _ in range(2):  # the tensors go away again
        assert torch.equal(offloaded.translate(x), plain.translate(x))
        assert torch.equal(offloaded.confidence(x), plain.confidence(x))
        assert torch.equal(offloaded(embeddings=x).translated, plain.translate(x))
    assert offloaded.checksum() == plain.checksum()
    assert offloaded.source.checksum() == plain.source.checksum()
    assert (
        offloaded.half().reverse(method="kernel", gamma=1.0).checksum() == plain.reverse("kernel", gamma=1.0).checksum()
    )
    offloaded.save_pretrained(tmp_path / "again")
    assert torch.equal(IRPAdapter.from_pretrained(tmp_path / "again").translate(x), plain.translate(x))


def test_an_offloaded_space_has_both_halves(spaces, digits):
    space = copy.deepcopy(spaces[0])
    cpu_offload(space, CPU)
    x = digits.held_source[:5]
    assert (space.to_relative(x) == spaces[0].to_relative(x)).all()
    assert torch.equal(space.unit_anchors, spaces[0].unit_anchors)
    z = space.to_relative(x)
    assert (space.to_absolute(z) == spaces[0].to_absolute(z)).all()


def test_tensors_that_nothing_fetches_are_refused(adapters, spaces, saved, refusal, digits):
    x = torch.from_numpy(digits.held_source[:5])
    adapter, space = copy.deepcopy(adapters["kernel"]).to("meta"), copy.deepcopy(spaces[0]).to("meta")
    with torch.device("meta"):
        made = IRPAdapter(adapters["kernel"].config)
    uses = [
        adapter.translate,
        adapter.confidence,
        adapter,
        adapter.report,
        adapter.checksum,
        adapter.reverse,
        made.translate,
    ]
    uses += [space.to_relative, adapter.to, lambda: adapter.source, lambda: IRPAdapter.connect(space, space)]
    for use in uses:
        arguments = {"to": ("cpu",), "report": (), "checksum": (), "reverse": (), "<lambda>": ()}
        name = getattr(use, "__name__", "")
        assert says(refusal(use, *arguments.get(name, (x,)), error=InputError), "meta", "values")
    folders = saved(), saved("space")
    for device_map in ("meta", {"": "meta"}):
        for kind, folder in zip((IRPAdapter, AnchoredSpace), folders, strict=True):
            assert says(refusal(kind.from_pretrained, folder, device_map=device_map, error=InputError), "meta")
