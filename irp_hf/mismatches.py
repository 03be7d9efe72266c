"""Whether the parts of a stitched model are those that the adapter was made for, as far as the records tell."""

from __future__ import annotations

import warnings
from typing import Any

from irp_hf.encoders.base import Encoder
from irp_hf.errors import InputError
from irp_hf.head_replay import HeadReplay
from irp_hf.heads import Head

COMPARED = ("pooling", "prompt", "normalize", "at", "revision")


def compare_head(recorded: dict[str, Any], head: Head, on_mismatch: str) -> None:
    """Refuse a classifier's head where the adapter leads to other vectors than it reads, as far as that is known, or warn."""
    pooled = "normalize" in recorded and recorded.get("at") != "head"
    if pooled and isinstance(head.scorer, HeadReplay):
        _tell(
            f"The adapter leads to vectors of {recorded.get('id')} as an encoder pools them, but a classifier's head reads "
            "others. Encode the target's anchors with at='head'.",
            on_mismatch,
        )
    then, now = recorded.get("revision"), head.record.get("revision")
    if None not in (then, now) and recorded.get("id") == head.record.get("id") and then != now:
        _tell(
            f"The adapter leads to what the head of {head.record['id']} read at revision {then!r}, but the head is of {now!r}. "
            "Open it as it was then, or encode the anchors again.",
            on_mismatch,
        )


def compare_encoder(recorded: dict[str, Any], encoder: Encoder, on_mismatch: str) -> None:
    """Refuse an encoder that encodes otherwise than the anchors were encoded, as far as both are known, or warn."""
    for key in COMPARED:
        then, now = recorded.get(key), encoder.record.get(key)
        if key == "at":  # which is recorded where it is something
            known = "normalize" in recorded and encoder.module is not None
        else:
            known = key in recorded and (key in ("prompt", "normalize") or None not in (then, now))
        if not known or (then or None) == (now or None):
            continue
        _tell(
            f"The adapter's anchors were encoded with {key} {then!r}, but {encoder.name} now encodes with {now!r}. "
            "Open it as it was then, or encode the anchors again.",
            on_mismatch,
        )


def _tell(mismatch: str, on_mismatch: str) -> None:
    if on_mismatch == "refuse":
        raise InputError(mismatch + " on_mismatch='warn' lets it pass.")
    warnings.warn(mismatch, stacklevel=4)
