"""Models of noise: as large as any, in next to no memory, and able to run."""

import pytest
import torch
import transformers
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, MixtralConfig, MixtralForSequenceClassification

from irp_hf.heads.weightless import fill, hollow, put_tensors

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
    model = hollow(model_class, config)
    assert megabytes(model) < 4e-8 * sum(parameter.numel() for parameter in model.parameters())
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert not any(module.training for module in model.modules())


def test_it_runs_and_tells_rows_apart() -> None:
    """Constant or infinite logits would suit any head."""
    model, ids = hollow(BertForSequenceClassification, SMALL), torch.arange(10, 40).view(3, 10)
    with torch.no_grad():
        logits = model(input_ids=ids).logits
    assert logits.isfinite().all()
    assert float((logits - logits.mean(0)).abs().max() / logits.abs().max()) > 1e-3


@pytest.mark.parametrize("name", ["EfficientNet", "MobileNetV2", "RegNet", "ResNet"])
def test_pictures_are_still_told_apart_after_many_layers(name: str) -> None:
    """Else no cut could be checked on noise, and the whole model would be loaded."""
    config = getattr(transformers, f"{name}Config")()
    model = hollow(getattr(transformers, f"{name}ForImageClassification"), config)
    with torch.no_grad():
        logits = model(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))).logits
    assert float((logits[0] - logits[1]).abs().max() / logits.abs().max()) > 1e-3


def test_rows_of_a_weight_differ() -> None:
    """Two equal rows would make two channels, or two experts, look the same."""
    config = MixtralConfig(
        hidden_size=16,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        vocab_size=50,
    )
    for model in (hollow(BertForSequenceClassification, SMALL), hollow(MixtralForSequenceClassification, config)):
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                assert len(weight.flatten(1).unique(dim=0)) == len(weight), name


def test_experts_run() -> None:
    """Their kernel takes no matrix whose own rows overlap, and the whole model would be loaded."""
    config = MixtralConfig(
        hidden_size=32,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        vocab_size=50,
    )
    config.pad_token_id = 0
    with torch.no_grad():
        logits = hollow(MixtralForSequenceClassification, config)(input_ids=torch.arange(20).view(2, 10)).logits
    assert logits.isfinite().all()


def test_another_seed_changes_all_but_what_is_kept() -> None:
    model = hollow(BertForSequenceClassification, SMALL)
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    fill(model, seed=1, keep=frozenset({"classifier.weight", "classifier.bias"}))
    same = {name for name, tensor in model.named_parameters() if torch.equal(tensor, before[name])}
    assert same == {"classifier.weight", "classifier.bias"}
    fill(model, seed=0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.named_parameters())


def test_what_is_tied_stays_tied() -> None:
    """Also where it is kept under one of its names alone."""
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)})
    model["b"].weight = model["a"].weight
    fill(model, seed=0)
    assert model["b"].weight is model["a"].weight
    kept = model["a"].weight
    fill(model, seed=1, keep=frozenset({"b.weight"}))
    assert model["a"].weight is kept
    assert model["b"].weight is kept


def test_the_random_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    hollow(BertForSequenceClassification, SMALL)
    assert torch.equal(torch.get_rng_state(), state)


def test_parameters_and_buffers_are_put_in_place() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    tensors = {"0.weight": torch.full((2, 2), 3.0), "1.running_mean": torch.tensor([1.0, 2.0])}
    put_tensors(model, tensors)
    assert torch.equal(model[0].weight, tensors["0.weight"])
    assert torch.equal(model[1].running_mean, tensors["1.running_mean"])
    assert isinstance(model[0].weight, nn.Parameter)
    assert set(model.state_dict()) == {
        *(f"0.{n}" for n in ("weight", "bias")),
        *(f"1.{n}" for n in model[1].state_dict()),
    }
