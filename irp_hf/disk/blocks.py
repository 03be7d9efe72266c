"""Results that are made block by block and kept on the disk, so that a run that was interrupted goes on where it was.

A run writes *parts*, files that hold one block of rows, or several on end. When all blocks are there, the parts are joined, and
the joined arrays take their names in one step each. A journal beside them says which run this is and, once it is joined, which
arrays are its own.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout
from typing_extensions import Self

from irp_hf.disk.journal import Run
from irp_hf.disk.leftovers import remove_leftovers
from irp_hf.disk.modes import inherit
from irp_hf.disk.parts import NAME, TEMPORARY, Part, find_parts, read_part, read_rows, write_part
from irp_hf.disk.places import check_path, is_folder, sync, written_in_words
from irp_hf.disk.plain import check_own_file, check_own_folder
from irp_hf.disk.results import ONLY, Array, Arrays, digest_of, layout, map_array, named_arrays, reserve, row_kinds
from irp_hf.errors import InputError, IRPError, refusal, shown

LOCK = "lock"  # the file that a run at work locks, beside its parts

# Blocks that are made fast are gathered into one part: a part costs some milliseconds, and ten hours make some 260 parts.
GATHER_SECONDS = 1.0  # at most so much work is lost with a process,
GATHER_SHARE = 0.03  # or this share of the time so far
GATHER_BYTES = 32 * 2**20  # and as much again while the part is written


class Block(NamedTuple):
    """What was made of one block."""

    number: int
    rows: Sequence[int]
    """Where its rows go."""
    arrays: Arrays


class Blocks:
    """The files of one run: a journal, a folder of parts, and the joined arrays.

    It is a context: at its end what was gathered is written, and another run may have the files.
    """

    def __init__(
        self,
        run: Run,
        journal: Path,
        parts: Path,
        final: Callable[[str], Path],
        *,
        only: bool = False,
        gather: bool = False,
    ) -> None:
        """`final` gives the file of a joined array by its name; `gather` puts blocks that are made fast into one part.

        `only`: there is one array, called `ONLY`.
        """
        self.run, self.journal, self.parts, self._final = run, journal, parts, final
        self._only, self._gather = only, gather
        self._gathered: list[Block] = []
        self._bytes = 0  # of what is gathered
        self._begun = self._written = time.monotonic()
        self._kinds: str | None = None  # of the rows of all blocks
        self._has_room = False  # for the joined arrays
        self._made_home = False  # the folder that holds journal and parts
        self._kept: Array | None = None  # (num_rows,): whether a part that was there at the begin holds the row
        self._lock: contextlib.ExitStack | None = None  # in the process that begins and joins

    @classmethod
    def for_file(cls, out: Path, run: Run, *, gather: bool = False) -> Self:
        """One array in the file `out`, with the journal `<out>.json` and the folder `<out>.parts` beside it."""
        return cls(run, Path(f"{out}.json"), Path(f"{out}.parts"), lambda _: out, only=True, gather=gather)

    @classmethod
    def for_folder(cls, folder: Path, run: Run) -> Self:
        """A file `<name>.npy` for each array in `folder`."""
        return cls(run, folder / "run.json", folder / "parts", lambda name: folder / f"{name}.npy")

    def rows(self, block: int) -> range:
        """The rows of a block, where they are not sorted."""
        return self.run.rows(block)

    def begin(self) -> list[int] | None:
        """The blocks that are still to be done; None where all is joined already. For one process alone.

        Raises `InputError` where a file stands in the way that is not this run's, where a part is damaged, where another run
        is at work, and where nothing can be written.
        """
        self._refuse_links()
        remove_leftovers(self.journal)
        with _refused_in_words(self.parts), contextlib.ExitStack() as stack:
            if not self._is_finished():
                self._made_home = not self.parts.parent.exists()
                stack.callback(self._remove_folder)  # where nothing can be written, nothing is left
                self.parts.mkdir(parents=True, exist_ok=True)
                stack.enter_context(_lock(self.parts))
                if not self._is_finished():  # nor by another process just now
                    stack.callback(self._remove_unbegun)
                    if not self.journal.exists():
                        self.run.write(self.journal)
                    self._kept = self._rows_kept()
                    self._lock = stack.pop_all()
                    self._begun = self._written = time.monotonic()
                    return self.left()
        if self.parts.exists():  # of a run that was killed as it ended
            with contextlib.suppress(InputError, OSError), _lock(self.parts):  # refused where one just ends
                self._remove_parts()
        self._remove_folder()
        return None

    def left(self) -> list[int]:
        """The blocks of which no part is there."""
        done = {block for part in find_parts(self.parts) for block in part.blocks}
        return [block for block in range(self.run.num_blocks) if block not in done]

    def write(self, block: int, result: Any, rows: Sequence[int] | None = None) -> None:
        """Keep what was made of a block: an array, or a dict of arrays, with one row for each of the block's.

        `rows` says where in the whole they go, where that is not to the block's own rows in their order.

        Raises `InputError` where a file stands in the way of an array, and for a row that another part holds.
        """
        arrays = named_arrays(result, len(self.rows(block)), block)
        if self._kinds is None:  # told now, and not after hours
            self._check_names(arrays)
        self._refuse_unlike(arrays, block)
        if rows is not None and self._kept is not None and self._kept[rows].any():
            raise self._doubled(self.parts, next(row for row in rows if self._kept[row]))
        if self._gathered and block != self._gathered[-1].number + 1:
            self._flush()
        if self._gather:  # a copy, since a function may give the same memory again, filled with the next block
            arrays = {name: array.copy() for name, array in arrays.items()}
        self._gathered.append(Block(block, self.rows(block) if rows is None else rows, arrays))
        self._bytes += sum(array.nbytes for array in arrays.values())
        now = time.monotonic()
        due = now - self._written >= max(GATHER_SECONDS, GATHER_SHARE * (now - self._begun))
        if not self._gather or due or self._bytes >= GATHER_BYTES:
            self._flush()

    def complete(self) -> bool:
        """Whether all parts are there, or joined already."""
        return self.joined() or not self.left()

    def joined(self) -> bool:
        """Whether the joined arrays are there."""
        names = self._names()
        return names is not None and all(self._final(name).exists() for name in names)

    def join(self) -> None:
        """Make one file of each array, in one step. For one process alone.

        Raises `InputError` where a part is damaged or missing, and where there is no room for the whole: the parts stay.
        """
        self._flush()
        if left := self.left():
            expected, got = f"parts of {self.run.num_blocks} blocks", f"none of block {left[0]}"
            raise refusal(str(self.parts), expected, got, "Run again: what is missing is made then.")
        parts = find_parts(self.parts)
        _, first = read_part(self.run, parts[0])
        self._kinds = row_kinds(first)
        self._check_names(first)
        with _refused_in_words(self.parts):
            joined = self._reserve(first)
            written = np.zeros(self.run.num_rows, bool)
            for part in parts:
                rows, arrays = read_part(self.run, part)
                self._refuse_unlike(arrays, part.blocks[0])
                self._mark(written, rows, part)
                for name, array in arrays.items():
                    joined[name][rows] = array
            if not written.all():
                expected, got = f"parts with all of {self.run.num_rows} rows", f"none with row {written.argmin()}"
                raise refusal(str(self.parts), expected, got, "Remove that folder and run again.")
            for name, matrix in joined.items():
                matrix.flush()
                sync(self._fresh(name))
            layouts = {name: layout(matrix.dtype, matrix.shape) for name, matrix in joined.items()}
            digests = {name: digest_of(self._fresh(name)) for name in joined}
            # From now on, what has a final name is ours.
            self.run.write(self.journal, names=list(first), arrays=layouts, digests=digests)
            for name in first:
                inherit(self._final(name), self._fresh(name))
                self._fresh(name).replace(self._final(name))
                sync(self._final(name).parent)

    def results(self) -> Arrays:
        """The joined arrays, mapped from their files; changing them does not change the files.

        Raises `InputError` for a file that holds no array.
        """
        return {name: map_array(self._final(name)) for name in self._names() or ()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Keep what was gathered; remove the parts where they are joined, and the journal too where nothing was done."""
        try:
            with contextlib.nullcontext() if kind is None else contextlib.suppress(IRPError):
                self._flush()
        finally:
            if self._lock is not None:
                with self._lock:
                    joined = self.joined()
                    ended = joined or not find_parts(self.parts)
                    if ended:  # all is removed while no other run can begin, which would lose its own
                        self._remove_parts(journal=not joined)
                if ended:
                    self._remove_folder()

    def _refuse_links(self) -> None:
        """Raise `InputError` where a link, a pipe or the like stands where this run writes, or removes what it wrote."""
        check_own_file(self.journal)
        check_own_folder(self.parts)
        check_own_file(self.parts / LOCK)

    def _remove_parts(self, *, journal: bool = False) -> None:
        """Remove the parts, and the journal where that is said, and last the file that is locked meanwhile."""
        self._refuse_links()
        with contextlib.suppress(OSError):
            for path in self.parts.iterdir():
                joining = path.suffix == ".npy" and path.stem.isidentifier()
                if joining or NAME.fullmatch(path.name) or TEMPORARY.fullmatch(path.name):
                    path.unlink(missing_ok=True)
        if journal:
            self.journal.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # Windows removes no open file
            (self.parts / LOCK).unlink(missing_ok=True)

    def _remove_unbegun(self) -> None:
        """Remove what there is of a run that has kept nothing."""
        if self._lock is None and not find_parts(self.parts):
            self._remove_parts(journal=True)

    def _remove_folder(self) -> None:
        """Remove the folder of the parts where it is empty, and the one around it where this run has made it."""
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                (self.parts / LOCK).unlink(missing_ok=True)
            self.parts.rmdir()
            if self._made_home:
                self.parts.parent.rmdir()

    def _is_finished(self) -> bool:
        """Whether all is joined; raises `InputError` where a file stands in the way that is not this run's."""
        names = self._names()
        if names is not None:
            for name in names:
                if self._final(name).exists():
                    self._check_joined(name)
            return self.joined()
        if self._final(ONLY).exists():
            raise _not_ours(self._final(ONLY))
        if not self.journal.exists() and self.parts.exists() and set(os.listdir(self.parts)) - {LOCK}:
            raise _not_ours(self.parts)
        return False

    def _names(self) -> list[str] | None:
        """The names of the joined arrays; None where the journal has none yet."""
        journal = self.run.read(self.journal)
        # Journals of one file once counted batches.
        whole = "batches_done" in journal and journal["batches_done"] * self.run.batch_size >= self.run.num_rows
        names: list[str] | None = journal.get("names", [ONLY] if whole else None)
        if self._only and names not in (None, [ONLY]):
            expected, got = (
                "the journal of a run into one file",
                f"that of one into a folder, with {', '.join(names or [])}",
            )
            raise refusal(str(self.journal), expected, got, "Name another place, or move it.")
        return names

    def _check_joined(self, name: str) -> None:
        """Raise `InputError` for a file that is not the array which the journal notes, number for number."""
        array, journal = map_array(self._final(name)), self.run.read(self.journal)
        found = layout(array.dtype, array.shape)
        expected = journal.get("arrays", {}).get(name, found | {"shape": [self.run.num_rows, *array.shape[1:]]})
        if "width" in journal:  # noted beside the batches that were counted
            expected = layout("float32", (self.run.num_rows, journal["width"]))
        if found != expected:
            raise refusal(str(self._final(name)), _shape(expected), _shape(found), "Name another place, or move it.")
        noted = journal.get("digests", {}).get(name)  # older journals have none
        if noted is not None and digest_of(self._final(name)) != noted:
            expected, got = "the array as this run wrote it, by its content", "one that was changed since"
            advice = f"Name another place; or remove it and {self.journal.name}, and run again."
            raise refusal(str(self._final(name)), expected, got, advice)

    def _check_names(self, arrays: Arrays) -> None:
        """Raise `InputError` for arrays of other names than are asked for, and where another file has the name of one."""
        if self._only and list(arrays) != [ONLY]:
            got = shown(list(arrays))
            raise refusal(str(self._final(ONLY)), f"one array, '{ONLY}'", got, f"Remove {self.parts} and run again.")
        ours = self._names() or []
        for name in arrays:
            if name not in ours and self._final(name).exists():
                raise _not_ours(self._final(name))

    def _rows_kept(self) -> Array:
        """Whether a part holds the row, `(num_rows,)`; raises `InputError` for a damaged part."""
        kept = np.zeros(self.run.num_rows, bool)
        for part in find_parts(self.parts):
            self._mark(kept, read_rows(self.run, part), part)
        return kept

    def _mark(self, marks: Array, rows: Array, part: Part) -> None:
        """Set the marks of a part's rows; raises `InputError` where one is set already."""
        if marks[rows].any():
            raise self._doubled(part.path, rows[marks[rows]][0])
        marks[rows] = True

    def _doubled(self, place: Path, row: int) -> InputError:
        advice = f"Parts were made in two orders: remove {self.parts} and run again."
        return refusal(str(place), "each row once", f"row {row} a second time", advice)

    def _flush(self) -> None:
        """Write what was gathered, as one part."""
        if not self._gathered:
            return
        gathered, first, last = self._gathered, self._gathered[0].number, self._gathered[-1].number
        arrays = {name: np.concatenate([block.arrays[name] for block in gathered]) for name in gathered[0].arrays}
        rows = np.concatenate([np.asarray(block.rows) for block in gathered])
        with _refused_in_words(self.parts):
            if self._lock is not None and not self._has_room:
                self._reserve(arrays)  # a disk that is too small is told now, and not after hours
            write_part(self.parts, range(first, last + 1), rows, arrays)
        self._gathered, self._bytes, self._written = [], 0, time.monotonic()

    def _refuse_unlike(self, arrays: Arrays, block: int) -> None:
        """Raise `InputError` for other arrays than those of the blocks before."""
        if self._kinds is None:
            found = find_parts(self.parts)
            self._kinds = row_kinds(read_part(self.run, found[0])[1] if found else arrays)
        if row_kinds(arrays) != self._kinds:
            advice = "Return the same arrays for every block; where the function has changed, name another place."
            raise refusal(f"Block {block}", f"{self._kinds}, as of the blocks before", row_kinds(arrays), advice)

    def _fresh(self, name: str) -> Path:
        """The file of a joined array before it takes its name."""
        return self.parts / f"{name}.npy"

    def _reserve(self, like: Arrays) -> dict[str, np.memmap[Any, Any]]:
        """Files for the joined arrays, mapped, that have their space."""
        self._has_room = False
        matrices = reserve({name: self._fresh(name) for name in like}, like, self.run.num_rows)
        self._has_room = True
        return matrices


