"""A small encoder, a classifier, their spaces and the adapter between them, on the Hub on loopback."""

from pathlib import Path

import pytest
import tiny_encoders as tiny
from hub_server.start import empty_cache
from transformers import AutoModelForSequenceClassification

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter

ENCODER, TOPICS = "sentence-transformers/all-MiniLM-L6-v2", "me/topics"
ANCHORS = tiny.texts(40)
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """A small sentence-transformers encoder, and a classifier whose backbone is much larger than its head."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    root = tmp_path_factory.mktemp("models")
    tiny.save(root / "bert", tiny.model("bert", **tiny.LAYERS, **tiny.VOCAB), tiny.tokenizer())
    SentenceTransformer(modules=[Transformer(str(root / "bert")), Pooling(16)], device="cpu").save(
        str(root / "encoder")
    )
    large = tiny.LAYERS | dict(num_hidden_layers=6, intermediate_size=512)
    topics = tiny.model("roberta", AutoModelForSequenceClassification, **large, **tiny.VOCAB, num_labels=3)
    tiny.save(root / "topics", topics, tiny.tokenizer())
    return root


CONTENTS = []  # of the Hub, once they were made: encoding and fitting them for each test takes most of its time


@pytest.fixture
def published(hub, folders, monkeypatch):
    """Encoder, classifier, both spaces and the adapter on the Hub; I am logged in, and the cache is empty."""
    monkeypatch.setenv("HF_TOKEN", hub.token("me"))
    if CONTENTS:
        hub.restore(CONTENTS[0])
    else:
        publish(hub, folders)
        CONTENTS.append(hub.contents())
    empty_cache()
    hub.requests.clear()
    return hub


def publish(hub, folders):
    hub.upload(ENCODER, folders / "encoder")
    hub.upload(TOPICS, folders / "topics")
    anchors = AnchorSet(ANCHORS)
    anchors.push_to_hub("me/anchors")
    source = AnchoredSpace.encode(ENCODER, anchors, device="cpu")
    target = AnchoredSpace.encode(TOPICS, anchors, at="head", device="cpu")
    source.push_to_hub("me/encoder-anchored")
    target.push_to_hub("me/topics-anchored")
    adapter = IRPAdapter.connect(source, target, method="kernel", gamma=1.0, ridge=1e-3)
    adapter.push_to_hub("me/adapter", report=False)
