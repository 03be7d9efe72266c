"""What a classifier's head reads, as an encoder: `at="head"`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from irp_hf.checks import check_absent, quoted
from irp_hf.encoding import audio, pictures, text
from irp_hf.encoding.base import Encoder, Options, make_record
from irp_hf.encoding.forward import inputs_of
from irp_hf.encoding.sources import Source
from irp_hf.errors import refusal, shown
from irp_hf.heads.cut import HeadCut
from irp_hf.heads.other_answers import NAME_A_CLASSIFIER, ONE_ANSWER, other_answer
from irp_hf.heads.stored import CLASSIFIERS

NO_HEAD = "Name a classifier that was saved with its head; of an encoder leave out at='head', and name its pooling."


def open_head_input(source: Source, options: Options) -> Encoder:
    """Cut the classifier at its head; see `irp_hf.heads.cut`."""
    name = source.name
    check_absent("pooling", options.pooling, f"the head of {name} pools in its own way")
    modality = _modality(source, options)
    model = source.model(CLASSIFIERS[modality], advice=NO_HEAD)
    if modality == "text":
        processor = source.processor("tokenizer")
        tokenizer = text.padding(processor, name)
        longest = text.longest_text(tokenizer, model, options.max_length)
        if getattr(model.config, "pad_token_id", None) is None:
            model.config.pad_token_id = tokenizer.pad_token_id  # decoders look for the last token that is not this
        read: Callable[[list[Any]], Mapping[str, Any]] = text.reader(tokenizer, model, name, options.prompt, longest)
        uncut = text.reader(tokenizer, model, name, None, text.longest_text(tokenizer, model, None))
        batch: Mapping[str, Any] = uncut(["one", "two and three and four"])
    elif modality == "image":
        processor = source.processor("image_processor")
        read = pictures.reader(processor)
        batch = read([pictures.blank(0), pictures.blank(200)])
    else:
        processor = source.processor("feature_extractor")
        read = audio.reader(processor)
        batch = read([audio.noise(processor), audio.noise(processor)[::-1].copy()])
    cut = HeadCut(model, **inputs_of(model, batch))

    def embed(batch: Mapping[str, Any]) -> Tensor:
        return cut.features(**inputs_of(model, batch))

    record = make_record(name, source.commit, model.dtype, options, modality)
    if modality == "text":
        record = record.with_values(max_length=longest)
    if modality == "audio":
        return replace(audio.sound_encoder(model, processor, embed, record), head=cut)
    return Encoder(
        lambda items: embed(read(items)),
        record,
        modality,
        model,
        processors=(processor,),
        head=cut,
        pairs=modality == "text",
    )


def _modality(source: Source, options: Options) -> str:
    """Which kind of classifier it is: by the class that the configuration names, or the only kind there is of its type."""
    if (answer := other_answer(source.classes)) is not None:
        got = f"{', '.join(source.classes)}, which gives {answer}"
        raise refusal(source.name, ONE_ANSWER, got, NAME_A_CLASSIFIER)
    named, config_class = set(source.config.architectures or []), type(source.config)
    kinds = {kind: mapping for kind, auto in CLASSIFIERS.items() if config_class in (mapping := auto._model_mapping)}
    exact = [kind for kind, mapping in kinds.items() if _names(mapping[config_class]) & named]
    found = exact or list(kinds) or _brought(source.config)
    if not found:
        expected, got = "a model that transformers knows a classifier of", f"one of type {source.config.model_type!r}"
        advice = "Leave out at='head', or pass a function that gives what its head reads."
        raise refusal(source.name, expected, got, advice)
    if options.modality is None and len(found) == 1:
        return found[0]
    if options.modality not in found:
        expected = f"one of {quoted(found)}, which {source.name} can read"
        raise refusal("modality", expected, shown(options.modality), "Name one of them.")
    return str(options.modality)


def _brought(config: Any) -> list[str]:
    """The kinds that a repository brings classes of its own for, where it was trusted to bring the configuration's."""
    trusted = type(config).__module__.startswith("transformers_modules.")
    own = (getattr(config, "auto_map", None) or {}) if trusted else {}
    return [kind for kind, auto in CLASSIFIERS.items() if auto.__name__ in own]


def _names(classes: Any) -> set[str]:
    return {found.__name__ for found in (classes if isinstance(classes, tuple | list) else (classes,))}
