"""The parts of a stitched model, opened as the records of the adapter say, and compared with them."""

from __future__ import annotations

import os
import warnings
from dataclasses import fields, replace
from typing import Any

from transformers import PreTrainedModel

from irp_hf.checkpoints.repository import Repository, find
from irp_hf.encoding.base import Encoder, EncoderSettings, Options
from irp_hf.encoding.open import open_encoder
from irp_hf.errors import InputError, OtherModelError, kind_of, refusal, shown
from irp_hf.heads.head import Head
from irp_hf.heads.open import open_head
from irp_hf.heads.replay import HeadReplay
from irp_hf.models.adapter import IRPAdapter
from irp_hf.models.space import AnchoredSpace
from irp_hf.records import EncoderRecord

Token = str | bool | None
PLACES = (str, os.PathLike)
COMPARED = ("pooling", "prompt", "normalize", "at", "revision")
OPEN_ALIKE = "Open it as it was then, or encode the anchors again."


def token_for(part: Any, own: Token, shared: Token) -> Token:
    """The token that a part is fetched with: its own, or that of all; none where it is loaded already."""
    return shared if own is None and (part is None or isinstance(part, PLACES)) else own


def open_adapter(adapter: Any, revision: str | None = None, token: Token = None) -> IRPAdapter:
    """An adapter, or the one in a folder or on the Hub; raises `InputError` for anything else."""
    if isinstance(adapter, PLACES):
        return IRPAdapter.from_pretrained(adapter, revision=revision, token=token)
    if not isinstance(adapter, IRPAdapter):
        expected, advice = "an IRPAdapter, an id or a folder", "Make one with IRPAdapter.connect."
        raise refusal("adapter", expected, kind_of(adapter), advice)
    return adapter


def connect_spaces(source: Any, target: Any, revisions: tuple[str | None, str | None], token: Token) -> IRPAdapter:
    """The adapter between two spaces, objects or published ones, fitted here and now.

    Raises `InputError` where one of them is no space, `AnchorMismatchError` where their anchors differ.
    """
    if source is None or target is None:
        given = "neither" if source is target else "encoder= alone" if target is None else "head= alone"
        expected = "an adapter, or two spaces as encoder= and head="
        raise refusal("adapter", expected, given, "Pass an adapter as model=, or both spaces.")
    sides = zip(("encoder", "head"), (source, target), revisions, strict=True)
    first, second = (_space(part, side, revision, token) for part, side, revision in sides)
    adapter = IRPAdapter.connect(first, second)
    adapter.hub_token = token
    return adapter


def _space(part: str, side: Any, revision: str | None, token: Token) -> AnchoredSpace:
    expected = "an anchored space, since no adapter is given"
    advice = "Name one, as find_spaces lists them, or pass an adapter as model=."
    if isinstance(side, AnchoredSpace):
        return side
    if not isinstance(side, PLACES):
        raise refusal(part, expected, kind_of(side), advice)
    try:
        return AnchoredSpace.from_pretrained(side, revision=revision, token=token)
    except OtherModelError as error:
        raise refusal(part, expected, shown(os.fspath(side)), advice) from error


def named_head(adapter: IRPAdapter, head: Any, revision: str | None, token: Token, trust_remote_code: bool) -> Head:
    """The head that is given, or the one that the adapter's target was encoded at."""
    record = adapter.config.target_record
    if head is None:
        if not record.at_head:
            got = f"the space of {record.name}, which names none"
            advice = "Pass head=, a classifier or a function from vectors to logits."
            raise refusal("head", "one, or an adapter to the space of a head", got, advice)
        head = _named("head", record)
    if isinstance(head, str) and head == record.id:
        revision = revision or record.revision
    opened = open_head(head, revision, token, trust_remote_code)
    width = adapter.config.target_size
    if opened.dim not in (None, width):
        advice = "Connect the adapter to the space that this head reads: AnchoredSpace.encode(..., at='head')."
        raise refusal("head", f"one that reads the adapter's vectors, {width} wide", f"{opened.dim} wide", advice)
    return opened


