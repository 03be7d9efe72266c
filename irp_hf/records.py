"""Records of who encoded, and of where anchors lie: what a configuration may say, and an id on the Hub."""

from __future__ import annotations

import json
import re
from typing import Any

from irp_hf.errors import InputError

HUB_ID = re.compile(r"(?!.*(\.\.|--))[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}", re.ASCII)
FINGERPRINT = re.compile("[0-9a-f]{64}")
LONGEST = 10_000  # letters of a value: prompts may be long
WORDS = ("id", "revision", "pooling", "prompt", "dtype", "view", "modality", "at")
OF_ANCHORS = ("id", "revision", "dataset", "license")


def is_hub_id(name: Any) -> bool:
    """Whether it is user/name, as the Hub has it, which no path out of a folder can be."""
    return isinstance(name, str) and HUB_ID.fullmatch(name) is not None


def check_encoder(record: Any) -> None:
    """Raise `InputError` unless `record` is None or says in plain values who encoded."""
    if record is None:
        return
    if not isinstance(record, dict) or not _plain(record):
        raise InputError(f"An encoder is {record!r:.80}; a dictionary of plain values is wanted. Give its id, say.")
    for key in WORDS:
        _check_words(f"The encoder's {key}", record.get(key))
    if not isinstance(record.get("normalize"), bool | None):
        raise InputError(
            f"The encoder's normalize is {record['normalize']!r:.80}; true or false is wanted. Correct it."
        )


def check_anchor_set(record: Any) -> None:
    """Raise `InputError` unless `record` is None or says where anchors lie."""
    if record is None:
        return
    if not isinstance(record, dict) or set(record) - set(OF_ANCHORS):
        raise InputError(
            f"anchor_set is {record!r:.80}; a dictionary of {', '.join(OF_ANCHORS)} is wanted. Correct it."
        )
    for key, value in record.items():
        _check_words(f"The anchor set's {key}", value)


def check_fingerprint(fingerprint: str | None) -> None:
    """Raise `InputError` unless it is None or a sha256 in hex."""
    if fingerprint is not None and not FINGERPRINT.fullmatch(fingerprint):
        raise InputError(
            f"The anchors' fingerprint is {fingerprint!r:.80}; 64 hex digits are wanted. Encode them again."
        )


def _check_words(name: str, value: Any) -> None:
    if value is not None and (not isinstance(value, str) or len(value) > LONGEST):
        raise InputError(f"{name} is {value!r:.80}; a text of at most {LONGEST} letters is wanted. Correct it.")


def _plain(record: dict[Any, Any]) -> bool:
    """Whether JSON holds it as it is."""
    try:
        return bool(json.loads(json.dumps(record)) == record)
    except (TypeError, ValueError, RecursionError):
        return False
