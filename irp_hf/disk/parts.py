"""Parts: files that hold one block of rows, or several on end, each whole or not at all.

The name of a part says which blocks it holds, so that what is done is read off a folder and nothing else must be counted.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZIP_STORED

import numpy as np
from numpy.lib.npyio import NpzFile

from irp_hf.disk.atomic import written_file
from irp_hf.disk.journal import Run
from irp_hf.disk.plain import check_own_file, opened
from irp_hf.disk.results import NUMBERS, Array, Arrays, native
from irp_hf.errors import InputError, IRPError, first_line, kind_of, refusal, shown

ROWS = "rows of the result"  # where a part's rows go; no identifier, so that no array of a result is called so
PREFIX = "array "  # before an array's name: numpy keeps "file" and "allow_pickle" for itself
NAME = re.compile(r"([0-9]{7,})(?:-([0-9]{7,}))?\.npz")
TEMPORARY = re.compile(rf"\.{NAME.pattern}\.irp-[0-9a-f]{{8}}")


class Part(NamedTuple):
    """A file, and the blocks that it holds by its name."""

    blocks: range
    path: Path


def find_parts(folder: Path) -> list[Part]:
    """The parts that are in a folder, in order; none where there is no such folder."""
    names = os.listdir(folder) if folder.exists() else []
    found = [(match, folder / name) for name in names if (match := NAME.fullmatch(name))]
    parts = [Part(range(int(match[1]), int(match[2] or match[1]) + 1), path) for match, path in found]
    return sorted(parts, key=lambda part: (part.blocks.start, part.path))


def write_part(folder: Path, blocks: range, rows: Array, arrays: Arrays) -> None:
    """Keep the arrays of some blocks, whose rows go to `rows (n,)` of the result."""
    first, last = blocks[0], blocks[-1]
    name = f"{first:07d}.npz" if first == last else f"{first:07d}-{last:07d}.npz"
    members = {ROWS: rows} | {f"{PREFIX}{key}": array for key, array in arrays.items()}
    with written_file(folder / name) as file:
        np.savez(file, **members)  # type: ignore[arg-type]


def read_rows(run: Run, part: Part) -> Array:
    """Where the rows of a part go, `(n,)`; raises `InputError` unless they may be those of its blocks."""
    return _read(run, part, rows_only=True)[0]


def read_part(run: Run, part: Part) -> tuple[Array, Arrays]:
    """Where the rows of a part go, `(n,)`, and its arrays; raises `InputError` for a part that no such run has written."""
    rows, arrays = _read(run, part, rows_only=False)
    for name, array in arrays.items():
        if not name.isidentifier():  # it becomes the name of a file
            raise _damaged(part, "arrays whose names are identifiers", shown(name))
        if not isinstance(array, np.ndarray) or array.shape[:1] != rows.shape or array.dtype.kind not in NUMBERS:
            got = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else kind_of(array)
            raise _damaged(part, f"numbers in {len(rows)} rows, {name}", got)
    if not arrays:
        raise _damaged(part, "at least one array", "none")
    return rows, {name: native(array) for name, array in arrays.items()}


def _read(run: Run, part: Part, *, rows_only: bool) -> tuple[Array, Arrays]:
    if not part.blocks or part.blocks[-1] >= run.num_blocks:
        raise _damaged(part, f"the numbers of blocks from 0 to {run.num_blocks - 1}", shown(part.path.name))
    own = np.arange(run.rows(part.blocks[0]).start, run.rows(part.blocks[-1]).stop)
    try:
        check_own_file(part.path)
        with opened(part.path) as file:
            stored = np.load(file)
            if not isinstance(stored, NpzFile):
                raise _damaged(part, "a .npz file", "a single array")
            _check_packing(part, stored)
            rows = stored[ROWS] if ROWS in stored.files else own  # which parts of one block once left out
            names = [] if rows_only else [name for name in stored.files if name != ROWS]
            arrays = {name.removeprefix(PREFIX): stored[name] for name in names}
    except IRPError:
        raise
    except Exception as error:  # a damaged file makes numpy raise almost anything
        raise _damaged(part, "a whole file", f"a damaged one ({first_line(error)})") from error
    return _checked(run, part, rows, own), arrays


def _check_packing(part: Part, stored: NpzFile) -> None:
    """Raise `InputError` for what numpy would unpack, or read twice: we pack nothing, and some kilobytes may hold terabytes."""
    members = stored.zip.infolist() if stored.zip else []
    packed = any(member.compress_type != ZIP_STORED or member.file_size != member.compress_size for member in members)
    total = sum(member.file_size for member in members)
    if packed or total > part.path.stat().st_size or len({member.filename for member in members}) < len(members):
        raise _damaged(part, "arrays that are not packed, each once", "others")


def _checked(run: Run, part: Part, rows: Any, own: Array) -> Array:
    if not isinstance(rows, np.ndarray) or rows.dtype.kind not in "iu" or rows.shape != own.shape:
        got = f"{rows.dtype} of shape {rows.shape}" if isinstance(rows, np.ndarray) else kind_of(rows)
        raise _damaged(part, f"whole numbers of {len(own)} rows", got)
    if rows.min() < 0 or rows.max() >= run.num_rows or len(np.unique(rows)) != len(rows):
        got = f"{len(np.unique(rows))} from {rows.min()} to {rows.max()}"
        raise _damaged(part, f"{len(own)} different rows from 0 to {run.num_rows - 1}", got)
    return rows.astype(np.intp)


def _damaged(part: Part, expected: str, got: str) -> InputError:
    return refusal(str(part.path), f"a part of this run, with {expected}", got, "Remove it and run again.")
