"""Open an encoder as a record says that the anchors were encoded, and tell where the one at hand encodes otherwise."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any, Literal, get_args

from torch import nn
from transformers import PreTrainedModel

from irp_hf.checkpoints.repository import Repository, find
from irp_hf.checkpoints.wrapped import unwrapped
from irp_hf.checks import check_choice, check_names
from irp_hf.encoding.base import Encoder, EncoderSettings, Options, RecordedOptions
from irp_hf.encoding.open import open_encoder
from irp_hf.errors import refusal, warn
from irp_hf.records import Difference, EncoderRecord

Token = str | bool | None
OnMismatch = Literal["refuse", "warn", "ignore"]
PLACES = (str, os.PathLike)
COMPARED = ("pooling", "prompt", "task", "max_length", "truncate_dim", "normalize", "at", "revision")
OPEN_ALIKE = "Open it as it was then, or encode the anchors again."
IN_HALF = ("float16", "bfloat16")


def check_on_mismatch(on_mismatch: Any) -> None:
    """Raise `InputError` unless it is "refuse", "warn" or "ignore"."""
    check_choice("on_mismatch", on_mismatch, get_args(OnMismatch))


def open_recorded(
    encoder: Any,
    record: EncoderRecord,
    settings: EncoderSettings,
    revision: str | None = None,
    token: Token = None,
    item: Any = None,
    near: Iterable[str] = (),
) -> Encoder:
    """Open `encoder` with all that `record` tells, but for what `settings` say; nothing is compared.

    A loaded model is left as it is: what it would do by default is asked of it otherwise. `near` are keywords that the caller
    has besides: a misspelt setting may mean one of them. Raises `InputError` for settings that there are not, and what opening
    raises.
    """
    if isinstance(encoder, str) and encoder == record.id:
        revision = revision or record.revision
        settings = {**places_of(record), **settings}  # type: ignore[typeddict-item]
    given: dict[str, Any] = {**settings}
    known = [field.name for field in fields(Options) if field.name not in ("revision", "token")]
    check_names("settings of the encoder", given, known, near)
    asked = RecordedOptions(**settings, revision=revision, token=token)
    encoder = _found(encoder, asked) if isinstance(encoder, PLACES) else unwrapped(encoder)
    recorded = _recorded(encoder, record)
    if given.get("prompt_name") is not None or given.get("task") is not None:
        recorded.pop("prompt", None)  # which they choose
    return open_encoder(encoder, replace(asked, **(recorded | given)), item)


def places_of(record: EncoderRecord) -> dict[str, str]:
    """Where in its repository the encoder lies, and which of several weights it has, as far as that is recorded."""
    return {name: record.extra[name] for name in ("subfolder", "variant") if record.extra.get(name)}


def _found(encoder: Any, asked: Options) -> Repository:
    return find(os.fspath(encoder), asked.revision, asked.token, asked.subfolder, asked.variant)


def _recorded(encoder: Any, record: EncoderRecord) -> dict[str, Any]:
    """Options that open the encoder as the anchors were encoded."""
    names = ("pooling", "normalize", "at", "modality", "task", "max_length", "truncate_dim", "dtype")
    options: dict[str, Any] = {name: value for name in names if (value := getattr(record, name))}
    if record.knows("prompt"):
        options["prompt"] = record.prompt or ""  # not even a default of the encoder's own
    if record.knows("truncate_dim") and record.truncate_dim is None:
        options["whole"] = True
    stored, plain = isinstance(encoder, Repository), isinstance(encoder, PreTrainedModel)
    sentences = stored and encoder.modular and not record.at
    if not stored:
        options.pop("dtype", None)  # it is loaded
    if plain or (stored and not sentences):
        own = {"task", "whole"}
    elif sentences:
        own = {"pooling"}  # it has a way of its own; afterwards they are compared
    elif isinstance(encoder, nn.Module):  # a SentenceTransformer
        own = {"pooling", "at"}
    else:  # a function may well give what a head reads, or unit vectors that are cut, and cannot say so
        own = {"pooling", "at", "task", "max_length", "truncate_dim", "whole"}
    return {key: value for key, value in options.items() if key not in own}


def compare_encoder(recorded: EncoderRecord, encoder: Encoder, on_mismatch: str, side: str = "source's") -> None:
    """Refuse an encoder that encodes otherwise than the anchors were encoded, as far as both are known, or warn.

    Another dtype alone is warned of, since it changes little.
    """
    if on_mismatch == "ignore":
        return
    # A function may well give what a head reads, and cannot say so.
    of_a_function = ("at", "task", "max_length", "truncate_dim")
    names = [name for name in COMPARED if encoder.module is not None or name not in of_a_function]
    for difference in recorded.differences(encoder.record, names):
        expected, got = words(difference, f"as the {side} anchors were encoded")
        mismatch(encoder.name, expected, got, OPEN_ALIKE, on_mismatch)
    for difference in recorded.differences(encoder.record, ["dtype"]):
        expected, got = words(difference, f"as the {side} anchors were encoded")
        mismatch(encoder.name, expected, got, "Leave dtype= out for the same numbers.", "warn")


def words(difference: Difference, then: str) -> tuple[str, str]:
    """What an error expected, and what it got."""
    name, one, other = difference
    return f"{name}={one!r}, {then}", f"{name}={other!r}"


def mismatch(subject: str, expected: str, got: str, advice: str, on_mismatch: str) -> None:
    """Raise `InputError`, warn, or neither, as the user said."""
    if on_mismatch == "refuse":
        raise refusal(subject, expected, got, f"{advice} on_mismatch='warn' lets it pass.")
    if on_mismatch == "warn":
        warn(str(refusal(subject, expected, got, advice)))
