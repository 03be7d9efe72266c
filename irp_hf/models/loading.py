"""A saved folder, looked at before anything of it is loaded: its configuration, and what the header of its tensors says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from irp_hf.checkpoints.limits import CONFIG, LARGEST_CONFIG, WEIGHTS
from irp_hf.configuration_irp import AnchoredConfig
from irp_hf.errors import DamagedFolderError, InputError, OtherModelError, refusal, shown

PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}


def read_config(
    folder: Path, place: str, config_class: type[AnchoredConfig], **changes: Any
) -> tuple[AnchoredConfig, dict[str, Any]]:
    """The configuration in `folder`, with `changes`, and those of them that mean nothing to it; `place` is said in errors.

    Raises `DamagedFolderError` where a file is missing or the configuration is none of that class.
    """
    content = _read_json(place, folder / CONFIG)
    if content.get("model_type") != config_class.model_type:
        raise refusal(
            place,
            f"a model of type {config_class.model_type!r}",
            f"one of type {shown(content.get('model_type'))}",
            "Load it with AutoModel.from_pretrained, or name another folder.",
            OtherModelError,
        )
    if not (folder / WEIGHTS).is_file():
        others = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLES)
        found = f", but {', '.join(others)}, which may hold pickled code and is not read" if others else ""
        raise damaged(place, f"no {WEIGHTS}{found}")
    try:
        config, unused = config_class.from_dict(content, return_unused_kwargs=True, **changes)
    except InputError as error:
        raise damaged(place, f"a {CONFIG} that is wrong ({str(error).partition('. ')[0]})") from error
    if empty := [name for name in config.sizes if getattr(config, name) < 1]:
        raise damaged(place, f"a {CONFIG} that is wrong ({empty[0]} is {getattr(config, empty[0])})")
    return config, unused


def check_tensors(folder: Path, place: str, wanted: Mapping[str, tuple[int, ...]]) -> None:
    """Raise `DamagedFolderError` unless the tensors in `folder` have these names and shapes; none of them is read."""
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            stored = {name: tuple(part.get_shape()) for name, part in slices.items()}
            others = [name for name, part in slices.items() if part.get_dtype() != "F32"]
    except (SafetensorError, OSError, RuntimeError) as error:  # the last where it shrinks meanwhile
        raise damaged(place, f"a {WEIGHTS} that is no whole safetensors file ({_line(error)})") from error
    for what, names in (
        ("missing", wanted.keys() - stored.keys()),
        ("unexpected", stored.keys() - wanted.keys()),
        ("mismatched", {name for name in wanted.keys() & stored.keys() if stored[name] != wanted[name]}),
    ):
        if names:
            listed = ", ".join(f"{name:.80}" for name in sorted(names)[:8])
            raise damaged(place, f"tensors that do not fit its {CONFIG} ({what} keys: {listed})")
    if others:
        raise damaged(place, f"tensors that are no float32 ({', '.join(f'{name:.80}' for name in sorted(others)[:8])})")


def damaged(place: str, what: str) -> DamagedFolderError:
    """An error that says what is wrong with the folder or the repository `place`."""
    return refusal(place, "a whole saved model", what, "Save or download it again.", DamagedFolderError)


def _read_json(place: str, file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise damaged(place, f"no {file.name}")
    try:
        if file.stat().st_size > LARGEST_CONFIG:
            raise damaged(place, f"a {file.name} of {file.stat().st_size:,} bytes")
        content = json.loads(file.read_text(encoding="utf-8"))
    except DamagedFolderError:
        raise
    except OSError as error:
        raise damaged(place, f"a {file.name} that cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise damaged(place, f"a {file.name} that is no JSON ({error})") from error
    if not isinstance(content, dict):
        raise damaged(place, f"a {file.name} that is no JSON object")
    return content


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
