"""Find the spaces on the Hub that hold the same anchors, and so can be connected at once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, get_session

from irp_hf.anchors.anchor_set import AnchorSet
from irp_hf.anchors.files import LARGEST_MANIFEST, MANIFEST
from irp_hf.cards.card import SPACE_TAG
from irp_hf.cards.merging import anchors_tag
from irp_hf.disk.places import cannot_be_read
from irp_hf.disk.plain import read_plain
from irp_hf.disk.reading import check_place, is_saved, read_folder
from irp_hf.errors import HubError, IRPError, kind_of, refusal, shown
from irp_hf.hub.download import fetch
from irp_hf.hub.errors import hub_errors
from irp_hf.models.adapter import IRPAdapter
from irp_hf.models.space import AnchoredSpace
from irp_hf.records import FINGERPRINT


@dataclass(frozen=True)
class FoundSpace:
    """A space on the Hub, as its card has it; `connect` takes its `id`."""

    id: str
    revision: str
    """Its newest commit."""
    encoder: str | None
    """The id of the encoder, where it is on the Hub."""
    private: bool
    downloads: int
    """In the last month."""


def find_spaces(
    anchors: AnchorSet | AnchoredSpace | IRPAdapter | str, *, token: str | bool | None = None
) -> list[FoundSpace]:
    """The spaces on the Hub that hold these anchors, the most downloaded first.

    `anchors` is an anchor set, a space or an adapter, the id of an anchor set on the Hub, or a fingerprint. Private ones are
    found where the token may see them.

    A tag says which anchors a space holds, and whoever owns it can write any; `connect` looks at the space itself.

    Raises `InputError` where the fingerprint is not known, `HubError` where the Hub cannot be asked.
    """
    fingerprint = _fingerprint(anchors, token)
    if constants.is_offline_mode():
        advice = "Unset it, or load spaces by their ids."
        raise refusal(
            "find_spaces", "the Hub, where spaces are listed", "HF_HUB_OFFLINE, which is set", advice, HubError
        )
    with hub_errors("the list of models"):
        address = f"{constants.ENDPOINT}/api/models"
        get_session().get(
            address, params={"limit": 1}, timeout=constants.HF_HUB_ETAG_TIMEOUT
        )  # else a listing tries long
        found = list(
            HfApi(token=token, library_name="irp_hf").list_models(
                filter=[anchors_tag(fingerprint), SPACE_TAG], sort="downloads", full=True, cardData=True
            )
        )
    return [
        FoundSpace(model.id, str(model.sha), _encoder(model.card_data), bool(model.private), model.downloads or 0)
        for model in found
    ]


def _fingerprint(anchors: Any, token: str | bool | None) -> str:
    if isinstance(anchors, AnchoredSpace | IRPAdapter):
        anchors = anchors.config.anchor_fingerprint
        if anchors is None:
            advice = "Encode an AnchorSet, or pass the fingerprint."
            raise refusal("The space", "a record of which anchors it holds", "none", advice)
    if isinstance(anchors, AnchorSet):
        return anchors.fingerprint
    if not isinstance(anchors, str):
        expected = "an AnchorSet, a space, an adapter, an id or a fingerprint"
        raise refusal("anchors", expected, kind_of(anchors), "Give one of them.")
    return anchors if FINGERPRINT.fullmatch(anchors) else _of_repository(anchors, token)


def _of_repository(repo_id: str, token: str | bool | None) -> str:
    """The fingerprint in the manifest of an anchor set, whose items are not fetched."""
    folder = Path(check_place(repo_id))
    try:
        if not is_saved(folder):
            folder, _ = fetch(repo_id, (MANIFEST,), None, token, repo_type="dataset")
        fingerprint = json.loads(read_folder(folder, _manifest))["fingerprint"]
    except IRPError:
        raise
    except PermissionError as error:
        raise cannot_be_read(f"The {MANIFEST} of {repo_id}", error) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        got = f"none that can be read ({type(error).__name__})"
        raise refusal(f"{repo_id!r}", "an anchor set", got, "Name one, or pass the set itself.") from error
    if not isinstance(fingerprint, str) or not FINGERPRINT.fullmatch(fingerprint):
        advice = "Load it, and pass the set."
        raise refusal(f"The fingerprint of {repo_id!r}", "64 hex digits", shown(fingerprint), advice)
    return fingerprint


def _manifest(folder: Path) -> bytes:
    """The bytes of a manifest that is not too large."""
    return read_plain(folder / MANIFEST, LARGEST_MANIFEST)


def _encoder(card: Any) -> str | None:
    name = getattr(card, "base_model", None)
    name = name[0] if isinstance(name, list) and name else name
    return name if isinstance(name, str) else None
