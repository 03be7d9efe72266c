"""`StitchedModel`: parts of every kind, parts that do not fit each other, and what `predict` says."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import stitched
import tiny_encoders as tiny
import torch
from says import says
from sklearn.linear_model import LogisticRegression, Ridge
from tiny_encoders import LAYERS, VOCAB
from torch import nn
from transformers import AutoModelForCausalLM, pipeline

from irp_hf import HubError, InputError, IRPAdapter, StitchedModel
from irp_hf.encoding import encode
from irp_hf.heads import open_head
from irp_hf.heads.cut import HeadCut

WIDTH, TEXTS = stitched.WIDTH, tiny.texts(9)


@pytest.fixture(scope="module")
def adapter(plain) -> IRPAdapter:
    """From the mean of the plain encoder's tokens. Not to be changed."""
    return stitched.rough(stitched.record("plain", at=None, pooling="mean"))


@pytest.fixture(scope="module")
def head() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(WIDTH, 5), nn.Tanh(), nn.Linear(5, 3)).eval()


def as_function(plain: Any) -> Any:
    def mean(texts: list[str]) -> torch.Tensor:
        return encode(plain, texts, pooling="mean", device="cpu")[0]

    return mean


def encoders(plain: Any, sentence: Any, tmp_path: Any) -> dict[str, tuple[Any, dict[str, Any]]]:
    sentence.save_pretrained(str(tmp_path / "sentence"))
    loaded = tiny.model("bert", **LAYERS, **VOCAB)
    return {
        "a folder": (plain, {}),
        "its name": (str(plain), {"device": "cpu"}),
        "a folder of sentence-transformers": (tmp_path / "sentence", {}),
        "a SentenceTransformer": (sentence, {}),
        "a model": (loaded, {"processor": tiny.tokenizer()}),
        "a function": (as_function(plain), {}),
        "a function to numpy": (lambda texts: as_function(plain)(texts).double().numpy(), {}),
    }


def test_encoders_of_every_kind(plain, sentence, adapter, head, tmp_path):
    """All of them open as the anchors were encoded, and give what the parts give one after another."""
    vectors = encode(plain, TEXTS, pooling="mean", device="cpu")[0]
    with torch.no_grad():
        wanted = head(adapter.translate(vectors))
    for name, (encoder, settings) in encoders(plain, sentence, tmp_path).items():
        model = StitchedModel(encoder, adapter, head, **settings)
        found = model.predict(TEXTS, batch_size=4)
        torch.testing.assert_close(found.logits, wanted, atol=1e-5, rtol=1e-4, msg=lambda text, name=name: name + text)
        assert (model.modality or "text", model.device.type, model.training) == ("text", "cpu", False)


def test_heads_of_every_kind(plain, adapter, classifier, head):
    """A stored classifier and everything that can be made of it score alike; so do the others and their own call."""
    vectors = adapter.translate(encode(plain, TEXTS, pooling="mean", device="cpu")[0])
    loaded = stitched.classifier("text")
    cut = HeadCut(loaded, **stitched.batch("text", TEXTS))
    labels = [f"class {row % 3}" for row in range(9)]
    regression = LogisticRegression().fit(vectors, labels)
    line = Ridge().fit(vectors, np.arange(9.0))
    linear = nn.Linear(WIDTH, 2)
    with torch.no_grad():
        wanted = cut.head_only()(vectors)
        cases = [(one, wanted) for one in (classifier, str(classifier), loaded, cut, open_head(classifier))]
        cases += [(head, head(vectors)), (linear, linear(vectors)), (lambda x: linear(x), linear(vectors))]
    cases += [(line, torch.from_numpy(line.predict(vectors)[:, None]).float())]
    for given, logits in cases:
        found = StitchedModel(plain, adapter, given).predict(TEXTS).logits
        torch.testing.assert_close(found, logits, atol=1e-4, rtol=1e-4)
    found = StitchedModel(plain, adapter, regression).predict(TEXTS).logits.softmax(-1)
    np.testing.assert_allclose(found, regression.predict_proba(vectors), atol=1e-5)


def test_adapters_of_every_kind(plain, adapter, head, tmp_path, refusal):
    adapter.save_pretrained(tmp_path / "adapter")
    wanted = StitchedModel(plain, adapter, head).predict(TEXTS).logits
    for given in (tmp_path / "adapter", str(tmp_path / "adapter")):
        assert torch.equal(StitchedModel(plain, given, head).predict(TEXTS).logits, wanted)
    assert says(refusal(StitchedModel, plain, head, head, error=InputError), "adapter", "a Sequential", "IRPAdapter")
    assert "no adapter" in refusal(StitchedModel, plain, str(tmp_path / "no adapter"), head)


