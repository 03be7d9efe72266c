"""Files of a stranger's model that are no files, and values in them that no library should be left to take."""

import json
import os
from pathlib import Path

import pytest
import torch
from checkpoints.opening import run
from safetensors.torch import load_file, save_file
from says import says

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.encoding import encode
from irp_hf.errors import DamagedFolderError, InputError
from irp_hf.heads import open_head

PRE = "preprocessor_config.json"
WRONG = {
    "negative": ("image", PRE, {"size": {"height": -3, "width": 32}}, ["height", "-3"]),
    "none high": ("image", PRE, {"size": {"shortest_edge": 0}}, ["shortest_edge", "0"]),
    "a way to resample": ("image", PRE, {"resample": 99}, ["resample", "99"]),
    "a way by a name": ("image", PRE, {"resample": "x"}, ["resample", "'x'"]),
    "many means": ("image", PRE, {"image_mean": [0.5] * 10**5}, ["image_mean"]),
    "a mean that is none": ("image", PRE, {"image_mean": [float("nan")] * 3}, ["image_mean", "nan"]),
    "a mean that is a text": ("image", PRE, {"image_mean": ["a"]}, ["image_mean", "'a'"]),
    "no spread": ("image", PRE, {"image_std": [0, 0, 0]}, ["image_std", "0"]),
    "a cut": ("animals", PRE, {"crop_size": {"height": -1, "width": 4}}, ["height", "-1"]),
    "a scale": ("image", PRE, {"rescale_factor": float("inf")}, ["rescale_factor", "inf"]),
    "no scale": ("image", PRE, {"rescale_factor": 0}, ["rescale_factor", "0"]),
    "no size": ("image", PRE, {"size": {"side": 3}}, ["image"]),
    "pictures of films": (
        "image",
        "video_preprocessor_config.json",
        {"size": 10**6},
        ["video_preprocessor", "1000000"],
    ),
    "inside": ("image", "processor_config.json", {"image_processor": {"resample": 7}}, ["processor_config", "7"]),
    "no rate": ("audio", PRE, {"sampling_rate": 0}, ["sampling_rate", "0"]),
    "a rate that is none": ("audio", PRE, {"sampling_rate": None}, ["sampling_rate", "None"]),
    "a rate that is a text": ("audio", PRE, {"sampling_rate": "x"}, ["sampling_rate", "'x'"]),
    "silence": ("audio", PRE, {"padding_value": float("nan")}, ["padding_value", "nan"]),
    "names": ("topics", "config.json", {"id2label": {str(row): "x" for row in range(200_000)}}, ["id2label", "200000"]),
    "packed in a foreign way": ("text", "config.json", {"quantization_config": {"quant_method": "mine"}}, ["'mine'"]),
    "packed somehow": ("topics", "config.json", {"quantization_config": 3}, ["quant_method", "3"]),
    "whole numbers": ("topics", "config.json", {"dtype": "int8"}, ["dtype", "int8"]),
    "pairs of numbers": ("text", "config.json", {"torch_dtype": "complex64"}, ["torch_dtype", "complex64"]),
    "no dtype": ("text", "config.json", {"dtype": "load"}, ["dtype", "load"]),
    "layers": ("text", "config.json", {"num_hidden_layers": -1}, ["num_hidden_layers", "-1"]),
    "added tokens": (
        "text",
        "tokenizer_config.json",
        {"added_tokens_decoder": {"5": {"content": "x" * 3_000_000}}},
        ["tokenizer_config.json"],
    ),
    "many added tokens": (
        "text",
        "tokenizer_config.json",
        {"added_tokens_decoder": {str(row): {"content": f"w{row}"} for row in range(100_000)}},
        ["tokenizer_config.json", "100,000"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_that_no_library_should_take(copied, name, refusal):
    """It would raise from the depth of a library, at the first item, take seconds, or give other vectors."""
    kind, file, values, words = WRONG[name]
    assert says(refusal(run, kind, copied(kind, file, **values), error=InputError), *words)


READ = {
    "text": ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "added_tokens.json"),
    "image": (PRE, "processor_config.json"),
    "sentences": ("modules.json", "1_Pooling/config.json", "2_Dense/model.safetensors", "sentence_bert_config.json"),
}


@pytest.mark.parametrize("how", ["a pipe", "a device"])
@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in READ.items() for name in names])
def test_no_file_at_all(copied, kind, name, how, refusal):
    """Whoever opens a pipe waits for a writer, and a device of zeros fills the memory."""
    folder = copied(kind)
    file = folder / name
    file.unlink(missing_ok=True)
    os.mkfifo(file) if how == "a pipe" else file.symlink_to("/dev/zero")
    assert says(refusal(run, kind, folder, error=InputError), name, "pipe")


@pytest.mark.parametrize(
    ("kind", "name"),
    [("text", "config.json"), ("text", "model.safetensors"), ("sentences", "modules.json"), ("image", PRE)],
)
@pytest.mark.parametrize("how", ["a folder", "a link to itself", "a link to nothing", "a long name"])
def test_another_thing_in_place_of_a_file(copied, kind, name, how, refusal):
    """An `OSError` of the system's would reach whoever asked."""
    file = copied(kind) / name
    file.unlink()
    if how == "a folder":
        file.mkdir()
    else:
        file.symlink_to({"a link to itself": file.name, "a link to nothing": "nothing"}.get(how, "x" * 250))
    refusal(run, kind, file.parent, error=InputError)


def test_links_into_another_folder(copied, tmp_path):
    """The cache of the Hub is made of them."""
    folder, blobs = copied("sentences"), tmp_path / "blobs"
    blobs.mkdir()
    for number, file in enumerate([file for file in folder.rglob("*") if file.is_file()]):
        file.rename(blobs / str(number))
        file.symlink_to(os.path.relpath(blobs / str(number), file.parent))
    assert run("sentences", folder)


