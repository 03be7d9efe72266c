"""Encoders and classifiers in folders, saved once for all tests of stitching. Not to be changed."""

from pathlib import Path

import pytest
import stitched
import tiny_encoders as tiny
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tiny_encoders import LAYERS, VOCAB


@pytest.fixture(scope="session")
def plain(tmp_path_factory) -> Path:
    """An encoder that needs a pooling."""
    folder = tmp_path_factory.mktemp("encoders") / "plain"
    return tiny.save(folder, tiny.model("bert", **LAYERS, **VOCAB), tiny.tokenizer())


@pytest.fixture(scope="session")
def sentence(plain) -> SentenceTransformer:
    """The same encoder with a pooling of its own."""
    return SentenceTransformer(modules=[Transformer(str(plain)), Pooling(stitched.WIDTH, "mean")], device="cpu")


@pytest.fixture(scope="session")
def classifiers(tmp_path_factory) -> dict[str, Path]:
    """One for each modality."""
    root = tmp_path_factory.mktemp("classifiers")
    return {modality: stitched.save(root / modality, modality) for modality in ("text", "image", "audio")}


@pytest.fixture(scope="session")
def classifier(tmp_path_factory) -> Path:
    """Of texts, called "topics"."""
    return stitched.save(tmp_path_factory.mktemp("classifiers") / "topics", "text")
