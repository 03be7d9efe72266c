"""Sources that somebody else changes, moves or removes while they are read, and folders that are not what they seem."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from database_kinds import DATABASES
from datasets import Dataset, DatasetDict
from store_kinds import KINDS as FILES
from store_kinds import Kind, parallel, some_rows, table_of

from irp_hf import InputError, IRPAdapter
from irp_hf.stores import base, open_store, translate_store
from irp_hf.stores import translate as translating
from irp_hf.stores.record import StoreRecord
from irp_hf.stores.tables import TableStore

KINDS, ONE_FILE = [*FILES, *DATABASES], ("npy", "safetensors", "parquet", "arrow", "faiss-flat")
SOURCE = parallel(30, seed=5)[0]
TABLE = table_of(some_rows(SOURCE))


@pytest.fixture(scope="module")
def adapter() -> IRPAdapter:
    return IRPAdapter.from_anchors(*parallel(60), method="whitened")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files of a table."""
    made = tmp_path / "source"
    made.mkdir()
    for name, start in (("a", 0), ("b", 15)):
        pq.write_table(TABLE.slice(start, 15), made / f"{name}.parquet")
    return made


def add(folder: Path) -> None:
    pq.write_table(TABLE, folder / "c.parquet")


def remove(folder: Path) -> None:
    (folder / "a.parquet").unlink()


def write_anew(folder: Path) -> None:
    pq.write_table(TABLE.slice(15).take(list(range(14, -1, -1))), folder / "b.parquet")


def change_within(monkeypatch: pytest.MonkeyPatch, change: Callable[[], Any]) -> None:
    """Let something change after each block that a translation makes."""
    whole = translating._Work._translated

    def changes(self: Any, batch: Any, start: int) -> Any:
        made = whole(self, batch, start)
        change()
        return made

    monkeypatch.setattr(translating._Work, "_translated", changes)


