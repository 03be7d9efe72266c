"""What was saved is what is loaded, bit for bit, or nothing is; no code in a folder ever runs."""

import copy
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, PreTrainedModel

import irp_hf.fitting
from irp_hf import AnchoredSpace, IRPAdapter, IRPConfig
from irp_hf.errors import DamagedFolderError, InputError
from irp_hf.pretrained import WEIGHTS

# Nothing optional may be needed to load and to translate.
FRESH = """
import sys
optional = ("sklearn", "scipy", "matplotlib", "pandas", "sentence_transformers", "pytest")
sys.modules.update(dict.fromkeys(optional))
import numpy as np, torch
torch.set_num_threads(1)
from transformers import AutoModel
import irp_hf
root = sys.argv[1]
x = np.load(f"{root}/x.npy")
for method in sys.argv[2:]:
    adapter = AutoModel.from_pretrained(f"{root}/{method}")
    np.save(f"{root}/{method}.npy", np.c_[adapter.translate(x), adapter.confidence(x)])
"""


def flip(position):
    def edit(folder):
        content = bytearray((folder / WEIGHTS).read_bytes())
        content[position] ^= 1
        (folder / WEIGHTS).write_bytes(content)

    return edit


def cut(share):
    return lambda folder: os.truncate(folder / WEIGHTS, int(os.path.getsize(folder / WEIGHTS) * share))


def tensors(change):
    def edit(folder):
        content = load_file(folder / WEIGHTS)
        change(content)
        save_file(content, folder / WEIGHTS, metadata={"format": "pt"})

    return edit


def write(text):
    return lambda folder: (folder / "config.json").write_bytes(text)


def config(**fields):
    def edit(folder):
        content = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**content, **fields}))

    return edit


def index_of_nothing(folder):
    (folder / WEIGHTS).unlink()
    (folder / f"{WEIGHTS}.index.json").write_text("{}")


