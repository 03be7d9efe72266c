"""Records of who encoded and of which anchors, typed, and made of and into the plain JSON that is saved."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from typing_extensions import Self

from irp_hf.errors import refusal, shown
from irp_hf.hub.ids import COMMIT, is_hub_id

FINGERPRINT = re.compile("[0-9a-f]{64}")
LONGEST = 10_000  # characters of a value: prompts may be long


class Difference(NamedTuple):
    """What two records say otherwise."""

    name: str
    one: Any
    other: Any


@dataclass(frozen=True)
class Record:
    """Plain values by name. What was never said is no value, and differs from None, which may be said."""

    said: frozenset[str] = field(default=frozenset(), kw_only=True)
    """The names that have a value, None included."""
    more: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    """Other values that somebody recorded."""

    @classmethod
    def of(cls, **values: Any) -> Self:
        """A record that says these values, None included."""
        return cls(**values, said=frozenset(values))

    @classmethod
    def from_dict(cls, values: Any, name: str) -> Self:
        """The record in a configuration or of a user, `name` in errors; None says nothing.

        Raises `InputError` for values that JSON does not hold as they are, or of another type.
        """
        if values is None:
            return cls()
        if isinstance(values, cls):
            return values
        if not isinstance(values, Mapping) or not _is_plain(dict(values)):
            raise refusal(name, "a dictionary of plain values", shown(values), "Give its id, say: {'id': 'user/name'}.")
        known = {entry.name for entry in fields(cls)} - {"said", "more"}
        read = {key: cls._read(f"{name}'s {key}", key, value) for key, value in values.items() if key in known}
        more = {key: value for key, value in values.items() if key not in known}
        return cls(**read, said=frozenset(read), more=more)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON holds as they are, of what was said."""
        names = [entry.name for entry in fields(self) if entry.name in self.said]
        values = {name: getattr(self, name) for name in names}
        lists = {name: list(value) for name, value in values.items() if isinstance(value, tuple)}
        return {**values, **lists, **self.more}

    def with_said(self, **values: Any) -> Self:
        """This record, and these values besides."""
        return type(self).from_dict({**self.to_dict(), **values}, "the record")

    def differences(self, other: Self, names: tuple[str, ...] | None = None) -> list[Difference]:
        """What both say, and say otherwise, of `names` or of all; the empty text counts as None."""
        compared = [entry.name for entry in fields(self) if entry.name not in ("said", "more")]
        return [
            Difference(name, getattr(self, name), getattr(other, name))
            for name in (compared if names is None else names)
            if {name} <= self.said & other.said and (getattr(self, name) or None) != (getattr(other, name) or None)
        ]

    @classmethod
    def _read(cls, place: str, key: str, value: Any) -> Any:
        if value is not None and (not isinstance(value, str) or len(value) > LONGEST):
            raise refusal(
                place, f"a text of at most {LONGEST} characters", shown(value), "Give a text, or leave it out."
            )
        return value


@dataclass(frozen=True)
class EncoderRecord(Record):
    """Who encoded, and how: what the other side must do alike."""

    id: str | None = None
    """An id on the Hub, or the name of a folder, a class or a function."""
    revision: str | None = None
    """A commit on the Hub."""
    pooling: str | tuple[str, ...] | None = None
    """How one vector comes of many; several are concatenated."""
    prompt: str | None = None
    """What was put in front of every text."""
    normalize: bool | None = None
    """Whether vectors have unit length."""
    dtype: str | None = None
    """Of the encoder's weights."""
    view: str | None = None
    """Of the anchor set."""
    modality: str | None = None
    """"image" or "audio"; of text it is not said."""
    at: str | None = None
    """"head": what a classifier's head reads."""

    @property
    def name(self) -> str:
        """Its id, for people."""
        return self.id or "an unknown encoder"

    @property
    def on_hub(self) -> bool:
        """Whether it names a repository on the Hub at a commit, which nothing on a disk has."""
        return is_hub_id(self.id) and COMMIT.fullmatch(self.revision or "") is not None

    @property
    def at_head(self) -> bool:
        """Whether the vectors are what a classifier's head reads."""
        return self.at == "head"

    @classmethod
    def _read(cls, place: str, key: str, value: Any) -> Any:
        if key == "normalize":
            if not isinstance(value, bool | None):
                raise refusal(place, "true or false", shown(value), "Say whether vectors have unit length.")
            return value
        if key == "pooling" and isinstance(value, list | tuple):
            return tuple(super(EncoderRecord, cls)._read(place, key, entry) for entry in value)
        return super()._read(place, key, value)


@dataclass(frozen=True)
class AnchorRecord(Record):
    """Which anchors: where the set lies, and where its items come from."""

    id: str | None = None
    """On the Hub."""
    revision: str | None = None
    """A commit on the Hub."""
    dataset: str | None = None
    """What the items were drawn from."""
    license: str | None = None
    """The items'."""

    @property
    def on_hub(self) -> bool:
        """Whether it names a data set on the Hub at a commit, which nothing on a disk has."""
        return is_hub_id(self.id) and COMMIT.fullmatch(self.revision or "") is not None

    @classmethod
    def from_dict(cls, values: Any, name: str) -> Self:
        """As `Record` has it; nothing but the four values is known of anchors."""
        record = super().from_dict(values, name)
        if record.more:
            expected = "a dictionary of id, revision, dataset and license"
            raise refusal(name, expected, shown(dict(values)), "Leave the others out.")
        return record


def check_fingerprint(fingerprint: str | None) -> None:
    """Raise `InputError` unless it is None or a sha256 in hex."""
    if fingerprint is not None and not (isinstance(fingerprint, str) and FINGERPRINT.fullmatch(fingerprint)):
        raise refusal("The anchors' fingerprint", "64 hex digits", shown(fingerprint), "Encode the anchors again.")


def _is_plain(record: dict[Any, Any]) -> bool:
    """Whether JSON holds it as it is, but for tuples, which become lists."""
    try:
        return bool(json.loads(json.dumps(record)) == _listed(record))
    except (TypeError, ValueError, RecursionError):
        return False


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(entry) for key, entry in value.items()}
    return [_listed(entry) for entry in value] if isinstance(value, list | tuple) else value
