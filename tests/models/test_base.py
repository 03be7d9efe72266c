"""What was saved is what is loaded, bit for bit; nothing that a caller asks for changes it, and no save destroys it."""

import copy
import os
import pickle

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, PreTrainedModel

import irp_hf.models.fitting
from irp_hf import AnchoredSpace, IRPAdapter, IRPConfig
from irp_hf.errors import DamagedFolderError, InputError
from irp_hf.models.base import WEIGHTS


def same(first, second, x):
    np.testing.assert_array_equal(first.translate(x), second.translate(x))
    np.testing.assert_array_equal(first.confidence(x), second.confidence(x))
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and torch.equal(s, t) and t.dtype == torch.float32 for (a, s), (b, t) in pairs)


def test_what_is_loaded_is_what_was_saved(adapter, tmp_path, digits, monkeypatch):
    """Loading would fit again, or change a bit: what a user measured would no longer hold."""
    adapter.save_pretrained(tmp_path)
    for name in ("choose", "calibrate"):
        monkeypatch.setattr(irp_hf.models.fitting, name, lambda *args: pytest.fail("a fit began"))
    loaded = IRPAdapter.from_pretrained(tmp_path)
    assert same(loaded, adapter, digits.held_source)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert not loaded.training
    stored, fitted = (repr(sorted(model.config.to_diff_dict().items())) for model in (loaded, adapter))
    assert stored == fitted
    assert same(IRPAdapter.from_pretrained(str(tmp_path)), adapter, digits.held_source)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "hub_code.py", WEIGHTS]


@pytest.mark.parametrize("options", [{"variant": "fp16"}, {"max_shard_size": 1000}, {"distributed_checkpoint": True}])
def test_whatever_is_asked_for_one_file_is_written(options, adapters, tmp_path, digits):
    """A save would fail at its end, or write files that nothing loads."""
    adapters["kernel"].save_pretrained(tmp_path, **options)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "hub_code.py", WEIGHTS]
    assert same(IRPAdapter.from_pretrained(tmp_path), adapters["kernel"], digits.held_source)


def test_a_second_generation_is_the_same_file(saved, tmp_path):
    """Each save and load would wear something off."""
    folder = saved()
    IRPAdapter.from_pretrained(folder).save_pretrained(tmp_path / "again")
    for name in ("config.json", WEIGHTS):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_auto_classes_know_both_models(saved):
    """`AutoModel.from_pretrained`, and with it the pipeline, would not find the models."""
    adapter = AutoModel.from_pretrained(saved("kernel"))
    space = AutoModel.from_pretrained(saved("space"))
    assert (type(adapter), type(space)) == (IRPAdapter, AnchoredSpace)
    assert type(AutoConfig.from_pretrained(saved("pruned"))) is IRPConfig


def test_a_misspelt_keyword_is_named(saved, refusal):
    """The folder would be called damaged."""
    assert "'devicemap'" in refusal(IRPAdapter.from_pretrained, saved(), devicemap="cpu", error=InputError)


@pytest.mark.parametrize("loader", [IRPAdapter, AutoModel])
@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "bfloat16"},
        {"dtype": torch.float16},
        {"torch_dtype": torch.float64},
        {"dtype": "auto"},
        {"device_map": "cpu"},
        {"low_cpu_mem_usage": True},
        {"ignore_mismatched_sizes": True},
    ],
    ids=str,
)
def test_whatever_is_asked_for_the_tensors_stay(loader, options, saved, adapters, digits):
    """Anchors in half precision translate otherwise: `dtype="bfloat16"` would degrade all silently."""
    loaded = loader.from_pretrained(saved(), **options)
    assert same(loaded, adapters["kernel"], digits.held_source)
    assert loaded.dtype == torch.float32


@pytest.mark.parametrize(
    "cast",
    [
        lambda model: model.half(),
        lambda model: model.bfloat16(),
        lambda model: model.double(),
        lambda model: model.float(),
        lambda model: model.to(torch.bfloat16),
        lambda model: model.to("cpu", torch.float16),
        lambda model: model.to(torch.zeros(1, dtype=torch.float16)),
        lambda model: model.type(torch.float64),
        lambda model: torch.nn.Sequential(model).half()[0],
        lambda model: copy.deepcopy(model).half(),
        lambda model: pickle.loads(pickle.dumps(model)),
        lambda model: model.eval().requires_grad_(False),
    ],
)
def test_casts_leave_the_tensors(cast, adapter, digits):
    """A stitched model in half precision would cast its adapter with it."""
    model = cast(copy.deepcopy(adapter))
    assert same(model, adapter, digits.held_source)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_moves_are_followed(adapter):
    """The adapter would stay on the CPU beside an encoder on a GPU."""
    model = copy.deepcopy(adapter).to("meta", torch.bfloat16)
    assert {(tensor.device.type, tensor.dtype) for tensor in model.state_dict().values()} == {("meta", torch.float32)}
    assert model.device.type == "meta"
    assert copy.deepcopy(adapter).to("meta").config.to_dict() == adapter.config.to_dict()


