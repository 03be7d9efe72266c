"""Classes that a repository brings as code of its own, where the user trusts it."""

from __future__ import annotations

from typing import Any

from transformers.dynamic_module_utils import get_class_from_dynamic_module


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
