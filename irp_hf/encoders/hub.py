"""Where an encoder lies: a folder or a repository of the Hub, at which commit, under which name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
)
from safetensors import SafetensorError
from transformers.utils import logging

from irp_hf.encoders.base import Options, first_line, refuse
from irp_hf.errors import InputError


@dataclass(frozen=True)
class Repository:
    """A folder or a repository that was found."""

    path: str
    """A folder, or an id on the Hub."""
    commit: str | None
    """Its hash, where it comes from the Hub."""
    modular: bool
    """Whether it is a sentence-transformers model."""

    @property
    def name(self) -> str:
        """An id as it is, and a folder without the way to it, which is nobody else's business."""
        path = Path(self.path)
        return path.resolve().name if path.is_dir() or path.is_absolute() else self.path


def find(path: str, options: Options) -> Repository:
    """Look where an encoder lies.

    Raises `InputError` where nothing is found, or weights that only a pickle holds.
    """
    folder = Path(path)
    if path and folder.is_dir():
        refuse("revision", options.revision, f"{folder.name} is a folder, which has no revisions")
        found = Repository(path, None, (folder / "modules.json").is_file())
        if any(folder.rglob("pytorch_model*.bin")) and not any(folder.rglob("*.safetensors")):
            raise InputError(
                f"{found.name} holds its weights as a pickle, which could run any code. "
                "Load it where you trust it; its save_pretrained writes safetensors."
            )
        return found
    try:
        return _find_on_hub(path, options)
    except (EntryNotFoundError, HFValidationError, HfHubHTTPError) as error:
        raise InputError(
            f"{path!r} is no folder here, and the Hub did not give it ({type(error).__name__}). "
            "Check the name, the token and the connection."
        ) from error


def _find_on_hub(path: str, options: Options) -> Repository:
    hub: dict[str, Any] = dict(revision=options.revision, token=options.token)
    try:
        return Repository(path, _commit(hf_hub_download(path, "modules.json", **hub)), True)
    except LocalEntryNotFoundError:
        # Offline, the cache may hold a model and know nothing of a file that was never asked for.
        config = try_to_load_from_cache(path, "config.json", revision=options.revision)
        if not isinstance(config, str):
            raise
        return Repository(path, _commit(config), False)
    except EntryNotFoundError:
        return Repository(path, _commit(hf_hub_download(path, "config.json", **hub)), False)


def _commit(file: str) -> str:
    """The commit that a file in the cache of the Hub belongs to: its snapshot's name."""
    return Path(file).parent.name


@contextmanager
def loading(name: str) -> Iterator[None]:
    """Say in two sentences what the libraries beneath say in many, and keep their tables of unused weights to themselves."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    except InputError:
        raise
    except (ImportError, KeyError, OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        raise InputError(
            f"{name} could not be loaded ({first_line(error)}). Give a model that transformers knows, with "
            "its processor and safetensors, or load it yourself and pass a function from items to a matrix."
        ) from error
    finally:
        logging.set_verbosity(verbosity)
