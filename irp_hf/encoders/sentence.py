"""sentence-transformers models, which know their own pooling, prompts and normalisation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from irp_hf.encoders.base import Encoder, Options, make_record, quoted, refuse
from irp_hf.encoders.hub import Repository, loading
from irp_hf.encoders.reading import modality_of_item
from irp_hf.errors import InputError, MissingDependencyError


def load(repository: Repository, options: Options, item: Any) -> Encoder:
    """Load a folder or a repository with a `modules.json`."""
    name = repository.name
    refuse("pooling", options.pooling, f"{name} is a sentence-transformers model and pools in its own way")
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingDependencyError(
            f"{name} is read by sentence-transformers, which is not installed. "
            "Run: pip install irp_hf[sentence-transformers]"
        ) from error
    with loading(name):
        model = SentenceTransformer(
            repository.path,
            device=None if options.device is None else str(options.device),
            revision=repository.commit,
            token=options.token,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True, "dtype": options.dtype or "auto"}
            | ({"device_map": options.device_map} if options.device_map else {}),
        )
    return _encoder(model, name, repository.commit, options, item)


def open_loaded(model: Any, options: Options, item: Any) -> Encoder:
    """Wrap a `SentenceTransformer`."""
    config = getattr(model.transformers_model, "config", None)
    name = getattr(config, "_name_or_path", None) or "SentenceTransformer"
    return _encoder(model, Repository(name, None, True).name, None, options, item)


def _encoder(model: Any, name: str, commit: str | None, options: Options, item: Any) -> Encoder:
    kinds = {type(module).__name__: module for module in model.modules()}
    if "Normalize" in kinds and options.normalize is False:
        refuse("normalize", False, f"{name} makes unit vectors by itself")
    default = model.prompts.get(model.default_prompt_name)
    options = replace(
        options,
        pooling=getattr(kinds.get("Pooling"), "pooling_mode", None),
        prompt=default if options.prompt is None else options.prompt,
        normalize=options.normalize or "Normalize" in kinds,
    )

    def embed(items: list[Any]) -> Any:
        count = len(items)
        return model.encode(
            items, prompt=options.prompt, batch_size=count, show_progress_bar=False, convert_to_tensor=True
        )

    modality = _modality(model, name, options, item)
    return Encoder(embed, make_record(name, commit, model.dtype, options, modality), modality, model)


def _modality(model: Any, name: str, options: Options, item: Any) -> str:
    """The one that is wanted, told by the item or the only one."""
    known = [kind for kind in ("text", "image") if kind in getattr(model, "modalities", ["text"])]
    wanted = options.modality or (modality_of_item(item) if len(known) > 1 else known[0])
    if wanted not in known:
        raise InputError(f"modality is {wanted!r}, but {name} reads {quoted(known)}. Name one of them.")
    return wanted