CHECKSUM = "its tensors or its configuration are not those that were saved (the checksum differs)"
DAMAGE = {
    "truncated": (cut(0.9), None),
    "emptied": (cut(0), None),
    "header cut": (cut(0.001), None),
    "length flipped": (flip(0), None),
    "header flipped": (flip(60), None),
    "last number flipped": (flip(-1), CHECKSUM),
    "a tensor altered": (tensors(lambda t: t["landmarks"].mul_(2)), CHECKSUM),
    "NaN": (tensors(lambda t: t["coefficients"].fill_(torch.nan)), CHECKSUM),
    "another precision": (tensors(lambda t: t.update(landmarks=t["landmarks"].half())), CHECKSUM),
    "a tensor missing": (
        tensors(lambda t: t.pop("landmarks")),
        "its tensors do not fit its config.json (missing keys: landmarks)",
    ),
    "a tensor too many": (
        tensors(lambda t: t.update(other=torch.ones(2))),
        "its tensors do not fit its config.json (unexpected keys: other)",
    ),
    "another shape": (
        tensors(lambda t: t.update(intercept=torch.ones(3))),
        "its tensors do not fit its config.json (mismatched keys: intercept)",
    ),
    "another number of anchors": (
        config(num_anchors=119),
        "its tensors do not fit its config.json (mismatched keys: source_anchors, target_anchors)",
    ),
    "another method": (
        config(method="whitened"),
        "its tensors do not fit its config.json (missing keys: weight)",
    ),
    "another gamma": (config(gamma=1.5), CHECKSUM),
    "no gamma": (config(gamma=None), CHECKSUM),
    "no checksum": (config(weights_sha256=None), CHECKSUM),
    "another checksum": (config(weights_sha256="abc"), CHECKSUM),
    "an unknown method": (config(method="foo"), None),
    "a negative size": (config(source_size=-1), None),
    "a size in words": (config(source_size="64"), None),
    "gamma in words": (config(gamma="x"), None),
    "an encoder in words": (config(source_encoder="me/encoder"), None),
    "no JSON": (write(b'{"model_type": '), None),
    "no text": (write(b"\xff\xfe"), None),
    "an empty config": (write(b""), None),
    "a list": (write(b"[1]"), "its config.json is no JSON object"),
    "a config of nothing": (write(b'{"model_type": "irp_adapter"}'), None),
    "weights gone": (lambda folder: (folder / WEIGHTS).unlink(), f"it has no {WEIGHTS}"),
    "config gone": (lambda folder: (folder / "config.json").unlink(), "it has no config.json"),
    "an index of nothing": (index_of_nothing, None),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_refused(damage, saved, refusal):
    """A download that broke, or an edit by hand, would translate into noise."""
    edit, what = DAMAGE[damage]
    folder = saved()
    edit(folder)
    words = refusal(IRPAdapter.from_pretrained, folder, error=DamagedFolderError)
    assert words.startswith(f"{folder} cannot be loaded: ")
    assert words.endswith(". Save or download it again.")
    assert what is None or words == f"{folder} cannot be loaded: {what}. Save or download it again."


@pytest.mark.parametrize("field", [None, b"{}", b'{"model_type": "bert"}'])
def test_a_folder_of_another_model_is_refused(field, saved, refusal):
    """A user who mixes up two folders would read about missing keys."""
    adapter, space = saved("kernel"), saved("space")
    assert refusal(IRPAdapter.from_pretrained, space, error=DamagedFolderError) == (
        f"{space} holds a model of type 'irp_anchored_space'; 'irp_adapter' is wanted. Load it with "
        "AutoModel.from_pretrained or name another folder."
    )
    if field is not None:
        write(field)(adapter)
    words = refusal(AnchoredSpace.from_pretrained, adapter, error=DamagedFolderError)
    assert words.startswith(f"{adapter} holds a model of type ")
    assert "; 'irp_anchored_space' is wanted. " in words


@pytest.mark.parametrize("name", ["nothing", "a/b/c", WEIGHTS])
def test_a_folder_that_is_not_there(name, saved, refusal):
    """A typing error in a path would be looked up on the Hub, and end in words about repo ids."""
    place = saved() / name
    assert refusal(IRPAdapter.from_pretrained, place, error=DamagedFolderError) == (
        f"There is no folder {place}. Name one, or an id on the Hub, user/name."
    )


@pytest.mark.parametrize("place", ["nothing", "./nothing", "../nothing", "~/nothing", "a/b/c"])
def test_a_path_is_no_id(place, refusal):
    """The same for relative paths."""
    refusal(IRPAdapter.from_pretrained, place, error=DamagedFolderError)


@pytest.mark.parametrize("place", [None, 3, "", b"x", ["a"]])
def test_a_place_that_is_none(place, refusal):
    """`None` would be looked up on the Hub as a model of that name."""
    assert refusal(IRPAdapter.from_pretrained, place, error=InputError) == (
        f"The place to load from is {place!r}; a folder or an id on the Hub is wanted. Name one of them."
    )


class Trap:
    """Whoever unpickles it makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "adapter.pkl", "x.ckpt", WEIGHTS])
@pytest.mark.parametrize("loader", [IRPAdapter, AutoModel])
@pytest.mark.parametrize("options", [{}, {"use_safetensors": False}])
def test_pickled_code_never_runs(name, loader, options, saved, tmp_path, refusal):
    """Whoever publishes a folder could run code on the machine of whoever loads it."""
    folder, marker = saved(), tmp_path / "trapped"
    (folder / WEIGHTS).unlink()
    (folder / name).write_bytes(pickle.dumps(Trap(marker)))
    words = refusal(loader.from_pretrained, folder, error=DamagedFolderError, **options)
    if name != WEIGHTS:
        assert f"it has no {WEIGHTS}; {name} may hold pickled code and is not read. " in words
    assert not marker.exists()
    pickle.loads((folder / name).read_bytes())
    assert marker.exists()  # the trap works


def test_code_beside_the_weights_never_runs(saved, tmp_path, digits, adapters):
    """An `auto_map` in the configuration would import a file of the folder."""
    folder, marker = saved(), tmp_path / "trapped"
    config(auto_map={"AutoModel": "trap.Trap", "AutoConfig": "trap.Trap"})(folder)
    (folder / "trap.py").write_text(f"import os; os.mkdir({str(marker)!r})")
    loaded = IRPAdapter.from_pretrained(folder)
    np.testing.assert_array_equal(loaded.translate(digits.source), adapters["kernel"].translate(digits.source))
    assert not marker.exists()


def same(first, second, x):
    np.testing.assert_array_equal(first.translate(x), second.translate(x))
    np.testing.assert_array_equal(first.confidence(x), second.confidence(x))
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and torch.equal(s, t) and t.dtype == torch.float32 for (a, s), (b, t) in pairs)


def test_what_is_loaded_is_what_was_saved(adapter, tmp_path, digits, monkeypatch):
    """Loading would fit again, or change a bit: what a user measured would no longer hold."""
    adapter.save_pretrained(tmp_path)
    for name in ("select", "calibrate"):
        monkeypatch.setattr(irp_hf.fitting, name, lambda *args: pytest.fail("a fit began"))
    loaded = IRPAdapter.from_pretrained(tmp_path)
    assert same(loaded, adapter, digits.held_source)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert not loaded.training
    assert repr(loaded.config.to_diff_dict()) == repr(adapter.config.to_diff_dict())
    assert same(IRPAdapter.from_pretrained(str(tmp_path)), adapter, digits.held_source)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", WEIGHTS]


def test_a_second_generation_is_the_same_file(saved, tmp_path):
    """Each save and load would wear something off."""
    folder = saved()
    IRPAdapter.from_pretrained(folder).save_pretrained(tmp_path / "again")
    for name in ("config.json", WEIGHTS):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_another_process_gives_the_same_bits(adapters, tmp_path, digits):
    """What translates here would translate otherwise elsewhere, or need an optional library."""
    np.save(tmp_path / "x.npy", digits.held_source)
    for method, adapter in adapters.items():
        adapter.save_pretrained(tmp_path / method)
    subprocess.run([sys.executable, "-c", FRESH, str(tmp_path), *adapters], check=True)
    for method, adapter in adapters.items():
        expected = np.c_[adapter.translate(digits.held_source), adapter.confidence(digits.held_source)]
        np.testing.assert_array_equal(np.load(tmp_path / f"{method}.npy"), expected)


def test_auto_classes_know_both_models(saved):
    """`AutoModel.from_pretrained`, and with it the pipeline, would not find the models."""
    adapter = AutoModel.from_pretrained(saved("kernel"))
    space = AutoModel.from_pretrained(saved("space"))
    assert (type(adapter), type(space)) == (IRPAdapter, AnchoredSpace)
    assert type(AutoConfig.from_pretrained(saved("pruned"))) is IRPConfig


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
    other = copy.deepcopy(adapters["whitened"])
    with pytest.raises(error):
        other.save_pretrained(folder)
    with pytest.raises(error):
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
    assert words == f"{folder / 'x'} cannot be loaded: it has no config.json. Save or download it again."


def test_the_loading_info_is_given_where_it_is_asked_for(saved):
    """Callers of transformers unpack two values."""
    model, info = IRPAdapter.from_pretrained(saved(), output_loading_info=True)
    assert isinstance(model, IRPAdapter)
    assert not info["missing_keys"]


def test_an_override_cannot_change_the_translation(saved, refusal):
    """`from_pretrained(folder, gamma=7.0)` would load something else than was saved."""
    assert CHECKSUM in refusal(IRPAdapter.from_pretrained, saved(), gamma=7.0, error=DamagedFolderError)


def test_other_formats_are_not_read_from_the_hub_either(saved, adapters, monkeypatch):
    """What a download holds is not seen beforehand: pickled tensors would be read where no safetensors are."""
    folder = saved()
    (folder / WEIGHTS).unlink()
    torch.save(adapters["kernel"].state_dict(), folder / "pytorch_model.bin")
    monkeypatch.setattr("irp_hf.pretrained._check_files", lambda *args: None)
    with pytest.raises(DamagedFolderError, match=r"no file named model\.safetensors"):
        IRPAdapter.from_pretrained(folder)
