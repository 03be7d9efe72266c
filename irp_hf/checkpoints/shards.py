"""Weights in several files: which tensor is in which, as an index says, that is looked at before anything reads it."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath

from irp_hf.checkpoints.limits import CONFIG, LARGEST_CONFIG, WEIGHTS, check_size, read_json
from irp_hf.checkpoints.repository import Repository
from irp_hf.errors import first_line, refusal, shown

INDEX = ".index.json"
BESIDE = re.compile(r"[\w-][\w.-]*\.safetensors", re.ASCII)  # a file beside the others, no way out
MOST_SHARDS = 2_000  # files of one model
SAVE_AGAIN = "Download or save it again."
NOT_THIS = "Do not use it, or save the model again."


def weight_map(repository: Repository, name: str, token: str | bool | None) -> dict[str, str] | None:
    """The file of each tensor, as the index of that name says; None where there is none.

    Raises `InputError` for one that is no index or names what is no file beside it, and `HubError`.
    """
    index = repository.file(name, token)
    if index is None:
        return None
    subject = f"{name} of {repository.name}"
    check_size(subject, index, LARGEST_CONFIG)
    try:
        places: dict[str, str] = dict(json.loads(index.read_text(encoding="utf-8"))["weight_map"].items())
    except (AttributeError, KeyError, OSError, TypeError, ValueError, RecursionError) as error:
        got = f"{type(error).__name__} ({first_line(error)})"
        raise refusal(subject, "an index of safetensors, JSON with a weight_map", got, SAVE_AGAIN) from error
    for tensor, file in places.items():
        if not isinstance(file, str) or not BESIDE.fullmatch(file):
            raise refusal(subject, "safetensors files beside it", f"{shown(file)} for {tensor}", NOT_THIS)
    if (count := len(set(places.values()))) > MOST_SHARDS:
        raise refusal(subject, f"at most {MOST_SHARDS:,} files", f"{count:,}", "Do not use it.")
    return places


def weight_files(repository: Repository, token: str | bool | None, folder: str = "") -> list[str]:
    """The names of the files that a library reads the weights in a folder of a repository from.

    Raises `InputError` where an index, or the configuration, names other than files beside it, and `HubError`.
    """
    inside = PurePosixPath(folder)
    named = named_weights(repository, token, folder)
    wholes = [named] if named is not None else [repository.weights_name(WEIGHTS), WEIGHTS]
    for whole in dict.fromkeys(wholes):
        name = (inside / whole).as_posix()
        if not name.endswith(INDEX):
            if repository.file(name, token) is not None:
                return [name]
            name = (inside / _index_of(whole, repository)).as_posix()
        if (places := weight_map(repository, name, token)) is not None:
            return sorted({(inside / file).as_posix() for file in places.values()})
    return []


def named_weights(repository: Repository, token: str | bool | None, folder: str = "") -> str | None:
    """The file of weights, or the index, that a configuration names; raises `InputError` for what is not beside it."""
    name = (PurePosixPath(folder) / CONFIG).as_posix()
    config = read_json(repository, name, token)
    named = config.get("transformers_weights") if isinstance(config, dict) else None
    if named is not None and not (isinstance(named, str) and BESIDE.fullmatch(named.removesuffix(INDEX))):
        subject, expected = (
            f"The {name} of {repository.name}",
            "a safetensors file beside it as its transformers_weights",
        )
        raise refusal(subject, expected, shown(named), NOT_THIS)
    return named


def index_name(repository: Repository) -> str:
    """The name of the file that says which tensor is in which file, of the variant."""
    variant = f".{repository.variant}" if repository.variant else ""
    return f"{WEIGHTS}.index{variant}.json"


def _index_of(whole: str, repository: Repository) -> str:
    return f"{WEIGHTS}{INDEX}" if whole == WEIGHTS else index_name(repository)
