"""Plain transformers models of text, against the direct call of each text alone."""

import copy
from typing import Any

import pytest
import tiny_encoders as tiny
import torch
from says import says
from tiny_encoders import LAYERS, VOCAB
from transformers import AutoModelForMaskedLM

from irp_hf import InputError
from irp_hf.encoding import encode
from irp_hf.encoding.base import Options
from irp_hf.encoding.open import open_encoder

BART = dict(d_model=16, encoder_layers=2, decoder_layers=1, encoder_ffn_dim=32, decoder_ffn_dim=32)
BART |= dict(encoder_attention_heads=2, decoder_attention_heads=2, max_position_embeddings=64)
MODELS = {
    "bert": LAYERS,
    "distilbert": dict(dim=16, n_layers=2, n_heads=2, hidden_dim=32),
    "xlnet": dict(d_model=16, n_layer=2, n_head=2, d_inner=32),
    "fnet": LAYERS,  # mixes all tokens, padding too
    "gpt2": dict(n_embd=16, n_layer=2, n_head=2, n_positions=64),
    "llama": LAYERS | dict(num_key_value_heads=1),
    "mamba": dict(hidden_size=16, num_hidden_layers=2, state_size=4),
    "t5": dict(d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2),
    "bart": BART,
}


SLOW = ("distilbert", "xlnet", "llama", "mamba")


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in MODELS]
)
def model(request):
    return tiny.model(request.param, **MODELS[request.param], **VOCAB)


@torch.no_grad()
def alone(model, texts: list[str], pooling: str) -> torch.Tensor:
    """Each text by itself, where nothing is padded."""
    encoder = model.get_encoder() if model.config.is_encoder_decoder else model
    rows = []
    for text in texts:
        hidden = encoder(input_ids=tiny.tokenizer()(text, return_tensors="pt")["input_ids"]).last_hidden_state[0]
        rows.append({"mean": hidden.mean(0), "cls": hidden[0], "last": hidden[-1]}[pooling])
    return torch.stack(rows)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_every_row_is_as_if_alone(model, pooling, tmp_path):
    """Whatever the batch: a wrong mask, padding that a model sees, or a wrong order would show."""
    folder = tiny.save(tmp_path, model, tiny.tokenizer())
    wanted = alone(model, tiny.texts(), pooling)
    assert (wanted - wanted[0]).abs()[1:].amax(1).min() > 1e-2
    for batch_size in (1, 4, 9):
        found = encode(folder, tiny.texts(), pooling=pooling, batch_size=batch_size, device="cpu")[0]
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pads", [True, False])
def test_the_side_of_padding_changes_nothing(model, pads, tmp_path):
    """GPT-2 counts positions from the left, where padding would move them; and it has no token to pad with."""
    left = tiny.tokenizer(side="left", pads=pads)
    folder = tiny.save(tmp_path, model, left)
    wanted = alone(model, tiny.texts(), "last")
    found = encode(folder, tiny.texts(), pooling="last", device="cpu")[0]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    before = copy.deepcopy(left.special_tokens_map)
    torch.testing.assert_close(encode(model, tiny.texts(), pooling="last", processor=left)[0], found)
    assert (left.padding_side, left.special_tokens_map) == ("left", before)


def test_a_loaded_model_is_as_its_folder(tmp_path):
    """And its record names it; a model in training mode or without its tokenizer is refused."""
    model = tiny.model("bert", **LAYERS, **VOCAB)
    folder = tiny.save(tmp_path / "saved", model, tiny.tokenizer())
    stored, record = encode(folder, tiny.texts(), pooling="pooler", device="cpu")
    loaded, loaded_record = encode(model, tiny.texts(), pooling="pooler", processor=tiny.tokenizer())
    torch.testing.assert_close(loaded, stored)
    assert loaded_record == record | {"id": "BertModel"}
    again = type(model).from_pretrained(folder)
    assert encode(again, tiny.texts(), pooling="cls", processor=tiny.tokenizer())[1]["id"] == "saved"


def test_a_loaded_model_that_cannot_be_used(refusal):
    """Without its tokenizer, with another processor, in training mode, with a head."""
    model = tiny.model("bert", **LAYERS, **VOCAB)
    masked = tiny.model("bert", AutoModelForMaskedLM, **LAYERS, **VOCAB)

    def refused(model: Any, **options: Any) -> str:
        return refusal(encode, model, ["w1"], error=InputError, **options)

    assert says(refused(model, pooling="cls"), "processor", "a tokenizer", "BertModel", None)
    other = refused(model, pooling="cls", processor=tiny.image_processor())
    assert says(other, "processor", "a tokenizer", "BertModel", "ViTImageProcessorPil")
    training = refused(copy.deepcopy(model).train(), processor=tiny.tokenizer())
    assert says(training, "BertModel", "training mode", "eval()")
    headed = refused(masked, pooling="cls", processor=tiny.tokenizer())
    assert says(headed, "BertForMaskedLM", "last hidden state", "base_model")
    assert says(refused(model, revision="main"), "revision", "'main'", "a BertModel")


def test_embed_follows_its_module(tmp_path):
    """A pipeline moves `module`; the meta device stands for any other."""
    folder = tiny.save(tmp_path, tiny.model("fnet", **LAYERS, **VOCAB), tiny.tokenizer())
    encoder = open_encoder(folder, Options(pooling="cls", device="cpu"))
    assert (encoder.modality, encoder.sampling_rate) == ("text", None)
    assert encoder.embed(["w1 w2"]).device.type == "cpu"
    encoder.module.to("meta")
    assert encoder.embed(["w1 w2"]).device.type == "meta"


def test_long_texts_are_cut(tmp_path):
    """At what model and tokenizer can take; transformers would raise an index error."""
    folder = tiny.save(tmp_path, tiny.model("gpt2", **MODELS["gpt2"], **VOCAB), tiny.tokenizer(limit=10**30))
    long = " ".join(["w1"] * 500)
    assert encode(folder, [long], pooling="mean", device="cpu")[0].isfinite().all()


def test_texts_that_are_no_unicode(refusal, tmp_path):
    """A tokenizer would raise an error that names no row, after hours perhaps."""
    folder = tiny.save(tmp_path / "bert", tiny.model("bert", **LAYERS, **VOCAB), tiny.tokenizer())
    text = refusal(encode, folder, ["w1", "w2 \ud800"], pooling="mean", device="cpu", error=InputError)
    assert says(text, "Item 1", r"'\ud800'")


def test_options_that_do_not_fit(refusal, tmp_path):
    """In words, before anything runs."""
    folder = tiny.save(tmp_path / "bert", tiny.model("bert", **LAYERS, **VOCAB), tiny.tokenizer())

    def refused(**options: Any) -> str:
        return refusal(encode, folder, ["w1"], error=InputError, **options)

    assert says(refused(at="tail"), "at", "'tail'", "'head'")
    assert says(refused(pooling="cls", modality="image"), "modality", "'image'", "bert reads text")
    assert says(refused(modality="smell"), "modality", "'smell'", "'text', 'image', 'audio'")
    assert says(refused(processor=tiny.tokenizer()), "processor", "TokenizersBackend")
