"""An index of FAISS that is built anew: of the same kind, with the same ids, and searched by FAISS itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from says import says
from store_kinds import parallel, some_rows, table_of

from irp_hf import InputError, IRPAdapter, MissingDependencyError
from irp_hf.stores import open_store, translate_store
from irp_hf.stores.base import vectors_of

NUM_ROWS = 900
SOURCE, TARGET = parallel(NUM_ROWS, seed=5)
WIDTH = SOURCE.shape[1]
IDS = np.random.RandomState(0).permutation(NUM_ROWS) * 7 + 2**40


@pytest.fixture(scope="module")
def adapter() -> IRPAdapter:
    return IRPAdapter.from_anchors(*parallel(200), method="whitened")


def inverted(metric: int = faiss.METRIC_INNER_PRODUCT) -> Any:
    index = faiss.IndexIVFFlat(faiss.IndexFlat(WIDTH, metric), WIDTH, 10, metric)
    index.train(SOURCE)
    index.nprobe = 4
    return index


def put(index: Any, path: Path, ids: np.ndarray[Any, Any] | None = None) -> str:
    if ids is None:
        index.add(SOURCE)
    else:
        index.add_with_ids(SOURCE, ids)
    faiss.write_index(index, str(path))
    return str(path)


def whole(path: str) -> tuple[np.ndarray[Any, Any], list[int] | None]:
    """The vectors and ids that are read."""
    with open_store(path) as store:
        batch = next(store.batches(size=NUM_ROWS))
    return vectors_of(batch, "vectors"), batch.column("id").to_pylist() if "id" in batch.schema.names else None


MAPPED = {
    "IDMap over flat": lambda: faiss.IndexIDMap(faiss.IndexFlatIP(WIDTH)),
    "IDMap2 over flat": lambda: faiss.IndexIDMap2(faiss.IndexFlatL2(WIDTH)),
    "IVF with ids": inverted,
    "IDMap2 over IVF": lambda: faiss.IndexIDMap2(inverted(faiss.METRIC_L2)),
}


@pytest.mark.parametrize("name", MAPPED)
def test_ids_lead_to_the_same_items(name: str, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, a search gives other items than were found."""
    source, moved = put(MAPPED[name](), tmp_path / "source.faiss", IDS), str(tmp_path / "moved.faiss")
    translate_store(source, adapter, moved)
    (before, ids), (vectors, kept) = whole(source), whole(moved)
    assert ids == kept
    assert sorted(ids) == sorted(IDS.tolist())
    np.testing.assert_array_equal(before, SOURCE[[IDS.tolist().index(number) for number in ids]])
    y = adapter.translate(SOURCE)
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    by_id = dict(zip(ids, vectors, strict=True))
    np.testing.assert_allclose(np.stack([by_id[number] for number in IDS.tolist()]), y, atol=1e-6)
    index = faiss.read_index(moved)
    assert type(index) is type(MAPPED[name]())
    _, found = index.search(y[:50], 1)
    assert (found[:, 0] == IDS[:50]).mean() > 0.9  # an IVF index looks into some of its lists


def test_its_kind_stays(adapter: IRPAdapter, tmp_path: Path):
    """If it fails, distances mean something else, or a search takes longer or finds less."""
    source = put(inverted(faiss.METRIC_L2), tmp_path / "source.faiss")
    for name in ("moved", "again"):
        translate_store(source, adapter, tmp_path / f"{name}.faiss")
    index = faiss.read_index(str(tmp_path / "moved.faiss"))
    assert (index.metric_type, index.nlist, index.nprobe) == (faiss.METRIC_L2, 10, 4)
    assert (tmp_path / "moved.faiss").read_bytes() == (tmp_path / "again.faiss").read_bytes()
    centres = index.quantizer.reconstruct_n(0, 10)
    assert np.linalg.norm(centres - adapter.translate(SOURCE).mean(0), axis=1).max() < 1  # and trained anew


@pytest.mark.parametrize("metric", [faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2, faiss.METRIC_L1])
@pytest.mark.parametrize("mapped", [None, faiss.IndexIDMap, faiss.IndexIDMap2])
def test_a_flat_index_is_what_faiss_writes(metric: int, mapped: Any, adapter: IRPAdapter, tmp_path: Path):
    """It is written row for row, since one may be larger than memory: other bytes than FAISS's own could not be read."""
    flat = {faiss.METRIC_INNER_PRODUCT: faiss.IndexFlatIP, faiss.METRIC_L2: faiss.IndexFlatL2}
    made = flat.get(metric, lambda width: faiss.IndexFlat(width, metric))
    source = put(mapped(made(WIDTH)) if mapped else made(WIDTH), tmp_path / "source.faiss", IDS if mapped else None)
    translate_store(source, adapter, tmp_path / "moved.faiss")
    vectors, ids = whole(str(tmp_path / "moved.faiss"))
    index = made(vectors.shape[1])
    if mapped:
        index = mapped(index)
        index.add_with_ids(vectors, np.array(ids))
    else:
        index.add(vectors)
    assert faiss.serialize_index(index).tobytes() == (tmp_path / "moved.faiss").read_bytes()


