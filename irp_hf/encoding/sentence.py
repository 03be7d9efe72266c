"""sentence-transformers models, which know their own pooling, prompts and normalisation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from irp_hf.checkpoints.limits import check_modules
from irp_hf.checkpoints.repository import Repository, loading
from irp_hf.checks import check_absent, quoted
from irp_hf.encoding.base import Encoder, Options, make_record
from irp_hf.encoding.inputs import modality_of_item
from irp_hf.errors import missing, refusal, shown
from irp_hf.records import EncoderRecord


def load(repository: Repository, options: Options, item: Any) -> Encoder:
    """Load a folder or a repository with a `modules.json`."""
    name = repository.name
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        subject = f"{name}, a sentence-transformers model"
        raise missing(subject, "sentence-transformers", "irp_hf[sentence-transformers]") from error
    check_modules(repository, options.token)
    with loading(name):
        model = SentenceTransformer(
            repository.path,
            device=None if options.device is None else str(torch.device(options.device)),
            revision=repository.commit,
            token=options.token,
            trust_remote_code=options.trust_remote_code,
            local_files_only=not repository.online,
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
    from sentence_transformers.util import batch_to_device, truncate_embeddings

    kinds = {type(module).__name__: module for module in model.modules()}
    if "Normalize" in kinds and options.normalize is False:
        check_absent("normalize", False, f"{name} makes unit vectors by itself")
    default = model.prompts.get(model.default_prompt_name)
    pooling = getattr(kinds.get("Pooling"), "pooling_mode", None)
    asked, own = (EncoderRecord.of(pooling=mode).pooling for mode in (options.pooling, pooling))  # each by our name
    if asked not in (None, own):
        check_absent("pooling", options.pooling, f"{name} is a sentence-transformers model and pools in its own way")
    options = replace(
        options,
        pooling=pooling,
        prompt=default if options.prompt is None else options.prompt,
        normalize=options.normalize or "Normalize" in kinds,
    )

    model.eval()

    def embed(items: list[Any]) -> Any:
        # What `model.encode` does to one batch; its care for many batches costs a tenth of a small encoder's time.
        features = batch_to_device(model.preprocess(items, prompt=options.prompt), model.device)
        vectors = model(features)["sentence_embedding"]
        return vectors if model.truncate_dim is None else truncate_embeddings(vectors, model.truncate_dim)

    modality = _modality(model, name, options, item)
    return Encoder(embed, make_record(name, commit, model.dtype, options, modality), modality, model)


def _modality(model: Any, name: str, options: Options, item: Any) -> str:
    """The one that was asked for, the only one, or what the item looks like."""
    known = [kind for kind in ("text", "image") if kind in getattr(model, "modalities", ["text"])]
    modality = options.modality or (modality_of_item(item) if len(known) > 1 else known[0])
    if modality not in known:
        raise refusal("modality", f"one of {quoted(known)}, which {name} reads", shown(modality), "Name one of them.")
    return modality
