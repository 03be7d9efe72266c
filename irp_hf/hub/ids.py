"""Ids, revisions and commits, as the Hub writes them."""

from __future__ import annotations

import re
from typing import Any

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id

from irp_hf.errors import refusal, shown

HUB_ID = re.compile(r"(?!.*(\.\.|--))[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}", re.ASCII)
COMMIT = re.compile("[0-9a-f]{40}")
REVISION = re.compile(r"(?!/)(?!.*\.\.)[\w./+@-]{1,200}")  # also a path inside the cache


def check_repo_id(repo_id: Any) -> None:
    """Raise `InputError` for what can be no name of a repository: user/name, or a name alone."""
    try:
        validate_repo_id(repo_id if isinstance(repo_id, str) else "")
    except HFValidationError as error:
        raise refusal("A repository of the Hub", "an id, as user/name", shown(repo_id), "Name one.") from error


def check_revision(revision: Any) -> None:
    """Raise `InputError` for what can be no branch, tag or commit."""
    if revision is not None and not (isinstance(revision, str) and REVISION.fullmatch(revision)):
        raise refusal("revision", "a branch, a tag or a commit", shown(revision), "Name one of the repository.")


def is_hub_id(name: Any) -> bool:
    """Whether it is user/name, as the Hub has it, which no path out of a folder can be."""
    return isinstance(name, str) and HUB_ID.fullmatch(name) is not None
