"""A saved folder, looked at before anything of it is loaded: its configuration, and what the header of its tensors says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from irp_hf.checkpoints.limits import CONFIG, LARGEST_CONFIG, WEIGHTS
from irp_hf.checkpoints.stored import DTYPES, Entry, TensorFile, check_room, tensor_file
from irp_hf.configuration_irp import AnchoredConfig
from irp_hf.data.wrong import dtype_name
from irp_hf.disk.places import cannot_be_read
from irp_hf.disk.plain import read_text
from irp_hf.errors import (
    DamagedFolderError,
    InputError,
    IRPError,
    OtherModelError,
    first_line,
    reason_of,
    refusal,
    shown,
)

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


def check_tensors(
    folder: Path, place: str, wanted: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, torch.dtype]
) -> None:
    """Raise `DamagedFolderError` unless the tensors in `folder` have these names and shapes; none of them is read.

    Those of which `dtypes` says nothing are float32.
    """
    with _tensors(folder, place, wanted, dtypes):
        pass


def read_tensors(
    folder: Path, place: str, wanted: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, torch.dtype]
) -> dict[str, Tensor]:
    """The tensors of these names and shapes, each in memory of its own; those of which `dtypes` says nothing are float32.

    Raises `DamagedFolderError` as `check_tensors` does, before memory is taken, and `InputError` where there is none.
    """
    with _tensors(folder, place, wanted, dtypes) as file:
        try:
            check_room(file.num_bytes)
            return {name: file.read(name) for name in wanted}
        except MemoryError as error:
            advice = "Free some, or load it on another machine."
            raise refusal(place, f"memory for its {file.num_bytes:,} bytes", "less", advice) from error


@contextmanager
def _tensors(
    folder: Path, place: str, wanted: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, torch.dtype]
) -> Iterator[TensorFile]:
    try:
        with tensor_file(folder / WEIGHTS) as file:
            _check_entries(place, file.entries, wanted, dtypes)
            yield file
    except IRPError:
        raise
    except PermissionError as error:
        raise _not_allowed(place, folder / WEIGHTS, error) from error
    except (OSError, ValueError) as error:  # also where it shrinks meanwhile
        raise damaged(place, f"a {WEIGHTS} that is no whole safetensors file ({reason_of(error)})") from error


def _check_entries(
    place: str,
    entries: Mapping[str, Entry],
    wanted: Mapping[str, tuple[int, ...]],
    dtypes: Mapping[str, torch.dtype],
) -> None:
    for what, names in (
        ("missing", wanted.keys() - entries.keys()),
        ("unexpected", entries.keys() - wanted.keys()),
        ("mismatched", {name for name in wanted.keys() & entries.keys() if entries[name].shape != wanted[name]}),
    ):
        if names:
            listed = ", ".join(f"{name:.80}" for name in sorted(names)[:8])
            raise damaged(place, f"tensors that do not fit its {CONFIG} ({what} keys: {listed})")
    for name, entry in sorted(entries.items()):
        kept = dtypes.get(name, torch.float32)
        if DTYPES.get(entry.dtype) != kept:
            raise damaged(place, f"a tensor {name:.80} that is no {dtype_name(kept)} ({entry.dtype:.80})")


def damaged(place: str, what: str) -> DamagedFolderError:
    """An error that says what is wrong with the folder or the repository `place`."""
    return refusal(place, "a whole saved model", what, "Save or download it again.", DamagedFolderError)


def _not_allowed(place: str, file: Path, error: OSError) -> DamagedFolderError:
    return cannot_be_read(f"The {file.name} of {place}", error, DamagedFolderError)


def _read_json(place: str, file: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(file, LARGEST_CONFIG))
    except FileNotFoundError as error:
        raise damaged(place, f"no {file.name}") from error
    except PermissionError as error:
        raise _not_allowed(place, file, error) from error
    except OSError as error:
        raise damaged(place, f"a {file.name} that cannot be read ({reason_of(error)})") from error
    except (ValueError, RecursionError) as error:
        raise damaged(place, f"a {file.name} that is no JSON ({first_line(error)})") from error
    if not isinstance(content, dict):
        raise damaged(place, f"a {file.name} that is no JSON object")
    return content
