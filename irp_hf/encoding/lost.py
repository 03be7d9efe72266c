"""Items of which an encoder makes no vector: which one it is, in a few words, and what is likely the cause."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from irp_hf.checks import quoted
from irp_hf.data.arrays import INFINITY, LARGEST, NAN, first_not_finite
from irp_hf.encoding.base import Encoder
from irp_hf.errors import kind_of, printable, refusal, shown

SHORT = 60  # characters of a text that name it
FEW = 3  # empty texts that are named


def refuse_lost(encoder: Encoder, vectors: Tensor, items: Sequence[Any], rows: Sequence[int]) -> None:
    """Raise `InputError` where one of `vectors (n, d)` is not finite, and name its item; `rows` are those of the items."""
    lost = first_not_finite(vectors)
    if lost is None:
        return
    place, what = lost
    name = f"Item {rows[place]}, {brief(items[place])}"
    expected = f"finite numbers of {encoder.name}" + ("" if what in (NAN, INFINITY) else f", of at most {LARGEST:g}")
    raise refusal(name, expected, what, _cause(items[place], encoder, whole=are_all_lost(vectors)))


def are_all_lost(vectors: Tensor) -> bool:
    """Whether of several `vectors (n, d)` none is finite."""
    return len(vectors) > 1 and all(first_not_finite(vector[None]) is not None for vector in vectors)


def brief(item: Any) -> str:
    """A text in quotes, cut where it is long; of a path its end, of a picture or a sound its size, of others their kind."""
    if isinstance(item, str | tuple | Mapping | os.PathLike):
        return printable(shown(os.fspath(item) if isinstance(item, os.PathLike) else item), SHORT)
    if isinstance(item, np.ndarray):
        return f"an array of shape {item.shape}"
    return f"a picture of {item.width} by {item.height}" if _is_picture(item) else kind_of(item)


def empty_among(items: Sequence[Any], rows: Sequence[int]) -> str:
    """In a sentence which of the items are empty texts, behind a space; nothing where none is."""
    empty = [row for row, item in zip(rows, items, strict=False) if _is_empty(item)]
    if not empty:
        return ""
    which = f"{'Items' if len(empty) > 1 else 'Item'} {quoted(empty[:FEW])}{', …' if len(empty) > FEW else ''}"
    return f" {which} {'are empty texts' if len(empty) > 1 else 'is an empty text'}: leave such out."


def _cause(item: Any, encoder: Encoder, whole: bool) -> str:
    """What is likely the reason, and what to do; `whole` batches fail for the encoder's own reasons."""
    if encoder.record.dtype == "float16":
        return "Likely numbers went beyond float16, which ends at 65504: open it with dtype='bfloat16' or 'float32'."
    if _is_empty(item):
        return "It is an empty text, of which there is nothing to make a vector of: leave such texts out."
    if whole:
        return (
            "So are all of its batch: look at the encoder itself, at its weights, and what a function does around it."
        )
    if isinstance(item, str) and not any(letter.isalnum() for letter in item):
        return "It holds no word, of which this encoder would make a vector: leave such texts out."
    if isinstance(item, np.ndarray) and item.size and not item.any():
        return "It is silent, or black, so that nothing can be scaled by its size: leave such items out."
    if _is_picture(item) and all(low == high for low, high in np.reshape(item.getextrema(), (-1, 2))):
        return "It is of one colour, so that nothing can be scaled by what it varies: leave such pictures out."
    if isinstance(item, str) and encoder.module is None:
        return "Likely the function knows none of its words: leave such texts out, or let it give zeros for them."
    return "Encode it alone to see the cause; leave it out where it has no vector."


def _is_empty(item: Any) -> bool:
    if isinstance(item, Mapping):
        return bool(item) and all(_is_empty(part) for part in item.values())
    if isinstance(item, tuple):
        return bool(item) and all(map(_is_empty, item))
    return isinstance(item, str) and not item.strip()


def _is_picture(item: Any) -> bool:
    return hasattr(item, "getextrema") and hasattr(item, "width")
