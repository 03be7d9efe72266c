"""Safetensors files are read as files, and what a forged header says is believed nowhere."""

import json
import os
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file
from says import says

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.checkpoints.stored import DTYPES, TensorFile, entries_of, tensor_file
from irp_hf.errors import DamagedFolderError, InputError

A, B = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]}


def written(path, header, data=bytes(12), length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def test_every_dtype_as_the_library_reads_it(tmp_path):
    """If it fails, a head in half precision has other weights than its model."""
    tensors = {name: torch.arange(6).reshape(2, 3).to(dtype) for name, dtype in DTYPES.items()}
    tensors |= {"none": torch.zeros(0, 4), "one": torch.tensor(3.0)}
    save_file(tensors, tmp_path / "x.safetensors")
    theirs = load_file(tmp_path / "x.safetensors")
    with tensor_file(tmp_path / "x.safetensors") as file:
        assert file.entries.keys() == theirs.keys()
        for name, tensor in theirs.items():
            ours = file.read(name)
            assert (ours.dtype, ours.shape) == (tensor.dtype, tensor.shape)
            assert ours.reshape(-1).view(torch.uint8).tolist() == tensor.reshape(-1).view(torch.uint8).tolist()


FORGED = {
    "about each other": {"a": A, "b": {**B, "data_offsets": [4, 8]}},
    "with a hole": {"a": A, "b": {**B, "data_offsets": [10, 14]}},
    "short of the end": {"a": A},
    "beyond the end": {"a": A, "b": {**B, "shape": [100], "data_offsets": [8, 408]}},
    "both the same bytes": {"a": A, "b": {**A}, "c": B},
    "backwards": {"a": {**A, "data_offsets": [8, 0]}, "b": B},
    "below zero": {"a": {**A, "data_offsets": [-8, 0]}, "b": B},
    "of another size": {"a": {**A, "shape": [3]}, "b": B},
    "a shape below zero": {"a": {**A, "shape": [-2, -1]}, "b": B},
    "a shape that is enormous": {"a": {**A, "shape": [10**30, 0]}, "b": B},
    "a thousand dimensions": {"a": {**A, "shape": [1] * 1000 + [2]}, "b": B},
    "a shape that is a text": {"a": {**A, "shape": "2"}, "b": B},
    "a flag as a size": {"a": A, "b": {**B, "shape": [True]}},
    "a fraction": {"a": A, "b": {**B, "shape": [1.0]}},
    "no dtype": {"a": {"shape": [2], "data_offsets": [0, 8]}, "b": B},
    "a dtype that is none": {"a": {**A, "dtype": 7}, "b": B},
    "three offsets": {"a": {**A, "data_offsets": [0, 4, 8]}, "b": B},
    "a list": [],
    "a number as a tensor": {"a": 1},
    "a name twice": b'{"a": %b, "a": %b}' % (json.dumps(A).encode(), json.dumps(B).encode()),
    "a key twice": b'{"a": {"dtype": "F32", "dtype": "I32", "shape": [3], "data_offsets": [0, 12]}}',
    "NaN": b'{"a": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 12]}}',
    "very deep": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "digits without end": b'{"a": {"dtype": "F32", "shape": [' + b"9" * 10_000 + b'], "data_offsets": [0, 12]}}',
    "no UTF-8": b'{"\xff": 1}',
    "in UTF-16": '{"a": 1}'.encode("utf-16"),
    "no JSON": b"{",
    "empty": b"",
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_header(tmp_path, name):
    """Each of them would make one reader take other numbers than another, or memory that is not there."""
    path = written(tmp_path / "x.safetensors", FORGED[name])
    with pytest.raises(ValueError, match="its header"), tensor_file(path):
        pass


@pytest.mark.parametrize("length", [0, 7, 13, 2**40, 2**63, 2**64 - 1])
def test_a_header_of_another_length(tmp_path, length):
    """If it fails, gigabytes are asked for, or an error of another library comes."""
    path = written(tmp_path / "x.safetensors", {"a": A, "b": B}, length=length)
    with pytest.raises(ValueError, match="its header"), tensor_file(path):
        pass


def test_what_a_header_may_say():
    """If it fails, honest files are refused: with metadata, spaces behind, a dtype that is not known, no tensor."""
    header = json.dumps({"__metadata__": {"format": "pt"}, "b": B, "a": {**A, "dtype": "F8_NEW"}}).encode() + b"   "
    assert list(entries_of(header, 12)) == ["b", "a"]
    assert entries_of(b"{}", 0) == {}


@pytest.mark.parametrize("kind", ["space", "kernel"])
def test_a_file_that_is_cut_while_it_is_read(saved, monkeypatch, refusal, kind):
    """If it fails, a save of another program ends this process by a signal, where an error tells it."""
    folder = saved(kind)
    weights, really = folder / "model.safetensors", TensorFile.read

    def read(self, name):
        os.truncate(weights, weights.stat().st_size // 2)
        return really(self, name)

    monkeypatch.setattr(TensorFile, "read", read)
    load = (AnchoredSpace if kind == "space" else IRPAdapter).from_pretrained
    assert says(refusal(load, folder, error=DamagedFolderError), "model.safetensors", "cut")


def test_what_was_loaded_does_not_follow_its_file(saved):
    """If it fails, a model changes, or its process ends, when somebody writes or cuts the file that it came from."""
    folder = saved("kernel")
    adapter = IRPAdapter.from_pretrained(folder)
    before = adapter.checksum()
    with (folder / "model.safetensors").open("r+b") as file:
        file.write(b"\xff" * 100_000)
    os.truncate(folder / "model.safetensors", 10)
    assert adapter.checksum() == before


def test_a_file_with_a_hole_of_terabytes(tmp_path, saved, refusal):
    """If it fails, a file of some kilobytes on the disk takes all memory, or gives an error of another library."""
    folder = saved("space")
    (folder / "model.safetensors").unlink()
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(1 << 40)
    assert says(refusal(AnchoredSpace.from_pretrained, folder, error=DamagedFolderError), "header")


def test_terabytes_that_a_configuration_agrees_with(tmp_path, saved, refusal):
    """The same where all sizes fit together."""
    folder = saved("space")
    config = json.loads((folder / "config.json").read_text())
    rows, width = 2**21, 2**20
    (folder / "config.json").write_text(
        json.dumps(config | {"num_anchors": rows, "hidden_size": width, "canary": None})
    )
    entries, place = {}, 0
    for name, shape in AnchoredSpace.shapes(AnchoredSpace.config_class(num_anchors=rows, hidden_size=width)).items():
        size = 4 * int(torch.tensor(shape, dtype=torch.int64).prod()) if shape else 4
        entries[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [place, place + size]}
        place += size
    path = written(folder / "model.safetensors", entries, b"")
    os.truncate(path, path.stat().st_size + place)
    assert says(refusal(AnchoredSpace.from_pretrained, folder, error=InputError), "memory", f"{place:,}")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file(saved, refusal, name, kind):
    """If it fails, loading a stranger's folder waits for ever."""
    folder = saved("kernel")
    (folder / name).unlink()
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "folder":
        (folder / name).mkdir()
    else:
        (folder / name).symlink_to("/dev/zero")
    assert says(refusal(IRPAdapter.from_pretrained, folder, error=DamagedFolderError), name)