@pytest.mark.parametrize("change", [add, remove, write_anew])
def test_a_folder_that_is_changed_meanwhile(
    change: Any, folder: Path, adapter: IRPAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """If it fails, rows that were there at the end are missing without a word, or the system's own error is shown."""
    change_within(monkeypatch, lambda: change(folder))
    with pytest.raises(InputError, match="changed meanwhile"):
        translate_store(folder, adapter, tmp_path / "moved.parquet", check=False)
    assert os.listdir(tmp_path) == ["source"], "what was kept of it stays, or is taken for a whole one"


@pytest.mark.parametrize("change", [add, remove, write_anew])
def test_a_store_that_was_opened_long_ago(change: Any, folder: Path, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, a store that was opened before a change passes for what lies there now, and rows are missing."""
    with open_store(folder) as store:
        change(folder)
        with pytest.raises(InputError, match="changed meanwhile"):
            translate_store(store, adapter, tmp_path / "moved.parquet", check=False)
    assert os.listdir(tmp_path) == ["source"]


@pytest.mark.parametrize("gone", [False, True], ids=["anew", "gone"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name in ONE_FILE], ids=lambda kind: kind.name)
def test_a_file_that_was_opened_long_ago(kind: Kind, gone: bool, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, a run that goes on later puts rows of two states of a file into one store."""
    with open_store(kind.make(tmp_path, some_rows(SOURCE))) as store:
        file = Path(store.address.place)
        file.rename(file.with_suffix(".old"))
        if not gone:
            kind.make(tmp_path, some_rows(SOURCE[::-1]))
        with pytest.raises(InputError, match="changed meanwhile"):
            translate_store(store, adapter, tmp_path / "moved.parquet", check=False)
    assert not list(tmp_path.glob("moved*"))


def test_a_file_that_goes_as_it_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """If it fails, a user is told to check a file for damage that somebody has moved."""
    monkeypatch.setattr(base, "BLOCK_ROWS", 10)
    with open_store(folder) as store:
        batches = store.batches(0, 10)
        next(batches)
        (folder / "b.parquet").unlink()
        with pytest.raises(InputError, match="changed meanwhile"):
            list(batches)


def test_files_that_are_no_part_of_a_table(folder: Path):
    """If it fails, what Spark or a download has not finished yet is read as rows."""
    for name in ("_temporary.parquet", ".c.parquet.parquet"):
        pq.write_table(TABLE, folder / name)
    for name in ("_temporary", ".cache"):
        (folder / name).mkdir()
        pq.write_table(TABLE, folder / name / "part.parquet")
    with open_store(folder) as store:
        assert store.num_rows == 30


@pytest.mark.parametrize("inside", ["year=2024", "c.parquet"])
def test_tables_within_a_folder(inside: str, folder: Path):
    """If it fails, a folder in partitions loses all rows but those of its topmost files."""
    (folder / inside / "deep").mkdir(parents=True)
    (folder / inside / "round").symlink_to(folder)
    with open_store(folder) as store:
        assert store.num_rows == 30
    pq.write_table(TABLE, folder / inside / "deep" / "part-0.parquet")
    with pytest.raises(InputError, match=rf"{inside}/deep/part-0\.parquet"):
        open_store(folder)


def test_files_of_other_types(folder: Path):
    """If it fails, an error says twice the same columns, and nobody knows what differs, or where."""
    other = TABLE.set_column(3, "year", TABLE["year"].cast(pa.int32()))
    pq.write_table(other, folder / "c.parquet")
    with pytest.raises(InputError, match=r"'year' of int64, as in a\.parquet, got int32 in c\.parquet"):
        open_store(folder)
    pq.write_table(TABLE.drop_columns(["year"]), folder / "c.parquet")
    with pytest.raises(InputError, match=r"same columns.* in c\.parquet"):
        open_store(folder)


def test_a_type_that_arrow_cannot_take_rows_of(tmp_path: Path):
    """If it fails, an error of Arrow's own comes in the middle, and names no column."""
    views = pa.array(TABLE["text"].to_pylist(), pa.string_view())
    pyarrow.feather.write_feather(TABLE.set_column(2, "text", views), str(tmp_path / "views.arrow"))
    with pytest.raises(InputError, match="'text' of string_view"):
        open_store(tmp_path / "views.arrow")


def test_a_store_that_is_open_is_what_was_put_into_it(folder: Path):
    """If it fails, who goes on with an opened store reads its rows at the wrong places, and does its work again."""
    with open_store(folder) as store:
        record = StoreRecord("a", None, None, "2026-01-01", 30, "b")
        store.replace(np.array([3]), np.ones((1, 24), np.float32), record)
        assert store.record() == record
        assert store.schema.names[-1] == "embedding_is_true"
        store.replace(np.array([4]), np.ones((1, 24), np.float32), record)
        (found,) = [batch.column("embedding_is_true").to_pylist() for batch in store.batches()]
        assert [row for row, true in enumerate(found) if true] == [3, 4]


@pytest.fixture(params=["", ":train"], ids=["whole", "split"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """The address of a data set that was saved, and its folder."""
    found = Dataset(TABLE)
    (found if not request.param else DatasetDict(train=found, test=found)).save_to_disk(str(tmp_path / "source"))
    return f"datasets:{tmp_path / 'source'}{request.param}", tmp_path / "source" / request.param[1:]


def save_anew(folder: Path) -> None:
    """By another process: this one refuses to save over what it maps."""
    Dataset(TABLE.slice(0, 29)).save_to_disk(str(folder.parent / "other"))
    for file in (folder.parent / "other").iterdir():
        file.replace(folder / file.name)
    (folder.parent / "other").rmdir()


def edit_rows(folder: Path) -> None:
    """The same state, and other rows."""
    (file,) = folder.glob("*.arrow")
    edited = file.read_bytes().replace(b"sentence 5", b"sentence 6")
    file.with_suffix(".fresh").write_bytes(edited)
    file.with_suffix(".fresh").replace(file)


@pytest.mark.parametrize("change", [save_anew, edit_rows, shutil.rmtree])
def test_a_saved_data_set_that_is_changed_meanwhile(
    change: Any, saved: tuple[str, Path], adapter: IRPAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """If it fails, what somebody saved meanwhile is overwritten with older rows, or a translation is of older ones."""
    source, folder = saved
    with open_store(source) as one, open_store(source) as again:
        assert one.digest() == again.digest()
    change_within(monkeypatch, lambda: change(folder))
    with pytest.raises(InputError, match="changed meanwhile"):
        translate_store(source, adapter, tmp_path / "moved.parquet", check=False)
    assert not list(tmp_path.glob("moved*"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.mark.parametrize("kind", ["file", "folder", "data set"])
def test_what_is_changed_as_rows_are_replaced(kind: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """If it fails, what somebody writes while a store is written is lost."""
    change: Any = write_anew
    address: Any = {"file": folder / "b.parquet", "folder": folder}.get(kind)
    if kind == "data set":
        Dataset(TABLE).save_to_disk(str(tmp_path / "saved"))
        address, folder, change = f"datasets:{tmp_path / 'saved'}", tmp_path / "saved", edit_rows
    whole, edited = TableStore._replaced, dict[str, bytes]()

    def changes(self: Any, *values: Any) -> Any:
        batches = list(whole(self, *values))
        change(folder)
        edited.update(contents(folder))
        yield from batches

    monkeypatch.setattr(TableStore, "_replaced", changes)
    record = StoreRecord("a", None, None, "2026-01-01", 30, "b", true_rows=1)
    with open_store(address) as store, pytest.raises(InputError, match="changed meanwhile"):
        store.replace(np.array([3]), np.ones((1, 24), np.float32), record)
    assert contents(folder) == edited


def test_notes_beside_a_data_set_change_nothing(saved: tuple[str, Path]):
    """If it fails, a cache that `datasets` writes into a folder, or a README, costs a night's work."""
    source, folder = saved
    with open_store(source) as store:
        before = store.digest()
        (folder / "README.md").write_text("Mine.")
        (folder / "cache-0123.arrow").write_bytes(b"")
        assert store.digest() == before


def test_a_saved_data_set_that_is_open_is_what_was_put_into_it(tmp_path: Path):
    """If it fails, rows that were replaced first count as translated ones again once others are."""
    Dataset(TABLE).save_to_disk(str(tmp_path / "source"))
    with open_store(f"datasets:{tmp_path / 'source'}") as store:
        before = store.digest()
        for row in (3, 4):
            record = StoreRecord("a", None, None, "2026-01-01", 30, "b", true_rows=row)
            store.replace(np.array([row]), np.ones((1, 24), np.float32), record)
        assert store.digest() != before
        (found,) = [batch.column("embedding_is_true").to_pylist() for batch in store.batches()]
        assert [row for row, true in enumerate(found) if true] == [3, 4]


def test_a_destination_with_a_split(folder: Path, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, a folder is called as a split of another is named, and is read in its place from then on."""
    with pytest.raises(InputError, match=r"without a split.* Leave out ':train'"):
        translate_store(folder, adapter, f"datasets:{tmp_path / 'moved'}:train", check=False)
    assert os.listdir(tmp_path) == ["source"]
