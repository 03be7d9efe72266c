"""What every kind of store keeps: rows in their order with all that stands beside them, whole or not at all, never in place."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from database_kinds import DATABASES
from store_kinds import KINDS as FILES
from store_kinds import Kind, parallel, some_rows

from irp_hf import InputError, IRPAdapter
from irp_hf.stores import base, open_store, translate_store
from irp_hf.stores import translate as translating
from irp_hf.stores.base import vectors_of
from irp_hf.stores.staging import Staging

NUM_ROWS = 2000
KINDS = [*FILES, *DATABASES]
WRITTEN = [kind for kind in KINDS if kind.destination]


@pytest.fixture(scope="module")
def adapter() -> IRPAdapter:
    return IRPAdapter.from_anchors(*parallel(200), method="whitened")


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch):
    """Blocks of a few hundred rows, so that there are some."""
    for module in (base, translating):
        monkeypatch.setattr(module, "BLOCK_ROWS", 512)


def rows_for(kind: Kind, num_rows: int = NUM_ROWS, **changes: Any) -> dict[str, Any]:
    return {**some_rows(parallel(num_rows, seed=5)[0]), **changes}


def expected(adapter: IRPAdapter, vectors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    y = adapter.translate(vectors)
    return y / np.linalg.norm(y, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_rows_are_read_in_their_order(kind: Kind, tmp_path: Path):
    """If it fails, vectors go to other items' ids."""
    rows = rows_for(kind)
    with open_store(kind.make(tmp_path, rows)) as store:
        assert (store.num_rows, store.width) == rows["vectors"].shape
        assert store.dtype == np.float32
        batches = list(store.batches(300, 256))
        assert {batch.num_rows for batch in batches[:-1]} == {256}
        np.testing.assert_array_equal(
            np.concatenate([vectors_of(batch, store.column) for batch in batches]), rows["vectors"][300:]
        )
        for name in kind.keeps:
            assert [value for batch in batches for value in batch.column(name).to_pylist()] == rows[name][300:]
        assert list(store.batches(NUM_ROWS, 256)) == []  # from where a run goes on that has kept all
        numbers = np.array([0, 3, 1999])
        taken = store.take(numbers)
        np.testing.assert_array_equal(vectors_of(taken, store.column), rows["vectors"][numbers])
        for name in kind.keeps:
            assert taken.column(name).to_pylist() == [rows[name][row] for row in numbers]
        digest = store.digest()
        assert store.record() is None
    with open_store(store.address) as again:
        assert again.digest() == digest


@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.name)
def test_a_store_is_moved(kind: Kind, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, a moved index has other vectors than `translate` gives, or lost its ids, its order or its owner's data."""
    rows = rows_for(kind)
    source, destination = kind.make(tmp_path, rows), kind.destination.format(folder=tmp_path)
    with open_store(source) as store:
        before = store.digest()
    told = translate_store(source, adapter, destination, confidence=bool(kind.keeps))
    found = kind.read(tmp_path)
    np.testing.assert_allclose(found["vectors"], expected(adapter, rows["vectors"]), atol=1e-6)
    assert {name: found[name] for name in kind.keeps} == {name: rows[name] for name in kind.keeps}
    assert told.num_rows == NUM_ROWS
    assert "2,000 vectors" in str(told)
    with open_store(source) as store:
        assert store.digest() == before
    with open_store(destination) as moved:
        record = moved.record()
        assert record is not None
        assert (record.adapter, record.num_rows, record.unit_length) == (adapter.checksum(), NUM_ROWS, True)
        if kind.keeps:
            told_of = next(iter(moved.batches())).column(f"{moved.column}_confidence").to_numpy()
            np.testing.assert_allclose(told_of, adapter.confidence(rows["vectors"])[: len(told_of)], atol=1e-6)
    with pytest.raises(InputError, match="this adapter has translated"):
        translate_store(destination, adapter, tmp_path / "twice.npy", check=False)


@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.name)
def test_an_interrupted_run_goes_on(kind: Kind, adapter: IRPAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """If it fails, hours of work are lost, or a store appears that lacks rows."""
    rows = rows_for(kind)
    source, destination = kind.make(tmp_path, rows), kind.destination.format(folder=tmp_path)
    whole, calls = translating._Work._translated, []

    def stops(self: Any, batch: Any, start: int) -> Any:
        calls.append(start)
        if start == 1024 and calls.count(1024) == 1:
            raise KeyboardInterrupt
        return whole(self, batch, start)

    monkeypatch.setattr(translating._Work, "_translated", stops)
    with pytest.raises(KeyboardInterrupt):
        translate_store(source, adapter, destination)
    with contextlib.suppress(InputError), open_store(destination) as store:
        assert store.column not in ("moved",), "half a destination is found under its name"
    translate_store(source, adapter, destination)
    assert calls[:3] == [0, 512, 1024]
    assert sorted(calls[3:]) == [0, 512, 1024, 1536]  # two are tried again, and the others were still to be done
    np.testing.assert_allclose(kind.read(tmp_path)["vectors"], expected(adapter, rows["vectors"]), atol=1e-6)


@pytest.mark.parametrize("moment", ["before it is seen", "after it is seen"])
@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.name)
def test_a_run_that_ends_as_the_store_appears(
    kind: Kind, moment: str, adapter: IRPAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """If it fails, the second run refuses what the first has made, and the blocks that it kept stay for ever."""
    rows = rows_for(kind, 900)
    source, destination = kind.make(tmp_path, rows), kind.destination.format(folder=tmp_path)
    set_done, told = Staging.set_done, bool(kind.keeps)

    def stops(self: Any, *values: Any) -> None:
        if values:
            set_done(self, *values)
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(Staging, "set_done" if moment == "before it is seen" else "remove", stops)
        with pytest.raises(KeyboardInterrupt):
            translate_store(source, adapter, destination, confidence=told)
    assert translate_store(source, adapter, destination, confidence=told).num_rows == 900
    np.testing.assert_allclose(kind.read(tmp_path)["vectors"], expected(adapter, rows["vectors"]), atol=1e-6)
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".parts")]
    with pytest.raises(InputError):
        translate_store(source, adapter, destination, confidence=told)


