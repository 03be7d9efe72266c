"""What a store that irp_hf wrote says of its vectors: whose they are, by which adapter, and how many are true by now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from irp_hf.checks import is_count
from irp_hf.errors import IRPError, refusal, shown

FORMAT_VERSION = 1
LONGEST = 100_000  # characters


@dataclass(frozen=True)
class StoreRecord:
    """Kept in the store itself: metadata of a schema, of a collection, or a file beside one that has no room for it."""

    adapter: str
    """The adapter's checksum."""
    source_encoder: Mapping[str, Any] | None
    target_encoder: Mapping[str, Any] | None
    """Whose space the vectors are in, as an `EncoderRecord` is saved; None where nobody told the adapter."""
    date: str
    """The day on which it was begun, as 2026-01-31."""
    num_rows: int
    source: str
    """A digest of the vectors that were translated."""
    vectors: str | None = None
    """A digest of the vectors as they were written; None while they are."""
    unit_length: bool = False
    true_rows: int = 0
    """How many rows an encoder made, in place of a translation."""

    def to_json(self) -> str:
        """As a store keeps it: keys in order, so that equal records are equal bytes."""
        return json.dumps({"format_version": FORMAT_VERSION, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes | None, place: str) -> StoreRecord | None:
        """The record that `place` keeps, None where it has none; raises `InputError` for what is no such record."""
        if text is None:
            return None
        try:
            if len(text) > LONGEST:
                raise ValueError("too long")
            values = json.loads(text)
            version = values.pop("format_version", None)
            if version != FORMAT_VERSION or isinstance(version, bool):
                got, advice = f"format version {shown(version)}", "Update irp_hf, or make the store anew."
                raise refusal(place, f"a record of format version {FORMAT_VERSION}", got, advice)
            found = cls(**values)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, IRPError):
                raise
            raise refusal(place, "what irp_hf writes of a store", "another text", "Make the store anew.") from error
        texts = found.adapter, found.date, found.source, found.vectors or ""
        counts = found.num_rows, found.true_rows
        encoders = found.source_encoder, found.target_encoder
        sound = all(isinstance(text, str) for text in texts) and all(map(is_count, counts))
        if not sound or not all(one is None or isinstance(one, dict) for one in encoders):
            raise refusal(place, "what irp_hf writes of a store", "another text", "Make the store anew.")
        return found

    def with_values(self, **values: Any) -> StoreRecord:
        """This record with other values."""
        return replace(self, **values)
