"""A stranger's model: what its few bytes ask for is refused before it is built, and no pickle or other module is reached."""

import json
import os
import pickle
import resource

import pytest
import tiny_encoders as tiny
import torch
from checkpoints.opening import run
from safetensors.torch import load_file, save_file
from says import says
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import CNN, Pooling

from irp_hf.checkpoints.budget import Budget
from irp_hf.encoding import encode
from irp_hf.errors import InputError

MODULE = "sentence_transformers.models"


@pytest.mark.parametrize("kind", ["text", "image", "swin", "audio", "topics", "animals", "sentences"])
def test_honest_models_are_opened(honest, kind):
    """Bounds that refuse what people use."""
    assert run(kind, honest / kind)


PRE = "preprocessor_config.json"
HUGE = {
    "layers": ("text", "config.json", {"num_hidden_layers": 10**6}, ["num_hidden_layers", "1000000"]),
    "stages": ("swin", "config.json", {"depths": [10**6, 1]}, ["depths", "1000000"]),
    "many stages": ("swin", "config.json", {"depths": [1500] * 100}, ["depths", "150000"]),
    "labels": ("topics", "config.json", {"num_labels": 2**24, "id2label": None, "label2id": None}, ["num_labels"]),
    "width": ("text", "config.json", {"intermediate_size": 2**24, "hidden_size": 2**12}, []),
    "width and layers": ("text", "config.json", {"num_hidden_layers": 1999, "intermediate_size": 2**20}, ["weights"]),
    "tokens": ("text", "config.json", {"vocab_size": 2**24, "hidden_size": 2**14}, []),
    "infinity": ("text", "config.json", {"vocab_size": float("inf")}, ["vocab_size", "inf"]),
    "a number of many digits": ("text", "config.json", {"vocab_size": 10**400}, ["vocab_size"]),
    "picture": ("animals", "config.json", {"image_size": 20_000}, ["image_size", "20000"]),
    "depth by a factor": ("image", "config.json", {"depth_coefficient": 1e9}, ["depth_coefficient"]),
    "scaled": ("image", PRE, {"size": {"height": 30_000, "width": 30_000}}, [PRE, "height", "30000"]),
    "scaled as one": ("image", PRE, {"size": 30_000}, [PRE, "size", "30000"]),
    "shortest": ("image", PRE, {"size": {"shortest_edge": 30_000}}, [PRE, "shortest_edge"]),
    "longest": ("image", PRE, {"size": {"longest_edge": 10**6}}, [PRE, "longest_edge"]),
    "cut": ("animals", PRE, {"crop_size": {"height": 2**20, "width": 1}}, [PRE, "height"]),
    "inside": (
        "image",
        "processor_config.json",
        {"image_processor": {"size": {"height": 10**5}}},
        ["processor_config"],
    ),
    "rate": ("audio", PRE, {"sampling_rate": 10**9}, [PRE, "sampling_rate"]),
    "filters": ("audio", PRE, {"n_fft": 2**20, "feature_size": 2**10}, [PRE, "filters"]),
    "seconds": ("audio", PRE, {"chunk_length": 10**6}, [PRE, "samples of one sound"]),
    "frames": ("audio", PRE, {"n_samples": 2**26, "hop_length": 1, "feature_size": 80}, [PRE, "spectrogram"]),
    "a dense layer": ("sentences", "2_Dense/config.json", {"in_features": 2**15, "out_features": 2**15}, ["weights"]),
    "a wider one": ("sentences", "2_Dense/config.json", {"out_features": 2**40}, ["2_Dense/config.json"]),
    "a part": ("sentences", "config.json", {"num_hidden_layers": 10**6}, ["num_hidden_layers"]),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_few_bytes_that_ask_for_much(copied, name, refusal):
    """A download of some kilobytes would take all memory, or hours, in whoever opens it."""
    kind, file, values, words = HUGE[name]
    folder = copied(kind, file, **values)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    text = refusal(run, kind, folder, error=InputError)
    assert says(text, *words)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2_000_000  # kB


def test_weights_that_are_not_there(copied, refusal):
    """What a file lacks is filled with random numbers: as many as the configuration says, whatever the file holds."""
    folder = copied("text", intermediate_size=2**24)
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "layer" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    assert says(refusal(run, "text", folder, error=InputError), "text", "bytes of weights", "numbers")


def test_a_budget_is_of_this_thread_and_ends():
    """What other code makes meanwhile, or afterwards, would be refused."""
    with Budget("a model", 1000), torch.device("meta"):
        torch.nn.Linear(100_000, 100_000)
    with Budget("a model", 1000), pytest.raises(InputError, match="1,000 bytes"):
        torch.nn.Linear(100_000, 100_000)
    with Budget("a model", 1000), pytest.raises(InputError, match="tensors"):
        [torch.empty(0) for _ in range(200_000)]
    with Budget("a model", 1000), pytest.raises(InputError, match="a model"):
        torch.ones_like(torch.empty(2**20, 2**20, device="meta"), device="cpu")
    assert torch.nn.Linear(10, 10).weight.shape == (10, 10)


class Trap:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


PARTS = {
    "Dense": {"in_features": 16, "out_features": 8},
    "CNN": {"in_word_embedding_dimension": 16, "out_channels": 4, "kernel_sizes": [1], "stride_sizes": None},
    "LSTM": {"word_embedding_dimension": 16, "hidden_dim": 4, "num_layers": 1, "dropout": 0, "bidirectional": True},
    "LayerNorm": {"dimension": 16},
    "WeightedLayerPooling": {"word_embedding_dimension": 16, "layer_start": 1, "num_hidden_layers": 2},
    "StaticEmbedding": {},
    "WordEmbeddings": {"tokenizer_class": "sentence_transformers.models.WhitespaceTokenizer"},
}


@pytest.mark.parametrize("route", [False, True], ids=["plain", "behind a router"])
@pytest.mark.parametrize("part", PARTS)
def test_weights_of_a_module_in_a_pickle(copied, part, route, tmp_path, refusal):
    """`torch.load` would be reached, by whoever opens the folder."""
    folder, marker = copied("sentences"), tmp_path / "trapped"
    modules = json.loads((folder / "modules.json").read_text())
    inner = folder / "2_Dense"
    if route:
        modules[2] = {"idx": 2, "name": "2", "path": "2_Routes", "type": f"{MODULE}.Router"}
        inner = folder / "2_Routes" / "one"
        inner.mkdir(parents=True)
        routes = {"types": {"one": f"{MODULE}.{part}"}, "structure": {"query": ["one"]}, "parameters": {}}
        (folder / "2_Routes" / "router_config.json").write_text(json.dumps(routes))
    else:
        modules[2]["type"] = f"{MODULE}.{part}"
        (inner / "model.safetensors").unlink()
    (folder / "modules.json").write_text(json.dumps(modules))
    (inner / "config.json").write_text(json.dumps(PARTS[part]))
    (inner / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(marker)))
    assert says(refusal(run, "sentences", folder, error=InputError), "sentences", "safetensors", part, "pickle")
    assert not marker.exists()


