"""One side of a two-tower model, in the space that both sides share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from irp_hf.checks import check_absent
from irp_hf.encoding import audio, pictures
from irp_hf.encoding.base import MODALITIES, Encoder, Options, make_record
from irp_hf.encoding.forward import padding_matters, reading, run_model
from irp_hf.encoding.sources import Source
from irp_hf.encoding.text import check_fits, padding
from irp_hf.errors import kind_of, refusal


def sides(model_class: Any) -> tuple[str, ...]:
    """The sides of a two-tower model; fewer than two for all others."""
    return tuple(side for side in MODALITIES if hasattr(model_class, f"get_{side}_features"))


def open_tower(source: Source, options: Options, side: str) -> Encoder:
    """The text, image or audio side, by the model's own `get_…_features`."""
    name = source.name
    check_absent("pooling", options.pooling, f"{name} is a two-tower model and pools in its own way")
    model = source.model()

    def embed(batch: Mapping[str, Any]) -> Tensor:
        output = run_model(model, batch, name, side, f"get_{side}_features")
        vectors = output if isinstance(output, Tensor) else getattr(output, "pooler_output", None)
        if not isinstance(vectors, Tensor) or vectors.dim() != 2:
            expected, got = "one vector for each item", _shape(vectors)
            raise refusal(f"The {side} side of {name}", expected, got, "Pass a function that makes one.")
        return vectors

    record = make_record(name, source.commit, model.dtype, options).with_values(modality=side)
    if side == "audio":
        return audio.sound_encoder(model, source.processor("feature_extractor"), embed, record)
    if side == "image":
        processor = source.processor("image_processor")
        read: Callable[[list[Any]], Mapping[str, Any]] = pictures.reader(processor)
    else:
        processor = source.processor("tokenizer")
        positions = model.config.get_text_config().max_position_embeddings
        own = min(processor.model_max_length, positions)
        longest = own if options.max_length is None else check_fits(options.max_length, positions)
        read = _text_reader(padding(processor, name), longest, options.prompt, embed)
        record = record.with_values(max_length=longest)
    return Encoder(lambda items: embed(read(items)), record, side, model, processors=(processor,))


def _shape(vectors: Any) -> str:
    return f"a tensor of shape {tuple(vectors.shape)}" if isinstance(vectors, Tensor) else kind_of(vectors)


def _text_reader(
    tokenizer: Any, longest: int, prompt: str | None, embed: Callable[[Any], Tensor]
) -> Callable[[list[Any]], Mapping[str, Any]]:
    """Texts padded to the longest, or to the one length that a model was trained with, where it sees padding as input."""

    def reader(fill: bool | str) -> Callable[[list[str]], Mapping[str, Any]]:
        def read(texts: list[str]) -> Mapping[str, Any]:
            prompted = [(prompt or "") + text for text in texts]
            cut: dict[str, Any] = dict(truncation=True, max_length=longest)
            with reading(tokenizer, "texts", "tokenizer.json"):
                return dict(tokenizer(prompted, padding=fill, return_tensors="pt", **cut))

        return read

    fixed = padding_matters(reader(True), embed, "one", "one and two and three and four")
    return reader("max_length" if fixed else True)
