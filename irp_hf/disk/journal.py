"""The journal of a run that goes on after an interruption: a JSON file that says which run it is, and how far it came."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from irp_hf.checks import check_count, is_count
from irp_hf.disk.atomic import written_file
from irp_hf.disk.plain import check_own_file, read_text
from irp_hf.errors import IRPError, first_line, reason_of, refusal, shown

FORMAT_VERSION = 1
LARGEST_JOURNAL = 10_000_000  # bytes; a record has some thousands
MOVE = "Move it, or name another place."
DIGEST = "_sha256"  # what names of digests end with
WHOSE = ("weights_sha256", "head_sha256")  # of what has an id
CONTENTS = {  # what has a digest, in words
    "weights_sha256": "the encoder's weights",
    "processor_sha256": "the tokenizer or processor",
    "head_sha256": "the head's weights",
}
SHA256 = re.compile("[0-9a-f]{64}")
LATER = ("truncate_dim", "task", "max_length")  # what older journals do not tell


@dataclass(frozen=True)
class Run:
    """What makes two runs the same."""

    encoder: dict[str, Any]
    """The record of who makes the result, in plain values that JSON holds."""
    num_rows: int
    batch_size: int
    items: str
    """The digest of all items in order, by their content."""
    block_size: int = 0
    """How many rows a block holds; 0: as many as a batch."""
    batches_sorted: int | None = None
    """How many batches are sorted together by length, which decides whose rows a block holds; None: its own, in order."""
    older_items: tuple[str, ...] = ()
    """What earlier versions would have noted of the same items; it is not written."""

    def __post_init__(self) -> None:
        try:
            plain = json.loads(json.dumps(self.encoder, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            got = f"{shown(self.encoder)} ({first_line(error)})"
            raise refusal("record", "a dictionary of plain values", got, "Leave out what JSON cannot hold.") from error
        check_count("The rows of a run", self.num_rows, advice="Give at least one item.")
        check_count("batch_size", self.batch_size)
        object.__setattr__(self, "encoder", plain)  # as a journal gives it back: tuples are lists

    @property
    def rows_per_block(self) -> int:
        """How many rows a block holds, but for the last."""
        return self.block_size or self.batch_size

    @property
    def num_blocks(self) -> int:
        """How many blocks hold all rows."""
        return -(-self.num_rows // self.rows_per_block)

    def rows(self, block: int) -> range:
        """The rows of a block, where they are not sorted."""
        start = block * self.rows_per_block
        return range(start, min(start + self.rows_per_block, self.num_rows))

    def read(self, journal: Path) -> dict[str, Any]:
        """A journal, {} where there is none.

        Raises `InputError` where it is another run's, of a newer format, or none that can be read.
        """
        try:
            check_own_file(journal)
            found = json.loads(read_text(journal, LARGEST_JOURNAL))
            theirs = _by_path(found["run"])
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except IRPError:
            raise
        except OSError as error:
            got = f"the error: {reason_of(error)}"
            raise refusal(str(journal), "a journal that can be read", got, MOVE) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise refusal(str(journal), "the journal of a run", "another file", MOVE) from error
        _check_state(journal, found)
        ours = _by_path(self._written())
        if theirs.get("items") in self.older_items:
            theirs["items"] = self.items
        # Once all rows are in place, their order on the way does not count; older journals do not tell it.
        of_no_matter = {"batches_sorted"} if "names" in found or theirs.get("batches_sorted") is None else set()
        of_no_matter |= _unknown(ours, theirs) | _same_by_content(ours, theirs)
        for name in ours | theirs:
            if name not in of_no_matter and theirs.get(name) != ours.get(name):
                expected, got, cure = _in_words(name, theirs.get(name), ours.get(name))
                advice = f"{cure} Name another place, or remove what that run wrote.".lstrip()
                raise refusal(str(journal), expected, got, advice)
        return found  # type: ignore[no-any-return]

    def _written(self) -> dict[str, Any]:
        values = asdict(self)
        del values["older_items"]
        return values

    def write(self, journal: Path, **state: Any) -> None:
        """Write the journal, in one step."""
        with written_file(journal) as file:
            file.write(
                json.dumps({"format_version": FORMAT_VERSION, "run": self._written(), **state}, indent=1).encode()
            )


def _in_words(name: str, then: Any, now: Any) -> tuple[str, str, str]:
    """What a run that goes on was expected to have, what it has, and what helps, in words: a digest tells a reader nothing."""
    place, _, last = name.rpartition(".")
    whose = "the head" if place.endswith("head") else "the encoder"
    if name == "items":
        return "the items that the earlier run had, in their order", "other items, or another order", ""
    if name == "num_rows":
        return f"{shown(then)} items, as many as the earlier run had", f"{now}", ""
    if name == "batches_sorted":
        expected = "items that are sorted by length as in the earlier run"
        return expected, "items of another kind", "Give the modality that was given then."
    if name.endswith(DIGEST):
        what = CONTENTS.get(last, last.removesuffix(DIGEST))
        return (
            f"{what} of the earlier run, by the content",
            "another of that name",
            "It was changed since, whatever its name.",
        )
    if last in ("encoder", "adapter", "head"):
        return f"the {last} of the earlier run", f"another {last}", ""
    if last == "id":
        return f"{whose} {shown(then)}, as in the earlier run", shown(now), ""
    of = "" if whose == "the encoder" else f" of {whose}"
    return f"{last}={shown(then)}{of}, as in the earlier run", f"{last}={shown(now)}", ""


def _unknown(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> set[str]:
    """What one of the two runs does not tell: a digest, and what older journals do not have."""
    names = {*ours, *theirs}
    digests = {name for name in names if name.endswith(DIGEST) and None in (ours.get(name), theirs.get(name))}
    return digests | {name for name in names - theirs.keys() if name.rpartition(".")[2] in LATER}


def _same_by_content(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> set[str]:
    """Names that may differ where the content is the same: a folder was moved, or a commit has another number."""
    known = [name for name in WHOSE if any(path.endswith(name) for path in ours)]
    starts = [path.removesuffix(name) for name in known for path in ours if path.endswith(name)]
    same = [
        start
        for start in starts
        if any(
            ours.get(start + name) is not None and ours.get(start + name) == theirs.get(start + name) for name in known
        )
    ]
    return {start + name for start in same for name in ("id", "revision")}


def _check_state(journal: Path, found: Mapping[str, Any]) -> None:
    """Raise `InputError` for a journal of a newer format, and for values that no run writes."""
    version = found.get("format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION or isinstance(version, bool):
        got = f"format version {shown(version)}"
        advice = "Update irp_hf to go on with that run, or name another place."
        raise refusal(str(journal), f"a journal of format version {FORMAT_VERSION}", got, advice)
    checks: dict[str, Callable[[Any], bool]] = {
        "names": _are_names,
        "arrays": _are_layouts,
        "digests": _are_digests,
        "batches_done": _is_size,
        "width": _is_size,
    }
    for name, holds in checks.items():
        if name in found and not holds(found[name]):
            raise refusal(str(journal), "the journal of a run", f"one with {name} = {shown(found[name])}", MOVE)


def _are_names(names: Any) -> bool:
    named = isinstance(names, list) and all(isinstance(name, str) and name.isidentifier() for name in names)
    return named and len(names) == len(set(names)) > 0


def _are_layouts(arrays: Any) -> bool:
    return isinstance(arrays, dict) and all(map(_is_layout, arrays.values()))


def _is_layout(array: Any) -> bool:
    shape = array.get("shape") if isinstance(array, dict) else None
    return isinstance(shape, list) and isinstance(array.get("dtype"), str) and all(map(_is_size, shape))


def _are_digests(digests: Any) -> bool:
    return isinstance(digests, dict) and all(isinstance(one, str) and SHA256.fullmatch(one) for one in digests.values())


def _is_size(value: Any) -> bool:
    return is_count(value) and 0 <= value < 2**63


def _by_path(run: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a run by their place, `encoder.prompt` say."""
    flat: dict[str, Any] = {}
    for name, value in run.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": entry for inner, entry in _by_path(value).items()}
        else:
            flat[name] = value
    return flat
