"""What is taken for an encoder and is none: its name, and what to pass instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import Pipeline
from transformers.feature_extraction_utils import FeatureExtractionMixin
from transformers.image_processing_base import ImageProcessingMixin
from transformers.processing_utils import ProcessorMixin
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from irp_hf.errors import kind_of, refusal

PROCESSORS = (PreTrainedTokenizerBase, ProcessorMixin, ImageProcessingMixin, FeatureExtractionMixin)
A_FUNCTION = "Pass a function from a list of items to a matrix with one row for each."


def refuse_others(encoder: Any) -> None:
    """Raise `InputError` unless it is a function, as far as one can tell."""
    expected = "a folder, an id, a transformers model, a SentenceTransformer or a function"
    for is_it, advice in KNOWN:
        if is_it(encoder):
            raise refusal("encoder", expected, kind_of(encoder), advice)
    if isinstance(encoder, torch.nn.Module | type) or not callable(encoder):
        raise refusal("encoder", expected, kind_of(encoder), A_FUNCTION)


def _has(*names: str) -> Callable[[Any], bool]:
    return lambda encoder: not isinstance(encoder, type) and all(hasattr(encoder, name) for name in names)


KNOWN: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (
        lambda encoder: isinstance(encoder, Pipeline),
        "It gives a vector for each token: pass encoder=pipe.model, processor=pipe.tokenizer and pooling='mean', say.",
    ),
    (
        lambda encoder: isinstance(encoder, PROCESSORS),
        "Pass the model as encoder=, and this as processor=.",
    ),
    (
        lambda encoder: type(encoder).__name__ == "CrossEncoder",
        "It compares two texts and has no vector of one: pass encoder=cross_encoder.model, its tokenizer as processor=, "
        "and at='head' or a pooling.",
    ),
    (
        lambda encoder: isinstance(encoder, torch.jit.ScriptModule),
        "Pass a function that makes its input of a list of items, and calls it.",
    ),
    (_has("embed_documents"), "Pass its method embed_documents."),
    (
        lambda encoder: _has("embeddings")(encoder) and hasattr(encoder.embeddings, "create"),
        "Pass a function: lambda texts: [row.embedding for row in client.embeddings.create(model='...', input=texts).data].",
    ),
    (
        lambda encoder: not callable(encoder) and _has("encode")(encoder),
        "Pass its method encode, where that takes a list of items.",
    ),
    (
        lambda encoder: not callable(encoder) and _has("embed")(encoder),
        "Pass a function: lambda items: np.stack(list(encoder.embed(items))).",
    ),
)
