"""Values that others chose, as parts of a card: none of them gets out of its cell, its code or its line."""

from __future__ import annotations

import re
from typing import Any

from irp_hf.hub.ids import is_hub_id

HUB = "https://huggingface.co"
COMMIT = re.compile("[0-9a-f]{40}")
MARKS = re.compile(r"([\\`*_{}\[\]<>#|~&$])")
LONGEST = 200  # letters that a card shows of a value


# Of the licences that the Hub knows.
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
    """One line of printable letters."""
    printable = "".join(letter if letter.isprintable() else " " for letter in str(value))
    line = " ".join(printable.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def plain(value: Any) -> str:
    """Text in which no letter is a mark of Markdown or HTML."""
    return MARKS.sub(r"\\\1", clean(value))


def code(value: Any) -> str:
    """Inline code, fenced by more backticks than the value has in a row; safe in a table too."""
    line = clean(value).replace("|", "\\|")
    if "`" not in line:
        return f"`{line or ' '}`"
    fence = "`" * (1 + max(map(len, re.findall("`+", line))))
    return f"{fence} {line} {fence}"


def literal(value: str) -> str:
    """A string of Python, on one line."""
    return f'"{value}"' if value.isprintable() and not {'"', "\\"} & set(value) else repr(value)


def on_hub(record: dict[str, Any] | None) -> bool:
    """Whether a record names a repository of the Hub: user/name at a commit, which nothing on a disk has."""
    record = record or {}
    return is_hub_id(record.get("id")) and COMMIT.fullmatch(str(record.get("revision"))) is not None


def linked(record: dict[str, Any], kind: str = "") -> str:
    """The id of an encoder or an anchor set, with a link where it is on the Hub; `kind` is "datasets/" for a data set."""
    if not record.get("id"):
        return "an unknown encoder"
    name = code(record["id"])
    return f"[{name}]({HUB}/{kind}{record['id']})" if on_hub(record) else name


def linked_commit(record: dict[str, Any], kind: str = "") -> str:
    """The commit with a link, where there is one."""
    if not on_hub(record):
        return ""
    commit = record["revision"]
    return f"[`{commit[:12]}`]({HUB}/{kind}{record['id']}/tree/{commit})"


def licensed(license_id: str | None) -> dict[str, Any]:
    """A licence as the metadata of a card have it: those that the Hub does not know are "other", with a name."""
    if not license_id or not license_id.strip():
        return {}
    known = license_id.strip().lower()
    if known in LICENSES:
        return {"license": known}
    name = re.sub("[^a-z0-9.]+", "-", known)[:60].strip("-.")
    return {"license": "other", "license_name": name or "other"}
