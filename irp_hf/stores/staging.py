"""Rows of a destination that are kept on the disk until all are there: a folder of blocks beside it, for one run at a time."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout
from typing_extensions import override

from irp_hf.data.memory import size_of
from irp_hf.disk.atomic import written_file
from irp_hf.disk.leftovers import remove_leftovers
from irp_hf.disk.places import written_in_words
from irp_hf.disk.plain import check_own_folder, read_text
from irp_hf.errors import InputError, first_line, refusal
from irp_hf.stores.base import Matrix, Plan, Store, Writer, vectors_of
from irp_hf.stores.record import LONGEST, StoreRecord

JOURNAL, LOCK, DONE, MADE = "run.json", "lock", "done.json", "made"
BLOCK = re.compile(r"rows-(\d{12})\.arrow")
LARGEST_JOURNAL = 1_000_000  # bytes
GO_ON = "Make room or name another place; a run that is begun again goes on from what it has kept."


class Staging:
    """The folder `<destination>.parts`: a journal, a lock, and a file of Arrow for each block of rows.

    Raises `InputError` where another run has begun there or is at work, and where nothing can be written.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan
        self.date = plan.record.date
        check_own_folder(folder)
        self._lock = FileLock(folder / LOCK, timeout=0)
        fresh = not folder.exists()
        try:
            with written_in_words(folder):
                folder.mkdir(exist_ok=True)
                self._take()
                remove_leftovers(folder / JOURNAL)
                if not self._goes_on():
                    self._begin()
        except BaseException:
            if fresh:  # nothing is left of what could not begin
                self.release()
                shutil.rmtree(folder, ignore_errors=True)
            raise

    def _take(self) -> None:
        try:
            self._lock.acquire()
        except Timeout as error:
            expected, got = "a folder that no other run writes to", "one that is in use"
            raise refusal(str(self.folder), expected, got, "Wait until the other run ends.") from error

    def _goes_on(self) -> bool:
        """Whether this very run was begun before; raises `InputError` where another one was."""
        path = self.folder / JOURNAL
        remove = f"Remove {self.folder}, or name another destination."
        if not path.exists():
            if any(BLOCK.fullmatch(entry.name) for entry in self.folder.iterdir()):
                raise refusal(str(self.folder), "the journal of a run", "rows without one", remove)
            return False
        try:
            found = json.loads(read_text(path, LARGEST_JOURNAL))
            theirs, date = dict(found["run"]), str(found["date"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise refusal(str(path), "the journal of a run", f"another file ({first_line(error)})", remove) from error
        ours = json.loads(json.dumps(self.plan.run))
        other = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
        if other:
            expected = f"the {', '.join(other)} with which it was begun"
            raise refusal(str(self.folder), expected, "another", f"Go on as it was begun. {remove}")
        self.date = date
        return True

    def _begin(self) -> None:
        with written_file(self.folder / JOURNAL) as file:
            file.write(json.dumps({"run": self.plan.run, "date": self.date}, indent=1, sort_keys=True).encode())

    def check_room(self, num_bytes: int) -> None:
        """Raise `InputError` where the disk has less room than that: told now, and not after hours."""
        free = shutil.disk_usage(self.folder).free
        if free < num_bytes:
            expected, got = f"room for {size_of(num_bytes)}", f"{size_of(free)} free"
            raise refusal(str(self.folder.parent), expected, got, "Make room, or name another place.")

    def kept(self) -> int:
        """How many rows, from the first on, are kept."""
        starts = sorted(int(found[1]) for entry in self.folder.iterdir() if (found := BLOCK.fullmatch(entry.name)))
        count = 0
        for start in starts:
            if start != count:
                break
            count += self._read(start).num_rows
        return count

    def write(self, start: int, batch: pa.RecordBatch) -> None:
        """Keep the rows from `start` on, as one file that is there whole or not at all."""
        words = written_in_words(self.folder, advice=GO_ON)
        with words, written_file(self._path(start)) as file, pa.ipc.new_file(file, batch.schema) as writer:
            writer.write_batch(batch)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """What is kept, in order, each mapped from its file."""
        start = 0
        while self._path(start).exists():
            batch = self._read(start)
            yield batch
            start += batch.num_rows

    def set_done(self, record: StoreRecord) -> None:
        """Note that the destination is whole and gets its name now: one that is found there is then this run's own."""
        with written_file(self.folder / DONE) as file:
            file.write(record.to_json().encode())

    def done(self) -> StoreRecord | None:
        """What was noted so; None where it was not."""
        path = self.folder / DONE
        return StoreRecord.from_json(read_text(path, LONGEST), str(path)) if path.exists() else None

    def release(self) -> None:
        """Let other runs have the folder."""
        self._lock.release()

    def remove(self) -> None:
        """The folder and all that this run wrote there."""
        for entry in list(self.folder.iterdir()):
            left = entry.name.startswith(".")  # by a process that was killed as it wrote
            if left or BLOCK.fullmatch(entry.name):
                entry.unlink()
        shutil.rmtree(self.folder / MADE, ignore_errors=True)
        for name in (DONE, JOURNAL):  # last: where this is interrupted, the rest is known as this run's own
            (self.folder / name).unlink(missing_ok=True)
        self.release()
        with contextlib.suppress(OSError):
            (self.folder / LOCK).unlink(missing_ok=True)
            self.folder.rmdir()

    def _path(self, start: int) -> Path:
        return self.folder / f"rows-{start:012d}.arrow"

    def _read(self, start: int) -> pa.RecordBatch:
        path = self._path(start)
        try:
            with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
                if not reader.num_record_batches:  # of no rows
                    return pa.RecordBatch.from_pylist([], reader.schema)
                return reader.get_batch(0)
        except (OSError, pa.ArrowException) as error:
            got = f"a damaged file ({first_line(error)})"
            raise refusal(str(path), "rows that this run has kept", got, f"Remove {self.folder}.") from error


def is_done(folder: Path) -> bool:
    """Whether a run whose blocks are kept there has let its destination appear, and was ended before it removed them.

    Of one that was ended as it removed the very last, the folder is removed now.
    """
    if (folder / DONE).exists() and (folder / JOURNAL).exists():
        return True
    _remove_emptied(folder)
    return False


def _remove_emptied(folder: Path) -> None:
    """Remove the folder of a run that is not at work and keeps nothing in it."""

    def is_empty() -> bool:
        return {entry.name for entry in folder.iterdir()} <= {JOURNAL, LOCK}

    if folder.is_symlink() or not folder.is_dir() or not is_empty():
        return
    lock = FileLock(folder / LOCK, timeout=0)
    with contextlib.suppress(OSError, RuntimeError):  # it is in use, by this thread even, or may not be written
        with lock:
            if is_empty():  # still
                (folder / JOURNAL).unlink(missing_ok=True)
        (folder / LOCK).unlink(missing_ok=True)
        folder.rmdir()


class StagedWriter(Writer):
    """A destination that is made from the blocks that were kept, once all are there."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        """The blocks are kept in `folder`, on the disk on which the destination will be."""
        self.plan = plan
        self._staging = Staging(folder, plan)
        self.date = self._staging.date
        if self._staging.done() is not None:
            return
        try:
            left = plan.record.num_rows - self.kept()
            rows = left + plan.record.num_rows  # the blocks that are left, and the whole
            self._staging.check_room(rows * row_bytes(plan.schema))
        except BaseException:
            self._staging.release()
            if not self.kept():
                self._staging.remove()
            raise

    @override
    def ended(self) -> StoreRecord | None:
        return self._staging.done()

    @override
    def kept(self) -> int:
        return self._staging.kept()

    @override
    def write(self, start: int, batch: pa.RecordBatch) -> None:
        self._staging.write(start, batch)

    @override
    def batches(self) -> Iterator[pa.RecordBatch]:
        return self._staging.batches()

    @override
    def discard(self) -> None:
        self._staging.remove()

    def already_there(self, opens: Callable[[], Store]) -> Store | None:
        """The destination, where this very run had let it appear and was ended then; `opens` raises where nothing is."""
        if (record := self._staging.done()) is None:
            return None
        with contextlib.suppress(InputError):
            store = opens()
            if store.record() == record:
                return store
            store.close()
        return None

    def check_written(self, store: Store) -> None:
        """Raise `InputError` where what the destination gives back are not the vectors that were kept."""
        kept = self.batches()
        if (first := next(kept, None)) is None:
            return
        there = store.batches(0, first.num_rows)
        for start, one in enumerate(itertools.chain([first], kept)):
            other = next(there, None)
            found = None if other is None else vectors_of(other, store.column)
            if found is None or not _alike(vectors_of(one, self.plan.column), found):
                expected, got = "the vectors that were written", f"others from row {start * first.num_rows}"
                raise refusal(str(store.address), expected, got, "Check the disk, remove it, and run again.")

    def __exit__(self, *error: object) -> None:
        self._staging.release()


def _alike(one: Matrix, other: Matrix) -> bool:
    """Whether both have the same numbers; those of half precision are slow to compare, and their bytes are not."""
    if one.dtype == other.dtype and one.tobytes() == other.tobytes():
        return True
    return np.array_equal(one, other)


def beside(place: Path, *names: str) -> Path:
    """The folder beside a data base in which rows of one destination in it are kept."""
    return Path(".".join([str(place), *(re.sub(r"[^\w-]+", "_", name) for name in names if name), "parts"]))


def row_bytes(schema: pa.Schema) -> int:
    """About how many bytes a row takes: of texts nobody knows."""
    total = 0
    for field in schema:
        kind, count = field.type, 1
        if pa.types.is_fixed_size_list(kind):
            kind, count = kind.value_type, kind.list_size
        total += count * max(kind.bit_width // 8, 1) if pa.types.is_primitive(kind) else 16
    return total