def named_encoder(
    adapter: IRPAdapter, encoder: Any, settings: EncoderSettings, revision: str | None, token: Token
) -> Encoder:
    """The encoder that is given, or the one that the adapter's source was encoded by; opened as its anchors were encoded."""
    record = adapter.config.source_record
    encoder = _named("encoder", record) if encoder is None else encoder
    if isinstance(encoder, str) and encoder == record.id:
        revision = revision or record.revision
    given: dict[str, Any] = {**settings}
    known = [field.name for field in fields(Options) if field.name not in ("revision", "token")]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise refusal("settings of the encoder", f"any of {', '.join(known)}", repr(unknown[0]), "Leave it out.")
    asked = Options(**settings, revision=revision, token=token)
    if isinstance(encoder, PLACES):
        encoder = find(os.fspath(encoder), revision, token)
    return open_encoder(encoder, replace(asked, **(_recorded(encoder, record) | given)))


def _named(part: str, record: EncoderRecord) -> str:
    """The id on the Hub that a record names; never a path, which a stranger's adapter could choose."""
    if record.id is None or not record.on_hub:
        got = "none" if record.id is None else f"{shown(record.id)}, which is not on the Hub"
        advice = f"Pass {part}=, the folder or the object: the path to a folder is not recorded."
        raise refusal(f"The adapter's {part}", "an id on the Hub", got, advice)
    return record.id


def _recorded(encoder: Any, record: EncoderRecord) -> dict[str, Any]:
    """Options that open the encoder as the anchors were encoded."""
    options = {key: value for key in ("pooling", "normalize", "at", "modality") if (value := getattr(record, key))}
    if record.knows("prompt"):
        options["prompt"] = record.prompt or ""  # not even a default of the encoder's own
    if not isinstance(encoder, Repository | PreTrainedModel):
        own = {"pooling", "at"}  # it has a way of its own; afterwards they are compared
    elif isinstance(encoder, Repository) and encoder.modular and not record.at:
        own = {"pooling"}
    else:
        own = set()
    return {key: value for key, value in options.items() if key not in own}


def compare_head(recorded: EncoderRecord, head: Head, on_mismatch: str) -> None:
    """Refuse a classifier's head where the adapter leads to other vectors than it reads, as far as that is known, or warn."""
    if recorded.knows("at") and not recorded.at_head and isinstance(head.scorer, HeadReplay):
        expected, got = "an adapter to what it reads", f"one to vectors of {recorded.name} as an encoder pools them"
        _refuse("The classifier's head", expected, got, "Encode the target's anchors with at='head'.", on_mismatch)
    if head.record.id is None or head.record.id != recorded.id:
        return
    for _, then, now in recorded.differences(head.record, ["revision"]):
        expected, got = f"revision {then!r}, with which the target's anchors were encoded", repr(now)
        _refuse(f"The head of {head.record.id}", expected, got, OPEN_ALIKE, on_mismatch)


def compare_encoder(recorded: EncoderRecord, encoder: Encoder, on_mismatch: str) -> None:
    """Refuse an encoder that encodes otherwise than the anchors were encoded, as far as both are known, or warn."""
    # A function may well give what a head reads, and cannot say so.
    names = [name for name in COMPARED if name != "at" or encoder.module is not None]
    for name, then, now in recorded.differences(encoder.record, names):
        expected, got = f"{name}={then!r}, as the source's anchors were encoded", f"{name}={now!r}"
        _refuse(encoder.name, expected, got, OPEN_ALIKE, on_mismatch)


def _refuse(subject: str, expected: str, got: str, advice: str, on_mismatch: str) -> None:
    """Raise `InputError`, or warn where the user said so."""
    if on_mismatch == "refuse":
        raise refusal(subject, expected, got, f"{advice} on_mismatch='warn' lets it pass.")
    warnings.warn(str(refusal(subject, expected, got, advice, InputError)), stacklevel=4)
