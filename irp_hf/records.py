"""Records of who encoded and of which anchors, typed, and made of and into the plain JSON that is saved."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from typing_extensions import Self

from irp_hf.checks import check_count, check_flag
from irp_hf.errors import printable, refusal, shown
from irp_hf.hub.ids import COMMIT, is_hub_id

FINGERPRINT = re.compile("[0-9a-f]{64}")
LONGEST = 10_000  # characters of a value: prompts may be long
LEFT_OUT = ("prompt", "normalize", "truncate_dim", "task", "max_length")  # of an encoder: None says that there is none
COUNTS = ("truncate_dim", "max_length")
MOST_COUNT = 10**31  # tokenizers write 1e30 for any number
POOLINGS = {"lasttoken": "last"}  # what sentence-transformers calls some of them, and what they are called here


class Difference(NamedTuple):
    """A value that two records give differently."""

    name: str
    one: Any
    other: Any


@dataclass(frozen=True)
class Record:
    """Plain values by name. A value that was never recorded differs from None, which may be recorded."""

    id: str | None = None
    """On the Hub; of what is not there a name."""
    revision: str | None = None
    """A commit on the Hub."""
    recorded: frozenset[str] = field(default=frozenset(), kw_only=True)
    """The names that have a value, None included."""
    extra: Mapping[str, Any] = field(default_factory=dict, kw_only=True, hash=False)
    """Other values, which a user recorded."""

    def __post_init__(self) -> None:
        """Check the values, and record those that are not None, as `from_dict` does; raises `InputError`."""
        for name in self.names():
            object.__setattr__(self, name, self._read(name, name, getattr(self, name)))
        given = (name for name in self.names() if getattr(self, name) is not None)
        object.__setattr__(self, "recorded", self.recorded.union(given))

    @property
    def on_hub(self) -> bool:
        """Whether it names a repository on the Hub at a commit, which nothing on a disk has."""
        return is_hub_id(self.id) and COMMIT.fullmatch(self.revision or "") is not None

    @classmethod
    def of(cls, **values: Any) -> Self:
        """A record of these values, None included. Raises `InputError` for a value of the wrong type."""
        return cls.from_dict(values, "the record")

    @classmethod
    def from_dict(cls, values: Any, name: str) -> Self:
        """The record that a configuration or a user gives as a dictionary, called `name` in errors; None records nothing.

        Raises `InputError` for values that JSON cannot hold as they are, and for a value of the wrong type.
        """
        if values is None:
            return cls()
        if isinstance(values, cls):
            return values
        if not isinstance(values, Mapping) or not _is_plain(dict(values)):
            raise refusal(
                name, "a dictionary of plain values", shown(values), "Give at least its id: {'id': 'user/name'}."
            )
        known = set(cls.names())
        read = {key: cls._read(f"{name}'s {key}", key, value) for key, value in values.items() if key in known}
        extra = {key: value for key, value in values.items() if key not in known}
        return cls(**read, recorded=frozenset(read), extra=extra)

    @classmethod
    def names(cls) -> list[str]:
        """The names that it knows, in order."""
        return [entry.name for entry in fields(cls) if entry.name not in ("recorded", "extra")]

    def to_dict(self) -> dict[str, Any]:
        """The recorded values, as JSON holds them: a tuple is a list."""
        values = {name: getattr(self, name) for name in self.names() if name in self.recorded}
        lists = {name: list(value) for name, value in values.items() if isinstance(value, tuple)}
        return {**values, **lists, **self.extra}

    def with_values(self, **values: Any) -> Self:
        """This record with these values recorded besides, or in place of what it has."""
        return type(self).from_dict({**self.to_dict(), **values}, "the record")

    def knows(self, name: str) -> bool:
        """Whether it tells the value of `name`: None tells nothing."""
        return getattr(self, name) is not None

    def differences(self, other: Self, names: Iterable[str] | None = None) -> list[Difference]:
        """Where both know a value, of `names` or of all, and know different ones; None, False and an empty text are alike."""
        return [
            Difference(name, getattr(self, name), getattr(other, name))
            for name in (self.names() if names is None else names)
            if self.knows(name)
            and other.knows(name)
            and (getattr(self, name) or None) != (getattr(other, name) or None)
        ]

    @classmethod
    def _read(cls, place: str, key: str, value: Any) -> Any:
        if value is not None and (not isinstance(value, str) or len(value) > LONGEST):
            expected = f"a text of at most {LONGEST:,} characters"
            raise refusal(place, expected, shown(value), "Give such a text, or leave it out.")
        return value


@dataclass(frozen=True)
class EncoderRecord(Record):
    """Who encoded, and how: what the other side must do alike. Its `id` may name a folder, a class or a function."""

    pooling: str | tuple[str, ...] | None = None
    """How one vector is made of a model's many, by our name; where there are several, their vectors are concatenated."""
    prompt: str | None = None
    """What was put in front of every text; None or empty: nothing."""
    normalize: bool | None = None
    """Whether vectors have unit length."""
    dtype: str | None = None
    """Of the encoder's weights."""
    view: str | None = None
    """The view of the anchor set that was encoded."""
    modality: str | None = None
    """What the items are: "image", "audio", "text"; texts need not be recorded as such."""
    at: str | None = None
    """"head": the vectors are what a classifier's head reads. Otherwise it is not recorded."""
    truncate_dim: int | None = None
    """How many leading numbers of a vector are kept; None: all."""
    task: str | None = None
    """The route of a model that has several, "query" or "document", say; None where it has one way alone."""
    max_length: int | None = None
    """How many tokens of a text are read; None: any number."""
    weights_sha256: str | None = None
    """The digest of the encoder's weights, which tells it whatever it is called."""
    processor_sha256: str | None = None
    """The digest of its tokenizer or its processor."""
    head_sha256: str | None = None
    """Of vectors that a classifier's head reads: the digest of that head."""

    @property
    def name(self) -> str:
        """Its id, for people: printable, whatever a stranger wrote."""
        return printable(self.id) if self.id else "an unknown encoder"

    @property
    def at_head(self) -> bool:
        """Whether the vectors are what a classifier's head reads."""
        return self.at == "head"

    def knows(self, name: str) -> bool:
        """Whether it tells the value of `name`.

        None is a value of what may be left out (`prompt`, `normalize`, ...) where it is recorded; and `at` is known, though not
        recorded where it is None, of whatever `encode` made, which always records `normalize`.
        """
        if name in LEFT_OUT:
            return name in self.recorded
        return "normalize" in self.recorded if name == "at" else super().knows(name)

    @classmethod
    def _read(cls, place: str, key: str, value: Any) -> Any:
        if key == "normalize":
            return None if value is None else check_flag(place, value, "Say whether the vectors have unit length.")
        if key in COUNTS:
            return None if value is None else check_count(place, value, 1, MOST_COUNT, "Leave it out for all.")
        if key.endswith("_sha256"):
            return check_digest(place, value)
        if key == "pooling" and isinstance(value, list | tuple):
            if not value or not all(isinstance(entry, str) for entry in value):
                raise refusal(
                    place, "one name or several", shown(value), "Give them as ['mean', 'max'], or leave it out."
                )
            several = tuple(cls._read(place, key, entry) for entry in value)
            return several[0] if len(several) == 1 else several
        read = super()._read(place, key, value)
        return POOLINGS.get(read, read) if key == "pooling" else read


