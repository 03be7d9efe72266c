"""Who a model is, by its content: digests of its weights, and of the tokenizer or the processor that feeds it.

A name is no identity: other weights may be saved into the same folder, and a folder may be moved.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Set
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers.processing_utils import ProcessorMixin

from irp_hf.checkpoints.samples import sampled

OF_NO_MATTER = (  # what processors note of themselves and of their files, and what is recorded by itself
    *("name_or_path", "processor_class", "image_processor_type", "feature_extractor_type", "tokenizer_class"),
    *("auto_map", "model_max_length", "use_fast", "backend", "data_format", "device", "return_tensors"),
)

_known: WeakKeyDictionary[nn.Module, dict[Any, tuple[bytes, str]]] = WeakKeyDictionary()


def weights_digest(module: nn.Module, without: Collection[str] = ()) -> str | None:
    """The sha256, in hex, of names, shapes, dtypes and bytes of all parameters and persistent buffers.

    Tensors named in `without` are left out. So is a beginning that all names share: a model is the same inside another one.
    None where a part of the weights is not in memory. It is computed anew where the weights have changed.
    """
    tensors = {name: value for name, value in _state(module).items() if name not in without}
    if any(tensor.is_meta for tensor in tensors.values()):
        return None
    key, looks = frozenset(without), _looks(tensors)
    kept = _known.setdefault(module, {})
    if key not in kept or kept[key][0] != looks:
        kept[key] = looks, tensors_digest(tensors)
    return kept[key][1]


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """The sha256, in hex, of tensors by their names; what all names begin with does not count."""
    digest = hashlib.sha256()
    start = _shared_start(tensors)
    for name, tensor in sorted(tensors.items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name[start:]} {tuple(plain.shape)} {plain.dtype} ".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data if plain.numel() else b"")
    return digest.hexdigest()


def processors_digest(processors: Iterable[Any]) -> str | None:
    """The sha256, in hex, of what tokenizers and processors do: vocabulary, sizes, rates; None where nothing is known."""
    told = [text for processor in processors for part in parts_of(processor) for text in _told(part)]
    if not told:
        return None
    return hashlib.sha256(json.dumps(told).encode("utf-8", "surrogatepass")).hexdigest()


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}


def _looks(tensors: Mapping[str, Tensor]) -> bytes:
    """What changes with the weights, without reading all of them: versions, places, and of each row a number."""
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        version = None if tensor.is_inference() else tensor._version
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} {tensor.data_ptr()} {version} ".encode())
    for numbers in sampled(tensors.values()):
        digest.update(torch.cat(numbers).cpu().numpy().data)
    return digest.digest()


def _shared_start(names: Iterable[str]) -> int:
    """How long the beginning is, up to a dot, that all names have."""
    steps = [name.split(".")[:-1] for name in names]
    shared = 0
    for level in zip(*steps, strict=False):
        if len(set(level)) > 1:
            break
        shared += len(level[0]) + 1
    return shared


def parts_of(processor: Any) -> list[Any]:
    """The tokenizers and processors that one is made of: itself, where it is no bundle of others."""
    if isinstance(processor, ProcessorMixin):
        return [part for name in processor.get_attributes() for part in parts_of(getattr(processor, name, None))]
    return [processor]


def _told(processor: Any) -> list[str]:
    """What one of them says of itself, in an order that is always the same."""
    if processor is None:
        return []
    backend = getattr(processor, "backend_tokenizer", processor)
    side = getattr(processor, "truncation_side", "right")
    cut = [] if side == "right" else [f"long texts lose their {side}"]
    if hasattr(backend, "to_str"):
        written = backend.to_str()  # which begins with how texts were last cut and padded
        return [written[max(0, written.find('"added_tokens"')) :], *cut]
    if hasattr(processor, "get_vocab"):
        vocab = processor.get_vocab()
        if hasattr(processor, "special_tokens_map"):
            told = json.dumps([vocab, processor.special_tokens_map], sort_keys=True, default=str)
        else:  # one of words, of sentence-transformers
            told = json.dumps([type(processor).__name__, _plain(vocab), _plain(vars(processor))], sort_keys=True)
        return [told, *cut]
    if hasattr(processor, "to_dict"):
        values = {key: value for key, value in processor.to_dict().items() if key[0] != "_" and key not in OF_NO_MATTER}
        return [json.dumps(values, sort_keys=True, default=str)]
    return []


def _plain(value: Any) -> Any:
    """Settings as JSON can hold them, always in the same order; of an object nothing but its class, for it has an address."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Set):
        return sorted(map(str, value))
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | None) else type(value).__name__
