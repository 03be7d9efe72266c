"""Results that are made block by block and kept on the disk, so that a run that was interrupted goes on where it was.

A run writes *parts*: files that hold one block of rows, or several on end, each whole or not at all. The name of a part says
which blocks it holds, so that what is done is read off a folder and nothing else must be counted. When all blocks are there,
the parts are joined, and the joined arrays take their names in one step each. A journal beside them says which run this is
and, once it is joined, which arrays are its own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout
from numpy.lib.format import open_memmap
from typing_extensions import Self

from irp_hf.disk.atomic import check_path, sync, written_file
from irp_hf.disk.journal import Run
from irp_hf.errors import InputError, IRPError, first_line, kind_of, refusal, shown

LOCK = "lock"  # the file that a run at work locks, beside its parts
ONLY = "values"  # the name of a result that is one array
ROWS = "rows of the result"  # where a part's rows go; no identifier, so that no array of a result is called so
PART = re.compile(r"(\d{7,})(?:-(\d{7,}))?\.npz")

# Blocks that are made fast are gathered into one part: a part costs some milliseconds, and ten hours make some 260 parts.
GATHER_SECONDS = 1.0  # at most so much work is lost with a process,
GATHER_SHARE = 0.03  # or this share of the time so far
GATHER_BYTES = 32 * 2**20  # and as much again while the part is written

Arrays = dict[str, np.ndarray[Any, Any]]


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
        self, run: Run, journal: Path, parts: Path, final: Callable[[str], Path], *, gather: bool = False
    ) -> None:
        """`final` gives the file of a joined array by its name; `gather` puts blocks that are made fast into one part."""
        self.run, self.journal, self.parts, self._final = run, journal, parts, final
        self.count = -(-run.num_rows // run.rows_per_block)
        self._gather = gather
        self._gathered: list[Block] = []
        self._bytes = 0  # of what is gathered
        self._begun = self._written = time.monotonic()
        self._kinds: str | None = None  # of the arrays of all blocks
        self._lock: contextlib.ExitStack | None = None  # in the process that begins and joins

    @classmethod
    def for_file(cls, out: Path, run: Run, *, gather: bool = False) -> Self:
        """One array in the file `out`, with the journal `<out>.json` and the folder `<out>.parts` beside it."""
        return cls(run, Path(f"{out}.json"), Path(f"{out}.parts"), lambda _: out, gather=gather)

    @classmethod
    def for_folder(cls, folder: Path, run: Run) -> Self:
        """A file `<name>.npy` for each array in `folder`."""
        return cls(run, folder / "run.json", folder / "parts", lambda name: folder / f"{name}.npy")

    def rows(self, block: int) -> range:
        """The rows of a block."""
        start = block * self.run.rows_per_block
        return range(start, min(start + self.run.rows_per_block, self.run.num_rows))

    def begin(self) -> list[int] | None:
        """The blocks that are still to be done; None where all is joined already. For one process alone.

        Raises `InputError` where a file stands in the way that is not this run's, where another run is at work, and where
        nothing can be written.
        """
        with _refused_in_words(self.parts), contextlib.ExitStack() as stack:
            if not self._is_finished():
                self.parts.mkdir(parents=True, exist_ok=True)
                stack.enter_context(_lock(self.parts))
                if not self._is_finished():  # nor by another process just now
                    if not self.journal.exists():
                        self.run.write(self.journal)
                    self._lock = stack.pop_all()
                    self._begun = self._written = time.monotonic()
                    return self.left()
        if (self.parts / LOCK).exists():  # of a run that was killed as it ended
            with contextlib.suppress(InputError, OSError), _lock(self.parts):  # refused where one just ends
                self._remove_parts()
        self._remove_folder()
        return None

    def left(self) -> list[int]:
        """The blocks of which no part is there."""
        done = {block for blocks, _ in self._found() for block in blocks}
        return [block for block in range(self.count) if block not in done]

    def write(self, block: int, result: Any, rows: Sequence[int] | None = None) -> None:
        """Keep what was made of a block: an array, or a dict of arrays, with one row for each of the block's.

        `rows` says where in the whole they go, where that is not to the block's own rows in their order.
        """
        arrays = _named(result, len(self.rows(block)), block)
        self._refuse_unlike(arrays, block)
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
            expected, got = f"parts of {self.count} blocks", f"none of block {left[0]}"
            raise refusal(str(self.parts), expected, got, "Run again: what is missing is made then.")
        parts = self._found()
        _, first = self._load(*parts[0])
        self._kinds = _kinds(first)
        if self._names() is None:
            for name in first:
                if self._final(name).exists():
                    raise _not_ours(self._final(name))
        with _refused_in_words(self.parts):
            joined = self._reserved(first)
            for blocks, path in parts:
                rows, arrays = self._load(blocks, path)
                self._refuse_unlike(arrays, blocks[0])
                for name, array in arrays.items():
                    joined[name][rows] = array
            for name, matrix in joined.items():
                matrix.flush()
                sync(self._fresh(name))
            self.run.write(self.journal, names=list(first))  # from now on, what has a final name is ours
            for name in first:
                self._fresh(name).replace(self._final(name))
                sync(self._final(name).parent)

    def results(self) -> Arrays:
        """The joined arrays, mapped from their files; changing them does not change the files.

        Raises `InputError` for a file that holds no array.
        """
        return {name: _mapped(self._final(name)) for name in self._names() or ()}

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
                    ended = joined or not self._found()
                    if ended:  # all is removed while no other run can begin, which would lose its own
                        self._remove_parts(journal=not joined)
                if ended:
                    self._remove_folder()

    def _remove_parts(self, *, journal: bool = False) -> None:
        """Remove the parts, and the journal where that is said, and last the file that is locked meanwhile."""
        with contextlib.suppress(OSError):
            for path in self.parts.iterdir():
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                elif path.name != LOCK:
                    path.unlink(missing_ok=True)
        if journal:
            self.journal.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # Windows removes no open file
            (self.parts / LOCK).unlink(missing_ok=True)

    def _remove_folder(self) -> None:
        """Remove the folder of the parts where it is empty."""
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                (self.parts / LOCK).unlink(missing_ok=True)
            self.parts.rmdir()

    def _is_finished(self) -> bool:
        """Whether all is joined; raises `InputError` where a file stands in the way that is not this run's."""
        names = self._names()
        if names is not None:
            for final in map(self._final, names):
                if final.exists() and _length(final) != self.run.num_rows:
                    raise _not_ours(final)
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
        return journal.get("names", [ONLY] if whole else None)

    def _found(self) -> list[tuple[range, Path]]:
        """The parts that are there, and which blocks they hold, in order."""
        names = os.listdir(self.parts) if self.parts.exists() else []
        parts = [(match, self.parts / name) for name in names if (match := PART.fullmatch(name))]
        return sorted(
            ((range(int(match[1]), int(match[2] or match[1]) + 1), path) for match, path in parts),
            key=lambda part: part[0].start,
        )

    def _flush(self) -> None:
        """Write what was gathered, as one part."""
        if not self._gathered:
            return
        gathered, first, last = self._gathered, self._gathered[0].number, self._gathered[-1].number
        arrays = {name: np.concatenate([block.arrays[name] for block in gathered]) for name in gathered[0].arrays}
        rows = np.concatenate([np.asarray(block.rows) for block in gathered])
        with _refused_in_words(self.parts):
            if self._lock is not None and not any(self._fresh(name).exists() for name in arrays):
                self._reserved(arrays)  # a disk that is too small is told now, and not after hours
            name = f"{first:07d}.npz" if first == last else f"{first:07d}-{last:07d}.npz"
            with written_file(self.parts / name) as file:
                np.savez(file, **{ROWS: rows}, **arrays)  # type: ignore[arg-type]
        self._gathered, self._bytes, self._written = [], 0, time.monotonic()

    def _load(self, blocks: range, path: Path) -> tuple[np.ndarray[Any, Any], Arrays]:
        """Where the rows of a part go, and its arrays."""
        try:
            with np.load(path) as stored:
                arrays = dict(stored)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            got = f"a damaged one ({first_line(error)})"
            raise refusal(str(path), "a whole part of this run", got, "Remove it and run again.") from error
        rows = arrays.pop(ROWS, None)
        if rows is None:  # as parts of one block once were
            rows = np.arange(self.rows(blocks[0]).start, self.rows(blocks[-1]).stop)
        return rows, arrays

    def _refuse_unlike(self, arrays: Arrays, block: int) -> None:
        """Raise `InputError` for other arrays than those of the blocks before."""
        if self._kinds is None:
            found = self._found()
            self._kinds = _kinds(self._load(*found[0])[1] if found else arrays)
        if _kinds(arrays) != self._kinds:
            advice = "Return the same arrays for every block; where the function has changed, name another place."
            raise refusal(f"Block {block}", f"{self._kinds}, as of the blocks before", _kinds(arrays), advice)

    def _fresh(self, name: str) -> Path:
        """The file of a joined array before it takes its name."""
        return self.parts / f"{name}.npy"

    def _reserved(self, like: Arrays) -> dict[str, np.memmap[Any, Any]]:
        """Files for the joined arrays, mapped. The disk gives their space now: a map of a full one ends in a signal."""
        matrices: dict[str, np.memmap[Any, Any]] = {}
        for name, array in like.items():
            path = self._fresh(name)
            matrices[name] = open_memmap(path, "w+", array.dtype, (self.run.num_rows, *array.shape[1:]))
            if hasattr(os, "posix_fallocate"):
                with open(path, "r+b") as file:
                    try:
                        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
                    except OSError as error:
                        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems have no such call
                            raise
        return matrices