@dataclass(frozen=True)
class AnchorRecord(Record):
    """Which anchors: where the set lies, and where its items come from."""

    dataset: str | None = None
    """What the items were drawn from."""
    license: str | None = None
    """The items'."""

    @classmethod
    def from_dict(cls, values: Any, name: str) -> Self:
        """As `Record` has it; of anchors, no values but the four are taken."""
        record = super().from_dict(values, name)
        if record.extra:
            expected = "a dictionary of id, revision, dataset and license"
            raise refusal(name, expected, f"also {', '.join(map(repr, record.extra))}", "Leave everything else out.")
        return record


def check_digest(place: str, digest: Any) -> str | None:
    """A sha256 in hex, or None; raises `InputError` for anything else."""
    if digest is not None and not (isinstance(digest, str) and FINGERPRINT.fullmatch(digest)):
        raise refusal(place, "64 hex digits", shown(digest), "Leave it out, or encode again.")
    return digest


def check_fingerprint(fingerprint: str | None) -> None:
    """Raise `InputError` unless it is None or a sha256 in hex."""
    if fingerprint is not None and not (isinstance(fingerprint, str) and FINGERPRINT.fullmatch(fingerprint)):
        raise refusal("The anchors' fingerprint", "64 hex digits", shown(fingerprint), "Encode the anchors again.")


def _is_plain(record: dict[Any, Any]) -> bool:
    """Whether JSON holds it as it is, but for tuples, which become lists."""
    try:
        json.dumps(record, ensure_ascii=False).encode()  # of half a character no file can be made
        return bool(json.loads(json.dumps(record)) == _listed(record))
    except (TypeError, ValueError, RecursionError):
        return False


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(entry) for key, entry in value.items()}
    return [_listed(entry) for entry in value] if isinstance(value, list | tuple) else value
