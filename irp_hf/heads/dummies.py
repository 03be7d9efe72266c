"""Small batches that a classification model can read, to trace it with: only shapes and kinds of token matter in them."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Generator
from transformers import PreTrainedConfig, PreTrainedModel

from irp_hf.errors import HeadCutError

LENGTHS = (16, 24)  # tokens: enough for what samples down by four
CHANNELS, SIZE, FRAMES = 3, 224, 16  # where the configuration does not tell


def probe(model: PreTrainedModel, kind: str, rows: int, processor: Any = None) -> dict[str, Any]:
    """`rows` different items of a `kind`, "text", "image", "audio" or "video", as `model(**probe(...))` reads them.

    `processor` is the repository's image processor or feature extractor; without one, the shape of pictures is taken from the
    configuration, and that of sound is not known. Raises `HeadCutError` where that is not enough.
    """
    generator = torch.Generator().manual_seed(rows)
    reads = inspect.signature(model.forward).parameters
    if "input_ids" in reads and (kind == "text" or model.main_input_name == "input_ids"):
        inputs = _tokens(model.config, rows, generator)
        if "bbox" in reads:
            inputs["bbox"] = torch.tensor([1, 2, 3, 4]).expand(*inputs["input_ids"].shape, 4).contiguous()
        return inputs
    if processor is not None:
        made = _processed(processor, kind, rows, generator)
        return {name: value for name, value in made.items() if name in reads}
    if kind == "audio":
        raise HeadCutError(
            f"{type(model).__name__} came without a feature extractor, which says what sound looks like to it. "
            "Put preprocessor_config.json beside it, or pass HeadCut(model, **inputs) with a batch of yours."
        )
    name = next(name for name in ("pixel_values_videos", "pixel_values", "inputs") if name in reads)
    return {name: torch.randn(rows, *_picture_shape(model.config, kind), generator=generator)}


def _tokens(config: PreTrainedConfig, rows: int, generator: Generator) -> dict[str, Any]:
    """Rows of several lengths, padded on the right, with a single end of sequence."""
    text: Any = config.get_text_config()
    known: dict[str, Any] = text.to_dict()
    special = {value for name, value in known.items() if "token_i" in name and isinstance(value, int)}
    plain = [i for i in range(min(known.get("vocab_size") or 64, 1000)) if i not in special]
    end_id, pad_id = known.get("eos_token_id"), known.get("pad_token_id")
    length = LENGTHS[rows % 2]
    ids = torch.tensor(plain)[torch.randint(len(plain), (rows, length), generator=generator)]
    mask = torch.ones_like(ids)
    for row in range(rows):
        end = length - 2 * (row % 3)
        if isinstance(end_id, int):
            ids[row, end - 1] = end_id
        if pad_id is not None:
            ids[row, end:], mask[row, end:] = pad_id, 0
    return {"input_ids": ids, "attention_mask": mask}


def _processed(processor: Any, kind: str, rows: int, generator: Generator) -> dict[str, Any]:
    if kind == "audio":
        rate = processor.sampling_rate
        waves = list(torch.randn(rows, rate, generator=generator).numpy())
        return dict(processor(waves, sampling_rate=rate, padding=True, return_tensors="pt"))
    pictures = torch.randint(256, (rows, FRAMES, 64, 64, 3), generator=generator, dtype=torch.uint8).numpy()
    items = [list(frames) for frames in pictures] if kind == "video" else [frames[0] for frames in pictures]
    return dict(processor(items, return_tensors="pt"))


def _picture_shape(config: PreTrainedConfig, kind: str) -> list[int]:
    vision = getattr(config, "vision_config", config)
    size = getattr(vision, "image_size", None) or getattr(vision, "crop_size", None) or SIZE
    height, width = (size, size) if isinstance(size, int) else list(size)[-2:]
    shape = [getattr(vision, "num_channels", None) or CHANNELS, height, width]
    frames = getattr(vision, "num_frames", None) or getattr(vision, "frames_per_clip", None) or FRAMES
    return [frames, *shape] if kind == "video" else shape
