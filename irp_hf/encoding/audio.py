"""Audio by a transformers model of one tower: of raw waveforms, or of spectrograms of a fixed length."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irp_hf.encoding.base import Encoder, Options, make_record, no_such_pooling
from irp_hf.encoding.forward import (
    device_of,
    hidden_of,
    one_length_at_a_time,
    padding_matters,
    poolers_of,
    reading,
    run_model,
)
from irp_hf.encoding.sources import Source, encoder_part
from irp_hf.errors import refusal
from irp_hf.records import EncoderRecord


def open_audio(source: Source, options: Options) -> Encoder:
    """Vectors by the "mean" of the frames that hold sound, or by the model's "pooler" where it has one.

    What is longer than a model with spectrograms of a fixed length can read is cut.
    """
    name, pooling = source.name, options.pooling
    model = encoder_part(source.model(part=encoder_part, unused="" if pooling == "pooler" else "pooler"))
    extractor = source.processor("feature_extractor")
    with torch.no_grad():
        output = run_model(model, reader(extractor)([noise(extractor)]), name, "audio")
    choices = ("mean", *poolers_of(output))
    if pooling not in choices:
        raise no_such_pooling(name, pooling, choices)

    def embed(batch: Mapping[str, Any]) -> Tensor:
        output = run_model(model, batch, name, "audio")
        if pooling == "pooler":
            return torch.flatten(output.pooler_output, 1)
        hidden = hidden_of(output, name).float()
        real = _real_frames(model, batch, hidden.shape[1])[:, :, None].to(hidden.device)
        if not real.any(1).all():
            expected, advice = f"one long enough for a frame of {name}", "Leave out what is so short."
            raise refusal("A waveform", expected, "a shorter one", advice)
        return (hidden * real).sum(1) / real.sum(1)

    record = make_record(name, source.commit, model.dtype, options, "audio")
    return sound_encoder(model, extractor, embed, record)


def reader(extractor: Any) -> Callable[[list[Any]], dict[str, Any]]:
    """A function from waveforms to what a model takes, on the CPU, padded as the extractor does or to the longest."""
    padding = inspect.signature(type(extractor).__call__).parameters.get("padding")
    options = {"padding": True} if padding is not None and padding.default is False else {}

    def read(waves: list[Any]) -> dict[str, Any]:
        asked = dict(sampling_rate=extractor.sampling_rate, return_tensors="pt", return_attention_mask=True, **options)
        with reading(extractor, "sounds", "preprocessor_config.json"):
            return dict(extractor(waves, **asked))

    return read


def sound_encoder(model: Any, extractor: Any, embed: Callable[[Any], Tensor], record: EncoderRecord) -> Encoder:
    """Embeds padded batches, or waves of one length at a time where the model does not overlook padding."""
    read = reader(extractor)

    def padded(waves: list[Any]) -> Tensor:
        return embed(read(waves))

    alone = padding_matters(read, embed, noise(extractor, 0.6), noise(extractor))
    run_waves = one_length_at_a_time(read, embed) if alone else padded
    return Encoder(run_waves, record, "audio", model, extractor.sampling_rate, processors=(extractor,))


def noise(extractor: Any, seconds: float = 1.0) -> np.ndarray[Any, Any]:
    """A waveform to see what a model makes of waveforms."""
    samples = int(extractor.sampling_rate * seconds)
    return np.random.default_rng(0).uniform(-0.1, 0.1, samples).astype(np.float32)


def _real_frames(model: Any, batch: Mapping[str, Any], frames: int) -> Tensor:
    """Which of the model's frames hold sound and no padding, `(n, frames)` of ones and zeros."""
    mask: Tensor | None = batch.get("attention_mask")
    if mask is None:
        rows = len(next(iter(batch.values())))
        return torch.ones((rows, frames), dtype=torch.float32, device="cpu")
    if hasattr(model, "_get_feature_vector_attention_mask"):
        mask = mask.to(device_of(model))
        real: Tensor = model._get_feature_vector_attention_mask(frames, mask).float()
        # Of a waveform without a frame, the method makes one with nothing but frames.
        lengths: Tensor = model._get_feat_extract_output_lengths(mask.sum(1))
        return real * (lengths > 0)[:, None]
    places = torch.arange(frames, dtype=torch.int64, device=mask.device) * mask.shape[1]
    return mask[:, places.div(frames, rounding_mode="floor")].float()
