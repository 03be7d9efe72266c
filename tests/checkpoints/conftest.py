"""Honest models of every kind, and copies of them that somebody changed."""

import json

import pytest
import tiny_encoders as tiny
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import AutoModelForImageClassification, AutoModelForSequenceClassification, Wav2Vec2FeatureExtractor


@pytest.fixture(scope="session")
def honest(tmp_path_factory):
    """Folders of every kind as somebody saved them."""
    place = tmp_path_factory.mktemp("honest")
    bert = tiny.model("bert", **tiny.LAYERS, **tiny.VOCAB)
    tiny.save(place / "text", bert, tiny.tokenizer())
    vit = tiny.model("vit", **tiny.LAYERS, **tiny.PATCHES)
    tiny.save(place / "image", vit, tiny.image_processor())
    swin = tiny.model("swin", embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=2, **tiny.PATCHES)
    tiny.save(place / "swin", swin, tiny.image_processor())
    speech = tiny.model("wav2vec2", **tiny.LAYERS, **tiny.SPEECH)
    tiny.save(place / "audio", speech, Wav2Vec2FeatureExtractor(sampling_rate=tiny.RATE))
    topics = tiny.model("bert", AutoModelForSequenceClassification, **tiny.LAYERS, **tiny.VOCAB, num_labels=3)
    tiny.save(place / "topics", topics, tiny.tokenizer())
    animals = tiny.model("vit", AutoModelForImageClassification, **tiny.LAYERS, **tiny.PATCHES, num_labels=3)
    tiny.save(place / "animals", animals, tiny.image_processor())
    modules = [Transformer(str(place / "text")), Pooling(16, "mean"), Dense(16, 8)]
    SentenceTransformer(modules=modules, device="cpu").save(str(place / "sentences"))
    return place


@pytest.fixture
def copied(honest, tmp_path):
    """One of them, with values of a JSON file changed."""

    def copy(kind, file="config.json", **values):
        folder = tmp_path / kind
        if not folder.exists():
            for path in (honest / kind).rglob("*"):
                if path.is_file():
                    (folder / path.relative_to(honest / kind)).parent.mkdir(parents=True, exist_ok=True)
                    (folder / path.relative_to(honest / kind)).write_bytes(path.read_bytes())
        content = json.loads((folder / file).read_text()) if (folder / file).exists() else {}
        (folder / file).write_text(json.dumps(content | values))
        return folder

    return copy
