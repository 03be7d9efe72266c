"""Open an encoder, whatever it is: a sentence-transformers model, a plain transformers model, a function.

Every kind comes down to an `Encoder`: one batch in, one matrix out, and a record of who does it. A new kind
is one more function that makes one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
)
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from irp_hf.errors import InputError, MissingDependencyError

POOLINGS = ("mean", "cls", "last", "pooler")


@dataclass(frozen=True)
class Options:
    """What the caller of `encode` asked for; None where nothing."""

    pooling: str | None = None
    prompt: str | None = None
    normalize: bool | None = None
    device: str | torch.device | None = None
    dtype: str | torch.dtype | None = None
    revision: str | None = None
    token: str | bool | None = None

    def __post_init__(self) -> None:
        if isinstance(self.dtype, str) and not isinstance(getattr(torch, self.dtype, None), torch.dtype):
            raise InputError(f"dtype is {self.dtype!r}; a dtype of torch is wanted. Pass 'float16' or another.")


@dataclass(frozen=True)
class Encoder:
    """An encoder that is ready to run."""

    embed: Callable[[list[Any]], Any]
    """From a batch of items to `(n, d)`, of any floating dtype and on any device."""
    record: dict[str, Any]
    """Who encodes and how: what the other side must do alike."""
    reads_text: bool = True

    @property
    def name(self) -> str:
        """The name in its record."""
        return str(self.record["id"])


def open_encoder(encoder: Any, options: Options) -> Encoder:
    """Load a folder or an id, and wrap what is loaded already; see `irp_hf.encoding.encode`."""
    if isinstance(encoder, str | os.PathLike):
        path = os.fspath(encoder)
        modular, commit = _find(path, options)
        return (_load_modules if modular else _load_transformer)(path, commit, options)
    for option in ("pooling", "device", "dtype", "revision", "token"):
        _refuse(option, getattr(options, option), f"the encoder is a {type(encoder).__name__}, loaded already")
    library = sys.modules.get("sentence_transformers")  # slow to import, and without it there is no such object
    if library and isinstance(encoder, library.SentenceTransformer):
        config = getattr(encoder.transformers_model, "config", None)
        name = getattr(config, "_name_or_path", None) or "SentenceTransformer"
        return _sentence_transformer(encoder, name, None, options)
    if isinstance(encoder, torch.nn.Module) or not callable(encoder):
        raise InputError(
            f"The encoder is a {type(encoder).__name__}; a folder, an id, a SentenceTransformer or a "
            "function is wanted. Pass a function from a list of items to a matrix with one row for each."
        )
    return _function(encoder, options)


def pool(tokens: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Vectors `(n, d)` of `tokens (n, t, d)`: their mean, the first ("cls") or the last of each row.

    `mask (n, t)` is 1 at tokens and 0 at padding, on the left or on the right.
    """
    if pooling == "mean":
        weights = mask[:, :, None].float()
        return (tokens.float() * weights).sum(1) / weights.sum(1)
    places = mask.argmax(1) if pooling == "cls" else mask.cumsum(1).argmax(1)
    return tokens[torch.arange(len(tokens), device=tokens.device), places]


def _find(path: str, options: Options) -> tuple[bool, str | None]:
    """Whether a sentence-transformers model lies there, and its commit if it comes from the Hub."""
    folder = Path(path)
    if folder.is_dir():
        if any(folder.rglob("pytorch_model*.bin")) and not any(folder.rglob("*.safetensors")):
            raise InputError(
                f"{_public(path)} holds its weights as a pickle, which could run any code. "
                "Load it where you trust it; its save_pretrained writes safetensors."
            )
        return (folder / "modules.json").is_file(), None
    try:
        return _find_on_hub(path, options)
    except (EntryNotFoundError, HFValidationError, HfHubHTTPError) as error:
        raise InputError(
            f"The encoder {path!r} is no folder here, and the Hub did not give it ({type(error).__name__}). "
            "Check the name, the token and the connection."
        ) from error


def _find_on_hub(path: str, options: Options) -> tuple[bool, str]:
    hub: dict[str, Any] = dict(revision=options.revision, token=options.token)
    try:
        return True, _commit(hf_hub_download(path, "modules.json", **hub))
    except LocalEntryNotFoundError:
        # Offline, the cache may hold a model and know nothing of a file that was never asked for.
        config = try_to_load_from_cache(path, "config.json", revision=options.revision)
        if not isinstance(config, str):
            raise
        return False, _commit(config)
    except EntryNotFoundError:
        return False, _commit(hf_hub_download(path, "config.json", **hub))


def _commit(file: str) -> str:
    """The commit that a file in the cache of the Hub belongs to: its snapshot's name."""
    return Path(file).parent.name


def _load_modules(path: str, commit: str | None, options: Options) -> Encoder:
    name = _public(path)
    _refuse("pooling", options.pooling, f"{name} is a sentence-transformers model and pools in its own way")
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingDependencyError(
            f"{name} is read by sentence-transformers, which is not installed. "
            "Run: pip install irp_hf[sentence-transformers]"
        ) from error
    with _loading(name):
        model = SentenceTransformer(
            path,
            device=None if options.device is None else str(options.device),
            revision=commit,
            token=options.token,
            model_kwargs={"use_safetensors": True, "dtype": options.dtype or "auto"},
        )
    return _sentence_transformer(model, path, commit, options)


