"""Classifiers that a stitched pipeline must answer like: their heads read vectors of one length, which pass unchanged."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tiny_encoders as tiny
import torch
from tiny_encoders import LAYERS, PATCHES, VOCAB
from transformers import (
    ASTFeatureExtractor,
    AutoModelForAudioClassification,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
)

from irp_hf import AnchoredSpace, IRPAdapter

WIDTH = LAYERS["hidden_size"]
SPECTROGRAM = dict(max_length=64, num_mel_bins=32)
IDENTITY = dict(method="whitened", balance=1.0, ridge=1e-9, restoration=0.0)


def classifier(modality: str, num_labels: int | None = None, **config: Any) -> Any:
    """A tiny one: RoBERTa, ViT or AST."""
    auto, kind, settings, parts = KINDS[modality]
    count = num_labels or settings["num_labels"]
    model = tiny.model(kind, auto, **LAYERS | settings | config | dict(num_labels=count))
    return _spread(model, modality, *parts(model))


KINDS: dict[str, tuple[Any, ...]] = {
    "text": (
        AutoModelForSequenceClassification,
        "roberta",
        VOCAB | dict(num_labels=3),
        lambda model: (model.roberta.encoder.layer[-1].output.LayerNorm, model.classifier.out_proj),
    ),
    "image": (
        AutoModelForImageClassification,
        "vit",
        PATCHES | dict(num_labels=7),
        lambda model: (model.vit.layernorm, model.classifier),
    ),
    "audio": (
        AutoModelForAudioClassification,
        "audio-spectrogram-transformer",
        SPECTROGRAM | dict(num_labels=7),
        lambda model: (model.classifier.layernorm, model.classifier.dense),
    ),
}


def processor(modality: str) -> Any:
    """Tokenizer, image processor or feature extractor."""
    if modality == "audio":
        return ASTFeatureExtractor(**SPECTROGRAM)
    return tiny.tokenizer() if modality == "text" else tiny.image_processor()


def save(folder: Path, modality: str, **config: Any) -> Path:
    """A folder with such a classifier and its processor."""
    return tiny.save(folder, classifier(modality, **config), processor(modality))


def rows(count: int = 200) -> np.ndarray:
    """Anchors that look everywhere: their mean is 0, the length of each is that of a normalised layer's output."""
    half = np.random.default_rng(0).normal(size=(count // 2, WIDTH))
    both = np.concatenate([half, -half])
    return (both / np.linalg.norm(both, axis=1, keepdims=True) * WIDTH**0.5).astype(np.float32)


@cache
def _identity() -> IRPAdapter:
    return IRPAdapter.connect(*(AnchoredSpace.from_embeddings(rows()) for _ in range(2)), **IDENTITY)


@cache
def _rough() -> IRPAdapter:
    sides = (AnchoredSpace.from_embeddings(side) for side in (rows(), np.abs(rows()) + rows() / 4))
    return IRPAdapter.connect(*sides, method="kernel", gamma=1.0, ridge=0.1, restoration=0.0)


def identity(source: dict[str, Any] | str | None = None, target: dict[str, Any] | str | None = None) -> IRPAdapter:
    """An adapter that changes no vector of that length, between spaces with these records."""
    return _between(_identity(), source, target)


def rough(source: Any = None, target: Any = None) -> IRPAdapter:
    """An adapter that translates some vectors better than others."""
    return _between(_rough(), source, target)


def _between(fitted: IRPAdapter, source: Any, target: Any) -> IRPAdapter:
    """A copy as of spaces with these records: to fit it anew each time would take most of the time of many tests."""
    made = copy.deepcopy(fitted)
    made.config.source_encoder, made.config.target_encoder = (
        AnchoredSpace.from_embeddings(rows(2), encoder=record).config.encoder for record in (source, target)
    )
    return made


def record(name: str, modality: str = "text", **more: Any) -> dict[str, Any]:
    """What `encode` notes down of a classifier that it reads at its head."""
    known = dict(id=name, revision=None, pooling=None, prompt=None, normalize=False, dtype="float32", at="head")
    return known | ({} if modality == "text" else {"modality": modality}) | more


def items(modality: str, count: int = 6) -> list[Any]:
    """Inputs of many lengths or sizes."""
    return {"text": tiny.texts, "image": tiny.pictures, "audio": tiny.waves}[modality](count)


@torch.no_grad()
def _spread(model: Any, modality: str, norm: Any, last: Any) -> Any:
    """Vectors of one length at `norm`, logits at `last` that differ from item to item, and labels with names."""
    torch.nn.init.ones_(norm.weight)
    torch.nn.init.zeros_(norm.bias)
    torch.nn.init.zeros_(last.bias)
    logits = model(**batch(modality, items(modality))).logits
    scale = 1 / (logits - logits.mean(0)).std()
    last.weight.mul_(scale)
    last.bias.copy_(-logits.mean(0) * scale)
    model.config.id2label = {i: f"label {i}" for i in range(model.config.num_labels)}
    model.config.label2id = {name: i for i, name in model.config.id2label.items()}
    return model


def batch(modality: str, some: list[Any]) -> Any:
    """What the classifier takes."""
    options = {"text": {"padding": True}, "image": {}, "audio": {"sampling_rate": tiny.RATE}}[modality]
    return processor(modality)(some, return_tensors="pt", **options)


def embed(texts: list[str]) -> torch.Tensor:
    """An encoder that is a function: a vector of that length for each text, that no other text has."""
    seeds = [sum(ord(character) * (place + 1) for place, character in enumerate(text)) for text in texts]
    vectors = torch.stack([torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
    return vectors / vectors.norm(dim=1, keepdim=True) * WIDTH**0.5
