"""Settings of sentence-transformers' modules: what the library would overlook, or replace, is refused by name."""

import json

import pytest
import tiny_encoders as tiny
from checkpoints.opening import run
from says import says
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import LSTM, LayerNorm, Pooling
from torch import nn

from irp_hf.checkpoints.module_settings import check_module
from irp_hf.encoding import encode
from irp_hf.errors import InputError

DENSE, POOL, BERT = "2_Dense/config.json", "1_Pooling/config.json", "sentence_bert_config.json"
OLD = {f"pooling_mode_{name}": False for name in ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")}
OVERLOOKED = {
    "an activation of its own": (DENSE, {"activation_function": "mine.Activation"}, ["mine.Activation"]),
    "an activation of another library": (
        DENSE,
        {"activation_function": "transformers.activations.GELUActivation"},
        ["GELU"],
    ),
    "an activation that is no module": (DENSE, {"activation_function": "torch.nn.functional.relu"}, ["relu"]),
    "an activation that is none": (DENSE, {"activation_function": None}, ["None"]),
    "another setting": (DENSE, {"scale": 2.0}, ["scale"]),
    "a flag that is a text": (DENSE, {"bias": "false"}, ["bias", "'false'"]),
    "a way to pool that is unknown": (POOL, {"pooling_mode": "median"}, ["median"]),
    "an unknown old way": (POOL, {"pooling_mode_median_tokens": True}, []),
    "an old way that is a text": (
        POOL,
        OLD | {"pooling_mode_cls_token": "false"},
        ["pooling_mode_cls_token", "'false'"],
    ),
    "a prompt that is left out, perhaps": (POOL, {"include_prompt": "no"}, ["include_prompt", "'no'"]),
    "weights of other files": (BERT, {"model_args": {"gguf_file": "x.gguf"}}, ["model_args", "gguf_file"]),
    "weights at random": (BERT, {"model_args": {"ignore_mismatched_sizes": True}}, ["ignore_mismatched_sizes"]),
    "a place on the disk": (BERT, {"model_kwargs": {"offload_folder": "/tmp/x"}}, ["offload_folder"]),
    "another configuration": (BERT, {"config_args": {"num_hidden_layers": 1}}, ["num_hidden_layers"]),
    "another file": (BERT, {"tokenizer_args": {"tokenizer_file": "/etc/passwd"}}, ["tokenizer_file"]),
    "a list of settings": (BERT, {"model_args": ["x"]}, ["model_args"]),
    "items of an unknown kind": (BERT, {"modality_config": {"smell": {"method": "forward"}}}, ["smell"]),
    "a length that is none": (BERT, {"max_seq_length": -1}, ["max_seq_length", "-1"]),
    "a length that is a text": (BERT, {"max_seq_length": "all"}, ["max_seq_length", "'all'"]),
    "letters, perhaps": (BERT, {"do_lower_case": "no"}, ["do_lower_case"]),
    "padding": (BERT, {"processing_kwargs": {"text": {"padding": "max_length", "max_length": 10**9}}}, ["max_length"]),
    "another kind of model": ("config_sentence_transformers.json", {"model_type": "CrossEncoder"}, ["CrossEncoder"]),
    "a prompt that is none": ("config_sentence_transformers.json", {"prompts": {"query": 3}}, ["prompts"]),
    "a default that is none": ("config_sentence_transformers.json", {"default_prompt_name": "nothing"}, ["nothing"]),
}


@pytest.mark.parametrize("name", OVERLOOKED)
def test_what_the_library_would_overlook(copied, name, refusal):
    """Vectors of another model, with a line in a log: Tanh in place of the activation that it was trained with."""
    file, values, words = OVERLOOKED[name]
    assert says(refusal(run, "sentences", copied("sentences", file, **values), error=InputError), "sentences", *words)


def test_no_way_to_pool(copied, refusal):
    """The library would take the mean."""
    folder = copied("sentences")
    (folder / POOL).write_text(json.dumps({"word_embedding_dimension": 16} | OLD))
    assert says(refusal(run, "sentences", folder, error=InputError), POOL, "a way to pool")
    (folder / POOL).write_text(json.dumps({"word_embedding_dimension": 16} | OLD | {"pooling_mode_cls_token": True}))
    assert run("sentences", folder)


def test_an_activation_of_a_trusted_repository(copied):
    """It is the repository's own code, which was asked for."""
    folder = copied("sentences", DENSE, activation_function="transformers.activations.GELUActivation")
    trusted = encode(str(folder), tiny.texts(2), device="cpu", trust_remote_code=True)[0]
    identity = copied("sentences", DENSE, activation_function="torch.nn.modules.linear.Identity")
    assert not (trusted == encode(str(identity), tiny.texts(2), device="cpu")[0]).all()


def test_two_modules_of_one_name(copied, refusal):
    """The library keeps the last of them, and leaves the others out."""
    folder = copied("sentences")
    modules = json.loads((folder / "modules.json").read_text())
    modules[2]["name"] = modules[1]["name"]
    (folder / "modules.json").write_text(json.dumps(modules))
    assert says(refusal(run, "sentences", folder, error=InputError), "modules.json", "different names")


@pytest.mark.parametrize("path", ["..", "../x", "/etc", "a/../../x", "C:\\x", "\\\\host\\x", None, 3])
def test_a_module_outside(copied, path, refusal):
    """Files of this machine would be read."""
    folder = copied("sentences")
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = path
    (folder / "modules.json").write_text(json.dumps(modules))
    assert says(refusal(run, "sentences", folder, error=InputError), "modules.json", "inside")


def test_modules_as_the_library_saves_them(honest, tmp_path):
    """Checks that refuse what people use."""
    text = str(honest / "text")
    routes = Router.for_query_document([Transformer(text), Pooling(16)], [Transformer(text), Pooling(16, "cls")])
    for name, modules in {
        "normalized": [Transformer(text), Pooling(16, ("cls", "mean")), LayerNorm(32), Normalize()],
        "routed": [routes, Normalize()],
        "recurrent": [Transformer(text), LSTM(16, 4), Pooling(8, "max")],
    }.items():
        SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path / name))
        if name != "recurrent":  # which needs lengths that a Transformer module does not give
            assert len(encode(str(tmp_path / name), tiny.texts(2), device="cpu")[0]) == 2
        else:
            file = next((tmp_path / name).rglob("lstm_config.json"))
            check_module("it", LSTM, json.loads(file.read_text()), trusted=False)


