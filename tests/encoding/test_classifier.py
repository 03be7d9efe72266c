"""`at="head"`: the vector that a classifier's head reads, cut from a folder or from a loaded model."""

import pytest
import tiny_encoders as tiny
import torch
from says import says
from tiny_encoders import LAYERS, PATCHES, RATE, SPEECH, VOCAB
from transformers import (
    AutoModelForAudioClassification,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    Wav2Vec2FeatureExtractor,
)

from irp_hf import AnchoredSpace, AnchorSet, InputError
from irp_hf.encoding import encode

GPT2 = dict(n_embd=16, n_layer=2, n_head=2, n_positions=64) | VOCAB
TEXTS = {
    "bert": (LAYERS | VOCAB, lambda model: model.classifier),
    "distilbert": (dict(dim=16, n_layers=2, n_heads=2, hidden_dim=32) | VOCAB, lambda model: lambda x: head(model, x)),
    "gpt2": (GPT2, lambda model: model.score),
    "gpt2, no padding token": (GPT2 | dict(pad_token_id=None), lambda model: model.score),
    "gpt2, another padding token": (GPT2 | dict(pad_token_id=9), lambda model: model.score),
    "llama": (LAYERS | VOCAB | dict(num_key_value_heads=1), lambda model: model.score),
}


def head(model, x: torch.Tensor) -> torch.Tensor:
    return model.classifier(torch.relu(model.pre_classifier(x)))


@pytest.mark.parametrize("name", TEXTS)
def test_the_head_makes_the_logits_of_these_vectors(name, tmp_path):
    """Of every text alone, whatever the batch that it was encoded in."""
    settings, head_of = TEXTS[name]
    model = tiny.model(name.partition(",")[0], AutoModelForSequenceClassification, num_labels=3, **settings)
    folder = tiny.save(tmp_path / "it", model, tiny.tokenizer(side="left", pads="no padding" not in name))
    tokens = [tiny.tokenizer()(text, return_tensors="pt")["input_ids"] for text in tiny.texts()]
    with torch.no_grad():
        wanted = torch.cat([model(input_ids=ids).logits for ids in tokens])
        for batch_size in (1, 4, 9):
            found, record = encode(folder, tiny.texts(), at="head", batch_size=batch_size, device="cpu")
            torch.testing.assert_close(head_of(model)(found), wanted, atol=1e-5, rtol=1e-5)
    assert (record["at"], record["pooling"], record["id"]) == ("head", None, "it")
    assert "modality" not in record


@pytest.mark.parametrize("kind", ["vit", "dinov2"])
def test_heads_of_pictures(kind, tmp_path):
    """DINOv2's reads two vectors, one after the other."""
    model = tiny.model(kind, AutoModelForImageClassification, num_labels=3, **LAYERS, **PATCHES)
    processor = tiny.image_processor()
    folder = tiny.save(tmp_path, model, processor)
    found, record = encode(folder, tiny.pictures(), at="head", batch_size=2, device="cpu")
    with torch.no_grad():
        wanted = model(**processor(tiny.pictures(), return_tensors="pt")).logits
        torch.testing.assert_close(model.classifier(found), wanted, atol=1e-5, rtol=1e-5)
    assert (record["modality"], record["at"]) == ("image", "head")


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_heads_of_audio(norm):
    """Also where the backbone sees padding: each waveform is as if alone."""
    settings = LAYERS | SPEECH | dict(feat_extract_norm=norm, do_stable_layer_norm=norm == "layer", num_labels=3)
    model = tiny.model("wav2vec2", AutoModelForAudioClassification, **settings)
    extractor = Wav2Vec2FeatureExtractor(sampling_rate=RATE, return_attention_mask=norm == "layer")
    found, record = encode(model, tiny.waves(), at="head", processor=extractor)
    with torch.no_grad():
        inputs = [extractor(wave, sampling_rate=RATE, return_tensors="pt")["input_values"] for wave in tiny.waves()]
        wanted = torch.cat([model(values).logits for values in inputs])
        torch.testing.assert_close(model.classifier(found), wanted, atol=1e-5, rtol=1e-5)
    assert record["modality"] == "audio"


def test_a_space_at_a_head(tmp_path):
    """Its record says so, beside everything else."""
    model = tiny.model("bert", AutoModelForSequenceClassification, num_labels=3, **LAYERS, **VOCAB)
    folder = tiny.save(tmp_path / "topics", model, tiny.tokenizer())
    space = AnchoredSpace.encode(folder, AnchorSet(tiny.texts()), at="head", prompt="w9 ", device="cpu")
    record = {name: value for name, value in space.config.encoder.items() if not name.endswith("_sha256")}
    assert record == {
        "id": "topics",
        "revision": None,
        "pooling": None,
        "prompt": "w9 ",
        "normalize": False,
        "dtype": "float32",
        "at": "head",
        "truncate_dim": None,
        "task": None,
        "max_length": 64,
        "view": "text",
    }


def test_what_has_no_head(refusal, tmp_path):
    """A pooling beside it, a model that is no classifier, a head that would be random."""
    bert = tiny.model("bert", **LAYERS, **VOCAB)
    folder = tiny.save(tmp_path / "bert", bert, tiny.tokenizer())
    pooled = refusal(encode, folder, tiny.texts(), at="head", pooling="cls", error=InputError)
    assert says(pooled, "pooling", "'cls'", "the head of bert")
    random = refusal(encode, folder, tiny.texts(), at="head", error=InputError)
    assert says(random, "bert", "classifier.bias", "2 missing", "random")
    mamba = tiny.save(tmp_path / "mamba", tiny.model("mamba", hidden_size=16, num_hidden_layers=1), tiny.tokenizer())
    assert says(refusal(encode, mamba, tiny.texts(), at="head", error=InputError), "mamba", "classifier", "at='head'")
    assert says(refusal(encode, head, ["w1"], at="head", error=InputError), "at", "'head'", "a function")
