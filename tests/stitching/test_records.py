"""An adapter's records of its encoders: how they are opened, and encoders that encode otherwise than the anchors were."""

import warnings
from functools import partial
from typing import Any

import pytest
import stitched
import tiny_encoders as tiny
import torch
from published import ENCODER, TOPICS
from says import says
from torch import nn
from transformers import pipeline

from irp_hf import InputError, StitchedModel
from irp_hf.encoding import encode

WIDTH, TEXTS = stitched.WIDTH, tiny.texts(9)


@pytest.fixture(scope="module")
def head() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(WIDTH, 3).eval()


def mismatches(plain: Any, sentence: Any, classifier: Any) -> list[tuple[Any, ...]]:
    """The encoder's name, what then and now differs; what was recorded, the encoder now, and its settings."""
    mean, query = dict(at=None, pooling="mean"), dict(at=None, pooling="mean", prompt="query: ")
    return [
        ("plain", "pooling='mean'", "pooling='cls'", mean, plain, {"pooling": "cls"}),
        ("plain", "pooling='cls'", "pooling='mean'", mean | {"pooling": "cls"}, sentence, {}),
        ("plain", "prompt='query: '", "prompt='text: '", query, plain, {"prompt": "text: "}),
        ("plain", "prompt=None", "prompt='text: '", mean, plain, {"prompt": "text: "}),
        ("plain", "prompt='query: '", "prompt=None", query, plain, {"prompt": ""}),
        ("plain", "normalize=True", "normalize=False", mean | {"normalize": True}, plain, {"normalize": False}),
        ("topics", "at=None", "at='head'", {"at": None}, classifier, {"at": "head"}),
        ("plain", "at='head'", "at=None", {}, sentence, {}),
    ]


@pytest.mark.parametrize("case", range(8))
def test_an_encoder_that_encodes_otherwise(case, plain, sentence, classifier, head, refusal):
    """Is refused; where the user says so it is warned of, and used."""
    name, then, now, recorded, encoder, settings = mismatches(plain, sentence, classifier)[case]
    adapter = stitched.rough(stitched.record("then", **recorded))
    stitch = partial(StitchedModel, encoder, adapter, head, **settings)
    assert says(refusal(stitch, error=InputError), name, f"expected {then}", f"got {now}", "on_mismatch='warn'")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = stitch(on_mismatch="warn")
    assert len(caught) == 1
    assert says(str(caught[0].message), name, f"expected {then}", f"got {now}")
    assert caught[0].filename == __file__
    assert model.predict(TEXTS).logits.shape == (9, 3)


def test_what_is_recorded_is_used(plain, classifier, head):
    """Prompt, normalisation and view of the anchors hold for a folder and for a function; nothing is to be warned of."""
    recorded = stitched.record("then", at=None, pooling="cls", prompt="w7 ", normalize=True)
    adapter = stitched.rough(recorded)
    vectors = encode(plain, TEXTS, pooling="cls", prompt="w7 ", normalize=True, device="cpu")[0]
    with torch.no_grad():
        wanted = head(adapter.translate(vectors))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for encoder in (plain, lambda texts: encode(plain, texts, pooling="cls", device="cpu")[0]):
            found = StitchedModel(encoder, adapter, head).predict(TEXTS).logits
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
        at_head = stitched.rough(stitched.record("topics"))
        cut = StitchedModel(classifier, at_head, head).predict(TEXTS).logits
        function = StitchedModel(lambda x: encode(classifier, x, at="head", device="cpu")[0], at_head, head)
        torch.testing.assert_close(function.predict(TEXTS).logits, cut, atol=1e-5, rtol=1e-4)


def test_nothing_is_compared_that_nobody_knows(plain, head):
    """A space of embeddings made elsewhere says only its name."""
    model = StitchedModel(plain, stitched.rough("me/plain"), head, pooling="cls", prompt="w1 ", on_mismatch="refuse")
    assert model.predict(TEXTS).logits.shape == (9, 3)


@pytest.mark.slow
def test_parts_that_the_adapter_names(published, folders, tmp_path):
    """At their commits, whatever was pushed since; also after `save_pretrained`, and with no connection."""
    commits = [published.commits(name)[0] for name in (ENCODER, TOPICS)]
    for name in (ENCODER, TOPICS):
        assert published.upload(name, {"config.json": b"{}"}) not in commits
    pipe = pipeline("irp-stitch", model="me/adapter", device="cpu")
    assert [pipe.stitched.encoder.record.revision, pipe.stitched.head.record.revision] == commits
    pipe.save_pretrained(tmp_path / "again")
    saved = str(tmp_path / "again")
    with published.down():
        again = pipeline("irp-stitch", model=saved, device="cpu")
        named = pipeline("irp-stitch", model=saved, encoder=ENCODER, head=TOPICS, device="cpu")
    answers = pipe(TEXTS)
    assert answers == again(TEXTS) == named(TEXTS)  # the same ids mean the same commits
    parts = dict(encoder=folders / "encoder", head=folders / "topics")
    here = pipeline("irp-stitch", model=saved, **parts, device="cpu")(TEXTS)
    assert [answer["label"] for answer in answers] == [answer["label"] for answer in here]
    assert "custom_pipelines" not in (tmp_path / "again" / "config.json").read_text()
    assert {path.name for path in (tmp_path / "again").iterdir()} == {"config.json", "hub_code.py", "model.safetensors"}


@pytest.mark.parametrize("revision", [None, "main", "a" * 39])
def test_an_encoder_that_is_named_without_its_commit(head, refusal, revision):
    """Whatever a branch is today would run, and not what the anchors were encoded by."""
    adapter = stitched.rough({"id": "me/encoder", "revision": revision})
    assert says(refusal(StitchedModel, None, adapter, head, error=InputError), "encoder", "'me/encoder'", "encoder=")


def test_a_head_that_reads_other_vectors_than_the_target_was_encoded_with(plain, classifier, refusal):
    """Forgetting at="head" gives vectors of the right width and answers of chance."""
    adapter = stitched.identity(target=stitched.record("topics", at=None, pooling="mean"))
    options = dict(pooling="mean", device="cpu")
    text = refusal(StitchedModel, plain, adapter, classifier, **options, error=InputError)
    assert says(text, "head", "vectors of topics", "at='head'", "on_mismatch='warn'")
    with pytest.warns(UserWarning, match="vectors of topics"):
        StitchedModel(plain, adapter, classifier, on_mismatch="warn", **options)
    StitchedModel(plain, adapter, nn.Linear(WIDTH, 2), **options)  # a head of its own for those vectors
