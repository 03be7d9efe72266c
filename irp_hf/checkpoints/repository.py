"""Where a model lies: a folder or a repository of the Hub, at which commit, under which name."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import RevisionNotFoundError
from transformers.dynamic_module_utils import get_class_from_dynamic_module

from irp_hf.checkpoints.formats import LORA, lora, refuse_other_formats, refuse_special, refuse_unreadable
from irp_hf.checks import check_absent, check_text
from irp_hf.disk.places import check_allowed, is_folder
from irp_hf.errors import HubError, InputError, IRPError, MissingFolderError, first_line, is_panic, refusal, shown
from irp_hf.hub.download import Pinned, pin
from irp_hf.hub.errors import FETCH_ONCE, hub_errors, none_if_missing, why_nothing_came
from irp_hf.hub.ids import COMMIT, check_revision
from irp_hf.turns import Turns

LOADING = Turns()

GENERIC = ("model", "encoder", "checkpoint", "weights", "data")  # what many folders in packages are called
VARIANT = re.compile(r"[\w-][\w.-]*", re.ASCII)


@dataclass(frozen=True)
class Repository:
    """A folder or a repository that was found."""

    path: str
    """A folder, or an id on the Hub."""
    commit: str | None
    """Its hash, where it comes from the Hub."""
    modular: bool
    """Whether it is a sentence-transformers model."""
    online: bool = False
    """Whether the Hub may be asked for what the cache does not hold."""
    subfolder: str = ""
    """The folder of the repository on the Hub that it lies in; of a folder on the disk it is a part of the path."""
    variant: str | None = None
    """Which of several weights: "fp16" of `model.fp16.safetensors`."""

    @property
    def name(self) -> str:
        """An id as it is, and of a folder its name alone: the path to it is nobody else's business.

        Of a folder `model` or the like inside an installed package, the package's name with it, which is no secret.
        """
        path = Path(self.path)
        if not (path.is_dir() or path.is_absolute()):
            return self.path
        whole = path.resolve()
        packaged = whole.name in GENERIC and (whole.parent / "__init__.py").is_file()
        return f"{whole.parent.name}-{whole.name}" if packaged else whole.name

    @property
    def lora_kwargs(self) -> dict[str, Any]:
        """What keeps transformers from asking the Hub for a LoRA, as it does where peft is installed."""
        return {} if self.online or self.commit is None else {"adapter_kwargs": {"local_files_only": True}}

    def keywords(self, token: str | bool | None, trust_remote_code: bool = False) -> dict[str, Any]:
        """What `from_pretrained` of transformers takes to load from here, and from nowhere else."""
        return dict(
            revision=self.commit or "main",  # a folder has none, and transformers wants one all the same
            token=token,
            local_files_only=not self.online,
            trust_remote_code=trust_remote_code,
            **({"subfolder": self.subfolder} if self.subfolder else {}),
        )

    def weights_name(self, name: str) -> str:
        """The name of a file of weights, `model.safetensors` or its index, of the variant."""
        return name if self.variant is None else name.replace(".safetensors", f".{self.variant}.safetensors", 1)

    def inside(self, name: str) -> str:
        """A file by its name in the whole repository."""
        return f"{self.subfolder}/{name}" if self.subfolder else name

    def cached(self, name: str) -> Path | None:
        """A file that is here already, whole."""
        if self.commit is None:
            file = Path(self.path, name)
            return file if os.path.isfile(file) else None
        found = try_to_load_from_cache(self.path, self.inside(name), revision=self.commit)
        return Path(found) if isinstance(found, str) else None

    def file(self, name: str, token: str | bool | None) -> Path | None:
        """A file, fetched where need be; None where there is none. Raises `HubError`."""
        if self.commit is None or not self.online:
            return self.cached(name)
        return _fetched(self.path, self.inside(name), self.commit, token)


def find(
    path: str,
    revision: str | None = None,
    token: str | bool | None = None,
    subfolder: str | None = None,
    variant: str | None = None,
) -> Repository:
    """Look where a model lies: on the Hub it takes one request for the commit, and some for files that the cache lacks.

    Raises `InputError` for what is neither a folder nor an id, and for weights that only a pickle holds, and `HubError`
    where the Hub refuses, or cannot be reached and the cache knows nothing.
    """
    check_revision(revision)
    inner = check_subfolder(subfolder)
    check_variant(variant)
    folder = Path(path, inner)
    if path and is_folder(path):
        check_absent("revision", revision, f"{folder.name} is a folder, which has no revisions")
        if not is_folder(folder):
            raise refusal("subfolder", f"a folder of {Path(path).name}", shown(subfolder), "Check its name.")
        refuse_unreadable(folder, folder.name)
        found = Repository(str(folder), None, (folder / "modules.json").is_file(), variant=variant)
        refuse_special(folder, found.name)
        refuse_other_formats(folder, found.name)
        if any(folder.rglob("pytorch_model*.bin")) and not any(folder.rglob("*.safetensors")):
            raise pickled(found.name)
        return found
    if path:
        check_allowed(path)
    pinned = _pinned(path, revision, token)
    for name in ("modules.json", "config.json"):
        if _has(path, f"{inner}/{name}" if inner else name, pinned, token):
            return Repository(path, pinned.commit, name == "modules.json", pinned.online, inner, variant)
    if not inner and _has(path, LORA, pinned, token):
        file = _fetched(path, LORA, pinned.commit, token) if pinned.online else None
        raise lora(path, file)
    if pinned.online:
        got = f"a repository without a {inner + '/' if inner else ''}config.json at commit {pinned.commit[:8]}…"
        raise refusal(repr(path), "a model of transformers", got, "Name another one.")
    got = f"none, nor does the cache hold commit {pinned.commit[:8]}… of it"
    raise refusal(repr(path), "a connection to the Hub", got, FETCH_ONCE, HubError)


def check_subfolder(subfolder: Any) -> str:
    """A folder inside a repository as the Hub writes it, "" for None; raises `InputError` for one that leads out of it."""
    inner = "" if subfolder is None else check_text("subfolder", subfolder, "Name a folder, or leave it out.")
    parts = inner.strip("/").split("/")
    if inner and (inner.startswith("/") or "\\" in inner or "\0" in inner or not {"", ".", ".."}.isdisjoint(parts)):
        raise refusal("subfolder", "a folder inside the repository", shown(subfolder), "Write it as in 'onnx/small'.")
    return inner.strip("/")


def check_variant(variant: Any) -> None:
    """Raise `InputError` unless it is a part of a file's name, or None."""
    if variant is not None and not (isinstance(variant, str) and VARIANT.fullmatch(variant)):
        raise refusal(
            "variant", "a part of a file's name", shown(variant), "Give 'fp16' for model.fp16.safetensors, say."
        )


