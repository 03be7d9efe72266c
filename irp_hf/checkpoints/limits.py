"""What a repository says of itself, checked before anything is built of it: sizes, and names of files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from irp_hf.checkpoints.repository import Repository
from irp_hf.errors import refusal, shown

CONFIG, WEIGHTS = "config.json", "model.safetensors"  # as transformers writes them
LARGEST_CONFIG = 10_000_000  # bytes
MOST_LAYERS = 2_000
MOST = 1 << 24  # of anything else that is counted: positions, tokens, labels, the width
LAYERS = re.compile(r"num_.*layers|n_layers?|(encoder|decoder)_layers|layers")
COUNTS = re.compile(
    r"num_.*|n_.*|.*_(size|dim|channels|length|positions|layers)|d_model|d_ff|dim|max_position_embeddings"
)


def check_sizes(repository: Repository, token: str | bool | None) -> None:
    """Raise `InputError` for a `config.json` whose numbers no model has: building it would take all memory."""
    content = _json(repository, CONFIG, token)
    for name, value in _numbers(content):
        most = MOST_LAYERS if LAYERS.fullmatch(name) else MOST
        if COUNTS.fullmatch(name) and value > most:
            subject, advice = _file(CONFIG, repository), "Give it the configuration that it was saved with."
            raise refusal(subject, f"at most {most} as its {name}", f"{value:.0f}, which no model has", advice)


def check_modules(repository: Repository, token: str | bool | None) -> None:
    """Raise `InputError` for modules of a sentence-transformers model that lie outside of it, or are too large."""
    modules = _json(repository, "modules.json", token)
    for module in modules if isinstance(modules, list) else []:
        path = module.get("path", "") if isinstance(module, dict) else None
        if not isinstance(path, str) or not is_inside(path):
            subject, advice = _file("modules.json", repository), "Do not use it, or save the model again."
            raise refusal(subject, "folders inside the repository", shown(path), advice)
    check_sizes(repository, token)


def is_inside(path: str) -> bool:
    """Whether a path, as repositories write it, stays in its folder."""
    return "\\" not in path and ":" not in path and not path.startswith("/") and ".." not in PurePosixPath(path).parts


def _file(name: str, repository: Repository) -> str:
    return f"The {name} of {repository.name}"


def _json(repository: Repository, name: str, token: str | bool | None) -> Any:
    """What a file says; None where there is none, or no JSON, which is for its reader to tell."""
    file = repository.file(name, token)
    if file is None:
        return None
    if file.stat().st_size > LARGEST_CONFIG:
        expected, got = f"at most {LARGEST_CONFIG:,} bytes", f"{file.stat().st_size:,}"
        raise refusal(_file(name, repository), expected, got, "Do not use it, or save the model again.")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None


def _numbers(content: Any, depth: int = 0) -> Iterator[tuple[str, int | float]]:
    """Numbers by their names, those of nested configurations as well."""
    if not isinstance(content, dict) or depth > 4:
        return
    for name, value in content.items():
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, int | float) and not isinstance(entry, bool):
                yield name, entry
        yield from _numbers(value, depth + 1)
