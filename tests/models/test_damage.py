"""A folder that is damaged, missing, of another model or altered is refused in words; no code in it ever runs."""

import json
import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.errors import DamagedFolderError, InputError
from irp_hf.models.base import WEIGHTS


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


CHECKSUM = ["checksum"]
NO_TENSORS = [WEIGHTS, "safetensors"]
NO_JSON = ["config.json", "JSON"]
DAMAGE = {  # what is done, and what of it an error must name
    "truncated": (cut(0.9), NO_TENSORS),
    "emptied": (cut(0), NO_TENSORS),
    "header cut": (cut(0.001), NO_TENSORS),
    "length flipped": (flip(0), NO_TENSORS),
    "header flipped": (flip(60), NO_TENSORS),
    "last number flipped": (flip(-1), CHECKSUM),
    "a tensor altered": (tensors(lambda t: t["landmarks"].mul_(2)), CHECKSUM),
    "NaN": (tensors(lambda t: t["coefficients"].fill_(torch.nan)), CHECKSUM),
    "another precision": (tensors(lambda t: t.update(landmarks=t["landmarks"].half())), ["float32", "landmarks"]),
    "a tensor missing": (tensors(lambda t: t.pop("landmarks")), ["config.json", "missing", "landmarks"]),
    "a tensor too many": (tensors(lambda t: t.update(other=torch.ones(2))), ["config.json", "unexpected", "other"]),
    "another shape": (tensors(lambda t: t.update(intercept=torch.ones(3))), ["config.json", "mismatched", "intercept"]),
    "another number of anchors": (config(num_anchors=119), ["mismatched", "source_anchors", "target_anchors"]),
    "another method": (config(method="whitened"), ["config.json", "missing", "weight"]),
    "another gamma": (config(gamma=1.5), CHECKSUM),
    "no gamma": (config(gamma=None), CHECKSUM),
    "no checksum": (config(weights_sha256=None), CHECKSUM),
    "another checksum": (config(weights_sha256="abc"), CHECKSUM),
    "an unknown method": (config(method="foo"), ["config.json", "method", "'foo'"]),
    "a negative size": (config(source_size=-1), ["config.json", "source_size", "-1"]),
    "a size in words": (config(source_size="64"), ["config.json", "source_size", "'64'"]),
    "gamma in words": (config(gamma="x"), ["config.json", "gamma", "'x'"]),
    "an encoder in words": (config(source_encoder="me/encoder"), ["config.json", "source_encoder", "'me/encoder'"]),
    "no JSON": (write(b'{"model_type": '), NO_JSON),
    "no text": (write(b"\xff\xfe"), NO_JSON),
    "an empty config": (write(b""), NO_JSON),
    "a list": (write(b"[1]"), NO_JSON),
    "a config of nothing": (write(b'{"model_type": "irp_adapter"}'), ["config.json", "num_anchors"]),
    "weights gone": (lambda folder: (folder / WEIGHTS).unlink(), [WEIGHTS]),
    "config gone": (lambda folder: (folder / "config.json").unlink(), ["config.json"]),
    "an index of nothing": (index_of_nothing, [WEIGHTS]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_refused(damage, saved, refusal):
    """A download that broke, or an edit by hand, would translate into noise."""
    edit, what = DAMAGE[damage]
    folder = saved()
    edit(folder)
    words = refusal(IRPAdapter.from_pretrained, folder, error=DamagedFolderError)
    assert words.startswith(f"{folder}: ")
    assert all(part in words.removeprefix(f"{folder}: ") for part in what), words


@pytest.mark.parametrize(
    ("field", "found"), [(None, "'irp_adapter'"), (b"{}", "None"), (b'{"model_type": "bert"}', "'bert'")]
)
def test_a_folder_of_another_model_is_refused(field, found, saved, refusal):
    """A user who mixes up two folders would read about missing keys."""
    adapter, space = saved("kernel"), saved("space")
    words = refusal(IRPAdapter.from_pretrained, space, error=DamagedFolderError)
    assert words.startswith(f"{space}: expected a model of type 'irp_adapter', got one of type 'irp_anchored_space'")
    if field is not None:
        write(field)(adapter)
    words = refusal(AnchoredSpace.from_pretrained, adapter, error=DamagedFolderError)
    assert words.startswith(f"{adapter}: expected a model of type 'irp_anchored_space', got one of type {found}")


@pytest.mark.parametrize("name", ["nothing", "a/b/c", WEIGHTS])
def test_a_folder_that_is_not_there(name, saved, refusal):
    """A typing error in a path would be looked up on the Hub, and end in words about repo ids."""
    place = saved() / name
    assert refusal(IRPAdapter.from_pretrained, place, error=DamagedFolderError).startswith(f"{place}: ")


@pytest.mark.parametrize("place", ["nothing", "./nothing", "../nothing", "~/nothing", "a/b/c"])
def test_a_path_is_no_id(place, refusal):
    """The same for relative paths."""
    refusal(IRPAdapter.from_pretrained, place, error=DamagedFolderError)


@pytest.mark.parametrize("place", [None, 3, "", b"x", ["a"]])
def test_a_place_that_is_none(place, refusal):
    """`None` would be looked up on the Hub as a model of that name."""
    assert f"got {place!r}. " in refusal(IRPAdapter.from_pretrained, place, error=InputError)


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
        assert all(part in words for part in (WEIGHTS, name, "pickled")), words
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


def test_an_override_cannot_change_the_translation(saved, refusal):
    """`from_pretrained(folder, gamma=7.0)` would load something else than was saved."""
    folder = saved()
    for name, value in {"gamma": 7.0, "method": "nonsense", "num_anchors": 3, "seed": 1, "ridge": 0.5}.items():
        text = refusal(IRPAdapter.from_pretrained, folder, error=InputError, **{name: value})
        assert text.startswith(f"{name}: expected nothing")  # and the folder is not to blame
