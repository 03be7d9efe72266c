"""Stand-ins to trace an architecture with: batches of the right kind, whose rows differ, and models of noise, which run."""

from typing import Any

import pytest
import torch
import transformers
from architectures import build
from tiny_encoders import image_processor
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, MixtralConfig, MixtralForSequenceClassification

from irp_hf.errors import HeadCutError
from irp_hf.heads.dummies import dummy_inputs, fill_with_noise, model_without_weights


def mixtral_config(hidden_size: int) -> MixtralConfig:
    return MixtralConfig(
        hidden_size=hidden_size,
        intermediate_size=hidden_size // 2,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        vocab_size=50,
    )


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
    batch = dummy_inputs(model, kind, rows)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(len(value) == rows for value in batch.values())
    assert distinct(batch)
    with torch.no_grad():
        assert model(**batch).logits.isfinite().all()


def test_texts_are_padded_and_end_once() -> None:
    """Bart pools at the last end of sequence and refuses rows with different numbers of it."""
    model, _ = build("BartForSequenceClassification")
    batch = dummy_inputs(model, "text", 3)
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
    assert dummy_inputs(model, "text", 2)["input_ids"].shape[1] != dummy_inputs(model, "text", 3)["input_ids"].shape[1]


def test_pictures_of_the_repositorys_own_processor() -> None:
    model, _ = build("ViTForImageClassification")
    batch = dummy_inputs(model, "image", 3, image_processor())
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
    batch = dummy_inputs(model, "audio", 2, extractor)
    assert distinct(batch)
    assert all(isinstance(value, Tensor) for value in batch.values())


def test_sound_without_an_extractor(refusal: Any) -> None:
    """Waves or spectrograms, of which rate: no configuration tells."""
    model, _ = build("Wav2Vec2ForSequenceClassification")
    text = refusal(dummy_inputs, model, "audio", 2, error=HeadCutError)
    for words in ("Wav2Vec2ForSequenceClassification", "a feature extractor", "preprocessor_config.json", "HeadCut("):
        assert words in text


SMALL = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=100)
SMALL.dtype = "float16"


def megabytes(model: nn.Module) -> float:
    storages = {s.data_ptr(): s.nbytes() for s in (tensor.untyped_storage() for tensor in model.parameters())}
    return sum(storages.values()) / 1e6


@pytest.mark.parametrize(
    ("model_class", "config"),
    [
        (BertForSequenceClassification, BertConfig()),
        (transformers.ResNetForImageClassification, transformers.ResNetConfig()),
    ],
    ids=["440 MB", "94 MB"],
)
def test_it_needs_a_hundredth_of_the_memory(model_class: type, config: transformers.PreTrainedConfig) -> None:
    """To read a head of some kB, nobody should need room for its backbone."""
    model = model_without_weights(model_class, config)
    assert megabytes(model) < 4e-8 * sum(parameter.numel() for parameter in model.parameters())
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert not any(module.training for module in model.modules())


def test_it_runs_and_tells_rows_apart() -> None:
    """Constant or infinite logits would suit any head."""
    model, ids = model_without_weights(BertForSequenceClassification, SMALL), torch.arange(10, 40).view(3, 10)
    with torch.no_grad():
        logits = model(input_ids=ids).logits
    assert logits.isfinite().all()
    assert float((logits - logits.mean(0)).abs().max() / logits.abs().max()) > 1e-3


@pytest.mark.parametrize("name", ["EfficientNet", "MobileNetV2", "RegNet", "ResNet"])
def test_pictures_are_still_told_apart_after_many_layers(name: str) -> None:
    """Else no cut could be checked on noise, and the whole model would be loaded."""
    config = getattr(transformers, f"{name}Config")()
    model = model_without_weights(getattr(transformers, f"{name}ForImageClassification"), config)
    with torch.no_grad():
        logits = model(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))).logits
    assert float((logits[0] - logits[1]).abs().max() / logits.abs().max()) > 1e-3


def test_rows_of_a_weight_differ() -> None:
    """Two equal rows would make two channels, or two experts, look the same."""
    config = mixtral_config(hidden_size=16)
    for model in (
        model_without_weights(BertForSequenceClassification, SMALL),
        model_without_weights(MixtralForSequenceClassification, config),
    ):
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                assert len(weight.flatten(1).unique(dim=0)) == len(weight), name


def test_experts_run() -> None:
    """Their kernel takes no matrix whose own rows overlap, and the whole model would be loaded."""
    config = mixtral_config(hidden_size=32)
    config.pad_token_id = 0
    with torch.no_grad():
        logits = model_without_weights(MixtralForSequenceClassification, config)(
            input_ids=torch.arange(20).view(2, 10)
        ).logits
    assert logits.isfinite().all()


def test_another_seed_changes_all_but_what_is_kept() -> None:
    model = model_without_weights(BertForSequenceClassification, SMALL)
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    fill_with_noise(model, seed=1, keep=frozenset({"classifier.weight", "classifier.bias"}))
    same = {name for name, tensor in model.named_parameters() if torch.equal(tensor, before[name])}
    assert same == {"classifier.weight", "classifier.bias"}
    fill_with_noise(model, seed=0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.named_parameters())


def test_what_is_tied_stays_tied() -> None:
    """Also where it is kept under one of its names alone."""
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)})
    model["b"].weight = model["a"].weight
    fill_with_noise(model, seed=0)
    assert model["b"].weight is model["a"].weight
    kept = model["a"].weight
    fill_with_noise(model, seed=1, keep=frozenset({"b.weight"}))
    assert model["a"].weight is kept
    assert model["b"].weight is kept


def test_the_random_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    model_without_weights(BertForSequenceClassification, SMALL)
    assert torch.equal(torch.get_rng_state(), state)