def test_settings_of_a_normalization(honest, tmp_path, refusal):
    """It would do nothing where what it is to bring to unit length is not there."""
    modules = [Transformer(str(honest / "text")), Pooling(16), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path / "unit"))
    (tmp_path / "unit" / "2_Normalize").mkdir(exist_ok=True)
    file = tmp_path / "unit" / "2_Normalize" / "config.json"
    for values, word in (({"module_input_name": "nothing"}, "nothing"), ({"p": 1}, "'p'")):
        file.write_text(json.dumps(values))
        assert says(refusal(encode, str(tmp_path / "unit"), ["w1"], error=InputError), "2_Normalize", word)


@pytest.mark.parametrize(
    "values",
    [
        {"parameters": {"route_mappings": {"query": "query"}}},
        {"parameters": {"route_mappings": {"((" * 400: "query"}}},
        {"structure": {"query": ["one"] * 200}},
        {"structure": {"query": "one"}},
        {"structure": [["one"]]},
    ],
    ids=["a rule", "a deep rule", "many", "a text", "a list"],
)
def test_routes_that_would_be_skipped(honest, tmp_path, values, refusal):
    """Queries would go by the way of documents."""
    text = str(honest / "text")
    routes = Router.for_query_document([Transformer(text), Pooling(16)], [Transformer(text), Pooling(16, "cls")])
    SentenceTransformer(modules=[routes], device="cpu").save(str(tmp_path / "routed"))
    (file,) = (tmp_path / "routed").rglob("router_config.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    assert "router_config.json" in refusal(encode, str(tmp_path / "routed"), ["w1"], error=InputError)


def test_a_module_of_a_users_own():
    """It has no settings that are known."""
    check_module("it", nn.Linear, None, trusted=False)
