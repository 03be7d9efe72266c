"""What a save may not replace: the files of another model, whose names are the same for every model of transformers."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from irp_hf.checkpoints.limits import CONFIG, LARGEST_CONFIG
from irp_hf.checkpoints.modules import MODULES
from irp_hf.disk.places import named
from irp_hf.disk.plain import read_text
from irp_hf.errors import refusal, shown

OF_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".gguf", ".onnx")  # ends of names


def refuse_another_model(folder: Path, model_type: str, code: str) -> None:
    """Raise `InputError` where a model of that type would be saved over another one, or beside the weights of one.

    What was saved of the same type may be replaced, also where its configuration is damaged: then the file `code` tells it.
    """
    found = _another_model(folder, model_type, code)
    if found is not None:
        expected = f"a folder without another model, since a save of type {model_type!r} would replace its files"
        raise refusal(named(folder), expected, found, "Give another folder.")


def _another_model(folder: Path, model_type: str, code: str) -> str | None:
    """What another model has in a folder, in words."""
    if (folder / MODULES).exists():
        return f"a sentence-transformers model, of which {MODULES} tells"
    if (folder / CONFIG).exists():
        kind = _type(folder / CONFIG)
        if kind == model_type or (kind is None and (folder / code).exists()):
            return None
        return f"a {CONFIG} of {'no model of that type' if kind is None else f'type {shown(kind)}'}"
    with contextlib.suppress(OSError):  # not there yet, or for the save to tell
        weights = sorted(file.name for file in folder.iterdir() if file.suffix in OF_WEIGHTS)
        if weights:
            return f"weights without a {CONFIG} ({shown(weights[0])})"
    return None


def _type(file: Path) -> str | None:
    """The model type in a configuration; None where it tells none."""
    try:
        content = json.loads(read_text(file, LARGEST_CONFIG))
    except (OSError, ValueError, RecursionError):
        return None
    kind = content.get("model_type") if isinstance(content, dict) else None
    return kind if isinstance(kind, str) else None
