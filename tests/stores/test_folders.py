"""Folders as destinations: of files as the source's folder has them, and of `save_to_disk`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value, load_from_disk
from store_kinds import parallel, some_rows, table_of

from irp_hf import InputError, IRPAdapter
from irp_hf.stores import base, open_store, reencode, translate_store
from irp_hf.stores import translate as translating

SOURCE, TRUE = parallel(700, seed=5)
SIZES = (300, 0, 150, 250)


@pytest.fixture(scope="module")
def adapter() -> IRPAdapter:
    return IRPAdapter.from_anchors(*parallel(200), method="whitened")


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch):
    for module in (base, translating):
        monkeypatch.setattr(module, "BLOCK_ROWS", 128)


def expected(adapter: IRPAdapter) -> np.ndarray:
    y = adapter.translate(SOURCE)
    return y / np.linalg.norm(y, axis=1, keepdims=True)


@pytest.fixture(params=["parquet", "arrow"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Files of these sizes, whose order is that of their names, beside a file that holds no rows."""
    table, start, made = table_of(some_rows(SOURCE)), 0, tmp_path / "source.v1"
    made.mkdir()
    (made / "README.md").write_text("Mine.")
    for name, size in zip("abcd", SIZES, strict=True):
        part = table.slice(start, size)
        if request.param == "parquet":
            pq.write_table(part, made / f"{name}.parquet")
        else:
            pyarrow.feather.write_feather(part, str(made / f"{name}.arrow"))
        start += size
    return made


def sizes(folder: Path) -> dict[str, int]:
    """The rows of each file, as anybody reads them."""
    read = {".parquet": pq.read_table, ".arrow": pyarrow.feather.read_table}
    return {file.stem: len(read[file.suffix](file)) for file in sorted(folder.iterdir()) if file.suffix in read}


def test_files_keep_their_names_and_rows(folder: Path, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, what reads one file of a folder, by date or by shard, reads others' rows."""
    moved = tmp_path / "moved"
    translate_store(folder, adapter, f"{moved}/", confidence=True)
    assert sizes(moved) == dict(zip("abcd", SIZES, strict=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["moved", "source.v1"]
    with open_store(moved) as store:
        found = np.concatenate([base.vectors_of(batch, store.column) for batch in store.batches()])
        assert store.record() is not None
    np.testing.assert_allclose(found, expected(adapter), atol=1e-6)
    (moved / "README.md").write_text("Moved.")
    told = reencode(
        moved, lambda texts: TRUE[[int(text.split()[1].rstrip(",")) for text in texts]], text="text", budget=90
    )
    assert told.true_rows == 90
    assert sizes(moved) == dict(zip("abcd", SIZES, strict=True))
    assert (moved / "README.md").read_text() == "Moved."
    with open_store(moved) as store:
        true = np.concatenate(
            [batch.column("embedding_is_true").to_numpy(zero_copy_only=False) for batch in store.batches()]
        )
        found = np.concatenate([base.vectors_of(batch, store.column) for batch in store.batches()])
    assert true.sum() == 90
    np.testing.assert_allclose(found[true], TRUE[true], atol=1e-6)
    np.testing.assert_allclose(found[~true], expected(adapter)[~true], atol=1e-6)


def test_some_rows_of_a_folder(folder: Path, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, a look at the first rows makes files of rows that nobody asked for."""
    translate_store(folder, adapter, tmp_path / "moved", limit=310)
    assert sizes(tmp_path / "moved") == {"a": 300, "b": 0, "c": 10}


def test_a_folder_is_made_of_a_folder(folder: Path, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, a name without an ending makes something that nobody meant."""
    one = next(path for path in folder.iterdir() if path.stem == "a")
    with pytest.raises(InputError, match=r"moved\.parquet"):
        translate_store(one, adapter, tmp_path / "moved")
    with pytest.raises(InputError, match=r"one of \.npy"):
        translate_store(folder, adapter, tmp_path / "moved.parqet")
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="exists already"):
        translate_store(folder, adapter, tmp_path / "there")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.v1", "there"]


def test_what_a_data_set_knows_of_its_columns(adapter: IRPAdapter, tmp_path: Path):
    """If it fails, classes lose their names as vectors move, or a column that was translated before passes for untranslated."""
    vectors = List(Value("float32"), length=24)
    features = Features({"id": Value("int32"), "a/class": ClassLabel(names=["low", "high"]), "embedding": vectors})
    rows = {"id": range(700), "a/class": [row % 2 for row in range(700)], "embedding": SOURCE}
    Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "source")
    source = f"datasets:{tmp_path / 'source'}#embedding"
    translate_store(source, adapter, f"datasets:{tmp_path / 'first'}#a/moved", confidence=True)
    found = load_from_disk(str(tmp_path / "first"))
    assert found.features["a/class"] == features["a/class"]
    assert found[3]["a/class"] == 1
    assert found.features["a/moved"] == List(Value("float32"), length=20)
    np.testing.assert_allclose(np.array(found["a/moved"]), expected(adapter), atol=1e-6)
    np.testing.assert_array_equal(np.array(found["embedding"], np.float32), SOURCE)
    translate_store(f"datasets:{tmp_path / 'first'}#embedding", adapter, f"datasets:{tmp_path / 'second'}#again")
    for name in ("a/moved", "again"):
        with open_store(f"datasets:{tmp_path / 'second'}#{name}") as store:
            assert store.record() is not None
        with pytest.raises(InputError, match="this adapter has translated"):
            translate_store(store.address, adapter, tmp_path / "third.npy", check=False)
    with pytest.raises(InputError, match="exists already"):
        translate_store(source, adapter, f"datasets:{tmp_path / 'second'}#embedding")
