"""The head of a classifier in a folder or on the Hub, without its backbone.

Where the head begins is a matter of the architecture, not of the weights: a hollow model is cut, and only the head's own
tensors are read from the file.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import torch
import transformers
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor
from transformers import AutoConfig, AutoFeatureExtractor, AutoImageProcessor, PreTrainedModel
from transformers.models.auto import modeling_auto

from irp_hf.checkpoints.limits import check_sizes
from irp_hf.checkpoints.repository import Repository, find, loading, remote_class
from irp_hf.checkpoints.tensors import kept_path, read_tensors
from irp_hf.disk.atomic import written_file
from irp_hf.errors import HeadCutError, HubError, InputError, first_line
from irp_hf.heads.cut import HeadCut
from irp_hf.heads.dummies import probe
from irp_hf.heads.head import Head, of_config
from irp_hf.heads.weightless import fill, hollow, put_tensors

KINDS: dict[str, str] = {
    name: kind
    for kind, mapping in (
        ("text", modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES),
        ("image", modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES),
        ("audio", modeling_auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES),
        ("video", modeling_auto.MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES),
    )
    for names in mapping.values()
    for name in ([names] if isinstance(names, str) else names)
}
AUTO_CLASSES = {
    "AutoModelForSequenceClassification": "text",
    "AutoModelForImageClassification": "image",
    "AutoModelForAudioClassification": "audio",
}
PLAIN = re.compile(r"[\w-][\w.-]*\.safetensors", re.ASCII)  # a file beside the others, no way out
ONE_FILE = "model.safetensors"
TRACED, TRIED = 3, 2  # rows of the batch that is traced and of another


def read_head(
    path: str, revision: str | None = None, token: str | bool | None = None, trust_remote_code: bool = False
) -> Head:
    """The head of the classifier at `path`; see `irp_hf.heads.open_head`."""
    repository = find(path, revision, token)
    hub = repository.keywords(token, trust_remote_code)
    check_sizes(repository, token)
    with loading(repository.name):
        config = AutoConfig.from_pretrained(path, **hub)
    if getattr(config.get_text_config(), "pad_token_id", 0) is None:
        config.get_text_config().pad_token_id = 0  # else some decoders refuse batches; no head reads it
    model_class, kind = _remote(path, config, hub) or _classifier(repository.name, config.architectures or [])
    processor = _processor(path, kind, hub)
    try:
        cut = _hollow_cut(model_class, config, kind, processor)
        tensors = _read(repository, cut.head_only().model.state_dict(), token)
    except HeadCutError:
        tensors = None
    if tensors is not None:
        put_tensors(cut.head_only().model, tensors)
    else:  # stored under other names, or an architecture that does not run on noise
        cut = _whole_cut(repository, model_class, config, kind, processor, hub)
    cut.head_only().to(_dtype(cut.head_only()))
    return of_config(cut, config, dict(id=repository.name, revision=repository.commit, kind=kind))


def cut_loaded(model: PreTrainedModel, kind: str | None = None, processor: Any = None) -> HeadCut:
    """Cut a classifier that is loaded already, by a batch made for it; raises `HeadCutError` where that cannot be."""
    if kind is None:
        _, kind = _classifier(type(model).__name__, [type(model).__name__])
    try:
        inputs = probe(model, kind, TRACED, processor)
    except HeadCutError:
        raise
    except Exception as error:  # whatever a processor may raise
        raise HeadCutError(
            f"No batch could be made to trace {type(model).__name__} with ({first_line(error)}). "
            "Pass HeadCut(model, **inputs) with a batch of yours."
        ) from error
    dtypes = {name: model.dtype if value.is_floating_point() else None for name, value in inputs.items()}
    return HeadCut(model, **{name: value.to(model.device, dtypes[name]) for name, value in inputs.items()})


def _classifier(name: str, architectures: list[str]) -> tuple[type[PreTrainedModel], str]:
    """The class that a configuration names, and what it classifies."""
    for architecture in architectures:
        if architecture in KINDS:
            return getattr(transformers, architecture), KINDS[architecture]
    raise InputError(
        f"{name} is a {', '.join(architectures) or 'model of no named class'}, which is no classifier; a model with a "
        "sequence, image, audio or video classification head is wanted. Name one, or pass a function from vectors to logits."
    )


def _remote(path: str, config: Any, hub: dict[str, Any]) -> tuple[Any, str] | None:
    """The classifier that a trusted repository brings, and what it classifies."""
    for auto_class, kind in AUTO_CLASSES.items():
        if found := remote_class(config, auto_class, path, hub):
            return found, kind
    return None


def _hollow_cut(model_class: type[PreTrainedModel], config: Any, kind: str, processor: Any) -> HeadCut:
    """A cut of noise. The head must not remember anything of the backbone's: checked with other noise."""
    try:
        model = hollow(model_class, config)
        cut = HeadCut(model, **probe(model, kind, TRACED, processor))
        fill(model, seed=1, keep=frozenset(_names(cut)))
        cut.verify(**probe(model, kind, TRIED, processor))
    except HeadCutError:
        raise
    except Exception as error:
        raise HeadCutError(
            f"{model_class.__name__} does not run on noise ({error}). Load it, and pass the model."
        ) from error
    return cut


