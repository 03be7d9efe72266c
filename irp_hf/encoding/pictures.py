"""Pictures by a transformers model of one tower: transformers of patches, convolutional networks, timm's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from irp_hf.encoding.base import Encoder, Options, make_record, no_such_pooling
from irp_hf.encoding.forward import hidden_of, poolers_of, reading, run_model
from irp_hf.encoding.sources import Source

CLASS_TOKENS = ("cls_token", "class_token", "class_embedding")  # what the weights of a first token are called


def open_pictures(source: Source, options: Options) -> Encoder:
    """Vectors by the model's "pooler", its first token "cls", or the "mean" of its tokens or of its feature map."""
    name, pooling = source.name, options.pooling
    model = source.model(unused="" if pooling == "pooler" else "pooler")
    processor = source.processor("image_processor")
    read = reader(processor)
    with torch.no_grad():
        choices = _choices(model, run_model(model, read([blank()]), name, "pictures"), name)
    if pooling not in choices:
        raise no_such_pooling(name, pooling, choices)

    def embed(pictures: list[Any]) -> Tensor:
        output = run_model(model, read(pictures), name, "pictures")
        if pooling == "pooler":
            return torch.flatten(output.pooler_output, 1)
        hidden = hidden_of(output, name)
        if hidden.dim() == 4:
            return hidden.float().mean((2, 3))
        return hidden[:, 0] if pooling == "cls" else hidden.float().mean(1)

    record = make_record(name, source.commit, model.dtype, options, "image")
    return Encoder(embed, record, "image", model, processors=(processor,))


def reader(processor: Any) -> Callable[[list[Any]], dict[str, Any]]:
    """A function from RGB pictures to what a model takes, on the CPU."""

    def read(pictures: list[Any]) -> dict[str, Any]:
        with reading(processor, "pictures", "preprocessor_config.json"):
            return dict(processor(pictures, return_tensors="pt"))

    return read


def blank(color: int = 0) -> Any:
    """A picture of one color, to see what a model makes of pictures."""
    from PIL import Image

    return Image.new("RGB", (64, 64), (color, 128, 255 - color))


def _choices(model: Any, output: Any, name: str) -> tuple[str, ...]:
    """The poolings that a model has."""
    poolers = poolers_of(output)
    if hidden_of(output, name).dim() == 4:
        return (*poolers, "mean")
    first = any(weight.rpartition(".")[2] in CLASS_TOKENS for weight, _ in model.named_parameters())
    return (*poolers, *(("cls",) if first else ()), "mean")