@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.name)
def test_another_run_is_no_continuation(
    kind: Kind, adapter: IRPAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """If it fails, one store holds rows of two adapters."""
    source, destination = kind.make(tmp_path, rows_for(kind)), kind.destination.format(folder=tmp_path)
    whole = translating._Work._translated

    def stops(self: Any, batch: Any, start: int) -> Any:
        if start == 1024:
            raise KeyboardInterrupt
        return whole(self, batch, start)

    with monkeypatch.context() as context:
        context.setattr(translating._Work, "_translated", stops)
        with pytest.raises(KeyboardInterrupt):
            translate_store(source, adapter, destination)
    other = IRPAdapter.from_anchors(*parallel(150, seed=9), method="whitened")
    with pytest.raises(InputError, match="adapter with which it was begun"):
        translate_store(source, other, destination)


@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.name)
def test_what_exists_stays(kind: Kind, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, somebody's vectors are overwritten."""
    source, destination = kind.make(tmp_path, rows_for(kind)), kind.destination.format(folder=tmp_path)
    translate_store(source, adapter, destination, unit_length=False)
    before = kind.read(tmp_path)["vectors"]
    with pytest.raises(InputError, match=r"exists already|nothing there"):
        translate_store(source, adapter, destination)
    np.testing.assert_array_equal(kind.read(tmp_path)["vectors"], before)
    assert not np.allclose(np.linalg.norm(before, axis=1), 1, atol=1e-6)  # "auto" would have had it so


@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.name)
def test_nan_is_refused_with_its_row(kind: Kind, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, one bad row makes an index that finds nothing, and nobody knows which."""
    vectors = parallel(NUM_ROWS, seed=5)[0]
    vectors[1234, 3] = np.nan
    try:
        source = kind.make(tmp_path, rows_for(kind, vectors=vectors))
    except Exception as error:
        pytest.skip(f"{kind.name} takes no NaN ({type(error).__name__})")
    destination = kind.destination.format(folder=tmp_path)
    with pytest.raises(InputError, match="Row 1234"):
        translate_store(source, adapter, destination)
    with pytest.raises(InputError):
        open_store(destination)


@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.name)
def test_half_precision(kind: Kind, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, a store of half the size is refused, or holds other vectors."""
    source, destination = kind.make(tmp_path, rows_for(kind, 600)), kind.destination.format(folder=tmp_path)
    translate_store(source, adapter, destination, dtype="float16")
    with open_store(destination) as store:
        found = np.concatenate([vectors_of(batch, store.column) for batch in store.batches()])
    np.testing.assert_allclose(found, expected(adapter, parallel(600, seed=5)[0]), atol=1e-3)


@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.name)
def test_a_dry_run_writes_nothing(kind: Kind, adapter: IRPAdapter, tmp_path: Path):
    """If it fails, a look costs a store."""
    source, destination = kind.make(tmp_path, rows_for(kind)), kind.destination.format(folder=tmp_path)
    there = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    told = translate_store(source, adapter, destination, dry_run=True)
    assert told.dry_run
    assert str(told).startswith("Would translate 2,000")
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert set(there) == set(after)
    assert there == after or kind.name == "chroma"  # which writes to its file as it is opened
    if kind.whole:
        with pytest.raises(InputError, match="limit"):
            translate_store(source, adapter, destination, limit=600)
    else:
        assert translate_store(source, adapter, destination, limit=600).num_rows == 600
        assert len(kind.read(tmp_path)["vectors"]) == 600