def _pinned(path: str, revision: str | None, token: str | bool | None) -> Pinned:
    try:
        return pin(path, revision, token)
    except InputError as error:
        advice = "Name a folder that is there, or an id as in user/name."
        expected = "a folder here, or an id on the Hub"
        raise refusal(shown(path), expected, "neither", advice, MissingFolderError) from error
    except HubError as error:
        commit = revision or ""
        if COMMIT.fullmatch(commit) and isinstance(error.__cause__, RevisionNotFoundError):
            got = "a Hub that no longer has it"
            advice = (
                "Open another commit (encoder_revision='main' or head_revision='main', with on_mismatch='warn'), "
                "or encode the anchors again."
            )
            raise refusal(repr(path), f"commit {commit[:8]}…", got, advice, HubError) from error
        if "/" not in path:  # more often a folder that was mistyped than one of the few ids without a user
            expected, got = "a folder here, or an id on the Hub", why_nothing_came(error.__cause__)
            raise refusal(repr(path), expected, got, "Check its name.", HubError) from error
        raise


def _has(path: str, name: str, pinned: Pinned, token: str | bool | None) -> bool:
    known = try_to_load_from_cache(path, name, revision=pinned.commit)
    if known is not None or not pinned.online:
        return isinstance(known, str)
    return _fetched(path, name, pinned.commit, token) is not None


def _fetched(path: str, name: str, commit: str, token: str | bool | None) -> Path | None:
    with hub_errors(path, commit):
        file = none_if_missing(hf_hub_download, path, name, revision=commit, token=token)
        return None if file is None else Path(file)


def pickled(name: str, but: str = "") -> InputError:
    """The error for weights that are no safetensors; `but` says what else may be."""
    got = f"{but}a pickle, which could run any code"
    advice = "Load it where you trust it; its save_pretrained writes safetensors."
    return refusal(name, "weights as safetensors", got, advice)


@contextmanager
def loading(name: str) -> Iterator[None]:
    """Turn what other libraries raise into `InputError`, and silence their tables of unused weights, in this thread alone.

    `from_pretrained` of transformers changes the default dtype and patches classes for the whole process, and undoes that at
    its end: where two threads load at once, what one has changed may stay. So our threads load one after the other.
    """
    try:
        with LOADING.taken(), _quiet():
            yield
    except IRPError:
        raise
    except BaseException as error:  # what a stranger wrote makes these libraries raise almost anything
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        if "trust_remote_code=True" in str(error):
            advice = "Pass trust_remote_code=True if you have read and trust it."
            raise refusal(
                name, "a model of transformers itself", "code of its own, which is not run", advice
            ) from error
        if "use_safetensors" in str(error):
            raise pickled(name) from error
        advice = (
            "Give a model that transformers knows, with its processor and safetensors, "
            "or load it yourself and pass a function from items to a matrix."
        )
        raise refusal(name, "a model that loads", f"an error ({first_line(error)})", advice) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Within it transformers shows nothing that this thread logs below an error; its verbosity, which all share, stays."""
    here, logger = threading.get_ident(), logging.getLogger("transformers")

    def shown(record: logging.LogRecord) -> bool:
        return record.thread != here or record.levelno >= logging.ERROR

    handlers = list(logger.handlers)
    for handler in handlers:
        handler.addFilter(shown)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(shown)


def remote_class(config: Any, auto_class: str, path: str, hub: dict[str, Any]) -> type | None:
    """The class that a trusted repository names for an Auto class of transformers; None where it is not trusted, or has none.

    `hub` are the keywords of `Repository.keywords`: the code is of the same commit as the weights.
    """
    reference = (getattr(config, "auto_map", None) or {}).get(auto_class)
    if not hub["trust_remote_code"] or not isinstance(reference, str):
        return None
    where = {key: hub[key] for key in ("revision", "token", "local_files_only")}
    found: type = get_class_from_dynamic_module(reference, path, **where)
    return found
