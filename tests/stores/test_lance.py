"""LanceDB: what it shows of a table stays as it was, beside a new column; a new table has it all."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import lance
import lancedb
import lancedb.index
import numpy as np
import pyarrow as pa
import pytest
from says import says
from store_kinds import parallel

from irp_hf import InputError, IRPAdapter, MissingDependencyError
from irp_hf.stores import lance as ours
from irp_hf.stores import open_store, translate_store
from irp_hf.stores.base import as_lists, vectors_of

NUM_ROWS = 700
SOURCE = parallel(NUM_ROWS, seed=5)[0]


@pytest.fixture(scope="module")
def adapter() -> IRPAdapter:
    return IRPAdapter.from_anchors(*parallel(200), method="whitened")


@pytest.fixture
def db(tmp_path: Path) -> Any:
    """A data base with a table in several files, some rows of which were deleted, with an index of words."""
    found = lancedb.connect(tmp_path / "db")
    columns = {
        "id": [f"id-{row}" for row in range(NUM_ROWS)],
        "vector": as_lists(SOURCE),
        "meta": [{"year": row, "tags": ["a", None] if row % 2 else None} for row in range(NUM_ROWS)],
    }
    table = found.create_table("docs", pa.table(columns).slice(0, 300))
    table.add(pa.table(columns).slice(300))
    table.delete("id in ('id-5', 'id-299', 'id-300')")
    table.create_index("id", config=lancedb.index.BTree())
    return found


LEFT = [row for row in range(NUM_ROWS) if row not in (5, 299, 300)]


def unit(adapter: IRPAdapter) -> np.ndarray[Any, Any]:
    y = adapter.translate(SOURCE[LEFT])
    return y / np.linalg.norm(y, axis=1, keepdims=True)


def matrix(table: pa.Table, column: str) -> np.ndarray[Any, Any]:
    return np.concatenate([vectors_of(batch, column) for batch in table.combine_chunks().to_batches()])


def test_a_new_column_changes_nothing_else(db: Any, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, a table that is in use loses rows, an index, or the old model's vectors."""
    before = db.open_table("docs").to_arrow()
    source = f"lancedb:{tmp_path / 'db'}#docs.vector"
    with open_store(source) as store:
        digest = store.digest()
    translate_store(source, adapter, f"lancedb:{tmp_path / 'db'}#docs.moved", confidence=True)
    table = db.open_table("docs")
    after = table.to_arrow()
    assert after.select(before.column_names).replace_schema_metadata(None).equals(before)
    assert after.column_names == ["id", "vector", "meta", "moved", "moved_confidence"]
    np.testing.assert_allclose(matrix(after, "moved"), unit(adapter), atol=1e-6)
    assert [index.columns for index in table.list_indices()] == [["id"]]
    found = [
        table.search(unit(adapter)[row], vector_column_name="moved").limit(1).to_list()[0]["id"] for row in range(9)
    ]
    assert found == before["id"].to_pylist()[:9]
    with open_store(source) as store:
        assert store.digest() == digest
        assert store.record() is None
    with open_store(f"lancedb:{tmp_path / 'db'}#docs.moved") as store:
        assert store.record().num_rows == len(LEFT)
    with pytest.raises(InputError, match="exists already"):
        translate_store(source, adapter, f"lancedb:{tmp_path / 'db'}#docs.moved")
    with pytest.raises(InputError, match="one column of vectors"):
        open_store(f"lancedb:{tmp_path / 'db'}#docs")
    assert os.listdir(tmp_path) == ["db"]


