"""Open an encoder: a folder, an id, a loaded model, a function; of which kind a model is, its class says."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from transformers import PreTrainedModel

from irp_hf.arithmetic import own_arithmetic
from irp_hf.checkpoints.repository import Repository, find
from irp_hf.checkpoints.wrapped import unwrapped
from irp_hf.checks import check_absent, quoted
from irp_hf.encoding import audio, classifier, pictures, sentence, text, towers
from irp_hf.encoding.base import Encoder, Options, check_usable, make_record
from irp_hf.encoding.finish import finished
from irp_hf.encoding.inputs import modality_of_item
from irp_hf.encoding.others import refuse_others
from irp_hf.encoding.sources import Loaded, Source, Stored
from irp_hf.errors import kind_of, refusal, shown

OF_SENTENCES = ("prompt_name", "task")  # options that only a sentence-transformers model has


@own_arithmetic()
def open_encoder(encoder: Any, options: Options, item: Any = None) -> Encoder:
    """Load a folder or an id, and wrap what is loaded already; see `irp_hf.encoding.encode`.

    A `Repository` that was found already is not looked for again. `item`, one of those to encode, tells the side of a
    two-tower model where `options.modality` does not. Whatever it is, its vectors are cut and brought to unit length here.
    """
    return finished(_open(encoder, options, item), options)


def _open(encoder: Any, options: Options, item: Any) -> Encoder:
    if isinstance(encoder, str | os.PathLike):
        encoder = find(os.fspath(encoder), options.revision, options.token, options.subfolder, options.variant)
    if isinstance(encoder, Repository):
        return _load(encoder, options, item)
    why = f"the encoder is {kind_of(encoder)}, loaded already"
    for option in ("device", "device_map", "dtype", "revision", "subfolder", "variant"):
        check_absent(option, getattr(options, option), why)
    check_absent("token", options.token, why, show=kind_of)  # a secret
    encoder = unwrapped(encoder)
    if isinstance(encoder, PreTrainedModel):
        return open_model(Loaded(encoder, options.processor), options, item)
    for option in ("pooling", "at"):
        check_absent(option, getattr(options, option), why)
    check_absent("processor", options.processor, why, show=kind_of)
    library = sys.modules.get("sentence_transformers")  # slow to import, and without it there is no such object
    if library and isinstance(encoder, library.SentenceTransformer):
        return sentence.open_loaded(encoder, options, item)
    refuse_others(encoder)
    return _function(encoder, options)


def _load(repository: Repository, options: Options, item: Any) -> Encoder:
    check_absent("processor", options.processor, "a folder or an id brings its own", show=kind_of)
    if options.device is not None:
        check_usable("device", options.device)
    if repository.modular and options.at is None:
        return sentence.load(repository, options, item)
    return open_model(Stored(repository, options), options, item)


def _function(function: Callable[[list[Any]], Any], options: Options) -> Encoder:
    for option in (*OF_SENTENCES, "max_length"):
        check_absent(option, getattr(options, option), "the encoder is a function")
    prompt = options.prompt
    embed = (lambda texts: function([prompt + text for text in texts])) if prompt else function
    name = getattr(function, "__name__", type(function).__name__)
    record = make_record(name, None, None, options, options.modality)
    return Encoder(embed, record, options.modality or ("text" if prompt else None))


def open_model(source: Source, options: Options, item: Any) -> Encoder:
    """The encoder of a transformers model; `item` tells the side of a two-tower model where `options` do not."""
    for option in OF_SENTENCES:
        check_absent(option, getattr(options, option), f"{source.name} is no sentence-transformers model")
    if options.at == "head":
        return classifier.open_head_input(source, options)
    sides = towers.sides(source.model_class)
    if len(sides) > 1:
        side = options.modality or modality_of_item(item)
        if side not in sides:
            raise refusal(
                "modality", f"one of {quoted(sides)}, the sides of {source.name}", shown(side), "Name one of them."
            )
        return towers.open_tower(source, options, side)
    modality = modality_of(source.model_class)
    openers: dict[str | None, Callable[[Source, Options], Encoder]] = {
        "text": text.open_text,
        "image": pictures.open_pictures,
        "audio": audio.open_audio,
    }
    if modality not in openers:
        got, advice = f"one of {modality or 'nothing known'}", "Pass a function that runs it."
        raise refusal(source.name, "a model of text, pictures or audio", got, advice)
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
