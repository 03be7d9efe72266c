"""Find the spaces on the Hub that hold the same anchors, and so can be connected at once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, get_session

from irp_hf.anchors.anchor_set import AnchorSet
from irp_hf.anchors.files import MANIFEST
from irp_hf.errors import HubError, InputError
from irp_hf.hub.download import fetch
from irp_hf.hub.errors import speaking
from irp_hf.models.adapter import IRPAdapter
from irp_hf.models.space import AnchoredSpace
from irp_hf.records import FINGERPRINT

OF_ANCHORS, OF_SPACES = "irp-anchors:", "irp-space"  # tags


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
        raise HubError("Spaces are found on the Hub, and HF_HUB_OFFLINE is set. Unset it, or load spaces by their ids.")
    with speaking("the list of models"):
        address = f"{constants.ENDPOINT}/api/models"
        get_session().get(
            address, params={"limit": 1}, timeout=constants.HF_HUB_ETAG_TIMEOUT
        )  # else a listing tries long
        found = list(
            HfApi(token=token, library_name="irp_hf").list_models(
                filter=[f"{OF_ANCHORS}{fingerprint}", OF_SPACES], sort="downloads", full=True, cardData=True
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
            raise InputError(
                "The space does not know which anchors it holds, so none can be found that holds the same. Encode an AnchorSet."
            )
    if isinstance(anchors, AnchorSet):
        return anchors.fingerprint
    if not isinstance(anchors, str):
        raise InputError(
            f"anchors is a {type(anchors).__name__}; an AnchorSet, a space, an id or a fingerprint is wanted. Give one of them."
        )
    return anchors if FINGERPRINT.fullmatch(anchors) else _of_repository(anchors, token)


def _of_repository(repo_id: str, token: str | bool | None) -> str:
    """The fingerprint in the manifest of an anchor set, whose items are not fetched."""
    folder = Path(repo_id)
    if not folder.is_dir():
        folder, _ = fetch(repo_id, (MANIFEST,), None, token, repo_type="dataset")
    try:
        fingerprint = json.loads((folder / MANIFEST).read_bytes())["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{repo_id!r} holds no anchor set. Name one, or pass the set.") from error
    if not isinstance(fingerprint, str) or not FINGERPRINT.fullmatch(fingerprint):
        raise InputError(f"{repo_id!r} holds an anchor set with a broken fingerprint. Load it, and pass the set.")
    return fingerprint


def _encoder(card: Any) -> str | None:
    name = getattr(card, "base_model", None)
    name = name[0] if isinstance(name, list) and name else name
    return name if isinstance(name, str) else None