def _sentence_transformer(model: Any, path: str, commit: str | None, options: Options) -> Encoder:
    kinds = {type(module).__name__: module for module in model.modules()}
    if "Normalize" in kinds and options.normalize is False:
        _refuse("normalize", False, f"{_public(path)} makes unit vectors by itself")
    default = model.prompts.get(model.default_prompt_name)
    options = replace(
        options,
        pooling=getattr(kinds.get("Pooling"), "pooling_mode", None),
        prompt=default if options.prompt is None else options.prompt,
        normalize=options.normalize or "Normalize" in kinds,
    )

    def embed(texts: list[str]) -> Any:
        count = len(texts)
        return model.encode(
            texts, prompt=options.prompt, batch_size=count, show_progress_bar=False, convert_to_tensor=True
        )

    return Encoder(embed, _record(path, commit, model.dtype, options))


def _load_transformer(path: str, commit: str | None, options: Options) -> Encoder:
    name, pooling = _public(path), options.pooling
    if pooling not in POOLINGS:
        raise InputError(
            f"pooling is {pooling!r}, but {name} is a plain transformers model and needs one of "
            f"{', '.join(map(repr, POOLINGS))}. Name the one that its model card or its head uses."
        )
    hub: dict[str, Any] = dict(revision=commit or "main", token=options.token, trust_remote_code=False)
    with _loading(name):
        model, info = AutoModel.from_pretrained(
            path, dtype=options.dtype or "auto", use_safetensors=True, output_loading_info=True, **hub
        )
        # With padding on the right, every kind of attention and of position sees a text as if it were alone.
        tokenizer = AutoTokenizer.from_pretrained(path, padding_side="right", **hub)
        model = (model.get_encoder() if model.config.is_encoder_decoder else model).to(_device(options.device))
    random = sorted(key for key in info["missing_keys"] if "pooler" not in key or pooling == "pooler")
    if random:
        raise InputError(
            f"{name} has no weights for {random[0]} ({len(random)} missing in all), which would be random. "
            "Name another pooling or another checkpoint."
        )
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    longest = _longest(tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None))

    def embed(texts: list[str]) -> Tensor:
        prompted = [(options.prompt or "") + text for text in texts]
        cut = dict(truncation=longest is not None, max_length=longest)
        batch = tokenizer(prompted, padding=True, return_tensors="pt", **cut).to(model.device)
        mask = batch["attention_mask"]
        if not mask.any(1).all():
            raise InputError(f"{name} finds no token in a text. Leave out empty texts.")
        try:
            output = model(**batch)
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(
                f"{name} does not run on text alone ({_first_line(error)}). Pass a function that runs it."
            ) from error
        if pooling != "pooler":
            return pool(output.last_hidden_state, mask, pooling)
        if getattr(output, "pooler_output", None) is None:
            raise InputError(f"pooling is 'pooler', but {name} has no pooler. Name 'mean', 'cls' or 'last'.")
        pooled: Tensor = output.pooler_output
        return pooled

    return Encoder(embed, _record(path, commit, model.dtype, options))


def _longest(tokenizer_limit: int, positions: int | None) -> int | None:
    """How many tokens a text may have, None for any number."""
    if tokenizer_limit < sys.maxsize:
        return min(tokenizer_limit, positions or tokenizer_limit)
    return positions - 2 if positions else None  # a tokenizer that does not know; RoBERTa counts from 2


def _function(function: Callable[[list[Any]], Any], options: Options) -> Encoder:
    prompt = options.prompt
    embed = (lambda texts: function([prompt + text for text in texts])) if prompt else function
    name = getattr(function, "__name__", type(function).__name__)
    return Encoder(embed, _record(name, None, None, options), reads_text=bool(prompt))


def _device(device: str | torch.device | None) -> torch.device:
    if device is not None:
        return torch.device(device)
    return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")


def _record(path: str, commit: str | None, dtype: torch.dtype | None, options: Options) -> dict[str, Any]:
    return dict(
        id=_public(path),
        revision=commit,
        pooling=options.pooling,
        prompt=options.prompt or None,
        normalize=bool(options.normalize),
        dtype=None if dtype is None else str(dtype).removeprefix("torch."),
    )


def _public(path: str) -> str:
    """An id as it is, and a folder without the way to it, which is nobody else's business."""
    return Path(path).resolve().name if Path(path).is_dir() or Path(path).is_absolute() else path


def _refuse(option: str, value: Any, why: str) -> None:
    if value is not None:
        raise InputError(f"{option} is {str(value)!r}, but {why}. Leave {option} out.")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")


@contextmanager
def _loading(name: str) -> Iterator[None]:
    """Say in two sentences what the libraries beneath say in many."""
    try:
        yield
    except (ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{name} could not be loaded ({_first_line(error)}). Give a model that transformers knows, with "
            "a tokenizer and safetensors, or load it yourself and pass a function from texts to a matrix."
        ) from error
