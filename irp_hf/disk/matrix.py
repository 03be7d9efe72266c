"""A matrix that is written batch by batch to a `.npy` file, and goes on where it was after an interruption.

Two files stand beside it: `<out>.part`, the matrix on its way, and `<out>.json`, the journal: which run this is, and how many
of its batches are on the disk. Data is synced before the journal says so; the finished matrix takes its name in one step.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import Tensor
from typing_extensions import Self

from irp_hf.disk.atomic import lock, sync, written_file
from irp_hf.errors import InputError

FORMAT_VERSION = 1
SYNC_SECONDS = 1.0  # at most so much work is done anew; syncing every batch would slow a fast encoder down


@dataclass(frozen=True)
class Run:
    """What makes two runs the same."""

    encoder: dict[str, Any]
    num_rows: int
    batch_size: int
    items: str
    """The digest of all items in order."""
    block_size: int = 0
    """Where rows are shared out by blocks: how many of them one holds."""

    def check(self, journal: Path) -> dict[str, Any]:
        """Read a journal, {} where there is none; raise `InputError` where it is another run's."""
        try:
            found = json.loads(journal.read_text(encoding="utf-8"))
            theirs, ours = _flat(found["run"]), _flat(asdict(self))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{journal} is no journal of a run. Name another place, or move it.") from error
        for key in ours | theirs:
            if theirs.get(key) != ours.get(key):
                raise InputError(
                    f"{journal} is of another run: its {key} is {theirs.get(key)!r}, now {ours.get(key)!r}. "
                    "Name another place, or remove what that run wrote."
                )
        return found  # type: ignore[no-any-return]

    def note(self, journal: Path, **state: Any) -> None:
        """Write the journal, in one step."""
        with written_file(journal) as file:
            file.write(json.dumps({"format_version": FORMAT_VERSION, "run": asdict(self), **state}, indent=1).encode())


def _flat(run: dict[str, Any]) -> dict[str, Any]:
    return {**run, **{f"encoder's {key}": value for key, value in run["encoder"].items()}, "encoder": None}


class MatrixFile:
    """The file of one run, float32 `(n, d)`; a context in which batches are written, and which finishes it."""

    batches_done = 0

    def __init__(self, out: str | os.PathLike[str], run: Run) -> None:
        """Raise `InputError` where `out` is no `.npy` file in a folder that is there."""
        self._out, self._run = check_out(out), run
        self._part, self._journal = (self._out.with_name(self._out.name + end) for end in (".part", ".json"))
        self._matrix: Any = None
        self._lock: int | None = None
        self._synced = time.monotonic()

    def __enter__(self) -> Self:
        """Find out how far the run is.

        Raises `InputError` where a file stands in the way that is not this run's, and where another process writes it.
        """
        self._look()
        if not self._out.exists():
            try:
                self._lock = lock(self._part)
            except BlockingIOError as error:
                raise InputError(f"{self._part} is being written by another process. Wait for it.") from error
            except OSError as error:
                raise InputError(
                    f"{self._part} cannot be written ({error.strerror}). Name a place that can be."
                ) from error
            self._look()  # another process may have finished just now
            if self.batches_done:
                self._matrix = np.load(self._part, mmap_mode="r+")
        return self

    def write(self, rows: list[int], vectors: Tensor) -> None:
        """Put the next batch of vectors `(b, d)` into its rows."""
        if self._matrix is None:
            self._begin(vectors.shape[1])
        if vectors.shape[1] != self._matrix.shape[1]:
            raise InputError(
                f"{self._run.encoder['id']} makes {vectors.shape[1]} columns, but {self._part} has {self._matrix.shape[1]}. "
                "It is another encoder of the same name: name another file."
            )
        self._matrix[rows] = vectors.numpy()
        self.batches_done += 1
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self._sync()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Finish the file, or keep what is done for the next run."""
        try:
            if self._matrix is not None:
                with contextlib.nullcontext() if kind is None else contextlib.suppress(OSError):
                    self._sync()
                if kind is None:
                    self._matrix = None
                    self._part.replace(self._out)
                    sync(self._out.parent)
            elif self._lock is not None and not self._part.stat().st_size:
                self._part.unlink()
        finally:
            self._matrix = None
            if self._lock is not None:
                os.close(self._lock)

    def result(self) -> Tensor:
        """The finished matrix, mapped from its file; changing it does not change the file."""
        return torch.from_numpy(np.load(self._out, mmap_mode="c"))

    def _look(self) -> None:
        journal = self._run.check(self._journal)
        self.batches_done = journal.get("batches_done", 0)
        shape = (self._run.num_rows, journal.get("width"))
        finished = self.batches_done * self._run.batch_size >= self._run.num_rows
        if self._out.exists():
            if not finished or _shape(self._out) != shape:
                raise _not_ours(self._out)
        elif not self._part.exists() or not self._part.stat().st_size:
            self.batches_done = 0
        elif not journal or (self.batches_done and _shape(self._part) != shape):
            raise _not_ours(self._part)

    def _begin(self, width: int) -> None:
        self._run.note(self._journal, batches_done=0, width=width)
        self._matrix = open_memmap(self._part, "w+", np.float32, (self._run.num_rows, width))
        if hasattr(os, "posix_fallocate"):
            try:  # now, and not by a signal on the way
                with open(self._part, "r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, self._part.stat().st_size)
            except OSError as error:
                raise InputError(
                    f"There is no room for {self._run.num_rows} rows of {width} at {self._part} ({error.strerror}). "
                    "Name another place."
                ) from error

    def _sync(self) -> None:
        self._matrix.flush()
        sync(self._part)
        self._run.note(self._journal, batches_done=self.batches_done, width=self._matrix.shape[1])
        self._synced = time.monotonic()


def check_out(out: Any) -> Path:
    """The path of a file to write to; raise `InputError` where it is no `.npy` file in a folder that is there."""
    if not isinstance(out, str | os.PathLike) or not os.fspath(out).endswith(".npy"):
        raise InputError(f"out is {str(out)!r}, but a .npy file is written. Name one: embeddings.npy, say.")
    if not Path(out).parent.is_dir():
        raise InputError(f"out is {str(out)!r}, but its folder is not there. Make it first.")
    return Path(out)


def _shape(path: Path) -> tuple[int, ...] | None:
    try:
        matrix = np.load(path, mmap_mode="r")
    except (OSError, ValueError):
        return None
    return tuple(matrix.shape) if matrix.dtype == np.float32 else None


def _not_ours(path: Path) -> InputError:
    return InputError(f"{path} is there already and not of this run. Name another file, or move it.")
