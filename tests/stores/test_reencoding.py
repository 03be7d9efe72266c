"""The interim field: a translated store becomes true row by row, and tells what it keeps until then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from database_kinds import DATABASES
from store_kinds import KINDS, Kind, Rows, parallel, some_rows, table_of

from irp_hf import InputError, IRPAdapter
from irp_hf.stores import Store, open_store, reencode, reencoding, translate_store, verify_store
from irp_hf.stores.base import vectors_of

NUM_ROWS = 700
TEXTED = [kind for kind in [*KINDS, *DATABASES] if kind.destination and "text" in kind.keeps]
SOURCE, TRUE = parallel(NUM_ROWS, seed=5)


def target(texts: list[str]) -> np.ndarray[Any, Any]:
    """The target's encoder."""
    return TRUE[[int(text.split()[1].rstrip(",")) for text in texts]]


@pytest.fixture(scope="module")
def adapter() -> IRPAdapter:
    return IRPAdapter.from_anchors(*parallel(200), method="whitened")


@pytest.fixture(params=TEXTED, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture
def moved(kind: Kind, adapter: IRPAdapter, tmp_path: Path) -> tuple[str, str, Rows]:
    """The addresses of a source and of its translation, and its rows."""
    rows = some_rows(SOURCE)
    source, destination = kind.make(tmp_path, rows), kind.destination.format(folder=tmp_path)
    translate_store(source, adapter, destination, confidence=True)
    return source, destination, rows


def columns(store: Store) -> dict[str, np.ndarray[Any, Any]]:
    batches = list(store.batches())
    told = {"vectors": np.concatenate([vectors_of(batch, store.column) for batch in batches])}
    for end in ("_confidence", "_is_true"):
        if f"{store.column}{end}" in store.schema.names:
            told[end] = np.concatenate([np.asarray(batch.column(f"{store.column}{end}")) for batch in batches])
    return told


def test_the_least_sure_come_first(kind: Kind, moved: tuple[str, str, Rows], tmp_path: Path):
    """If it fails, a budget is spent on rows that were right already, or true and translated rows cannot be told apart."""
    _, destination, rows = moved
    with open_store(destination) as store:
        before = columns(store)
    told = reencode(destination, target, text="text", budget=100, order="confidence")
    assert (told.num_encoded, told.true_rows) == (100, 100)
    with open_store(destination) as store:
        after, record = columns(store), store.record()
    has_text = np.array([text is not None for text in rows["text"]])
    chosen = np.flatnonzero(after["_is_true"])
    sure = np.where(has_text, before["_confidence"], np.inf)
    assert set(chosen) == set(np.argsort(sure, kind="stable")[:100])
    np.testing.assert_allclose(after["vectors"][chosen], TRUE[chosen], atol=1e-6)
    others = np.setdiff1d(np.arange(NUM_ROWS), chosen)
    np.testing.assert_array_equal(after["vectors"][others], before["vectors"][others])
    assert record.true_rows == 100
    found = kind.read(tmp_path)
    assert {name: found[name] for name in kind.keeps} == {name: rows[name] for name in kind.keeps}


def test_what_is_found_most_comes_first(adapter: IRPAdapter, tmp_path: Path):
    """If it fails, a part of a store is made true that no search wants."""
    pq.write_table(table_of(some_rows(SOURCE)), tmp_path / "source.parquet")
    moved = f"{tmp_path}/moved.parquet"
    translate_store(tmp_path / "source.parquet", adapter, moved, confidence=True)
    with open_store(moved) as store:
        before, texts = columns(store), [text for batch in store.batches() for text in batch.column("text").to_pylist()]
    unit = before["vectors"] / np.linalg.norm(before["vectors"], axis=1, keepdims=True)
    similar = unit @ unit.T
    np.fill_diagonal(similar, -3)
    found = np.bincount(np.argsort(-similar, axis=1)[:, :10].ravel(), minlength=NUM_ROWS)
    order = np.lexsort([before["_confidence"], -found])
    wanted = [row for row in order if texts[row] is not None][:100]
    told = reencode(moved, target, text="text", budget=100)
    assert told.true_rows == 100
    with open_store(moved) as store:
        assert set(np.flatnonzero(columns(store)["_is_true"])) == set(wanted)
    with pytest.raises(InputError, match="'found'"):
        reencode(moved, target, text="text", order="random")


def test_it_ends_exact(kind: Kind, moved: tuple[str, str, Rows], tmp_path: Path):
    """If it fails, an interim store never becomes the true one."""
    _, destination, rows = moved
    with open_store(destination) as store:
        middle = float(np.median(columns(store)["_confidence"]))
    part = reencode(destination, target, text="text", until=middle)
    whole = reencode(destination, target, text="text")
    texts = [row for row, text in enumerate(rows["text"]) if text is not None]
    assert part.num_encoded + whole.num_encoded == len(texts)
    assert 0 < part.num_encoded < whole.true_rows == len(texts)
    assert part.least >= middle
    assert whole.without_text == NUM_ROWS - len(texts)
    assert reencode(destination, target, text="text").num_encoded == 0
    with open_store(destination) as store:
        np.testing.assert_allclose(columns(store)["vectors"][texts], TRUE[texts], atol=1e-6)
    assert not list(tmp_path.glob("*reencoded*")), "what was kept on the way is left behind"


def test_an_interrupted_run_encodes_nothing_twice(moved: tuple[str, str, Rows], tmp_path: Path):
    """If it fails, hours of an encoder are lost with a process."""
    _, destination, _ = moved
    seen: list[str] = []

    def stops(texts: list[str]) -> np.ndarray[Any, Any]:
        if len(seen) >= 128 and not hasattr(stops, "went_on"):
            raise KeyboardInterrupt
        seen.extend(texts)
        return target(texts)

    with open_store(destination) as store:
        before = columns(store)["vectors"]
    with pytest.raises(KeyboardInterrupt):
        reencode(destination, stops, text="text", budget=256)
    with open_store(destination) as store:
        np.testing.assert_array_equal(columns(store)["vectors"], before)
    stops.went_on = True
    assert reencode(destination, stops, text="text", budget=256).true_rows == 256
    assert len(seen) < 256 + 3 * 32  # two batches are made again, to be compared


def test_a_killed_run_leaves_nothing(moved: tuple[str, str, Rows], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """If it fails, vectors that are in their place already fill the disk a second time, until somebody wonders."""
    _, destination, _ = moved
    remove, calls = reencoding._remove_kept, []

    def stops(store: Store, but: str | None = None) -> None:
        if but is None:
            raise KeyboardInterrupt
        remove(store, but)

    def stops_once(texts: list[str]) -> np.ndarray[Any, Any]:
        calls.append(texts)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return target(texts)

    with monkeypatch.context() as context:
        context.setattr(reencoding, "_remove_kept", stops)  # as it ends: all vectors are in their place
        with pytest.raises(KeyboardInterrupt):
            reencode(destination, target, text="text", budget=100)
    (left,) = tmp_path.glob("*reencoded*.npy")
    with pytest.raises(KeyboardInterrupt):
        reencode(destination, stops_once, text="text", budget=128)
    assert not left.exists()
    assert list(tmp_path.glob("*reencoded*.parts")), "what the next call goes on from is removed, too"
    assert reencode(destination, stops_once, text="text", budget=128).true_rows == 228
    assert not list(tmp_path.glob("*reencoded*"))


def test_two_calls_at_once(moved: tuple[str, str, Rows], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """If it fails, one call removes what another has encoded for hours, or puts older rows in the place of its."""
    _, destination, _ = moved
    refused = []

    def twice(texts: list[str]) -> np.ndarray[Any, Any]:
        if not refused:
            monkeypatch.chdir(tmp_path)
            for spelled in (destination, destination.replace(f"{tmp_path}/", "")):
                with pytest.raises(InputError, match="in use"):
                    reencode(spelled, target, text="text", budget=10)
            refused.append(list(tmp_path.glob("*.parts")))
        return target(texts)

    assert reencode(destination, twice, text="text", budget=20).true_rows == 20
    assert refused[0], "what was kept on the way is gone"
    assert not list(tmp_path.glob("*reencoded*"))
    assert reencode(destination, target, text="text", budget=10).true_rows == 30


def test_a_store_of_yet_another_encoder_begins_anew(adapter: IRPAdapter, tmp_path: Path):
    """If it fails, rows that were true in one space pass for true in the next, and no call encodes them any more."""
    pq.write_table(table_of(some_rows(SOURCE)), tmp_path / "source.parquet")
    translate_store(tmp_path / "source.parquet", adapter, tmp_path / "second.parquet", confidence=True)
    reencode(tmp_path / "second.parquet", target, text="text", budget=100)
    onwards = IRPAdapter.from_anchors(*parallel(200)[::-1], method="whitened")
    translate_store(tmp_path / "second.parquet", onwards, tmp_path / "third.parquet")
    assert pq.read_schema(tmp_path / "third.parquet").names == ["id", "embedding", "text", "year"]
    translate_store(tmp_path / "second.parquet", onwards, tmp_path / "fourth.parquet", confidence=True)
    told = reencode(tmp_path / "fourth.parquet", lambda texts: SOURCE[: len(texts)], text="text", budget=50)
    assert told.true_rows == 50
    with open_store(tmp_path / "fourth.parquet") as store:
        sure = onwards.confidence(vectors_of(open_store(tmp_path / "second.parquet").take(np.arange(20)), "embedding"))
        np.testing.assert_allclose(columns(store)["_confidence"][:20], sure, atol=1e-6)


def test_what_a_store_keeps(moved: tuple[str, str, Rows]):
    """If it fails, the figures by which somebody decides whether to move are of something else."""
    source, destination, _ = moved
    told = verify_store(destination, target, text="text", source=source, sample=400)
    assert told.num_items == 400
    assert 0.2 < told.before.mean < 1
    assert told.neighbors.low < told.neighbors.mean < told.neighbors.high
    assert abs(told.cosine.mean - told.expected) < 0.03
    assert told.gain.mean == pytest.approx(told.neighbors.mean - told.before.mean)
    assert "until all is encoded anew" in str(told) or "changes little" in str(told)
    reencode(destination, target, text="text")
    exact = verify_store(destination, target, text="text", source=source, sample=400)
    assert exact.neighbors.mean == 1
    assert "nothing of them is translated any more" in str(exact)
    assert "until" not in str(exact)
    assert "expected" not in str(exact)
    assert exact.cosine.mean == pytest.approx(1, abs=1e-6)


def other(texts: list[str]) -> np.ndarray[Any, Any]:
    """An encoder of another width."""
    return np.ones((len(texts), 7), dtype=np.float32)


@pytest.mark.parametrize("call", [reencode, verify_store])
def test_the_wrong_encoder_or_column(call: Any, moved: tuple[str, str, Rows]):
    """If it fails, another library's error stands where a word would help, or rows of two spaces are mixed."""
    _, destination, _ = moved
    with pytest.raises(InputError, match="20 wide"):
        call(destination, other, text="text")
    with pytest.raises(InputError, match="'text'"):
        call(destination, target, text="words")
    with pytest.raises(InputError, match="Pass encoder="):
        call(destination, text="text")


def test_stores_that_cannot(adapter: IRPAdapter, tmp_path: Path):
    """If it fails, a store without confidences is encoded in an order that means nothing."""
    parquet = next(kind for kind in KINDS if kind.name == "parquet")
    source = parquet.make(tmp_path, some_rows(SOURCE))
    with pytest.raises(InputError, match="without its record"):
        reencode(source, target, text="text")
    translate_store(source, adapter, tmp_path / "plain.parquet")
    with pytest.raises(InputError, match="confidence=True"):
        reencode(tmp_path / "plain.parquet", target, text="text")
    translate_store(source, adapter, tmp_path / "moved.npy")
    with pytest.raises(InputError, match="column of texts"):
        reencode(tmp_path / "moved.npy", target, text="text")
    few = pq.read_table(tmp_path / "source.parquet").slice(0, 30)
    pq.write_table(few, tmp_path / "few.parquet")
    with pytest.raises(InputError, match="at least 50 rows"):
        verify_store(tmp_path / "few.parquet", target, text="text")


@pytest.mark.slow
def test_the_forecast_stands_beside(adapter: IRPAdapter, tmp_path: Path):
    """If it fails, nobody sees that a report promised more, or another adapter's promise is shown."""
    pq.write_table(table_of(some_rows(SOURCE)), tmp_path / "source.parquet")
    moved = f"{tmp_path}/moved.parquet"
    translate_store(tmp_path / "source.parquet", adapter, moved)
    told = verify_store(moved, target, text="text", adapter=adapter, sample=400)
    told_before = adapter.report(baselines=[], progress=False, index_size=told.num_items - 1).index
    assert told_before is not None
    assert told.forecast == told_before.shares[0].moved
    assert told.forecast.low - 0.1 < told.neighbors.mean < told.forecast.high + 0.1
    assert "foretold" in str(told)
    other = IRPAdapter.from_anchors(*parallel(150, seed=9), method="whitened")
    with pytest.raises(InputError, match="the one that translated"):
        verify_store(moved, target, text="text", adapter=other)
    assert verify_store(moved, target, text="text", sample=100).forecast is None


def test_classes_stand_beside(adapter: IRPAdapter, tmp_path: Path):
    """If it fails, a store is judged by neighbours alone where its owner knows what belongs together."""
    table = table_of(some_rows(SOURCE))
    groups = [None if row % 10 == 9 else f"group {int(value > 0)}" for row, value in enumerate(TRUE[:, 0])]
    table = table.append_column("group", [groups]).append_column("weight", [[0.5] * NUM_ROWS])
    pq.write_table(table, tmp_path / "source.parquet")
    moved = f"{tmp_path}/moved.parquet"
    translate_store(tmp_path / "source.parquet", adapter, moved)
    told = verify_store(moved, target, text="text", label="group", source=tmp_path / "source.parquet", sample=400)
    assert told.by_class is not None
    assert told.by_class.before is not None
    assert 0.5 < told.by_class.store.mean < told.by_class.anew.mean + 0.05 < 1
    header, *lines = told.tables()[0]
    assert header[-1] == "of its class"
    assert [line[-1] for line in lines] == [
        *(str(told.by_class.store), str(told.by_class.before), str(told.by_class.anew))
    ]
    alone = verify_store(moved, target, text="text", label="group", adapter=adapter, sample=400)
    assert [bool(line[-1]) for line in alone.tables()[0][1:]] == [True, False, True]
    for wrong in ("weight", "groups", "embedding"):
        with pytest.raises(InputError, match="'group'"):
            verify_store(moved, target, text="text", label=wrong)
    made = pq.read_table(moved)
    for values, got in ((["a"] * NUM_ROWS, "one class of all"), ([*map(str, range(NUM_ROWS))], "as many classes as")):
        same = made.set_column(made.schema.get_field_index("group"), "group", [values])
        pq.write_table(same, tmp_path / "same.parquet")
        with pytest.raises(InputError, match=got):
            verify_store(tmp_path / "same.parquet", lambda texts: 1 / 0, text="text", label="group")
    few = made.set_column(made.schema.get_field_index("group"), "group", [["a"] * 9 + [None] * (NUM_ROWS - 9)])
    pq.write_table(few, tmp_path / "few.parquet")
    with pytest.raises(InputError, match="50 items with a class"):
        verify_store(tmp_path / "few.parquet", target, text="text", label="group")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_was_fitted_on_is_left_out(tmp_path: Path, dtype: Any):
    """If it fails, anchors are verified: of a thousand .9 of the neighbours were found, where other rows had .4."""
    fitted = IRPAdapter.from_anchors(SOURCE[:300], TRUE[:300], method="whitened")
    pq.write_table(table_of(some_rows(SOURCE)), tmp_path / "source.parquet")
    moved = f"{tmp_path}/moved.parquet"
    translate_store(tmp_path / "source.parquet", fitted, moved, confidence=True, dtype=dtype)
    asked: list[str] = []

    def seen(texts: list[str]) -> np.ndarray[Any, Any]:
        asked.extend(texts)
        return target(texts)

    told = verify_store(moved, seen, text="text", adapter=fitted)
    fresh = [row for row in range(300, NUM_ROWS) if some_rows(SOURCE)["text"][row] is not None]
    assert (told.num_items, told.anchors) == (len(fresh), 300 - sum(row % 7 == 3 for row in range(300)))
    assert {int(text.split()[1].rstrip(",")) for text in asked} == set(fresh)
    assert "fitted on them" in told.caption()
    assert "with adapter= it is left out" in verify_store(moved, target, text="text", sample=100).caption()
    reencode(moved, target, text="text")
    assert verify_store(moved, target, text="text", adapter=fitted).num_items == len(fresh)
    everything = IRPAdapter.from_anchors(SOURCE, TRUE, method="whitened")
    translate_store(tmp_path / "source.parquet", everything, f"{tmp_path}/all.parquet")
    with pytest.raises(InputError, match="that are anchors"):
        verify_store(f"{tmp_path}/all.parquet", target, text="text", adapter=everything)
