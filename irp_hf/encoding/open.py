"""Open an encoder: a folder, an id, a loaded model, a function; of which kind a model is, its class says."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import torch

from irp_hf.checkpoints.repository import find
from irp_hf.checks import check_absent, quoted
from irp_hf.encoding import audio, classifier, pictures, sentence, text, towers
from irp_hf.encoding.base import Encoder, Options, make_record
from irp_hf.encoding.inputs import modality_of_item
from irp_hf.encoding.sources import Loaded, Source, Stored
from irp_hf.errors import InputError


def open_encoder(encoder: Any, options: Options, item: Any = None) -> Encoder:
    """Load a folder or an id, and wrap what is loaded already; see `irp_hf.encoding.encode`.

    `item`, one of those to encode, tells the side of a two-tower model where `options.modality` does not.
    """
    if isinstance(encoder, str | os.PathLike):
        return _load(os.fspath(encoder), options, item)
    for option in ("device", "device_map", "dtype", "revision", "token"):
        check_absent(option, getattr(options, option), f"the encoder is a {type(encoder).__name__}, loaded already")
    transformers = sys.modules["transformers.modeling_utils"]
    if isinstance(encoder, transformers.PreTrainedModel):
        return open_model(Loaded(encoder, options.processor), options, item)
    for option in ("pooling", "at", "processor"):
        check_absent(option, getattr(options, option), f"the encoder is a {type(encoder).__name__}, loaded already")
    library = sys.modules.get("sentence_transformers")  # slow to import, and without it there is no such object
    if library and isinstance(encoder, library.SentenceTransformer):
        return sentence.open_loaded(encoder, options, item)
    if isinstance(encoder, torch.nn.Module) or not callable(encoder):
        raise InputError(
            f"The encoder is a {type(encoder).__name__}; a folder, an id, a transformers model, a SentenceTransformer or a "
            "function is wanted. Pass a function from a list of items to a matrix with one row for each."
        )
    return _function(encoder, options)


def _load(path: str, options: Options, item: Any) -> Encoder:
    check_absent("processor", type(options.processor).__name__ if options.processor else None, "an id brings its own")
    repository = find(path, options.revision, options.token)
    if repository.modular and options.at is None:
        return sentence.load(repository, options, item)
    return open_model(Stored(repository, options), options, item)


def _function(function: Callable[[list[Any]], Any], options: Options) -> Encoder:
    prompt = options.prompt
    embed = (lambda texts: function([prompt + text for text in texts])) if prompt else function
    name = getattr(function, "__name__", type(function).__name__)
    return Encoder(
        embed,
        make_record(name, None, None, options, options.modality),
        options.modality or ("text" if prompt else None),
    )


def open_model(source: Source, options: Options, item: Any) -> Encoder:
    """The encoder of a transformers model; `item` tells the side of a two-tower model where `options` do not."""
    if options.at == "head":
        return classifier.open_head_input(source, options)
    sides = towers.sides(source.model_class)
    if len(sides) > 1:
        side = options.modality or modality_of_item(item)
        if side not in sides:
            raise InputError(
                f"modality is {side!r}, but {source.name} has the sides {quoted(sides)}. Name one of them."
            )
        return towers.open_tower(source, options, side)
    modality = modality_of(source.model_class)
    openers = {"text": text.open_text, "image": pictures.open_pictures, "audio": audio.open_audio}
    if modality not in openers:
        raise InputError(
            f"{source.name} reads {modality or 'neither text nor pictures nor audio'}. Pass a function that runs it."
        )
    if options.modality != modality:
        check_absent("modality", options.modality, f"{source.name} reads {modality}")
    return openers[modality](source, options)


def modality_of(model_class: Any) -> str | None:
    """What a model of one tower reads first."""
    if model_class.main_input_name == "input_ids":
        return "text"
    declared = model_class.input_modalities
    modalities = (declared,) if isinstance(declared, str) else tuple(declared)
    return next((kind for kind in ("image", "audio", "text", *modalities) if kind in modalities), None)
