"""Encoders that come wrapped, in parts or in other formats: opened where they can be, otherwise named with what helps."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_encoders as tiny
import torch
from safetensors.torch import load_file, save_file
from says import says
from transformers import AutoModelForSequenceClassification, FeatureExtractionPipeline

from irp_hf.encoding import encode
from irp_hf.errors import InputError
from irp_hf.heads import open_head

TEXTS = tiny.texts(5)
BERT = dict(**tiny.LAYERS, **tiny.VOCAB)


@pytest.fixture(scope="module")
def bert():
    return tiny.model("bert", **BERT)


@pytest.fixture(scope="module")
def classifier():
    return tiny.model("bert", AutoModelForSequenceClassification, **BERT, num_labels=3)


@pytest.fixture(scope="module")
def folder(bert, tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("bert") / "tiny", bert, tiny.tokenizer())


def vectors(encoder, **options):
    return encode(encoder, TEXTS, processor=tiny.tokenizer(), **({"pooling": "mean"} | options))[0]


def lazily(module):
    """What torch.compile makes, without a compiler."""
    return torch.compile(module, backend="eager")


def twice(module):
    """Copies on devices, of which there is none here."""
    return torch.nn.DataParallel(module)


@pytest.mark.parametrize(
    "wrap", [lazily, twice, lambda module: twice(lazily(module))], ids=["compiled", "copied", "both"]
)
def test_wrapped_models_are_opened(wrap, bert, classifier):
    """An encoder in training would have to be taken apart by hand, a classifier count as a function of vectors."""
    assert torch.equal(vectors(wrap(bert)), vectors(bert))
    cut = dict(pooling=None, at="head")
    assert torch.equal(vectors(wrap(classifier), **cut), vectors(classifier, **cut))
    x = torch.randn(4, 16)
    assert torch.equal(open_head(wrap(classifier))(x), open_head(classifier)(x))
    layer = torch.nn.Linear(16, 2)
    assert open_head(wrap(layer)).dim == 16


def test_a_wrapped_sentence_transformer(folder):
    """It would be refused as a module of an unknown kind."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    model = SentenceTransformer(modules=[Transformer(str(folder)), Pooling(16)], device="cpu")
    assert torch.equal(encode(twice(model), TEXTS)[0], encode(model, TEXTS)[0])


