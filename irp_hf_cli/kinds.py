"""What a folder, or a repository of the Hub, is: an anchor set, a space or an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def open_saved(place: str) -> tuple[str, Any]:
    """The kind of what lies there, and it itself, loaded and so checked.

    Raises `DamagedFolderError` for what is none of the three, and `HubError` where the Hub does not give it.
    """
    from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
    from irp_hf.anchors.files import MANIFEST
    from irp_hf.errors import HubError, OtherModelError

    if Path(place, MANIFEST).is_file():
        return "anchor set", AnchorSet.from_pretrained(place)
    try:
        return "space", AnchoredSpace.from_pretrained(place)
    except OtherModelError:
        return "adapter", IRPAdapter.from_pretrained(place)
    except HubError:
        return "anchor set", AnchorSet.from_pretrained(place)
