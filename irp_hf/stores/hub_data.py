"""Data sets of `datasets`: folders of `save_to_disk`, and ids on the Hub."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from datasets import Dataset, DatasetDict, DatasetInfo, Features, load_dataset, load_from_disk
from typing_extensions import override

from irp_hf.checks import quoted
from irp_hf.disk.atomic import replaced_folder, written_file
from irp_hf.disk.places import sync
from irp_hf.errors import IRPError, first_line, refusal, shown
from irp_hf.stores.address import Address
from irp_hf.stores.base import Matrix, Plan, Store
from irp_hf.stores.files import FileWriter, changed_meanwhile, digest_of_files, read_sidecar, write_sidecar
from irp_hf.stores.parts import Part
from irp_hf.stores.record import StoreRecord
from irp_hf.stores.tables import TableStore

MARKS = ("dataset_info.json", "dataset_dict.json", "state.json")
ROWS = "data-00000-of-00001.arrow"  # what `save_to_disk` calls the one file of rows
STATE: dict[str, Any] = {
    "_format_columns": None,
    "_format_kwargs": {},
    "_format_type": None,
    "_output_all_columns": False,
    "_split": None,
}


class DataSetStore(TableStore):
    """Rows of a data set in its order, whatever was shuffled or selected."""

    def __init__(self, address: Address) -> None:
        """`datasets:folder-or-id#column`, of a split `datasets:folder-or-id:split#column`. Raises `InputError`."""
        self.address = address
        self._open()

    def _open(self) -> None:
        self._set, self._folder = _load(self.address.place)
        self._first_digest = self._digest()
        if self._folder is not None:  # once more, after its digest: what is changed from now on is seen
            self._set, _ = _load(self.address.place)
        super().__init__(self.address, [_Rows(self._set)], self.address.place)

    @property
    def features(self) -> Features:
        """What `datasets` knows of each column: names of classes, pictures, ..."""
        return self._set.features

    @override
    def digest(self) -> str:
        """As `Store` has it; raises `InputError` where a folder is no more what was opened: the rows here are older then."""
        if self._digest() != self._first_digest:
            raise changed_meanwhile(self.address)
        return self._first_digest

    def _digest(self) -> str:
        """Of a folder as it is now; what was loaded from the Hub stays as it is."""
        if self._folder is None:
            return str(self._set._fingerprint)
        try:
            state = (self._folder / "state.json").read_bytes()
            files = [self._folder / str(file["filename"]) for file in json.loads(state)["_data_files"]]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise changed_meanwhile(self.address) from error
        return hashlib.sha256(state + digest_of_files(files).encode()).hexdigest()

    @override
    def record(self) -> StoreRecord | None:
        return self.noted(self.column)

    @override
    def has_noted(self, column: str) -> bool:
        return self.noted(column) is not None

    @override
    def replace(self, rows: Matrix, vectors: Matrix, record: StoreRecord) -> None:
        schema = self._with_flag()
        with replaced_folder(self.address.place) as fresh:
            features = _features(schema, self.features, self.column)
            _save(fresh, self.column, features, self._replaced(rows, vectors, schema), record, self.digest())
            self.digest()  # raises where this is another folder by now, which stays
        self._open()

    def noted(self, column: str) -> StoreRecord | None:
        """What irp_hf noted as it wrote a column."""
        place = Path(self.address.place)
        return read_sidecar(_beside(place, column)) if place.is_dir() else None


class DataSetWriter(FileWriter):
    """A new folder, as `save_to_disk` writes one."""

    def __init__(self, address: Address, plan: Plan) -> None:
        if ":" in (name := Path(address.place).name):  # a folder called so would hide that split of the other
            expected, got = "a folder without a split", shown(str(address))
            raise refusal("destination", expected, got, f"Leave out {shown(name[name.index(':') :])}.")
        super().__init__(address, plan)

    @override
    @classmethod
    def column(cls, address: Address, source: Store) -> str:
        return address.inside or source.column

    @override
    def _assemble(self, record: StoreRecord, path: Path) -> None:
        source = self.plan.source
        own = source if isinstance(source, DataSetStore) else None
        features = _features(self.plan.schema, Features() if own is None else own.features, self.plan.column)
        path.mkdir()
        _save(path, self.plan.column, features, self.batches(), record)
        for name in features:
            if own is not None and name != self.plan.column and (told := own.noted(name)) is not None:
                write_sidecar(_beside(path, name), told)

    @override
    def _opened(self, path: Path) -> Store:
        return DataSetStore(Address("datasets", str(path), self.plan.column))


def _features(schema: pa.Schema, known: Features, column: str) -> Features:
    """Of the columns of a schema: what was known of those that are carried over, and else by their types."""
    found = Features.from_arrow_schema(schema.remove_metadata())
    return Features({name: known[name] if name in known and name != column else one for name, one in found.items()})


def _save(
    folder: Path,
    column: str,
    features: Features,
    batches: Iterator[pa.RecordBatch],
    record: StoreRecord,
    before: str = "",
) -> None:
    """Rows into a folder, which `load_from_disk` reads, and beside them the record of their vectors; `before` is its digest."""
    schema = features.arrow_schema
    with written_file(folder / ROWS) as file, pa.ipc.new_stream(file, schema) as writer:
        for batch in batches:
            columns = [batch.column(field.name).cast(field.type) for field in schema]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    digest = hashlib.sha256(f"{before} {record.to_json()}".encode()).hexdigest()[:16]
    state = {**STATE, "_data_files": [{"filename": ROWS}], "_fingerprint": digest}
    with written_file(folder / "state.json") as file:
        file.write(json.dumps(state, indent=2, sort_keys=True).encode())
    DatasetInfo(features=features).write_to_directory(str(folder))
    sync(folder / "dataset_info.json")
    write_sidecar(_beside(folder, column), record)


def _beside(folder: Path, column: str) -> Path:
    """The name, of no file, beside which the record of a column lies."""
    return folder / quote(column, safe="")


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


def _load(place: str) -> tuple[Dataset, Path | None]:
    """The data set of a folder or an id, with its split after a colon where it has several, and the folder it lies in."""
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
    folder = Path(name) if os.path.exists(name) else None
    if isinstance(found, DatasetDict):
        if split is None and len(found) == 1:
            split = next(iter(found))
        if split is None or split not in found:
            got = "no split" if split is None else shown(split)
            advice = f"Name one: datasets:{name}:{next(iter(found), 'train')}."
            raise refusal(name, f"one of its splits, {quoted(found)},", got, advice)
        return found[split], None if folder is None else folder / split
    if split is not None and folder is not None:
        raise refusal(
            name, "a folder with splits", f"one without, and the split {shown(split)}", "Leave the split out."
        )
    return found, folder
