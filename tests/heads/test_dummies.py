"""Batches made up for a model: of the right kind, several lengths, rows that differ."""

from typing import Any

import pytest
import torch
import transformers
from architectures import build
from tiny_encoders import image_processor
from torch import Tensor

from irp_hf.errors import HeadCutError
from irp_hf.heads.dummies import probe


def distinct(batch: dict[str, Any]) -> bool:
    rows = next(iter(batch.values()))
    return len(rows.flatten(1).unique(dim=0)) == len(rows)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("BertForSequenceClassification", "text"),
        ("BartForSequenceClassification", "text"),
        ("LlamaForSequenceClassification", "text"),
        ("LayoutLMForSequenceClassification", "text"),
        ("ImageGPTForImageClassification", "image"),
        ("ViTForImageClassification", "image"),
        ("PerceiverForImageClassificationLearned", "image"),
        ("VivitForVideoClassification", "video"),
        ("VJEPA2ForVideoClassification", "video"),
    ],
)
@pytest.mark.parametrize("rows", [2, 3])
def test_the_model_reads_it(name: str, kind: str, rows: int) -> None:
    model, _ = build(name)
    state = torch.get_rng_state()
    batch = probe(model, kind, rows)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(len(value) == rows for value in batch.values())
    assert distinct(batch)
    with torch.no_grad():
        assert model(**batch).logits.isfinite().all()


def test_texts_are_padded_and_end_once() -> None:
    """Bart pools at the last end of sequence and refuses rows with different numbers of it."""
    model, _ = build("BartForSequenceClassification")
    batch = probe(model, "text", 3)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    lengths = mask.sum(1)
    assert len(set(lengths.tolist())) == 3
    assert torch.equal(mask, (torch.arange(ids.shape[1]) < lengths[:, None]).long())
    assert torch.equal((ids == model.config.eos_token_id).sum(1), torch.ones(3, dtype=torch.long))
    assert torch.equal(ids[torch.arange(3), lengths - 1], torch.full((3,), model.config.eos_token_id))
    assert bool((ids[mask == 0] == model.config.pad_token_id).all())


def test_two_batches_have_two_lengths() -> None:
    """A head that knows the length of the traced batch must be found out."""
    model, _ = build("BertForSequenceClassification")
    assert probe(model, "text", 2)["input_ids"].shape[1] != probe(model, "text", 3)["input_ids"].shape[1]


def test_pictures_of_the_repositorys_own_processor() -> None:
    model, _ = build("ViTForImageClassification")
    batch = probe(model, "image", 3, image_processor())
    assert batch["pixel_values"].shape == (3, 3, 32, 32)
    assert distinct(batch)


@pytest.mark.parametrize(
    ("name", "extractor"),
    [
        ("Wav2Vec2ForSequenceClassification", transformers.Wav2Vec2FeatureExtractor()),
        ("ASTForAudioClassification", transformers.ASTFeatureExtractor(num_mel_bins=32, max_length=64)),
    ],
)
def test_sound_of_the_repositorys_own_extractor(name: str, extractor: Any) -> None:
    model, _ = build(name)
    batch = probe(model, "audio", 2, extractor)
    assert distinct(batch)
    assert all(isinstance(value, Tensor) for value in batch.values())


def test_sound_without_an_extractor(refusal: Any) -> None:
    """Waves or spectrograms, of which rate: no configuration tells."""
    model, _ = build("Wav2Vec2ForSequenceClassification")
    assert refusal(probe, model, "audio", 2, error=HeadCutError) == (
        "Wav2Vec2ForSequenceClassification came without a feature extractor, which says what sound looks like to it. "
        "Put preprocessor_config.json beside it, or pass HeadCut(model, **inputs) with a batch of yours."
    )