def test_the_state_can_be_handed_on(adapter, digits):
    """`state_dict` and `load_state_dict`, the way of plain torch, would lose something."""
    twin = IRPAdapter(copy.deepcopy(adapter.config))
    assert twin.load_state_dict(adapter.state_dict()) == ([], [])
    assert same(twin, adapter, digits.held_source)
    assert twin.checksum() == adapter.checksum()


def test_the_checksum_sees_every_bit(adapters):
    """A changed tensor, name or γ would pass for the saved one."""
    twin = copy.deepcopy(adapters["kernel"])
    sums = {twin.checksum()}
    for name, tensor in twin.state_dict().items():
        flat = tensor.view(-1)
        before = flat[-1].clone()
        flat[-1] = torch.nextafter(before, torch.tensor(torch.inf))
        sums.add(twin.checksum())
        flat[-1] = before
        assert name in twin.state_dict()
    assert twin.checksum() == adapters["kernel"].checksum()
    twin.config.gamma = 1.25
    sums.add(twin.checksum())
    assert len(sums) == len(twin.state_dict()) + 2


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_an_interrupted_save_leaves_the_old_folder(error, saved, adapters, digits, monkeypatch):
    """A full disk or Ctrl-C would destroy the adapter that was there."""
    folder = saved("kernel")
    whole_save = PreTrainedModel.save_pretrained

    def broken(self, place, **options):
        whole_save(self, place, **options)
        os.truncate(place / WEIGHTS, 100)
        raise error

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", broken)
    other, seen = copy.deepcopy(adapters["whitened"]), InputError if error is OSError else error
    with pytest.raises(seen):
        other.save_pretrained(folder)
    with pytest.raises(seen):
        other.save_pretrained(folder.with_name("new"))
    monkeypatch.undo()
    assert same(IRPAdapter.from_pretrained(folder), adapters["kernel"], digits.held_source)
    assert [left.name for left in folder.parent.iterdir()] == ["kernel"]


def test_a_save_replaces_what_is_ours_and_keeps_what_is_not(saved, adapters, digits):
    """A hand-written card would be lost, or tensors of two adapters be mixed."""
    folder = saved("kernel")
    (folder / "README.md").write_text("# by hand")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("main")
    adapters["pruned"].save_pretrained(folder)
    assert same(IRPAdapter.from_pretrained(folder), adapters["pruned"], digits.held_source)
    assert (folder / "README.md").read_text() == "# by hand"
    assert (folder / ".git" / "HEAD").read_text() == "main"


def test_a_save_onto_a_file_is_refused(tmp_path, adapters, refusal):
    """The file would be lost."""
    (tmp_path / "file").write_text("mine")
    refusal(adapters["pruned"].save_pretrained, tmp_path / "file", error=InputError)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_subfolder_is_checked_too(saved, adapters, digits, refusal):
    """The checks would look at the folder above."""
    folder = saved("kernel")
    loaded = IRPAdapter.from_pretrained(folder.parent, subfolder="kernel")
    assert same(loaded, adapters["kernel"], digits.held_source)
    words = refusal(IRPAdapter.from_pretrained, folder, subfolder="x", error=DamagedFolderError)
    assert words.startswith(f"{folder / 'x'}: ")
    assert "config.json" in words
    for subfolder in (3, "../kernel", "/"):
        words = refusal(IRPAdapter.from_pretrained, folder.parent, subfolder=subfolder, error=InputError)
        assert words.startswith("subfolder: ")
        assert repr(subfolder) in words


def test_the_loading_info_is_given_where_it_is_asked_for(saved):
    """Callers of transformers unpack two values."""
    model, info = IRPAdapter.from_pretrained(saved(), output_loading_info=True)
    assert isinstance(model, IRPAdapter)
    assert not info["missing_keys"]