def _whole_cut(
    repository: Repository,
    model_class: type[PreTrainedModel],
    config: Any,
    kind: str,
    processor: Any,
    hub: dict[str, Any],
) -> HeadCut:
    """A cut of the model with all of its weights."""
    with loading(repository.name):
        loaded: Any = model_class.from_pretrained(
            repository.path, config=config, dtype="auto", use_safetensors=True, output_loading_info=True, **hub
        )
    model, info = loaded
    cut = cut_loaded(model, kind, processor)
    random = sorted(set(info["missing_keys"]) & set(_names(cut)))
    if random:
        raise InputError(
            f"{repository.name} has no weights for {random[0]}, which would be random. "
            "Train its head first, or name another checkpoint."
        )
    return cut


def _names(cut: HeadCut) -> list[str]:
    """The head's tensors, by their names in the model."""
    return list(cut.head_only().model.state_dict())


def _processor(path: str, kind: str, hub: dict[str, Any]) -> Any:
    """What makes pictures or sound into input, where the repository has it."""
    try:
        if kind == "audio":
            return AutoFeatureExtractor.from_pretrained(path, **hub)
        return None if kind == "text" else AutoImageProcessor.from_pretrained(path, backend="pil", **hub)
    except (ImportError, OSError, ValueError, KeyError):
        return None


def _read(repository: Repository, wanted: dict[str, Tensor], token: str | bool | None) -> dict[str, Tensor] | None:
    """Tensors of these names from the repository's safetensors; None where one of them is not there under its name.

    Of a file on the Hub their bytes alone are fetched, and kept. Raises `InputError` for a damaged file, and for another shape
    than is wanted, `HubError` where the Hub does not give them.
    """
    if repository.commit is None or repository.cached(ONE_FILE):
        return _read_files(repository, wanted, token)
    kept = kept_path(repository, list(wanted))
    with contextlib.suppress(SafetensorError, OSError):  # broken or not there: it is fetched again
        return _fitting(repository, load_file(kept), wanted)
    tensors = _read_files(repository, wanted, token)
    if tensors is not None:
        with contextlib.suppress(OSError), written_file(kept) as file:  # on a read-only disk nothing is kept
            file.write(save({name: tensor.contiguous() for name, tensor in tensors.items()}))
    return tensors


def _read_files(
    repository: Repository, wanted: dict[str, Tensor], token: str | bool | None
) -> dict[str, Tensor] | None:
    whole = _read_file(repository, ONE_FILE, wanted, token)  # transformers looks in this order, too
    if whole is not None:
        return _fitting(repository, whole, wanted)
    places = _places(repository, list(wanted), token)
    tensors: dict[str, Tensor] = {}
    for file_name in set(places.values()):
        here = {name: like for name, like in wanted.items() if places[name] == file_name}
        found = _read_file(repository, file_name, here, token)
        if found is None:
            return None
        tensors |= found
    return _fitting(repository, tensors, wanted)


def _read_file(
    repository: Repository, file_name: str, wanted: dict[str, Tensor], token: str | bool | None
) -> dict[str, Tensor] | None:
    """Those of the tensors that one file holds; None where there is no such file."""
    file = repository.cached(file_name)
    if file is None:
        shapes = {name: tuple(like.shape) for name, like in wanted.items()}
        return read_tensors(repository, file_name, shapes, token) if repository.online else None
    try:
        with safe_open(file, framework="pt") as stored:
            # Copies: else a window on the file, which may change.
            return {name: stored.get_tensor(name).clone() for name in wanted.keys() & set(stored.keys())}
    except SafetensorError as error:
        raise InputError(
            f"{file_name} of {repository.name} is damaged ({first_line(error)}). Download or save it again."
        ) from error


def _fitting(repository: Repository, tensors: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """The tensors, where all are there; raises `InputError` where one has another shape."""
    for name, like in wanted.items():
        if name in tensors and tensors[name].shape != like.shape:
            raise InputError(
                f"{repository.name} holds {name} of shape {tuple(tensors[name].shape)}, where its config.json makes it "
                f"{tuple(like.shape)}. Give it the configuration that it was saved with."
            )
    return tensors if wanted.keys() <= tensors.keys() else None


def _places(repository: Repository, names: list[str], token: str | bool | None) -> dict[str, str]:
    """The file of each tensor, as the index says; raises `InputError` where that names no file of the repository."""
    index = repository.file(f"{ONE_FILE}.index.json", token)
    if index is None:
        if repository.commit is not None and not repository.online:
            raise HubError(
                f"The Hub cannot be reached, and the cache does not hold the head of {repository.name}. "
                "Check the connection; once fetched, it loads without one."
            )
        return dict.fromkeys(names, ONE_FILE)
    try:
        weight_map = json.loads(index.read_text())["weight_map"]
        places = {name: weight_map.get(name, ONE_FILE) for name in names}
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{index.name} of {repository.name} is no index of safetensors. Download or save it again."
        ) from error
    for file_name in places.values():
        if not isinstance(file_name, str) or not PLAIN.fullmatch(file_name):
            raise InputError(
                f"{index.name} of {repository.name} names {file_name!r:.80}, which is no safetensors file in it. "
                "Do not use it, or save the model again."
            )
    return places


def _dtype(head: torch.nn.Module) -> torch.dtype:
    """The dtype of a head's tensors, the widest where there are several."""
    dtypes = {tensor.dtype for tensor in head.parameters() if tensor.is_floating_point()}
    return max(dtypes, key=lambda dtype: torch.finfo(dtype).bits, default=torch.float32)
