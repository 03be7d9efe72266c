"""Every class of transformers' sequence, image, audio and video classification mappings, as a tiny random model.

`build(name)` gives one that is worth judging: finite logits that depend on the row. What transformers adds is found by
itself; sizes.py says what its configs need.
"""

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto import modeling_auto as auto

from architectures.sizes import IDS, OVERRIDES, SIZES

Batch = dict[str, Tensor]

NUM_LABELS = 5
MOST_PARAMETERS = 5e6  # more is not tiny: a size that our tables miss
LEAST_SPREAD = 1e-3  # of logits between rows, over the largest: with less, any head would do
MAPPINGS = {
    "text": auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "image": auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    "audio": auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES,
    "video": auto.MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES,
}
KINDS: dict[str, str] = {  # by class; no architecture is imported for it
    name: kind
    for kind, mapping in MAPPINGS.items()
    for names in mapping.values()
    for name in ([names] if isinstance(names, str) else names)
}


def build(name: str) -> tuple[PreTrainedModel, Callable[[int], Batch]]:
    """A tiny model in eval mode, and what makes a batch of so many rows for it; raises where none can be had here."""
    model_class = getattr(transformers, name)
    config_class = model_class.config_class
    config = config_class(**sizes(config_class, OVERRIDES.get(config_class.model_type, {})), num_labels=NUM_LABELS)
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in model_class(config).parameters())
    if parameters > MOST_PARAMETERS:
        raise ValueError(f"{name} has {parameters:,} parameters: not tiny")
    torch.manual_seed(0)
    model = model_class(config).eval()

    def batch(rows: int) -> Batch:
        torch.manual_seed(rows)
        return MAKERS[KINDS[name]](model, rows)

    enliven(model, batch(3))
    for rows in (3, 5):
        out = logits(model, batch(rows))
        spread = (out - out.mean(0)).abs().max() / out.abs().max()
        if not (len(out) == rows and out.isfinite().all() and spread > LEAST_SPREAD):
            raise ValueError(f"{name}: logits {tuple(out.shape)} hardly depend on the row, spread {float(spread):.0e}")
    return model, batch


def sizes(config_class: type[PreTrainedConfig], overrides: dict[str, Any]) -> dict[str, Any]:
    """What to construct a tiny config with: the usual names where its default has them, nested configs, overrides."""
    default = config_class()
    renamed = getattr(config_class, "attribute_map", {})
    given: dict[str, Any] = {}
    for name, size in SIZES.items():
        usual = getattr(default, name, None)
        if type(usual) is int and usual > 0 and renamed.get(name) not in overrides:
            given[name] = min(size, usual)
    given |= {name: token for name, token in IDS.items() if hasattr(default, name)}
    layers = vars(default).get("layer_types")
    if layers and renamed.get("layer_types") not in overrides:
        given["layer_types"] = layers[-given.get("num_hidden_layers", 2) :]
    given |= overrides
    for name, part in vars(default).items():
        if isinstance(part, PreTrainedConfig):
            given[name] = sizes(type(part), overrides.get(name, {}))
    return {name: value for name, value in given.items() if value is not ...}


@torch.no_grad()
def enliven(model: nn.Module, given: Batch) -> None:
    """Weights as training leaves them: no zero heads or biases, no vanishing signal, batch norms that know a batch."""
    generator = torch.Generator().manual_seed(1)
    for weight in model.parameters():
        scale = 0.1 if weight.dim() < 2 else 0.7 * weight[0].numel() ** -0.5
        weight += scale * torch.randn(weight.shape, generator=generator)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
            module.train()
    logits(model, given)
    model.eval()


@torch.no_grad()
def logits(model: nn.Module, given: Batch) -> Tensor:
    torch.manual_seed(0)  # a few architectures hash at random
    out = model(**given)
    return out[0] if getattr(out, "logits", None) is None else out.logits


# Batches. One of 3 rows has fewer tokens or samples in a row than all others.


def text(model: PreTrainedModel, rows: int) -> Batch:
    """Token ids; of three rows two are padded, and each ends with one end-of-sequence token."""
    if model.config.model_type == "shieldgemma2":
        return picture_in_prompt(model, rows)
    length = 16 if rows == 3 else 24
    lengths = torch.tensor([length - 2 * (row % 3) for row in range(rows)])
    mask = (torch.arange(length) < lengths[:, None]).long()
    ids = torch.randint(5, 60, (rows, length)) * mask
    ids[torch.arange(rows), lengths - 1] = IDS["eos_token_id"]
    batch = {model.main_input_name: ids, "attention_mask": mask}
    if model.config.model_type in ("layoutlm", "layoutlmv3", "lilt"):
        batch["bbox"] = torch.tensor([1, 2, 3, 4]).repeat(rows, length, 1)
    return batch


def image(model: PreTrainedModel, rows: int) -> Batch:
    config = model.config
    if config.model_type == "shieldgemma2":
        return picture_in_prompt(model, rows)
    if config.model_type == "imagegpt":  # colours, not pictures
        return {"input_ids": torch.randint(0, 256, (rows, 32))}
    if config.model_type == "siglip2":  # patches, not pictures
        patches = {"pixel_attention_mask": torch.ones(rows, 16, dtype=torch.long)}
        return {"pixel_values": torch.randn(rows, 16, 192), "spatial_shapes": torch.full((rows, 2), 4), **patches}
    size = side(config)
    return {model.main_input_name: torch.randn(rows, 3, size, size)}


def audio(model: PreTrainedModel, rows: int) -> Batch:
    spectrograms = {"whisper": (32, 128), "wav2vec2-bert": (40, 32), "audio-spectrogram-transformer": (64, 32)}
    shape = spectrograms.get(model.config.model_type, (2400 if rows == 3 else 3200,))
    return {model.main_input_name: torch.randn(rows, *shape)}


def video(model: PreTrainedModel, rows: int) -> Batch:
    size = side(model.config)
    frames = getattr(model.config, "num_frames", None) or model.config.frames_per_clip
    return {model.main_input_name: torch.randn(rows, frames, 3, size, size)}


def picture_in_prompt(model: PreTrainedModel, rows: int) -> Batch:
    ids, size = torch.randint(5, 60, (rows, 12)), side(model.config.vision_config)
    ids[:, 2:6] = model.config.image_token_index
    types = (ids == model.config.image_token_index).long()
    pixels = torch.randn(rows, 3, size, size)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": types, "pixel_values": pixels}


def side(config: PreTrainedConfig) -> int:
    """Of the pictures that a model reads, in pixels."""
    config = getattr(config, "vision_config", config)
    size = getattr(config, "image_size", None) or getattr(config, "crop_size", None) or 64
    return size if isinstance(size, int) else size[0]


MAKERS: dict[str, Callable[[PreTrainedModel, int], Batch]] = {
    "text": text,
    "image": image,
    "audio": audio,
    "video": video,
}