def test_a_new_table_in_a_new_data_base(db: Any, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, somebody who has none cannot begin."""
    translate_store(f"lancedb:{tmp_path / 'db'}", adapter, f"lancedb:{tmp_path / 'new'}#of.all")
    table = lancedb.connect(tmp_path / "new").open_table("of")
    found = table.to_arrow()
    before = db.open_table("docs").to_arrow()
    assert found.select(before.column_names).replace_schema_metadata(None).equals(before)
    np.testing.assert_allclose(matrix(found, "all"), unit(adapter), atol=1e-6)
    assert (
        table.search(unit(adapter)[40], vector_column_name="all").limit(1).to_list()[0]["id"] == found["id"][40].as_py()
    )
    assert sorted(os.listdir(tmp_path)) == ["db", "new"]


def test_a_change_is_seen(db: Any, tmp_path: Path):
    """If it fails, a run goes on with rows of two states of a table."""
    store = open_store(address := f"lancedb:{tmp_path / 'db'}#docs")
    digests = [store.digest()]
    table = db.open_table("docs")
    for change in (
        lambda: table.delete("id = 'id-7'"),
        lambda: table.update(where="id = 'id-8'", values={"id": "other"}),
        lambda: table.add(table.to_arrow().slice(0, 1)),
    ):
        change()
        with pytest.raises(InputError, match="changed meanwhile"):
            store.digest()  # its rows are those of before
        store = open_store(address)
        digests.append(store.digest())
    assert len(set(digests)) == 4
    table.add_columns({"more": "1"})
    assert store.digest() == digests[-1]


def test_a_table_that_changes_meanwhile(db: Any, adapter: IRPAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """If it fails, new vectors stand beside other rows."""
    make = ours.LanceWriter._add_columns

    def late(self: Any, *args: Any) -> None:
        db.open_table("docs").delete("id = 'id-9'")
        make(self, *args)

    monkeypatch.setattr(ours.LanceWriter, "_add_columns", late)
    with pytest.raises(InputError, match="changed meanwhile"):
        translate_store(f"lancedb:{tmp_path / 'db'}#docs", adapter, f"lancedb:{tmp_path / 'db'}#docs.moved")
    assert "moved" not in db.open_table("docs").schema.names


@pytest.mark.parametrize("destination", ["docs.moved", "moved"])
def test_a_run_that_ends_as_it_puts_it_in_place(
    destination: str, db: Any, adapter: IRPAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """If it fails, what was left makes the next run fail, or appears as a table."""
    source, moved = f"lancedb:{tmp_path / 'db'}#docs", f"lancedb:{tmp_path / 'db'}#{destination}"
    with monkeypatch.context() as context:
        context.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        context.setattr(lance.LanceDataset, "add_columns", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            translate_store(source, adapter, moved)
    assert db.list_tables().tables == ["docs"]
    translate_store(source, adapter, moved)
    with open_store(f"lancedb:{tmp_path / 'db'}#{destination}{'' if '.' in destination else '.vector'}") as store:
        np.testing.assert_allclose(vectors_of(next(store.batches()), store.column), unit(adapter), atol=1e-6)
    assert os.listdir(tmp_path) == ["db"]
    assert not [name for name in os.listdir(tmp_path / "db") if "unfinished" in name]


@pytest.mark.parametrize(
    ("bad", "told"),
    [(None, "null|missing"), ([1.0] * 23, "23"), ([None] + [1.0] * 23, "null|missing")],
)
def test_rows_without_a_vector(bad: Any, told: str, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, rows shift, and ids lead to other rows' vectors."""
    rows = [list(map(float, row)) for row in SOURCE]
    rows[77] = bad
    table = pa.table({"vector": pa.array(rows, pa.list_(pa.float32()))})
    lance.write_dataset(table, str(tmp_path / "db" / "bad.lance"))
    with pytest.raises(InputError, match=told) as caught:
        translate_store(f"lancedb:{tmp_path / 'db'}#bad", adapter, tmp_path / "moved.npy")
    assert says(str(caught.value), 77)


@pytest.mark.parametrize("inside", ["none", "docs.none", "docs.id", "docs.meta", ".vector"])
def test_what_is_not_there(inside: str, db: Any, tmp_path: Path):
    """If it fails, another table or column is translated than was meant."""
    with pytest.raises(InputError, match=r"docs|vector"):
        open_store(f"lancedb:{tmp_path / 'db'}#{inside}")


def test_names_and_places(db: Any, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, something is written where nobody looks for it, or over what was there."""
    source = f"lancedb:{tmp_path / 'db'}#docs"
    for destination in ("db", "db#docs", "db#a/b", "db#../x", "none/db#docs2"):
        with pytest.raises(InputError):
            translate_store(source, adapter, f"lancedb:{tmp_path / destination}")
    (tmp_path / "file").touch()
    for address in ("file#a", "none"):
        with pytest.raises(InputError):
            open_store(f"lancedb:{tmp_path / address}")
    with pytest.raises(InputError):
        translate_store(source, adapter, f"lancedb:{tmp_path / 'file'}#docs")
    assert sorted(os.listdir(tmp_path)) == ["db", "file"]
    (tmp_path / "db" / "broken.lance").mkdir()
    with pytest.raises(InputError, match=r"broken"):
        open_store(f"lancedb:{tmp_path / 'db'}#broken")
    lance.write_dataset(pa.table({"vector": as_lists(SOURCE[:0])}), str(tmp_path / "db" / "empty.lance"))
    with pytest.raises(InputError, match="at least one row"):
        open_store(f"lancedb:{tmp_path / 'db'}#empty")


def test_without_the_package(db: Any, adapter: IRPAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Users would read that a module is missing, and not what to install."""
    np.save(tmp_path / "source.npy", SOURCE)
    monkeypatch.setitem(sys.modules, "lance", None)
    for call in (
        lambda: open_store(f"lancedb:{tmp_path / 'db'}#docs"),
        lambda: translate_store(tmp_path / "source.npy", adapter, f"lancedb:{tmp_path / 'db'}#moved"),
    ):
        with pytest.raises(MissingDependencyError) as caught:
            call()
        assert says(str(caught.value), "pylance", "irp_hf[lancedb]")
    assert sorted(os.listdir(tmp_path)) == ["db", "source.npy"]
