"""Items in the shapes that the pipelines of transformers take, and nothing else here does."""

from __future__ import annotations

import base64
from typing import Any

from irp_hf.data.pictures import open_file


def is_pair_of_before(item: Any) -> bool:
    """Whether it is [[text, text]], a pair of texts as older versions of transformers had it, which still take it."""
    pair = item[0] if isinstance(item, list) and len(item) == 1 else None
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)


def from_base64(item: str) -> Any:
    """The bytes of a picture that is given as base64, with or without "data:image/png;base64," before it; else the path."""
    named = item.startswith("data:image/")
    try:
        data = base64.b64decode(item.partition(",")[2] if named else item, validate=True)
        if not named:  # many a path is valid base64 as well
            open_file(data)
    except (ValueError, OSError):
        return item
    return data