def test_from_a_table_with_numbers(adapter: IRPAdapter, tmp_path: Path):
    """If it fails, nobody knows whose rows the new index finds."""
    table = table_of({**some_rows(SOURCE), "id": IDS.tolist()})
    pq.write_table(table, tmp_path / "source.parquet")
    translate_store(tmp_path / "source.parquet", adapter, tmp_path / "moved.faiss", confidence=True)
    index = faiss.read_index(str(tmp_path / "moved.faiss"))
    y = adapter.translate(SOURCE)
    _, found = index.search(y / np.linalg.norm(y, axis=1, keepdims=True), 1)
    assert found[:, 0].tolist() == IDS.tolist()
    assert np.load(tmp_path / "moved_confidence.npy").shape == (NUM_ROWS,)
    (tmp_path / "moved.faiss").unlink()
    (tmp_path / "moved_confidence.npy").unlink()
    with pytest.raises(InputError, match=r"moved.faiss.irp.json"):  # the record of another index would be told of it
        translate_store(tmp_path / "source.parquet", adapter, tmp_path / "moved.faiss")


def test_what_holds_no_vectors_is_refused(tmp_path: Path):
    """If it fails, vectors that were rounded away are translated as if they were there."""
    for number, index in enumerate([faiss.IndexPQ(WIDTH, 4, 4), faiss.IndexScalarQuantizer(WIDTH, 0)]):
        index.train(SOURCE)
        source = put(index, tmp_path / f"{number}.faiss")
        with pytest.raises(InputError) as caught:
            open_store(source)
        assert says(str(caught.value), type(index).__name__, "IndexFlatIP")
    faiss.write_index(faiss.IndexFlatIP(WIDTH), str(tmp_path / "empty.faiss"))
    (tmp_path / "text.faiss").write_text("no index")
    (tmp_path / "none.faiss").touch()
    os.mkfifo(tmp_path / "pipe.faiss")
    for name in ("empty", "text", "none", "pipe", "missing"):
        with pytest.raises(InputError, match=f"{name}.faiss"):
            open_store(tmp_path / f"{name}.faiss")
    with pytest.raises(InputError, match="no columns"):
        open_store(f"{tmp_path / 'empty.faiss'}#vectors")


def test_a_damaged_index_is_refused(tmp_path: Path):
    """If it fails, a file that was cut ends the process, or gives rows that nobody stored."""
    source = Path(put(faiss.IndexFlatIP(WIDTH), tmp_path / "source.faiss"))
    content = source.read_bytes()
    for size in (4, 20, 44, 4000, len(content) - 4):
        source.write_bytes(content[:size])
        with pytest.raises(InputError, match=r"source\.faiss"):
            open_store(source)


def test_fewer_rows_than_lists(adapter: IRPAdapter, tmp_path: Path):
    """FAISS would end with an error of its own after all was translated."""
    source = put(inverted(), tmp_path / "source.faiss")
    with pytest.raises(InputError, match=r"at least 10 rows.*got 9"):
        translate_store(source, adapter, tmp_path / "moved.faiss", limit=9)
    assert os.listdir(tmp_path) == ["source.faiss"]


def test_another_width(adapter: IRPAdapter, tmp_path: Path):
    """If it fails, an index of another encoder is translated as far as its width goes."""
    index = faiss.IndexFlatIP(WIDTH + 1)
    index.add(np.ones((60, WIDTH + 1), np.float32))
    faiss.write_index(index, str(tmp_path / "source.faiss"))
    with pytest.raises(InputError, match=str(WIDTH + 1)):
        translate_store(tmp_path / "source.faiss", adapter, tmp_path / "moved.faiss")


def test_without_the_package(adapter: IRPAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Users would read that a module is missing, and not what to install."""
    source = put(faiss.IndexFlatIP(WIDTH), tmp_path / "source.faiss")
    np.save(tmp_path / "source.npy", SOURCE)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependencyError) as caught:
        open_store(source)
    assert says(str(caught.value), "faiss-cpu", "irp_hf[faiss]")
    with pytest.raises(MissingDependencyError, match="faiss-cpu"):
        translate_store(tmp_path / "source.npy", adapter, tmp_path / "moved.faiss")
    assert sorted(os.listdir(tmp_path)) == ["source.faiss", "source.npy"]


def test_ids_that_faiss_cannot_hold(adapter: IRPAdapter, tmp_path: Path):
    """If it fails, ids above half of the range come back negative."""
    table = table_of(some_rows(SOURCE)).drop_columns(["id"])
    table = table.append_column("id", pa.array(np.arange(NUM_ROWS, dtype=np.uint64) + np.uint64(2**63)))
    pq.write_table(table, tmp_path / "source.parquet")
    with pytest.raises(InputError, match="id"):
        translate_store(tmp_path / "source.parquet", adapter, tmp_path / "moved.faiss")
    assert not (tmp_path / "moved.faiss").exists()
