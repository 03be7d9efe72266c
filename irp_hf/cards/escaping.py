"""Values that others chose, escaped: none of them leaves its cell, its code or its line in a card."""

from __future__ import annotations

import re
from typing import Any

from irp_hf.errors import printable
from irp_hf.records import AnchorRecord, EncoderRecord

HUB = "https://huggingface.co"
SPOKEN = re.compile(r"([\\`*\[\]<>&$])")  # of these, what makes links, HTML, code and formulas
MARKS = re.compile(r"([\\`*_{}\[\]<>#|~&$])")
UNNAMED = "an unnamed anchor set"
LONGEST = 200  # characters that a card shows of a value
# Those that the Hub knows.
LICENSES = {
    "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bsd", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc",
    "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0",
    "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0",
    "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "eupl-1.2", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "isc",
    "lgpl", "lgpl-2.1", "lgpl-3.0", "mit", "mpl-2.0", "odbl", "odc-by", "openrail", "openrail++", "osl-3.0", "pddl",
    "unknown", "unlicense", "wtfpl", "zlib",
}  # fmt: skip


def clean(value: Any) -> str:
    """One line of printable characters, cut where it is long."""
    printable = "".join(character if character.isprintable() else " " for character in str(value))
    line = " ".join(printable.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def plain(value: Any) -> str:
    """Text in which no character is a mark of Markdown or HTML."""
    return MARKS.sub(r"\\\1", clean(value))


def spoken(text: str, longest: int) -> str:
    """Text that says the same and does nothing: no link, picture, HTML, code or formula; names stay readable in the source."""
    return SPOKEN.sub(r"\\\1", printable(text, longest))


def code(value: Any) -> str:
    """Inline code, fenced by more backticks than the value has in a row; safe in a table too."""
    line = clean(value).replace("|", "\\|")
    if "`" not in line:
        return f"`{line or ' '}`"
    fence = "`" * (1 + max(map(len, re.findall("`+", line))))
    return f"{fence} {line} {fence}"


def literal(value: str | tuple[str, ...]) -> str:
    """A string of Python, or a list of them, on one line."""
    if not isinstance(value, str):
        return f"[{', '.join(map(literal, value))}]"
    return f'"{value}"' if value.isprintable() and not {'"', "\\"} & set(value) else repr(value)


def linked(record: EncoderRecord | AnchorRecord, kind: str = "") -> str:
    """The id of an encoder or an anchor set, with a link where it is on the Hub; `kind` is "datasets/" for a data set."""
    if not record.id:
        return record.name if isinstance(record, EncoderRecord) else UNNAMED
    name = code(record.id)
    return f"[{name}]({HUB}/{kind}{record.id})" if record.on_hub else name


def linked_commit(record: EncoderRecord | AnchorRecord, kind: str = "") -> str:
    """The first characters of the commit with a link, where there is one."""
    if not record.on_hub:
        return ""
    commit = record.revision or ""
    return f"[`{commit[:12]}`]({HUB}/{kind}{record.id}/tree/{commit})"


def licensed(license_id: str | None) -> dict[str, Any]:
    """A licence as a card's metadata has it: one that the Hub does not know is "other", with a name."""
    if not license_id or not license_id.strip():
        return {}
    known = license_id.strip().lower()
    if known in LICENSES:
        return {"license": known}
    name = re.sub("[^a-z0-9.]+", "-", known)[:60].strip("-.")
    return {"license": "other", "license_name": name or "other"}
