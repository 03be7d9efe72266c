"""A stranger's folder is looked at before memory is taken for it; whatever is in it, the answer is a model or words."""

import json
import shutil
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModel

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.errors import DamagedFolderError, InputError, IRPError
from irp_hf.models.loading import CONFIG, LARGEST_CONFIG, WEIGHTS

LOADERS = {"kernel": IRPAdapter, "space": AnchoredSpace}


def edit(folder, **fields):
    content = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**content, **fields}))


def header_of(folder):
    """The header of the tensors, and what follows it."""
    content = (folder / WEIGHTS).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def write(folder, header, data):
    text = json.dumps(header).encode()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + data)


HUGE = 2**31
VALUES = {
    "num_anchors": (10**12, ["num_anchors", f"{HUGE}", f"got {10**12}"]),
    "source_size": (0, ["source_size is 0"]),
    "target_size": (-3, ["target_size", f"{HUGE}", "got -3"]),
    "gamma": (float("nan"), ["gamma", "got nan"]),
    "ridge": (float("inf"), ["ridge", "got inf"]),
    "lift": (5000.0, ["lift", "at most 1000", "got 5000.0"]),
    "balance": (-1.0, ["balance", "got -1.0"]),
    "restoration": (9.0, ["restoration", "at most 1", "got 9.0"]),
    "given": (["seed"], ["given", "restoration", "got 'seed'"]),
    "anchor_fingerprint": ("../../x", ["fingerprint", "64", "got '../../x'"]),
    "source_encoder": ({"id": 3}, ["source_encoder's id", "10,000", "got 3"]),
    "target_encoder": ({"normalize": "no"}, ["target_encoder's normalize", "True or False", "got 'no'"]),
    "anchor_set": ({"path": "/etc"}, ["anchor_set", "license", "'path'"]),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_that_no_save_writes(name, saved, refusal):
    """A number that means nothing would translate into nothing, and a record that is none fail much later."""
    folder, (value, said) = saved(), VALUES[name]
    edit(folder, **{name: value})
    text = refusal(IRPAdapter.from_pretrained, folder, error=DamagedFolderError)
    assert text.startswith(f"{folder}: ")
    assert all(part in text for part in ("config.json", *said)), text
    if value != 0:
        refusal(AutoConfig.from_pretrained, folder, error=InputError)


HEADERS = {
    "longer than the file": lambda h, d: (h, d[:-4]),
    "shorter than the file": lambda h, d: (h, d + b"1234"),
    "a tensor twice as large": lambda h, d: (h | {"landmarks": h["landmarks"] | {"shape": [240, 64]}}, d),
    "of 2**63 numbers": lambda h, d: (h | {"landmarks": h["landmarks"] | {"shape": [2**63, 64]}}, d),
    "of another kind": lambda h, d: (h | {"landmarks": h["landmarks"] | {"dtype": "I64"}}, d),
    "of no kind": lambda h, d: (h | {"landmarks": h["landmarks"] | {"dtype": "pickle"}}, d),
    "before the file": lambda h, d: (h | {"landmarks": h["landmarks"] | {"data_offsets": [-8, 0]}}, d),
    "behind the file": lambda h, d: (h | {"landmarks": h["landmarks"] | {"data_offsets": [2**62, 2**62 + 1]}}, d),
    "of one tensor over another": lambda h, d: (h | {"landmarks": h["source_anchors"]}, d),
    "a list": lambda h, d: ([h], d),
    "of a path": lambda h, d: (h | {"../../x": h.pop("landmarks")}, d),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_lie(name, saved, refusal):
    """Shapes and offsets of a stranger would be believed."""
    folder = saved()
    write(folder, *HEADERS[name](*header_of(folder)))
    text = refusal(IRPAdapter.from_pretrained, folder, error=DamagedFolderError)
    assert text.startswith(f"{folder}: ")
    assert WEIGHTS in text or "landmarks" in text


def test_a_config_that_takes_all_memory(saved, refusal):
    """JSON of gigabytes would be parsed."""
    folder = saved()
    with (folder / CONFIG).open("ab") as file:
        file.truncate(LARGEST_CONFIG + 1)
    text = refusal(IRPAdapter.from_pretrained, folder, error=DamagedFolderError)
    assert text.startswith(f"{folder}: ")
    assert "10,000,001 bytes" in text


def test_keys_of_a_stranger_are_left_out(saved, adapters, digits):
    """They could name files, code or a quantization for transformers to follow."""
    folder = saved()
    edit(folder, transformers_weights="../../x", custom_pipelines={"irp-stitch": {"impl": "x.X"}}, num_labels=7)
    edit(folder, quantization_config={"quant_method": "bitsandbytes"}, _name_or_path="/etc", token="hf_x")
    loaded = AutoModel.from_pretrained(folder)
    assert (loaded.translate(digits.source) == adapters["kernel"].translate(digits.source)).all()
    for key in ("transformers_weights", "custom_pipelines", "quantization_config", "token"):
        assert not hasattr(loaded.config, key)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
LENGTHS = st.none() | st.integers(0, 2**64 - 1)
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def answers(kind, folder, data):
    """A model, or words of ours; anything else fails the test."""
    loader = data.draw(st.sampled_from([LOADERS[kind], AutoModel]))
    words = "a model. It is whole."
    try:
        loader.from_pretrained(folder)
    except IRPError as error:
        words = str(error)
    assert ". " in words


@FUZZ
@given(data=st.data(), kind=st.sampled_from(list(LOADERS)))
def test_any_config_gives_a_model_or_words(kind, saved_once, tmp_path_factory, data):
    """A hostile config would end in an error of a library that says nothing, or worse."""
    folder = copied(saved_once / kind, tmp_path_factory)
    content = json.loads((folder / CONFIG).read_text())
    del content["auto_map"]  # AutoModel reads it first, with errors of its own
    names = st.sampled_from(sorted(set(content) - {"model_type"})) | st.text(max_size=12).filter("model_type".__ne__)
    content |= data.draw(st.dictionaries(names, JSON, min_size=1, max_size=3))
    (folder / CONFIG).write_text(json.dumps(content))
    answers(kind, folder, data)


@FUZZ
@given(data=st.data(), kind=st.sampled_from(list(LOADERS)))
def test_any_header_gives_a_model_or_words(kind, saved_once, tmp_path_factory, data):
    """The same for the header of the tensors: its length, its names, shapes, kinds and offsets, and bytes anywhere."""
    folder = copied(saved_once / kind, tmp_path_factory)
    header, rest = header_of(folder)
    names = st.sampled_from(sorted(header))
    for name in data.draw(st.lists(names, max_size=2)):
        part = data.draw(st.sampled_from(["shape", "dtype", "data_offsets"]))
        value = data.draw(JSON | st.lists(st.integers(0, 2**64), max_size=3))
        entry = header[name] if isinstance(header[name], dict) else {}
        header[name] = data.draw(JSON) if data.draw(st.booleans()) else {**entry, part: value}
    write(folder, header, rest)
    content = bytearray((folder / WEIGHTS).read_bytes())
    if (length := data.draw(LENGTHS)) is not None:
        content[:8] = struct.pack("<Q", length)
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[place] ^= data.draw(st.integers(1, 255))
    (folder / WEIGHTS).write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    answers(kind, folder, data)


def copied(folder, tmp_path_factory):
    return shutil.copytree(folder, tmp_path_factory.mktemp("fuzz") / folder.name)