def test_an_index_of_many_files(copied, refusal):
    """Each would be looked for."""
    folder = copied("topics")
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    index = {"weight_map": {f"t{row}": f"f{row}.safetensors" for row in range(3000)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert says(refusal(run, "topics", folder, error=InputError), "model.safetensors.index.json", "3,000")


def sharded(folder, index, place):
    """Its weights in another file than is looked for first, and an index that says they are at `place`."""
    weights = folder / "model.safetensors"
    names = list(load_file(weights))
    weights.rename(folder.parent / "secret.safetensors")
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, place)}))


@pytest.mark.parametrize("kind", ["text", "image", "audio", "topics"])
@pytest.mark.parametrize("place", ["../secret.safetensors", "{above}/secret.safetensors", "./../secret.safetensors", 3])
def test_an_index_that_leads_elsewhere(copied, kind, place, refusal):
    """A stranger's folder would have private weights read, and what they make of texts could be published."""
    folder = copied(kind)
    place = place.format(above=folder.parent) if isinstance(place, str) else place
    sharded(folder, "model.safetensors.index.json", place)
    assert says(refusal(run, kind, folder, error=InputError), f"model.safetensors.index.json of {kind}", repr(place))


def test_an_index_of_a_variant_a_module_or_another_name_that_leads_elsewhere(copied, refusal):
    """There are three more that a library would follow."""
    place = "../secret.safetensors"
    folder = copied("text")
    sharded(folder, "model.safetensors.index.fp16.json", place)
    text = refusal(encode, str(folder), ["w1"], pooling="mean", variant="fp16", device="cpu", error=InputError)
    assert says(text, "model.safetensors.index.fp16.json", place)
    folder = copied("sentences")
    sharded(folder, "model.safetensors.index.json", place)
    assert says(refusal(run, "sentences", folder, error=InputError), "model.safetensors.index.json", place)
    folder = copied("topics", transformers_weights="mine.safetensors.index.json")
    sharded(folder, "mine.safetensors.index.json", place)
    assert says(refusal(run, "topics", folder, error=InputError), "mine.safetensors.index.json", place)


@pytest.mark.parametrize("kind", ["text", "topics"])
def test_weights_by_another_name(copied, kind, refusal):
    """Those that are read are those that transformers reads; none of another folder."""
    wanted = run(kind, copied(kind))
    folder = copied(kind, transformers_weights="mine.safetensors")
    wanted = wanted(torch.ones(2, 16)) if kind == "topics" else wanted[0]
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "mine.safetensors")
    save_file({name: value * 0 for name, value in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    found = run(kind, folder)
    assert torch.equal(found(torch.ones(2, 16)) if kind == "topics" else found[0], wanted)
    for name in ("../mine.safetensors", 3):
        text = refusal(run, kind, copied(kind, transformers_weights=name), error=InputError)
        assert says(text, "transformers_weights", repr(name))


@pytest.mark.parametrize("kind", ["text", "topics"])
def test_an_honest_index_of_links(copied, kind, tmp_path):
    """Weights in several files go on to load, as the cache of the Hub has them: links into another folder."""
    wanted = run(kind, copied(kind))
    folder = copied(kind)
    sharded(folder, "model.safetensors.index.json", "model-00001-of-00001.safetensors")
    (folder / "model-00001-of-00001.safetensors").symlink_to("../secret.safetensors")
    found = run(kind, folder)
    if kind == "text":
        assert torch.equal(found[0], wanted[0])
    else:
        assert torch.equal(found(torch.ones(2, 16)), wanted(torch.ones(2, 16)))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.float8_e4m3fn], ids=str)
def test_a_head_of_whole_numbers(copied, dtype, refusal):
    """They are worth nothing without the scales that lie beside them: every label would be another."""
    file = copied("topics") / "model.safetensors"
    tensors = load_file(file)
    tensors["classifier.weight"] = (tensors["classifier.weight"] * 10).to(dtype)
    save_file(tensors, file, metadata={"format": "pt"})
    assert says(refusal(open_head, str(file.parent), error=InputError), "classifier.weight", str(dtype))


@pytest.mark.parametrize("dtype", [torch.int64, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("kind", ["space", "adapter"])
def test_our_own_tensors_of_another_dtype(tmp_path, kind, dtype, refusal):
    """What is saved is float32; others were written by somebody else, and would be rounded on the way in."""
    vectors = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    if kind == "space":
        AnchoredSpace.from_embeddings(vectors).save_pretrained(tmp_path)
    else:
        IRPAdapter.from_anchors(vectors, vectors.tanh(), method="kernel", gamma=1.0, ridge=0.1).save_pretrained(
            tmp_path
        )
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    name = sorted(tensors)[0]
    save_file(tensors | {name: tensors[name].to(dtype)}, file, metadata={"format": "pt"})
    load = AnchoredSpace.from_pretrained if kind == "space" else IRPAdapter.from_pretrained
    assert says(refusal(load, str(tmp_path), error=DamagedFolderError), name, "float32")


@pytest.mark.parametrize("content", [b"[", b"[]", b"[" * 100_000, b'{"base_model_name_or_path": ["x"]}', b"\xff\xfe"])
def test_a_lora_that_says_nothing(copied, content, refusal):
    """Peft's file is somebody else's, too."""
    folder = copied("text")
    Path(folder, "adapter_config.json").write_bytes(content)
    assert says(refusal(run, "text", folder, error=InputError), "LoRA", "its base model")