def test_a_lora_that_is_loaded(bert, classifier, refusal):
    """The vectors would be the base model's, or the object be refused."""
    peft = pytest.importorskip("peft")
    import copy

    settings = peft.LoraConfig(target_modules=["query", "value"], init_lora_weights=False)
    adapted = peft.get_peft_model(copy.deepcopy(bert), settings).eval()
    merged = copy.deepcopy(adapted).merge_and_unload()
    found = vectors(adapted)
    torch.testing.assert_close(found, vectors(merged), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(found, vectors(bert), atol=1e-3)
    task = peft.LoraConfig(target_modules=["query"], init_lora_weights=False, task_type="SEQ_CLS")
    adapted = peft.get_peft_model(copy.deepcopy(classifier), task).eval()
    x = torch.randn(4, 16)
    assert open_head(adapted)(x).shape == (4, 3)
    assert vectors(adapted, pooling=None, at="head").shape == (5, 16)
    prompts = peft.get_peft_model(
        copy.deepcopy(bert), peft.PrefixTuningConfig(num_virtual_tokens=2, task_type="FEATURE_EXTRACTION")
    )
    text = refusal(vectors, prompts.eval(), error=InputError)
    assert says(text, "PrefixTuningConfig", "a function")


@pytest.mark.parametrize("whole", [False, True])
def test_a_folder_with_a_lora(whole, folder, tmp_path, refusal):
    """transformers would follow it to the base model on the Hub, or say that a configuration is not there."""
    if whole:
        tiny.save(tmp_path, tiny.model("bert", **BERT), tiny.tokenizer())
    else:
        save_file({"lora_A": torch.ones(2, 2)}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": "me/base", "peft_type": "LORA"})
    )
    for call in (lambda: encode(tmp_path, TEXTS, pooling="mean"), lambda: open_head(tmp_path)):
        assert says(refusal(call, error=InputError), "LoRA", "'me/base'", "merge_and_unload")


def test_a_repository_with_a_lora(hub, refusal, monkeypatch):
    """The same on the Hub."""
    hub.upload("me/lora", {"adapter_config.json": json.dumps({"base_model_name_or_path": "me/base"}).encode()})
    monkeypatch.setenv("HF_TOKEN", hub.token("me"))
    text = refusal(encode, "me/lora", TEXTS, pooling="mean", error=InputError)
    assert says(text, "me/lora", "LoRA", "'me/base'", "merge_and_unload")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("model-q4.gguf", ["GGUF", "model-q4.gguf"]),
        ("onnx/model.onnx", ["ONNX", "model.onnx"]),
        ("openvino_model.xml", ["OpenVINO"]),
        ("tf_model.h5", ["TensorFlow", "from_tf"]),
        ("flax_model.msgpack", ["Flax", "from_flax"]),
    ],
)
def test_a_folder_in_another_format(file, words, tmp_path, refusal):
    """transformers only says that no file named model.safetensors was found."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_bytes(b"x")
    for call in (lambda: encode(tmp_path, TEXTS, pooling="mean"), lambda: open_head(tmp_path)):
        assert says(refusal(call, error=InputError), "safetensors", *words)


def test_weights_that_want_a_library(folder, tmp_path, refusal):
    """A raw ImportError of another library."""
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert says(refusal(encode, tmp_path, TEXTS, pooling="mean", error=InputError), "bitsandbytes")


def test_a_configuration_without_architectures(classifier, tmp_path, refusal):
    """Old and hand-made checkpoints have none; the only classifier of their type is meant."""
    tiny.save(tmp_path, classifier, tiny.tokenizer())
    config = json.loads((tmp_path / "config.json").read_text())
    del config["architectures"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    x = torch.randn(4, 16)
    assert torch.equal(open_head(tmp_path)(x), open_head(classifier)(x))
    assert encode(tmp_path, TEXTS, at="head")[0].shape == (5, 16)
    tensors = {
        name: value for name, value in load_file(tmp_path / "model.safetensors").items() if "classifier" not in name
    }
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert says(refusal(open_head, tmp_path, error=InputError), "classifier", "random")


class Langchain:
    """As langchain's Embeddings are."""

    def embed_documents(self, texts):
        return [[float(len(text)), 1.0] for text in texts]


class FastEmbed:
    def embed(self, items):
        yield from (np.ones(2) for _ in items)


def others(bert, folder):
    from sentence_transformers import CrossEncoder

    pipe = FeatureExtractionPipeline(model=bert, tokenizer=tiny.tokenizer())
    return {
        "pipe.model": pipe,
        "processor=": tiny.tokenizer(),
        "processor=.": tiny.image_processor(),
        "compares two texts": CrossEncoder(str(folder), device="cpu", num_labels=1),
        "embed_documents": Langchain(),
        "client.embeddings.create": SimpleNamespace(embeddings=SimpleNamespace(create=len)),
        "method encode": SimpleNamespace(encode=len),
        "encoder.embed": FastEmbed(),
        "calls it": torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)),
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_taken_for_an_encoder(bert, folder, refusal):
    """A tokenizer and a pipeline can be called, and would be, with an error from far away; clients cannot."""
    for words, encoder in others(bert, folder).items():
        assert says(refusal(encode, encoder, TEXTS, error=InputError), "encoder: expected", words)
    assert encode(Langchain().embed_documents, TEXTS)[0].shape == (5, 2)


def test_what_is_taken_for_a_head(bert, folder, refusal):
    """They would be called with vectors."""
    from sentence_transformers import CrossEncoder

    cross = CrossEncoder(str(folder), device="cpu", num_labels=1)
    assert says(refusal(open_head, cross, error=InputError), "CrossEncoder", "head=cross_encoder.model")
    pipe = FeatureExtractionPipeline(model=bert, tokenizer=tiny.tokenizer())
    assert says(refusal(open_head, pipe, error=InputError), "FeatureExtractionPipeline", "pipe.model")
    assert says(refusal(open_head, SimpleNamespace(predict=len), error=InputError), "head.predict(")
