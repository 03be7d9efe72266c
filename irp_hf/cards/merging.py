"""Merge a new card with the one that is there: what somebody wrote stays as it is, comments in its metadata too."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import yaml  # type: ignore[import-untyped]
from huggingface_hub import DatasetCard, ModelCard

BLOCK = re.compile(r"(\s*---[ \t]*(?:\r\n|\r|\n))((?:[\S\s]*?(?:\r\n|\r|\n))??)(---[ \t]*(?:\r\n|\r|\n|$))")
CHECKSUMS = re.compile(r"<!-- Written by irp_hf[^<>]* data (?P<data>[0-9a-f]{64}), text (?P<text>[0-9a-f]{64}) -->\s*$")
LONGEST_BLOCK = 1_000_000  # characters of metadata: long lists of results have some hundred thousand
MARKS = re.compile(r"[,\[\]{}\r\n]|[:?-](?=\s)")  # what a reader in Python takes some 50 µs for, each
MOST_MARKS = 15_000  # a card is read and written in 2 s; lists of results have some thousand lines
UNITED = ("tags", "base_model", "datasets")
ANCHORS_TAG = "irp-anchors:"  # how a tag of ours begins, of which a card has one


def anchors_tag(fingerprint: str) -> str:
    """The tag by which whatever holds these anchors is found on the Hub."""
    return f"{ANCHORS_TAG}{fingerprint}"


@dataclass(frozen=True)
class Parts:
    """A card: a byte-order mark, the metadata between two lines of dashes, and the text."""

    mark: str
    start: str
    block: str
    end: str
    text: str
    data: dict[Any, Any]

    def header(self, block: str) -> str:
        """The metadata between their dashes; nothing where there are none."""
        if not self.start:
            return ""
        end = self.end if self.end.endswith(("\n", "\r")) else self.end + "\n"
        return self.start + block + end


def split(card: str) -> Parts | None:
    """The parts of a card; None where its metadata cannot be read."""
    mark = "\ufeff" if card.startswith("\ufeff") else ""
    card = card[len(mark) :]
    found = BLOCK.match(card)
    if found is None:
        return None if card.lstrip().startswith("---") else Parts(mark, "", "", "", card, {})
    try:
        data = _read(found[2])
    except Exception:  # PyYAML raises almost anything
        return None
    return Parts(mark, found[1], found[2], found[3], card[found.end() :], data) if isinstance(data, dict) else None


def checksum_comment(card: Parts) -> str:
    """A comment that tells whether somebody edited the card since."""
    return (
        "<!-- Written by irp_hf; what is not edited is written anew with the next push. sha256: "
        f"data {text_digest(repr(card.data))}, text {text_digest(card.text)} -->"
    )


def text_digest(text: str) -> str:
    """sha256, whatever the line ends."""
    return hashlib.sha256("\n".join(text.strip().splitlines()).encode("utf-8", "surrogatepass")).hexdigest()


def united(old: Parts, ours: dict[str, Any]) -> str:
    """The metadata of `old`, which somebody wrote, with what it lacks of ours."""
    changes = _changes(old.data, ours)
    if not changes:
        return old.block
    expected = old.data | changes
    line_break = "\r\n" if old.start.endswith("\r\n") else "\n"
    with suppress(Exception):  # PyYAML raises almost anything
        block = _edited(old.block, changes, line_break)
        if _read(block) == expected:
            return block
    with suppress(Exception):  # one that cannot be edited in its place is written anew
        block = _dumped(expected, line_break)
        if _read(block) == expected:
            return block
    return old.block


def _changes(theirs: dict[Any, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """The keys to write, with their new values."""
    changes: dict[str, Any] = {}
    for key, value in ours.items():
        if key == "license_name" and "license" in theirs:
            continue  # it names our licence, not theirs
        if key not in theirs:
            changes[key] = value
        elif key in UNITED:
            changes[key] = _union(theirs[key], value)
        elif key == "model-index":
            changes[key] = _indexed(theirs[key], value)
    return {key: value for key, value in changes.items() if key not in theirs or theirs[key] != value}


def _union(theirs: Any, ours: list[Any]) -> Any:
    """Theirs, then what they lack. A fingerprint's tag that is not ours any more goes."""
    listed = [] if theirs is None else [theirs] if isinstance(theirs, str) else theirs
    if not isinstance(listed, list):
        return theirs
    kept = [entry for entry in listed if entry in ours or not str(entry).startswith(ANCHORS_TAG)]
    added = [entry for entry in ours if entry not in kept]
    return kept + added if added or len(kept) < len(listed) else theirs


def _indexed(theirs: Any, ours: list[Any]) -> Any:
    """The model index with our entries in place of those with their names."""
    if not isinstance(theirs, list | None) or not all(isinstance(entry, dict) for entry in theirs or []):
        return theirs
    named = {entry["name"]: entry for entry in ours}
    kept = [named.pop(name) if (name := str(entry.get("name"))) in named else entry for entry in theirs or []]
    return [*kept, *named.values()]


def _edited(block: str, changes: dict[str, Any], line_break: str) -> str:
    """The block with the text of these keys replaced, or added at its end."""
    root = yaml.compose(block, yaml.SafeLoader)
    places = {key.value: (key.start_mark.index, _end(value)) for key, value in root.value} if root else {}
    changed = sorted((key for key in changes if key in places), key=lambda key: places[key], reverse=True)
    for key in changed:
        start, end = places[key]
        block = block[:start] + _dumped({key: changes[key]}, line_break).rstrip() + block[end:]
    return block + _dumped({key: value for key, value in changes.items() if key not in places}, line_break)


def _end(node: Any) -> int:
    """Where the text of a value ends: that of a block reaches over the comments after it."""
    while isinstance(node.value, list) and node.value and not node.flow_style:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return int(node.end_mark.index)


class _PlainLoader(yaml.SafeLoader):  # type: ignore[misc]
    """Without aliases: nine lists of nine aliases, each of the list before, are some hundred bytes and 387 million entries."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("an alias")
        return super().compose_node(parent, index)


def _read(block: str) -> Any:
    if len(block) > LONGEST_BLOCK:
        raise ValueError(f"{len(block):,} characters")
    if (marks := sum(1 for _ in MARKS.finditer(block))) > MOST_MARKS:
        raise ValueError(f"{marks:,} marks")
    data = yaml.load(block, _PlainLoader)
    return {} if data is None else data


def _dumped(data: dict[Any, Any], line_break: str) -> str:
    if not data:
        return ""
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=float("inf"), line_break=line_break))


def merged(ours: ModelCard | DatasetCard | str, theirs: str | None) -> str:
    """The README.md to push where `theirs` is there, or None.

    What nobody edited of an earlier card of ours gives way to the new one: its text, its metadata. Text that somebody wrote
    stays to the byte, and metadata that somebody set gets what it lacks: tags, base models and data sets are united, our
    entry of the model index is replaced, and nothing else is changed. A card whose metadata cannot be read stays as it is.
    """
    new, old = split(str(ours)), split(theirs or "")
    if new is None or old is None:
        return theirs or str(ours)
    written = CHECKSUMS.search(old.text)
    text_is_ours = not old.text.strip() or (written and written["text"] == text_digest(old.text[: written.start()]))
    data_are_ours = not old.data or (written and written["data"] == text_digest(repr(old.data)))
    if new.data == old.data:
        header = old.header(old.block)
    elif data_are_ours:
        header = new.header(new.block)
    else:
        header = old.header(united(old, new.data))
    return old.mark + header + (new.text if text_is_ours else old.text)
