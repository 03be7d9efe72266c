"""The parts of a stitched model, opened as the records of the adapter say, and compared with them."""

from __future__ import annotations

import os
from typing import Any

from irp_hf.data.wrong import dtype_name
from irp_hf.encoding.base import Encoder, EncoderSettings
from irp_hf.encoding.recorded import OPEN_ALIKE, PLACES, Token, mismatch, open_recorded, places_of
from irp_hf.errors import OtherModelError, kind_of, refusal, shown, warn
from irp_hf.heads.head import Head
from irp_hf.heads.open import open_head
from irp_hf.heads.replay import HeadReplay
from irp_hf.models.adapter import IRPAdapter
from irp_hf.models.space import AnchoredSpace
from irp_hf.records import EncoderRecord


def token_for(part: Any, own: Token, shared: Token) -> Token:
    """The token that a part is fetched with: its own, or that of all; none where it is loaded already."""
    return shared if own is None and (part is None or isinstance(part, PLACES)) else own


def open_adapter(
    adapter: Any, revision: str | None = None, token: Token = None, subfolder: str | None = None
) -> IRPAdapter:
    """An adapter, or the one in a folder or on the Hub; raises `InputError` for anything else."""
    if isinstance(adapter, PLACES):
        return IRPAdapter.from_pretrained(adapter, revision=revision, token=token, subfolder=subfolder)
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
        advice = (
            "Pass an adapter, a folder or an id of one as model= (adapter= of StitchedModel); with it encoder= and head= are "
            "an encoder and a head. Without it they are two anchored spaces of the same anchors."
        )
        raise refusal("adapter", expected, given, advice)
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


def named_head(
    adapter: IRPAdapter,
    head: Any,
    revision: str | None,
    token: Token,
    trust_remote_code: bool,
    subfolder: str | None = None,
    variant: str | None = None,
    encoder_is_missing: bool = False,
) -> Head:
    """The head that is given, or the one that the adapter's target was encoded at.

    `encoder_is_missing`: no encoder was given either, and an error says so where the adapter names none.
    """
    record = adapter.config.target_record
    if head is None:
        if not record.at_head:
            got = f"the space of {record.name}, which names none"
            advice = "Pass head=, a classifier or a function from vectors to logits."
            source = adapter.config.source_record
            if encoder_is_missing and not source.on_hub:
                got += f", and no encoder: the adapter names {source.name}, which is not on the Hub"
                advice = f"{advice[:-1]}, and encoder=, the folder or the object."
            raise refusal("head", "one, or an adapter to the space of a head", got, advice)
        head = _named("head", record, adapter.config.source_record if encoder_is_missing else None)
    if isinstance(head, str) and head == record.id:
        revision, places = revision or record.revision, places_of(record)
        subfolder, variant = subfolder or places.get("subfolder"), variant or places.get("variant")
    opened = open_head(head, revision, token, trust_remote_code, subfolder=subfolder, variant=variant)
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
    return open_recorded(encoder, record, settings, revision, token)


def _named(part: str, record: EncoderRecord, encoder: EncoderRecord | None = None) -> str:
    """The id on the Hub that a record names; never a path, which a stranger's adapter could choose.

    `encoder` is the record of the encoder where that is not given either, so that one error names both.
    """
    if record.id is None or not record.on_hub:
        lost = [part] if encoder is None or encoder.on_hub else [part, "encoder"]
        names = [each.id for each in (record, encoder) if each is not None and each.id is not None and not each.on_hub]
        got = f"{' and '.join(map(shown, names))}, not on the Hub" if names else "none"
        passed = " and ".join(f"{name}=" for name in lost)
        advice = (
            f"Pass {passed}, folders or objects: the path to a folder is not recorded. Beside them goes the adapter, which "
            "IRPAdapter.connect makes of two spaces."
        )
        raise refusal(f"The adapter's {' and '.join(lost)}", "an id on the Hub", got, advice)
    return record.id


def compare_head(recorded: EncoderRecord, head: Head, on_mismatch: str) -> None:
    """Refuse a classifier's head where the adapter leads to other vectors than it reads, as far as that is known, or warn."""
    if recorded.knows("at") and not recorded.at_head and isinstance(head.scorer, HeadReplay):
        expected, got = "an adapter to what it reads", f"one to vectors of {recorded.name} as an encoder pools them"
        mismatch("The classifier's head", expected, got, "Encode the target's anchors with at='head'.", on_mismatch)
    same = head.record.id is not None and head.record.id == recorded.id
    for _, then, now in recorded.differences(head.record, ["revision"]) if same else []:
        expected, got = f"revision {then!r}, with which the target's anchors were encoded", repr(now)
        mismatch(f"The head of {head.record.id}", expected, got, OPEN_ALIKE, on_mismatch)
    if recorded.head_sha256 is not None and on_mismatch != "ignore":
        _compare_weights(recorded, head, on_mismatch)


def _compare_weights(recorded: EncoderRecord, head: Head, on_mismatch: str) -> None:
    """Refuse a head of other weights than the one whose input the anchors are; warn of one that cannot be compared."""
    scorer, digest = head.scorer, head.full_record().head_sha256
    if digest == recorded.head_sha256:
        return
    whole = isinstance(scorer, HeadReplay)
    subject = f"The head of {head.record.id or 'the classifier'}" if whole else "The head"
    what = "one" if whole else kind_of(getattr(scorer, "estimator", scorer))
    expected = f"the head of {recorded.name}, whose input the target's anchors are"
    if digest is None:  # a function, an estimator, or weights that are not in memory
        got, advice = f"{what}, whose weights cannot be compared", "Pass that classifier, where its own head is meant."
        warn(str(refusal(subject, expected, got, advice)))
        return
    floating = (weight.dtype for weight in scorer.state_dict().values() if weight.is_floating_point())  # type: ignore[attr-defined]
    dtype = next(map(dtype_name, floating), recorded.dtype)
    if recorded.dtype not in (None, dtype):
        got = f"{what} in {dtype}, whose weights cannot be compared with those in {recorded.dtype}"
        warn(str(refusal(subject, expected, got, "Open it in that dtype.")))
        return
    got = f"{what} of other weights" if whole else f"{what} of tensors with other names or numbers"
    advice = "Pass that classifier, or encode the target's anchors again."
    mismatch(subject, expected, got, advice, on_mismatch)