@pytest.mark.parametrize(
    "kind",
    [
        "sentence_transformers.base.model.pickle",
        "sentence_transformers.base.modules.module.torch",
        "sentence_transformers.base.modules.module.os",
        "sentence_transformers.nothing.Dense",
        "sentence_transformers.base.modules.module.Any",
        "sentence_transformers.util.import_from_string",
        "os.system",
        "subprocess.Popen",
        "mine.Dense",
        "torch.load",
        ["Dense"],
        None,
    ],
)
def test_a_class_that_is_no_module(copied, kind, refusal):
    """Whatever the library imports could be called with files of the repository."""
    folder = copied("sentences")
    modules = json.loads((folder / "modules.json").read_text())
    modules[2]["type"] = kind
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "mine.py").write_text("raise SystemExit('it ran')")
    refusal(run, "sentences", folder, error=InputError)


def test_routes_that_lead_out(copied, refusal):
    """A router has folders of its own."""
    folder = copied("sentences")
    modules = json.loads((folder / "modules.json").read_text())
    modules[2] = {"idx": 2, "name": "2", "path": "2_Routes", "type": f"{MODULE}.Router"}
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "2_Routes").mkdir()
    routes = {"types": {"../../x": f"{MODULE}.Dense"}, "structure": {}, "parameters": {}}
    (folder / "2_Routes" / "router_config.json").write_text(json.dumps(routes))
    assert says(refusal(run, "sentences", folder, error=InputError), "modules.json", "'../../x'")


def test_modules_without_end(copied, refusal):
    """A few megabytes of JSON would load for days."""
    folder = copied("sentences")
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules + modules[1:2] * 200))
    assert says(refusal(run, "sentences", folder, error=InputError), "modules.json", "100 modules")


def test_a_module_with_safetensors_is_opened(honest, tmp_path):
    """Convolutions, and whatever else has weights, as the library saves them."""
    modules = [Transformer(str(honest / "text")), CNN(16, 4, [1]), Pooling(4, "mean")]
    SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path / "cnn"))
    assert encode(str(tmp_path / "cnn"), tiny.texts(3), device="cpu")[0].shape == (3, 4)
