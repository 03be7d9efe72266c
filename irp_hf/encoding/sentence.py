"""sentence-transformers models, which know their own pooling, prompts and normalisation."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import torch

from irp_hf.checkpoints.budget import budget_of
from irp_hf.checkpoints.modules import check_modules
from irp_hf.checkpoints.repository import Repository, loading
from irp_hf.checkpoints.tokenizers import check_loaded
from irp_hf.checks import check_absent, quoted, written
from irp_hf.encoding.base import Encoder, Options, RecordedOptions, make_record
from irp_hf.encoding.forward import device_of, reading
from irp_hf.encoding.inputs import modality_of_item
from irp_hf.encoding.text import check_fits
from irp_hf.errors import missing, refusal, shown
from irp_hf.records import EncoderRecord

# The prompts that `encode_query` and `encode_document` look for.
PROMPTS: dict[str, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}


def load(repository: Repository, options: Options, item: Any) -> Encoder:
    """Load a folder or a repository with a `modules.json`."""
    name = repository.name
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        subject = f"{name}, a sentence-transformers model"
        raise missing(subject, "sentence-transformers", "irp_hf[sentence-transformers]") from error
    if repository.subfolder:
        expected, got = "an encoder at the top of its repository", f"one in its folder {repository.subfolder!r}"
        raise refusal(name, expected, got, "Fetch it by huggingface_hub.snapshot_download, and name that folder.")
    folders = check_modules(repository, options.token, options.trust_remote_code)
    with loading(name), budget_of(repository, options.token, folders):
        model = SentenceTransformer(
            repository.path,
            device=None if options.device is None else str(torch.device(options.device)),
            revision=repository.commit,
            token=options.token,
            trust_remote_code=options.trust_remote_code,
            local_files_only=not repository.online,
            model_kwargs={"use_safetensors": True, "dtype": options.dtype or "auto"}
            | ({"device_map": options.device_map} if options.device_map else {})
            | ({"variant": options.variant} if options.variant else {})
            | repository.lora_kwargs,
        )
    for module in model.modules():
        check_loaded(name, getattr(module, "tokenizer", None))
    return _encoder(model, name, repository.commit, options, item)


def open_loaded(model: Any, options: Options, item: Any) -> Encoder:
    """Wrap a `SentenceTransformer`."""
    config = getattr(model.transformers_model, "config", None)
    name = getattr(config, "_name_or_path", None) or "SentenceTransformer"
    return _encoder(model, Repository(name, None, True).name, None, options, item)


def _encoder(model: Any, name: str, commit: str | None, options: Options, item: Any) -> Encoder:
    from sentence_transformers.util import batch_to_device

    modality = _modality(model, name, options, item)
    task = options.task
    path = _path(model, task, modality, name)
    kinds = {type(module).__name__: module for part in path for module in part.modules()}
    cut = options.truncate_dim or (
        None if isinstance(options, RecordedOptions) and options.whole else model.truncate_dim
    )
    unit_length = type(path[-1]).__name__ == "Normalize" and cut is None
    if unit_length and options.normalize is False:
        check_absent("normalize", False, f"{name} makes unit vectors by itself")
    pooling = getattr(kinds.get("Pooling"), "pooling_mode", None)
    asked, own = (EncoderRecord.of(pooling=mode).pooling for mode in (options.pooling, pooling))  # each by our name
    if asked not in (None, own):
        check_absent("pooling", options.pooling, f"{name} is a sentence-transformers model and pools in its own way")
    more: dict[str, Any] = {} if task is None else {"task": task}
    longest = _longest(path[0], task)
    if options.max_length not in (None, longest):
        config = getattr(path[0], "config", None)
        check_fits(options.max_length, getattr(config, "max_position_embeddings", None))
        more["processing_kwargs"] = {"text": {"max_length": options.max_length}}
    options = replace(
        options,
        pooling=pooling,
        prompt=_prompt(model, name, options),
        prompt_name=None,
        task=_recorded_task(model, task, modality, path, name),
        truncate_dim=cut,
        normalize=options.normalize or unit_length,
    )

    model.eval()
    routed = {} if task is None else {"task": task}

    def embed(items: list[Any]) -> Any:
        # What `model.encode` does to one batch; its care for many batches costs a tenth of a small encoder's time.
        with reading(model, f"items of {modality}", "files of its modules"):
            features = batch_to_device(model.preprocess(items, prompt=options.prompt, **more), device_of(model))
            return model(features, **routed)["sentence_embedding"]

    record = make_record(name, commit, model.dtype, options, modality)
    if modality == "text":
        record = record.with_values(max_length=options.max_length or longest)
    processors = tuple(_processor(part) for part in path)
    return Encoder(embed, record, modality, model, unit_length=unit_length, processors=processors)


def _path(model: Any, task: str | None, modality: str, name: str) -> list[Any]:
    """The modules that an item goes through, one after another; raises `InputError` for a route that there is not."""
    path: list[Any] = []
    for module in model.children():
        path += _routed(module, task, modality, name)
    return path


def _routed(module: Any, task: str | None, modality: str, name: str) -> list[Any]:
    if not _is_router(module):
        return [module]
    try:
        route = module._resolve_route(task=task, modality=modality)
    except ValueError as error:
        expected = f"one of {quoted(module.sub_modules)}, the routes of {name}"
        raise refusal(
            "task", expected, shown(task), written(task, module.sub_modules, "Name the one that is to encode.")
        ) from error
    return [part for inner in module.sub_modules[route] for part in _routed(inner, task, modality, name)]


def _is_router(module: Any) -> bool:
    return hasattr(module, "sub_modules") and hasattr(module, "_resolve_route")


def _prompt(model: Any, name: str, options: Options) -> str | None:
    """What goes in front of every text: as asked for, of that name, of that task, or the default."""
    if options.prompt is not None:
        return options.prompt
    if options.prompt_name is not None and options.prompt_name not in model.prompts:
        expected = f"one of {quoted(model.prompts)}, the prompts of {name}"
        advice = written(options.prompt_name, model.prompts, "Give the text itself as prompt=.")
        raise refusal("prompt_name", expected, shown(options.prompt_name), advice)
    of_task = PROMPTS.get(options.task or "", (options.task,))
    names = [options.prompt_name] if options.prompt_name is not None else [*of_task, model.default_prompt_name]
    return next((model.prompts[key] for key in names if key in model.prompts), None)


def _recorded_task(model: Any, task: str | None, modality: str, path: list[Any], name: str) -> str | None:
    """The task where it changes a vector; of a model with routes, where none was asked for, the name of the default route."""
    routers = [module for module in model.modules() if _is_router(module)]
    if task is None and routers:
        route = routers[0]._resolve_route(task=None, modality=modality)
        same: bool = routers[0]._resolve_route_name(task=route, modality=modality) == route
        return str(route) if same else None
    lengths = ("query_length", "document_length", "query_expansion")
    told = "task" in model.get_model_kwargs() or any(getattr(path[0], length, None) is not None for length in lengths)
    if routers or told:
        return task
    if task is not None and task not in PROMPTS and task not in model.prompts:
        known = dict.fromkeys([*PROMPTS, *model.prompts])
        raise refusal(
            "task",
            f"one of {quoted(known)}, since {name} has no routes",
            shown(task),
            written(task, known, "Leave it out."),
        )
    return None


def _longest(module: Any, task: str | None) -> int | None:
    """How many tokens of a text the first module reads; None: any number."""
    length = getattr(module, f"{task}_length", None) if task in PROMPTS else None
    length = getattr(module, "max_seq_length", None) if length is None else length
    return length if isinstance(length, int) and length < sys.maxsize else None


def _processor(module: Any) -> Any:
    """What a module reads items by."""
    for name in ("processor", "tokenizer"):
        if (found := getattr(module, name, None)) is not None:
            return found
    return None


def _modality(model: Any, name: str, options: Options, item: Any) -> str:
    """The one that was asked for, the only one, or what the item looks like."""
    known = [kind for kind in ("text", "image") if kind in getattr(model, "modalities", ["text"])]
    modality = options.modality or (modality_of_item(item) if len(known) > 1 else known[0])
    if modality not in known:
        raise refusal("modality", f"one of {quoted(known)}, which {name} reads", shown(modality), "Name one of them.")
    return modality
