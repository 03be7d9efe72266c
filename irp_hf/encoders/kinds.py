"""Which kind of encoder a transformers model is, by what its class says that it reads."""

from __future__ import annotations

from typing import Any

from irp_hf.encoders import audio, head, pictures, text, towers
from irp_hf.encoders.base import Encoder, Options, quoted, refuse
from irp_hf.encoders.reading import modality_of_item
from irp_hf.encoders.sources import Source
from irp_hf.errors import InputError


def open_model(source: Source, options: Options, item: Any) -> Encoder:
    """The encoder of a transformers model; `item` tells the side of a two-tower model where `options` do not."""
    if options.at == "head":
        return head.open_head_input(source, options)
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
        refuse("modality", options.modality, f"{source.name} reads {modality}")
    return openers[modality](source, options)


def modality_of(model_class: Any) -> str | None:
    """What a model of one tower reads first."""
    if model_class.main_input_name == "input_ids":
        return "text"
    declared = model_class.input_modalities
    modalities = (declared,) if isinstance(declared, str) else tuple(declared)
    return next((kind for kind in ("image", "audio", "text", *modalities) if kind in modalities), None)
