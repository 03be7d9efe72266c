"""The head of a classifier in a folder or on the Hub, without its backbone.

Where the head begins is a matter of the architecture, not of the weights: a model without weights is cut, and only the head's
own tensors are read from the file.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoModelForAudioClassification,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)
from transformers.models.auto import modeling_auto

from irp_hf.checkpoints.budget import Budget, budget_of
from irp_hf.checkpoints.limits import check_processor, check_sizes
from irp_hf.checkpoints.repository import Repository, find, loading, remote_class
from irp_hf.checkpoints.shards import named_weights
from irp_hf.checkpoints.tensors import stored_tensors
from irp_hf.errors import HeadCutError, refusal
from irp_hf.heads.cut import HeadCut, own_errors
from irp_hf.heads.dummies import dummy_inputs, fill_with_noise, model_without_weights
from irp_hf.heads.head import Head, of_config
from irp_hf.heads.other_answers import NAME_A_CLASSIFIER, ONE_ANSWER, other_answer
from irp_hf.heads.tracing import owner_of

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
CLASSIFIERS: dict[str, Any] = {
    "text": AutoModelForSequenceClassification,
    "image": AutoModelForImageClassification,
    "audio": AutoModelForAudioClassification,
}
TRACED, TRIED = 3, 2  # rows of the batch that is traced and of another


def read_head(
    path: str,
    revision: str | None = None,
    token: str | bool | None = None,
    trust_remote_code: bool = False,
    subfolder: str | None = None,
    variant: str | None = None,
) -> Head:
    """The head of the classifier at `path`; see `irp_hf.heads.open_head`."""
    repository = find(path, revision, token, subfolder, variant)
    path = repository.path
    hub = repository.keywords(token, trust_remote_code)
    check_sizes(repository, token)
    with loading(repository.name):
        config = AutoConfig.from_pretrained(path, **hub)
    if getattr(config.get_text_config(), "pad_token_id", 0) is None:
        config.get_text_config().pad_token_id = 0  # else some decoders refuse batches; no head reads it
    model_class, kind = _remote(path, config, hub) or _classifier(repository.name, config.architectures, config)
    if kind != "text":
        check_processor(repository, token)
    processor = _processor(path, kind, hub)
    try:
        cut = _cut_without_weights(model_class, config, kind, processor)
        shapes = {name: tuple(tensor.shape) for name, tensor in cut.head_only().model.state_dict().items()}
        elsewhere = named_weights(repository, token) is not None  # in a file that transformers knows to find
        tensors = None if elsewhere else stored_tensors(repository, shapes, token)
    except HeadCutError:
        tensors = None
    if tensors is not None:
        _check_unpacked(repository, tensors, cut.head_only().model.state_dict())
        put_tensors(cut.head_only().model, tensors)
    else:  # stored under other names, or an architecture that does not run on noise
        cut = _whole_cut(repository, model_class, config, kind, processor, hub)
    cut.head_only().to(_dtype(cut.head_only()))
    return of_config(cut, config, repository.name, repository.commit, kind)


def _check_unpacked(repository: Repository, stored: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Raise `InputError` for weights that are whole numbers, or of a byte each: they mean nothing without their scales."""
    for name, tensor in stored.items():
        if wanted[name].is_floating_point() and not (tensor.is_floating_point() and tensor.itemsize > 1):
            subject, advice = f"{name} of {repository.name}", "Load it, and pass the model."
            raise refusal(subject, "floating numbers of 16 bits or more", str(tensor.dtype), advice)


def cut_loaded(model: PreTrainedModel, kind: str | None = None, processor: Any = None) -> HeadCut:
    """Cut a classifier that is loaded already, by a batch made for it; raises `HeadCutError` where that cannot be."""
    if kind is None:
        _, kind = _classifier(type(model).__name__, [type(model).__name__])
    expected = "inputs for which a batch can be made up, to trace it with"
    with own_errors(type(model).__name__, expected, "Pass HeadCut(model, **inputs) with a batch of yours."):
        inputs = dummy_inputs(model, kind, TRACED, processor)
    dtypes = {name: model.dtype if value.is_floating_point() else None for name, value in inputs.items()}
    return HeadCut(model, **{name: value.to(model.device, dtypes[name]) for name, value in inputs.items()})


