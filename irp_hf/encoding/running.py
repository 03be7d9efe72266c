"""Run an encoder on a batch; where it fails, say on which items, whatever it raised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from irp_hf.encoding.base import Encoder
from irp_hf.encoding.lost import brief, empty_among
from irp_hf.errors import InputError, IRPError, first_line, kind_of, refusal

UNREADABLE = (TypeError, ValueError, AttributeError, LookupError)  # what code raises of an item that it cannot read


def embedded(encoder: Encoder, items: list[Any], rows: Sequence[int]) -> Any:
    """What `encoder.embed` makes of a batch; `rows` are the rows of its items among all, for errors.

    Raises `InputError` where it cannot read them. What else a function of the user's own raises (no connection, say) is the
    user's to catch, and so is a lack of memory.
    """
    try:
        return encoder.embed(items)
    except (IRPError, torch.OutOfMemoryError):
        raise
    except UNREADABLE as error:
        raise _unread(encoder, items, rows, error) from error
    except ArithmeticError as error:  # of an empty text it may have divided by nothing
        if not empty_among(items, rows):
            raise
        raise _unread(encoder, items, rows, error) from error
    except RuntimeError as error:
        if encoder.module is None or type(error) is not RuntimeError:
            raise
        raise _unread(encoder, items, rows, error) from error


def _unread(encoder: Encoder, items: list[Any], rows: Sequence[int], error: Exception) -> InputError:
    subject = encoder.name if encoder.module is not None else f"The encoder, the function {encoder.name}"
    odd = [place for place, item in enumerate(items) if type(item) is not type(items[0])] if items else []
    pairs = [place for place, item in enumerate(items) if isinstance(item, Mapping) and "text_pair" in item]
    named = (pairs or odd or range(len(items)))[:1] if pairs or odd or len(items) == 1 else []
    if named:
        item = items[named[0]]
        kind = "a pair of texts" if pairs else brief(item) if isinstance(item, str) else kind_of(item)
        what = f"item {rows[named[0]]}, {kind}"
    else:
        what = f"items {min(rows)} to {max(rows)}"
    advice = f"Drop or replace what it cannot read.{empty_among(items, rows)}"
    if encoder.module is None and pairs:
        advice = "A function gets a pair as {'text': ..., 'text_pair': ...}: let it join the two, or pass joined texts."
    elif encoder.module is None:
        advice = f"Let it read a list of such items, or drop what it cannot read.{empty_among(items, rows)}"
    return refusal(subject, f"vectors of {what}", f"{type(error).__name__} ({first_line(error)})", advice)
