"""Build a model of any size in next to no memory: of noise whose rows overlap, to trace its forward without its weights."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import init_empty_weights
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights


def hollow(model_class: type[PreTrainedModel], config: PreTrainedConfig) -> PreTrainedModel:
    """A `model_class` of this configuration in eval mode, float32, filled with noise that `fill` can change."""
    with init_empty_weights(include_buffers=False), no_init_weights():
        model: PreTrainedModel = model_class(config)
    fill(model, seed=0)
    model.float().eval()
    return model


def fill(model: nn.Module, seed: int, keep: frozenset[str] = frozenset()) -> None:
    """Give every parameter of `model` noise of another seed, except those named in `keep`; what is tied stays tied."""
    generator = torch.Generator().manual_seed(seed)
    kept = {id(parameter) for name, parameter in model.named_parameters(remove_duplicate=False) if name in keep}
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is None or id(parameter) in kept:
                continue
            if id(parameter) not in made:
                made[id(parameter)] = nn.Parameter(_noise(parameter.shape, generator, name), requires_grad=False)
            module._parameters[name] = made[id(parameter)]


def _noise(shape: torch.Size, generator: torch.Generator, name: str) -> Tensor:
    """Weights about as large as training leaves them. Each row of a matrix is the one before it, moved by one."""
    if len(shape) < 2:
        return 0.1 * torch.randn(shape, generator=generator) + float(name == "weight")
    width = shape[1:].numel()
    gain = 2 if len(shape) > 3 else 1  # else what pictures differ in fades layer by layer
    line = torch.randn(shape[0] + width - 1, generator=generator) * (gain * width**-0.5)
    noise: Tensor = line.as_strided(shape, (1, *torch.empty(shape[1:], device="meta").stride()))
    return noise


def put_tensors(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put parameters and buffers of these names in the place of those that are there."""
    for name, tensor in tensors.items():
        owner, _, child = name.rpartition(".")
        module: Any = model.get_submodule(owner)
        if child in module._parameters:
            module._parameters[child] = nn.Parameter(tensor, requires_grad=False)
        else:
            module._buffers[child] = tensor