def test_predict(plain, adapter, head):
    """The rows in their order whatever the batches, on the CPU, and the confidence where it is asked for."""
    model = StitchedModel(plain, adapter, head)
    vectors = encode(plain, TEXTS, pooling="mean", device="cpu")[0]
    wanted, alone = model.predict(TEXTS).logits, [model.predict([text]).logits for text in TEXTS]
    torch.testing.assert_close(torch.cat(alone), wanted, atol=1e-5, rtol=1e-4)
    assert (wanted - wanted[0]).abs()[1:].amax(1).min() > 1e-3
    for batch_size in (1, 2, 9, 50):
        output = model.predict(tuple(TEXTS), batch_size, return_confidence=True)
        torch.testing.assert_close(output.logits, wanted, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(output.confidence, adapter.confidence(vectors), atol=1e-5, rtol=1e-4)
    both = model(TEXTS, return_confidence=True)
    assert torch.equal(both.confidence, adapter.confidence(model.encoder.embed(TEXTS)))
    assert model.predict(TEXTS).confidence is None
    assert (output.logits.dtype, output.confidence.shape, output.logits.requires_grad) == (torch.float32, (9,), False)


def exponentials(call: Any) -> int:
    """How often the kernel of the landmarks is computed, which takes one call of `exp` each time."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        call()
    return sum(event.name in ("aten::exp", "aten::exp_") for event in profile.events())


def test_vectors_and_confidence_take_one_pass(plain, adapter, head):
    """The kernel of a thousand landmarks would be computed again for the confidence, and take twice as long."""
    model = StitchedModel(plain, adapter, head)
    vectors = model.encoder.embed(TEXTS)
    once = exponentials(lambda: adapter(embeddings=vectors, return_confidence=True))
    assert exponentials(lambda: model(TEXTS, return_confidence=True)) == once
    assert exponentials(lambda: (model(TEXTS), adapter.confidence(vectors))) > once > 0


def test_the_confidence_goes_by_two_names(plain, adapter, head, refusal):
    """What adapters and pipelines call it would be an unknown argument of the model, or the older name one."""
    model = StitchedModel(plain, adapter, head)
    for call in (model, model.predict):
        found = [call(TEXTS, **{name: True}).confidence for name in ("return_confidence", "confidence")]
        assert torch.equal(*found)
        assert call(TEXTS, confidence=False).confidence is None
        text = refusal(call, TEXTS, return_confidence=True, confidence=True, error=InputError)
        assert says(text, "confidence", "return_confidence", "same option")


@pytest.mark.parametrize(("progress", "shown"), [(True, True), (False, False), (None, False)])
def test_a_bar_shows_the_progress(progress, shown, plain, adapter, head, capsys):
    """Where it is wanted; by itself only on a terminal."""
    model = StitchedModel(plain, adapter, head)
    capsys.readouterr()
    model.predict(TEXTS, batch_size=1, progress=progress)
    assert ("Classifying" in capsys.readouterr().err) is shown


def test_rows_that_cannot_be_classified(plain, adapter, head, refusal):
    """Each is named by its row among all, not in its batch."""
    predict = partial(refusal, StitchedModel(plain, adapter, head).predict, error=InputError)
    assert says(predict([*TEXTS, None], batch_size=2), "Item 9", "None")
    assert says(predict([*TEXTS[:5], 0.5], batch_size=2), "Item 5", "a float", "plain")
    for nothing in ("w1", b"w1"):
        assert says(predict(nothing), "items", repr(nothing))
    for flag in ("return_confidence", "confidence", "progress"):
        assert says(predict(TEXTS, **{flag: "no"}), flag, "'no'")
    for wrong in (0, 2.5, True, "2", 2**31):
        assert says(predict(TEXTS, wrong), "batch_size", repr(wrong))


def test_vectors_that_are_none(adapter, head, refusal):
    """Of a function: another width, another number, NaN, no numbers at all; what it raises itself is the user's."""
    bad = torch.ones(3, WIDTH)
    bad[1, 2] = torch.nan

    def predict(function: Any) -> str:
        return refusal(StitchedModel(function, adapter, head).predict, ["w1", "w2", "w3"], error=InputError)

    def narrow(texts: list[str]) -> torch.Tensor:
        return torch.ones(len(texts), 7)

    assert says(predict(narrow), "narrow", (3, 7), (3, WIDTH))
    assert says(predict(lambda texts: torch.ones(2, WIDTH)), (2, WIDTH), (3, WIDTH))
    assert "NaN" in predict(lambda texts: bad)
    assert predict(lambda texts: ["a vector"] * len(texts))
    assert predict(lambda texts: None)
    with pytest.raises(ZeroDivisionError):
        StitchedModel(lambda texts: 1 / 0, adapter, head).predict(["w1"])


def test_nan_is_told_by_its_row_among_all(adapter, head, refusal):
    def sometimes(texts: list[str]) -> torch.Tensor:
        vectors = stitched.embed(texts)
        vectors[[text == "w5" for text in texts]] = torch.nan
        return vectors

    model = StitchedModel(sometimes, adapter, head)
    texts = [f"w{row}" for row in range(9)]
    words = refusal(model.predict, texts, batch_size=2, error=InputError)
    assert says(words, "sometimes", "NaN", "Item 5, 'w5'")
    pipe = pipeline("irp-stitch", model=model)
    for batch_size in (1, 2, 9):
        assert refusal(pipe, texts, batch_size=batch_size) == words


def test_heads_that_do_not_fit(plain, adapter, classifier, refusal, tmp_path):
    """Another width, no classifier, no head at all."""
    stitch = partial(refusal, StitchedModel, plain, adapter)
    assert says(stitch(nn.Linear(7, 2), error=InputError), "head", "7 wide", f"{WIDTH} wide")
    assert says(stitch(error=InputError), "head", "an unknown encoder", "head=")
    generator = tiny.model("gpt2", AutoModelForCausalLM, n_embd=16, n_layer=1, n_head=2, **VOCAB)
    folder = tiny.save(tmp_path / "generator", generator, tiny.tokenizer())
    for given in (folder, generator):
        assert says(stitch(given), "GPT2LMHeadModel")
    assert says(stitch(str(tmp_path / "missing"), error=InputError), "missing")
    assert says(stitch(3, error=InputError), "int")
    narrow = StitchedModel(plain, adapter, nn.Sequential(nn.Linear(3, 2)))
    assert says(refusal(narrow.predict, TEXTS, error=InputError), "head", (9, WIDTH))


def test_settings_that_do_not_exist(plain, adapter, head, refusal):
    stitch = partial(refusal, StitchedModel, plain, adapter, head, error=InputError)
    assert says(stitch(poling="cls"), "'poling'", "Write pooling=.")
    assert says(stitch(zzz=1), "'zzz'", "pooling, prompt,")
    assert says(stitch(on_mismatch="hide"), "on_mismatch", "'hide'", "'refuse', 'warn', 'ignore'")
    assert says(refusal(StitchedModel, "no/where/at/all", adapter, head, error=InputError), "no/where/at/all")
    assert says(refusal(StitchedModel, "mistyped", adapter, head, error=HubError), "'mistyped'", "a folder here")
    assert says(stitch(dtype="float99"), "dtype", "'float99'")
    assert says(stitch(head_trust_remote_code="no"), "head_trust_remote_code", "'no'")


def test_an_adapter_that_names_no_parts(head, refusal):
    """Or names by a folder, of which only the name was kept."""

    stitch = partial(refusal, StitchedModel, error=InputError)
    assert says(stitch(None, stitched.identity(), head), "encoder", "none", "encoder=")
    folders = stitched.identity(stitched.record("plain"), stitched.record("topics"))
    assert says(stitch(None, folders, head), "encoder", "'plain'", "encoder=")
    assert says(stitch(stitched.embed, folders), "head", "'topics'", "head=")


def test_moves_and_casts(plain, adapter, classifier):
    """`.to` moves all parts; a cast leaves the adapter as it is, and still everything fits."""
    model = StitchedModel(plain, adapter, classifier, device="cpu")
    wanted = model.predict(TEXTS).logits
    model.to(torch.bfloat16)
    dtypes = {name: next(part.parameters()).dtype for name, part in model.named_children()}
    assert dtypes == {"adapter": torch.float32, "head": torch.bfloat16, "encoder_module": torch.bfloat16}
    torch.testing.assert_close(model.predict(TEXTS).logits, wanted, atol=0.1, rtol=0.1)
    model.to("meta")
    assert {tensor.device.type for tensor in model.parameters()} == {"meta"}