def check_out(out: Any) -> Path:
    """The path of a file to write to; raises `InputError` where it is no `.npy` file in a folder that is there."""
    path = check_path("out", out)
    if path.suffix != ".npy":
        raise refusal("out", "the path of a .npy file", shown(str(path)), "Name one: embeddings.npy, say.")
    try:
        there = path.parent.is_dir()
    except OSError:  # a name that is too long
        there = False
    if not there:
        raise refusal("out", "a file in a folder that is there", shown(str(path)), "Make its folder first.")
    return path


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Lock a folder, until the process ends at the latest; raises `InputError` where another one holds it."""
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        expected, got = "a folder that no other run writes to", "one that is in use"
        raise refusal(str(folder), expected, got, "Wait until the other run ends.") from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _refused_in_words(place: Path) -> Iterator[None]:
    """Raise `InputError` for what the disk does not give: room, permission, so long a name."""
    try:
        yield
    except IRPError:
        raise
    except (OSError, NotImplementedError) as error:  # the latter from a file system without locks
        reason = getattr(error, "strerror", None) or first_line(error)
        advice = "Make room or name another place; a run that is begun again goes on from what it has kept."
        raise refusal(str(place), "a place that can be written", f"the error: {reason}", advice) from error


def _not_ours(path: Path) -> InputError:
    return refusal(str(path), "nothing there, or a file of this run", "another file", "Name another place, or move it.")


def _mapped(path: Path) -> np.ndarray[Any, Any]:
    try:
        array: np.ndarray[Any, Any] = np.load(path, mmap_mode="c")
    except (OSError, TypeError, ValueError) as error:
        got = f"an error ({first_line(error)})"
        raise refusal(str(path), "the array that this run wrote", got, "Remove it and run again.") from error
    return array


def _length(path: Path) -> int | None:
    """How many rows the array in a file has; None where it is no array."""
    try:
        return len(np.load(path, mmap_mode="r"))
    except (OSError, ValueError, TypeError):
        return None


def _named(result: Any, num_rows: int, block: int) -> Arrays:
    """The arrays of a result by name; raises `InputError` unless each has a row of numbers for each item."""
    given = result if isinstance(result, Mapping) else {ONLY: result}
    if not given or not all(isinstance(name, str) and name.isidentifier() for name in given):
        advice = "Name each array by an identifier: logits, say."
        raise refusal(f"Block {block}", "arrays whose names are identifiers", shown(list(given)), advice)
    arrays = {name: _array(value, f"Block {block}") for name, value in given.items()}
    for name, array in arrays.items():
        if array.ndim < 1 or len(array) != num_rows or array.dtype.kind not in "biufc":
            advice = "Return numbers, one row for each item: one array, or a dict of arrays."
            got = f"{name} {array.dtype} of shape {array.shape}"
            raise refusal(f"Block {block}", f"numbers in {num_rows} rows", got, advice)
    return arrays


def _array(value: Any, place: str) -> np.ndarray[Any, Any]:
    if hasattr(value, "detach"):  # a tensor, known by what it can do: this folder needs numpy alone
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()  # numpy has no bfloat16
    try:
        array: np.ndarray[Any, Any] = np.asarray(value)
    except (TypeError, ValueError) as error:
        advice = "Return one array, or a dict of arrays."
        raise refusal(place, "arrays of numbers", f"{kind_of(value)} ({first_line(error)})", advice) from error
    return array


def _kinds(arrays: Arrays) -> str:
    return ", ".join(f"{name} {array.dtype}{list(array.shape[1:])}" for name, array in sorted(arrays.items()))
