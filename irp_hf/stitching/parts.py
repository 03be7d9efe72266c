"""The parts of a stitched model, opened as the records of the adapter say, and compared with them."""

from __future__ import annotations

import os
import warnings
from dataclasses import fields
from typing import Any

from transformers import PreTrainedModel

from irp_hf.checkpoints.repository import find
from irp_hf.encoding.base import Encoder, Options
from irp_hf.encoding.open import open_encoder
from irp_hf.errors import DamagedFolderError, InputError
from irp_hf.heads.head import Head
from irp_hf.heads.open import open_head
from irp_hf.heads.replay import HeadReplay
from irp_hf.hub.ids import is_hub_id
from irp_hf.models.adapter import IRPAdapter
from irp_hf.models.space import AnchoredSpace

Token = str | bool | None
PLACES = (str, os.PathLike)


def token_for(part: Any, own: Token, shared: Token) -> Token:
    """The token that a part is fetched with: its own, or that of all; none where it is loaded already."""
    return shared if own is None and (part is None or isinstance(part, PLACES)) else own


def open_adapter(adapter: Any, revision: str | None = None, token: Token = None) -> IRPAdapter:
    """An adapter, or the one in a folder or on the Hub; raises `InputError` for anything else."""
    if isinstance(adapter, PLACES):
        return IRPAdapter.from_pretrained(adapter, revision=revision, token=token)
    if not isinstance(adapter, IRPAdapter):
        raise InputError(
            f"The adapter is a {type(adapter).__name__}; an IRPAdapter, an id or a folder is wanted. "
            "Make one with IRPAdapter.connect."
        )
    return adapter


def connect_spaces(source: Any, target: Any, revisions: tuple[str | None, str | None], token: Token) -> IRPAdapter:
    """The adapter between two spaces, objects or published ones, fitted here and now.

    Raises `InputError` where one of them is no space, `AnchorMismatchError` where their anchors differ.
    """
    if source is None or target is None:
        missing = "encoder and head" if source is target else "encoder" if source is None else "head"
        raise InputError(
            f"There is no adapter, and no {missing} to connect. Pass an adapter as model=, or two spaces as encoder= and head=."
        )
    sides = zip(("encoder", "head"), (source, target), revisions, strict=True)
    first, second = (_space(part, side, revision, token) for part, side, revision in sides)
    adapter = IRPAdapter.connect(first, second)
    adapter.hub_token = token
    return adapter


def _space(part: str, side: Any, revision: str | None, token: Token) -> AnchoredSpace:
    wanted = (
        f"without an adapter, {part} must be an anchored space. Name one, as find_spaces lists them, "
        "or pass an adapter as model=."
    )
    if isinstance(side, AnchoredSpace):
        return side
    if not isinstance(side, PLACES):
        raise InputError(f"{part} is a {type(side).__name__}, but {wanted}")
    try:
        return AnchoredSpace.from_pretrained(side, revision=revision, token=token)
    except DamagedFolderError as error:
        if "holds a model of type" not in str(error):
            raise
        raise InputError(f"{part} is {os.fspath(side)!r}, no space, but {wanted}") from error


def named_head(adapter: IRPAdapter, head: Any, revision: str | None, token: Token, trust_remote_code: bool) -> Head:
    """The head that is given, or the one that the adapter's target was encoded at."""
    record = adapter.config.target_encoder or {}
    if head is None:
        if record.get("at") != "head":
            raise InputError(
                f"The adapter leads to the space of {record.get('id', 'an unknown encoder')}, which names no head. "
                "Pass head=, a classifier or a function from vectors to logits."
            )
        head = _named("head", record)
    if isinstance(head, str) and head == record.get("id"):
        revision = revision or record.get("revision")
    opened = open_head(head, revision, token, trust_remote_code)
    if opened.dim not in (None, adapter.config.target_size):
        raise InputError(
            f"The head reads vectors {opened.dim} wide, but the adapter gives {adapter.config.target_size}. "
            "Connect the adapter to the space that this head reads: AnchoredSpace.encode(..., at='head')."
        )
    return opened


def named_encoder(
    adapter: IRPAdapter, encoder: Any, settings: dict[str, Any], revision: str | None, token: Token
) -> Encoder:
    """The encoder that is given, or the one that the adapter's source was encoded by; opened as its anchors were encoded."""
    record = adapter.config.source_encoder or {}
    encoder = _named("encoder", record) if encoder is None else encoder
    if isinstance(encoder, str) and encoder == record.get("id"):
        revision = revision or record.get("revision")
    return open_encoder(encoder, _options(encoder, record, settings, revision, token))


def _named(part: str, record: dict[str, Any]) -> str:
    """The id on the Hub that a record names; never a path, which a stranger's adapter could choose."""
    if record.get("revision") is None or not is_hub_id(record.get("id")):  # only what comes from the Hub has a commit
        name = f"{record['id']!r}, which is no id on the Hub" if "id" in record else "nothing"
        raise InputError(
            f"The adapter names as its {part} {name}. "
            f"Pass {part}=, the folder or the object: the way to a folder is not recorded."
        )
    return str(record["id"])


def _options(
    encoder: Any, record: dict[str, Any], settings: dict[str, Any], revision: str | None, token: Token
) -> Options:
    """How to open the encoder: as the anchors were encoded, where nothing else is said."""
    known = [field.name for field in fields(Options) if field.name not in ("revision", "token")]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise InputError(f"{unknown[0]!r} is no setting of an encoder; there are {', '.join(known)}. Leave it out.")
    recorded = {key: record[key] for key in ("pooling", "normalize", "at", "modality") if record.get(key)}
    if "prompt" in record:
        recorded["prompt"] = record["prompt"] or ""  # not even a default of the encoder's own
    if not isinstance(encoder, (*PLACES, PreTrainedModel)):
        # It has a way of its own; afterwards they are compared.
        recorded = {key: value for key, value in recorded.items() if key not in ("pooling", "at")}
    elif "at" not in recorded and _is_modular(encoder, revision, token):
        recorded.pop("pooling", None)
    return Options(**(recorded | settings), revision=revision, token=token)


def _is_modular(encoder: Any, revision: str | None, token: Token) -> bool:
    if isinstance(encoder, PreTrainedModel):
        return False
    return find(os.fspath(encoder), revision, token).modular


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