def check_out(out: Any) -> Path:
    """The path of a file to write to; raises `InputError` where it is no `.npy` file in a folder that is there."""
    path = check_path("out", out)
    if os.path.islink(
        path
    ):  # the arrays go where it leads, and so do the parts: a file system moves no file to another
        path = Path(os.path.realpath(path))
    if path.suffix != ".npy":
        raise refusal("out", "the path of a .npy file", shown(str(path)), "Name one: embeddings.npy, say.")
    if not is_folder(path.parent):
        raise refusal("out", "a file in a folder that is there", shown(str(path)), "Make its folder first.")
    return path


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Lock a folder, until the process ends at the latest; raises `InputError` where another one holds it."""
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except (Timeout, RuntimeError) as error:  # the latter where this very thread holds it
        expected, got = "a folder that no other run writes to", "one that is in use"
        raise refusal(str(folder), expected, got, "Wait until the other run ends.") from error
    try:
        yield
    finally:
        lock.release()


def _refused_in_words(place: Path) -> AbstractContextManager[None]:
    """Raise `InputError` for what the disk does not give: room, permission, so long a name."""
    advice = "Make room or name another place; a run that is begun again goes on from what it has kept."
    return written_in_words(place, advice=advice)


def _shape(noted: Mapping[str, Any]) -> str:
    shape = noted.get("shape")
    return f"{noted.get('dtype')} of shape {tuple(shape) if isinstance(shape, list) else shape}"


def _not_ours(path: Path) -> InputError:
    return refusal(str(path), "nothing there, or a file of this run", "another file", "Name another place, or move it.")
