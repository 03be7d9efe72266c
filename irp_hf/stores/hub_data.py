"""Data sets of `datasets`: folders of `save_to_disk`, and ids on the Hub."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetDict, load_dataset, load_from_disk
from typing_extensions import override

from irp_hf.checks import quoted
from irp_hf.errors import IRPError, first_line, refusal, shown
from irp_hf.stores.address import Address
from irp_hf.stores.tables import Part, TableStore

MARKS = ("dataset_info.json", "dataset_dict.json", "state.json")


class DataSetStore(TableStore):
    """Rows of a data set in its order, whatever was shuffled or selected."""

    def __init__(self, address: Address) -> None:
        """`datasets:folder-or-id#column`, of a split `datasets:folder-or-id:split#column`. Raises `InputError`."""
        self._set = _load(address.place)
        super().__init__(address, [_Rows(self._set)], address.place)

    @override
    def digest(self) -> str:
        return str(self._set._fingerprint)


class _Rows(Part):
    def __init__(self, found: Dataset) -> None:
        self._set = found.with_format("arrow")
        self.num_rows = len(found)
        self.schema = self._set[0:1].schema if len(found) else found.features.arrow_schema

    def batches(self, start: int, size: int) -> Iterator[pa.RecordBatch]:
        for first in range(start, self.num_rows, size):
            table: pa.Table = self._set[first : first + size]
            yield from table.combine_chunks().to_batches()


def is_saved_set(path: Path) -> bool:
    """Whether a folder is one of `save_to_disk`."""
    return any((path / mark).is_file() for mark in MARKS)


def _load(place: str) -> Dataset:
    """The data set of a folder or an id, with its split after a colon where it has several."""
    name, split = place, None
    if not os.path.exists(place) and ":" in place:
        name, _, split = place.rpartition(":")
    try:
        found: Any = load_from_disk(name) if os.path.exists(name) else load_dataset(name, split=split)
    except IRPError:
        raise
    except Exception as error:  # the loader of whatever lies there
        got = f"{shown(name)} ({type(error).__name__}: {first_line(error)})"
        raise refusal("source", "a folder of save_to_disk, or a data set on the Hub", got, "Check it.") from error
    if isinstance(found, DatasetDict):
        if split is None and len(found) == 1:
            return next(iter(found.values()))
        if split not in found:
            got = "no split" if split is None else shown(split)
            advice = f"Name one: datasets:{name}:{next(iter(found), 'train')}."
            raise refusal(name, f"one of its splits, {quoted(found)},", got, advice)
        return found[split]
    if split is not None and os.path.exists(name):
        raise refusal(
            name, "a folder with splits", f"one without, and the split {shown(split)}", "Leave the split out."
        )
    return found