def _classifier(name: str, architectures: Any, config: Any = None) -> tuple[type[PreTrainedModel], str]:
    """The class that a configuration names, or the only classifier of its type, and what it classifies.

    Raises `InputError` where it names no classifier, or none at all and there are several.
    """
    named = [entry for entry in architectures if isinstance(entry, str)] if isinstance(architectures, list) else []
    for architecture in named:
        if architecture in KINDS:
            return getattr(transformers, architecture), KINDS[architecture]
    mappings = {kind: auto._model_mapping for kind, auto in CLASSIFIERS.items()} if config is not None else {}
    known = [(mapping[type(config)], kind) for kind, mapping in mappings.items() if type(config) in mapping]
    if not named and len(known) == 1 and isinstance(known[0][0], type):
        return known[0]
    if (answer := other_answer(named)) is not None:
        raise refusal(name, ONE_ANSWER, f"a model of class {', '.join(named)}, which gives {answer}", NAME_A_CLASSIFIER)
    raise refusal(
        name,
        "a model with a sequence, image, audio or video classification head",
        f"a model of class {', '.join(named)}" if named else "a model of no named class",
        "Name a classifier, or pass a function from vectors to logits."
        if named
        else 'Write its class into config.json: "architectures": ["BertForSequenceClassification"], say.',
    )


def _remote(path: str, config: Any, hub: dict[str, Any]) -> tuple[Any, str] | None:
    """The classifier that a trusted repository brings, and what it classifies."""
    for kind, auto in CLASSIFIERS.items():
        if found := remote_class(config, auto.__name__, path, hub):
            return found, kind
    return None


def _cut_without_weights(model_class: type[PreTrainedModel], config: Any, kind: str, processor: Any) -> HeadCut:
    """A cut of noise. The head must not remember anything of the backbone's, which is checked with other noise."""
    with own_errors(model_class.__name__, "a model that runs on noise", "Load it, and pass the model."):
        with Budget(model_class.__name__, None):  # its weights take no memory
            model = model_without_weights(model_class, config)
        cut = HeadCut(model, **dummy_inputs(model, kind, TRACED, processor))
        fill_with_noise(model, seed=1, keep=frozenset(_names(cut)))
        cut.verify(**dummy_inputs(model, kind, TRIED, processor))
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
    with loading(repository.name), budget_of(repository, hub["token"]):
        loaded: Any = model_class.from_pretrained(
            repository.path,
            config=config,
            dtype="auto",
            use_safetensors=True,
            variant=repository.variant,
            output_loading_info=True,
            **repository.lora_kwargs,
            **hub,
        )
    model, info = loaded
    cut = cut_loaded(model, kind, processor)
    random = sorted(set(info["missing_keys"]) & set(_names(cut)))
    if random:
        raise refusal(
            repository.name,
            "weights for the whole head",
            f"none for {', '.join(random)}, which would be random",
            "Train its head first, or name another checkpoint.",
        )
    return cut


def _names(cut: HeadCut) -> list[str]:
    """The head's tensors, by their names in the model."""
    return list(cut.head_only().model.state_dict())


def _processor(path: str, kind: str, hub: dict[str, Any]) -> Any:
    """What makes pictures or sound into input, where the repository has it: it tells of what shape the input to trace is."""
    try:
        if kind == "audio":
            return AutoFeatureExtractor.from_pretrained(path, **hub)
        return None if kind == "text" else AutoImageProcessor.from_pretrained(path, backend="pil", **hub)
    except (
        Exception
    ):  # what a stranger wrote makes the library raise almost anything, and the configuration tells it too
        return None


def put_tensors(model: torch.nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put parameters and buffers of these names in the place of those that are there."""
    for name, tensor in tensors.items():
        module, child = owner_of(model, name)
        if child in module._parameters:
            module._parameters[child] = torch.nn.Parameter(tensor, requires_grad=False)
        else:
            module._buffers[child] = tensor


def _dtype(head: torch.nn.Module) -> torch.dtype:
    """The dtype of a head's tensors, the widest where there are several."""
    dtypes = {tensor.dtype for tensor in head.parameters() if tensor.is_floating_point()}
    return max(dtypes, key=lambda dtype: torch.finfo(dtype).bits, default=torch.float32)
