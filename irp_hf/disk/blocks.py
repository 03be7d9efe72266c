"""Blocks of rows in files of their own, until they are joined: whole blocks survive whatever happens to a process."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from irp_hf.disk.atomic import lock, sync, written_file
from irp_hf.disk.matrix import Run
from irp_hf.errors import InputError

ONLY = "values"  # the name of a result that is one array
Arrays = dict[str, np.ndarray[Any, Any]]


class Blocks:
    """The files of one run: a journal, a folder of parts, and the joined arrays."""

    def __init__(self, run: Run, journal: Path, parts: Path, final: Callable[[str], Path]) -> None:
        """`final` tells the file of a joined array by its name."""
        self.run, self.journal, self._parts, self._final = run, journal, parts, final
        self._lock: int | None = None
        self.count = -(-run.num_rows // run.block_size)

    def rows(self, block: int) -> range:
        """The rows of a block."""
        start = block * self.run.block_size
        return range(start, min(start + self.run.block_size, self.run.num_rows))

    def begin(self) -> list[int] | None:
        """The blocks that are still to be done; None where all is joined already. For one process alone.

        Raises `InputError` where a file stands in the way that is not this run's, and where another run is at work.
        """
        names = self.run.check(self.journal).get("names")
        if names is None:
            theirs = next((path for path in (self._final(ONLY), self._parts) if path.exists()), None)
            if theirs is not None and (theirs != self._parts or not self.journal.exists()):
                raise _not_ours(theirs)
        elif all(self._final(name).exists() for name in names):
            shutil.rmtree(self._parts, ignore_errors=True)
            return None
        try:
            if names is None:
                self.journal.parent.mkdir(parents=True, exist_ok=True)
                self.run.note(self.journal)
            self._parts.mkdir(exist_ok=True)
            self._lock = lock(self._parts / "lock")
        except BlockingIOError as error:
            raise InputError(f"{self._parts} is being written by another run. Wait for it.") from error
        except OSError as error:
            raise InputError(
                f"{self._parts} cannot be written ({error.strerror}). Name a place that can be."
            ) from error
        return [block for block in range(self.count) if not self._part(block).exists()]

    def write(self, block: int, result: Any) -> None:
        """Keep what was made of a block, whole or not at all."""
        arrays = _named(result, len(self.rows(block)), block)
        with written_file(self._part(block)) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def complete(self) -> bool:
        """Whether all parts are there, or joined already."""
        return self.joined() or all(self._part(block).exists() for block in range(self.count))

    def joined(self) -> bool:
        """Whether the joined arrays are there."""
        names = self.run.check(self.journal).get("names")
        return names is not None and all(self._final(name).exists() for name in names)

    def join(self) -> None:
        """Make one file of each array, in one step, and remove the parts. For one process alone."""
        first = self._load(0)
        joined = {self._parts / f"{name}.npy": self._final(name) for name in first}
        if "names" not in self.run.check(self.journal):
            for final in joined.values():
                if final.exists():
                    raise _not_ours(final)
        matrices = {
            name: open_memmap(fresh, "w+", array.dtype, (self.run.num_rows, *array.shape[1:]))
            for fresh, (name, array) in zip(joined, first.items(), strict=True)
        }
        for block in range(self.count):
            rows, arrays = self.rows(block), self._load(block)
            if _kinds(arrays) != _kinds(first):
                raise InputError(
                    f"The function made {_kinds(arrays)} of block {block}, but {_kinds(first)} of block 0. "
                    "Make the same arrays of all."
                )
            for name, array in arrays.items():
                matrices[name][rows.start : rows.stop] = array
        for fresh, matrix in zip(joined, matrices.values(), strict=True):
            matrix.flush()
            sync(fresh)
        self.run.note(self.journal, names=list(first))  # from now on, what has a final name is ours
        for fresh, final in joined.items():
            fresh.replace(final)
            sync(final.parent)
        shutil.rmtree(self._parts, ignore_errors=True)

    def close(self) -> None:
        """Let another run at the files."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def results(self) -> Arrays:
        """The joined arrays, mapped from their files; changing them does not change the files."""
        names = self.run.check(self.journal)["names"]
        return {name: np.load(self._final(name), mmap_mode="c") for name in names}

    def _load(self, block: int) -> Arrays:
        try:
            with np.load(self._part(block)) as arrays:
                return dict(arrays)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"{self._part(block)} is damaged ({error}). Remove it and run again.") from error

    def _part(self, block: int) -> Path:
        return self._parts / f"{block:07d}.npz"


def _named(result: Any, num_rows: int, block: int) -> Arrays:
    """The arrays of a result by name; raise `InputError` unless each has a row of numbers for each item."""
    given = result if isinstance(result, Mapping) else {ONLY: result}
    arrays = {str(name): _array(value) for name, value in given.items()}
    for name, array in arrays.items():
        if array.ndim < 1 or len(array) != num_rows or array.dtype.kind not in "biufc":
            raise InputError(
                f"The function made {_kinds({name: array})} of the {num_rows} items of block {block}, of shape {array.shape}. "
                "Return numbers, one row for each item: one array, or a dict of arrays."
            )
    if not arrays or not all(name.isidentifier() for name in arrays):
        raise InputError(
            f"The function named its arrays {list(arrays)!r}. Give names that are identifiers: logits, say."
        )
    return arrays


def _array(value: Any) -> np.ndarray[Any, Any]:
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()  # numpy has no bfloat16
    array: np.ndarray[Any, Any] = np.asarray(value)
    return array


def _kinds(arrays: Arrays) -> str:
    return ", ".join(f"{name} {array.dtype}{list(array.shape[1:])}" for name, array in sorted(arrays.items()))


def _not_ours(path: Path) -> InputError:
    return InputError(f"{path} is there already and not of this run. Name another place, or move it.")
