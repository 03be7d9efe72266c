"""Batches in every kind that an engine gives: the vectors that `translate_store` would write, beside all that was there."""

import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
from collections import UserDict

import cloudpickle
import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from datasets.fingerprint import Hasher
from pyarrow import parquet
from store_kinds import parallel

from irp_hf import InputError, IRPAdapter
from irp_hf.errors import HubError, MissingFolderError
from irp_hf.integrations.ray import Translate
from irp_hf.models.delivering import key_of
from irp_hf.stores import open_store, translate_store
from irp_hf.stores.base import vectors_of

X = parallel(64, seed=5)[0]
ROWS, WIDTH = X.shape


@pytest.fixture(scope="module")
def adapter() -> IRPAdapter:
    return IRPAdapter.from_anchors(*parallel(200), method="whitened")


@pytest.fixture(scope="module")
def folder(adapter, tmp_path_factory):
    place = tmp_path_factory.mktemp("saved") / "adapter"
    adapter.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def wanted(adapter):
    y = adapter.translate(X)
    return y / np.linalg.norm(y, axis=1, keepdims=True)


def arrow(kind: pa.DataType) -> pa.Table:
    """Ids and vectors as lists of this kind."""
    return pa.table({"id": range(ROWS), "e": pa.array(list(X.astype(kind.value_type.to_pandas_dtype())), kind)})


LISTS = {
    "lists": pa.list_(pa.float32()),
    "large lists": pa.large_list(pa.float64()),
    "lists of one size": pa.list_(pa.float16(), WIDTH),
}
BATCHES = {
    **{name: lambda kind=kind: arrow(kind) for name, kind in LISTS.items()},
    "a record batch": lambda: arrow(pa.list_(pa.float32())).to_batches()[0],
    "a table in pieces": lambda: pa.concat_tables([arrow(pa.list_(pa.float32())).slice(*at) for at in ((0, 9), (9,))]),
    "a frame": lambda: pd.DataFrame({"id": range(ROWS), "e": list(X)}, index=range(7, 7 + ROWS)),
    "arrays": lambda: {"id": np.arange(ROWS), "e": X},
    "an array of arrays": lambda: {"id": np.arange(ROWS), "e": _objects()},
    "tensors": lambda: {"id": torch.arange(ROWS), "e": torch.from_numpy(X)},
    "bfloat16": lambda: {"id": list(range(ROWS)), "e": torch.from_numpy(X).bfloat16()},
    "lists of Python": lambda: {"id": list(range(ROWS)), "e": X.tolist()},
    "columns of Arrow": lambda: {"id": range(ROWS), "e": arrow(pa.list_(pa.float32()))["e"]},
    "another dictionary": lambda: UserDict({"id": list(range(ROWS)), "e": X}),
}


def _objects() -> np.ndarray:
    made = np.empty(ROWS, object)
    made[:] = list(X)
    return made


def read(batch, column: str) -> np.ndarray:
    values = batch.column(column) if isinstance(batch, pa.RecordBatch) else batch[column]
    values = values.to_pylist() if isinstance(values, pa.Array | pa.ChunkedArray) else list(values)
    return np.asarray([np.asarray(value) for value in values])


def names(batch) -> list[str]:
    return list(batch.schema.names) if hasattr(batch, "schema") else list(batch)


@pytest.mark.parametrize("kind", BATCHES)
def test_a_batch_comes_back_in_its_kind(kind, adapter, wanted):
    """If it fails, an engine refuses what comes back, or rows lose their ids, their order, or get others' vectors."""
    batch = BATCHES[kind]()
    before = pickle.dumps(batch)
    made = Translate(adapter, "e", "moved", confidence=True)(batch)
    assert type(made) is type(batch)
    assert names(made) == ["id", "e", "moved", "moved_confidence"]
    far = 2e-2 if kind == "bfloat16" else 2e-3 if kind == "lists of one size" else 1e-6
    np.testing.assert_allclose(read(made, "moved"), wanted, atol=far)
    np.testing.assert_allclose(read(made, "moved_confidence"), adapter.confidence(X), atol=20 * far)
    assert read(made, "id").tolist() == list(range(ROWS))
    assert pickle.dumps(batch) == before
    if isinstance(batch, pd.DataFrame):
        assert made.index.equals(batch.index)


@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_arrow_are_like_the_source_s(kind, adapter):
    """If it fails, Spark, which knows no lists of one size, refuses every batch."""
    source = arrow(LISTS[kind])
    made = Translate(adapter, "e", "moved")(source)
    found, given = made.schema.field("moved").type, source.schema.field("e").type
    assert type(found) is type(given)
    assert found.value_type == (pa.float16() if given.value_type == pa.float16() else pa.float32())
    assert made.slice(0, 0).schema == Translate(adapter, "e", "moved")(source.slice(0, 0)).schema


def test_the_vectors_are_those_of_a_translated_store(adapter, tmp_path):
    """If it fails, a part that one machine translated and a part that many did do not belong in one index."""
    parquet.write_table(arrow(pa.list_(pa.float32(), WIDTH)), tmp_path / "source.parquet")
    translate_store(
        f"{tmp_path}/source.parquet#e", adapter, f"{tmp_path}/moved.parquet#e", confidence=True, check=False
    )
    table = parquet.read_table(tmp_path / "source.parquet")
    made = Translate(adapter, "e", confidence=True)(table)
    with open_store(f"{tmp_path}/moved.parquet#e") as store:
        (batch,) = store.batches()
        np.testing.assert_array_equal(np.stack(made["e"].to_numpy()), vectors_of(batch, "e"))
        np.testing.assert_array_equal(made["e_confidence"], batch.column("e_confidence"))


def test_in_place_of_the_source(adapter, wanted):
    """If it fails, a column keeps vectors of the old encoder under a name that says otherwise, or a record of what it was."""
    table = arrow(pa.list_(pa.float32())).replace_schema_metadata({key_of("e"): "{}", key_of("other"): "{}", "k": "v"})
    made = Translate(adapter, "e")(table)
    assert made.schema.names == ["id", "e"]
    np.testing.assert_allclose(read(made, "e"), wanted, atol=1e-6)
    assert made.schema.metadata == {key_of("other").encode(): b"{}", b"k": b"v"}
    assert table.schema.metadata[key_of("e").encode()] == b"{}"


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_length_and_dtype_are_as_asked(adapter, dtype):
    """If it fails, an index by inner product ranks by lengths, or takes twice the room."""
    made = Translate(adapter, "e", dtype=dtype, unit_length=False)({"e": X})["e"]
    assert made.dtype == dtype
    np.testing.assert_allclose(made, adapter.translate(X), rtol=2e-3, atol=2e-3)
    assert Translate(adapter, "e", unit_length=True)({"e": X.astype(np.float16)})["e"].dtype == np.float16


def test_values_that_half_precision_cannot_hold_are_refused(refusal):
    """If it fails, vectors come out infinite."""
    x, y = parallel(200)
    move = Translate(IRPAdapter.from_anchors(x, y * 1e6, method="whitened"), "e", dtype="float16")
    assert "float16" in refusal(move, {"e": X}, error=InputError)


@pytest.mark.parametrize("named", [False, True], ids=["an adapter", "a name"])
@pytest.mark.parametrize("library", [pickle, cloudpickle])
def test_it_pickles(adapter, folder, named, library, wanted):
    """If it fails, no engine can send it; or a name is sent with megabytes of numbers in every task."""
    sent = library.dumps(Translate(folder if named else adapter, "e"))
    assert (len(sent) < 1000) == named
    np.testing.assert_allclose(pickle.loads(sent)({"e": X})["e"], wanted, atol=1e-6)


def _works(move: Translate, queue: "multiprocessing.Queue") -> None:
    try:
        queue.put(move({"e": X})["e"])
    except Exception as error:
        queue.put(error)


def elsewhere(move: Translate, way: str = "spawn"):
    """What it makes in a process of its own, which has imported nothing."""
    context = multiprocessing.get_context(way)
    queue = context.Queue()
    process = context.Process(target=_works, args=(move, queue))
    process.start()
    found = queue.get(timeout=120)
    process.join()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("named", [False, True], ids=["an adapter", "a name"])
def test_a_spawned_process_translates(adapter, folder, named, wanted, monkeypatch):
    """If it fails, a worker does not find the adapter: a relative path leads elsewhere in its folder."""
    monkeypatch.chdir(folder.parent)
    move = Translate(folder.name if named else adapter, "e")
    monkeypatch.chdir("/")
    np.testing.assert_allclose(elsewhere(move), wanted, atol=1e-6)


FORKED = """
import datasets, numpy, sys, torch
from irp_hf.integrations.ray import Translate
torch.set_num_threads(2)
torch.randn(2000, 2000) @ torch.randn(2000, 2000)  # now there are threads, which a child lacks
move = Translate(sys.argv[1], "e")
table = datasets.Dataset.from_dict({"e": list(numpy.load(sys.argv[2]))}).with_format("arrow")
print(len(table.map(move, batched=True, num_proc=2)))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_processes_do_not_wait_for_threads_that_they_lack(folder, tmp_path):
    """If it fails, `dataset.map(move, num_proc=2)` hangs for ever where torch has worked before."""
    np.save(tmp_path / "x.npy", np.tile(X, (100, 1)))
    command = [sys.executable, "-c", FORKED, str(folder), str(tmp_path / "x.npy")]
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.stdout.split() == [str(100 * ROWS)], done.stderr


def test_a_worker_refuses_another_adapter_under_the_name(tmp_path, adapter, refusal):
    """If it fails, one column holds translations of two adapters, if somebody saves there meanwhile."""
    place = tmp_path / "adapter"
    adapter.save_pretrained(place)
    sent = pickle.dumps(Translate(place, "e"))
    shutil.rmtree(place)
    IRPAdapter.from_anchors(*parallel(150), method="whitened").save_pretrained(place)
    said = refusal(pickle.loads(sent), {"e": X}, error=InputError)
    assert adapter.checksum()[:12] in said
    shutil.rmtree(place)
    assert str(place) in refusal(pickle.loads(sent), {"e": X}, error=MissingFolderError)


@pytest.mark.slow
def test_an_adapter_on_the_hub_is_the_commit_of_before(hub, adapter, monkeypatch, wanted, refusal):
    """If it fails, a push while a job runs gives half of its rows another adapter, or a worker without network says nothing."""
    monkeypatch.setenv("HF_TOKEN", hub.token("me"))
    adapter.push_to_hub("me/old-to-new")
    move = Translate("me/old-to-new", "e")
    IRPAdapter.from_anchors(*parallel(150), method="whitened").push_to_hub("me/old-to-new")
    np.testing.assert_allclose(pickle.loads(pickle.dumps(move))({"e": X})["e"], wanted, atol=1e-6)
    sent = pickle.dumps(Translate("me/old-to-new", "e"))
    assert isinstance(_loaded_by_nobody_yet(sent, monkeypatch), HubError)


def _loaded_by_nobody_yet(sent: bytes, monkeypatch: pytest.MonkeyPatch):
    """What a worker says that has nothing in its cache and cannot reach the Hub."""
    monkeypatch.setenv("HF_HUB_CACHE", "/nowhere")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return elsewhere(pickle.loads(sent))


@pytest.mark.parametrize("asked", ["float64", "half", 16])
def test_options_that_there_are_not_are_refused_at_once(adapter, asked, refusal):
    """If it fails, a job on many machines fails at its end."""
    assert repr(asked) in refusal(Translate, adapter, "e", dtype=asked, error=InputError)


BAD = {
    "no adapter": (lambda a: Translate(42, "e"), InputError, "int"),
    "a folder that is not there": (lambda a: Translate("./nowhere", "e"), MissingFolderError, "nowhere"),
    "no name": (lambda a: Translate(a, ""), InputError, "column"),
    "a number for a name": (lambda a: Translate(a, 3), InputError, "3"),
    "a list for a name": (lambda a: Translate(a, "e", ["moved"]), InputError, "moved"),
    "a word for a flag": (lambda a: Translate(a, "e", confidence="yes"), InputError, "yes"),
    "another length": (lambda a: Translate(a, "e", unit_length="L2"), InputError, "L2"),
    "an array": (lambda a: Translate(a, "e")(X), InputError, "ndarray"),
    "None": (lambda a: Translate(a, "e")(None), InputError, "None"),
    "an iterator": (lambda a: Translate(a, "e")(iter([{"e": X}])), InputError, "batches"),
    "rows": (lambda a: Translate(a, "e")([{"e": X[0]}]), InputError, "list"),
    "one row": (lambda a: Translate(a, "e")({"e": X[0]}), InputError, "batched=True"),
    "one row as a list": (lambda a: Translate(a, "e")({"e": X[0].tolist()}), InputError, "batched=True"),
    "another column": (lambda a: Translate(a, "embeding")({"embedding": X}), InputError, "'embedding'"),
    "two columns of a name": (
        lambda a: Translate(a, "e")(pa.table([arrow(LISTS["lists"])["e"]] * 2, names=["e", "e"])),
        InputError,
        "2 of that name",
    ),
    "two columns of a frame": (
        lambda a: Translate(a, "0")(pd.DataFrame([["a", "b"]], columns=["0", "0"])),
        InputError,
        "2 of that name",
    ),
    "a column that exists": (lambda a: Translate(a, "e", "m")({"e": X, "m": X}), InputError, "'m'"),
    "confidences that exist": (
        lambda a: Translate(a, "e", confidence=True)({"e": X, "e_confidence": X}),
        InputError,
        "'e_confidence'",
    ),
    "another width": (lambda a: Translate(a, "e")({"e": X[:, 1:]}), InputError, f"width {WIDTH - 1}"),
    "a null": (
        lambda a: Translate(a, "e")(pa.table({"e": pa.array([*X[:3].tolist(), None], pa.list_(pa.float32()))})),
        InputError,
        "row 3",
    ),
    "a null inside": (
        lambda a: Translate(a, "e")(
            pa.table({"e": pa.array([X[0].tolist(), [None] * WIDTH], pa.list_(pa.float32(), WIDTH))})
        ),
        InputError,
        "row 1",
    ),
    "None in a frame": (lambda a: Translate(a, "e")(pd.DataFrame({"e": [*X[:2], None]})), InputError, "row 2"),
    "ragged": (lambda a: Translate(a, "e")({"e": [X[0], X[1], X[2][:-1]]}), InputError, "row 2"),
    "ragged in Arrow": (
        lambda a: Translate(a, "e")(pa.table({"e": pa.array([X[0], X[1][:-1]], pa.list_(pa.float32()))})),
        InputError,
        "row 1",
    ),
    "whole numbers": (lambda a: Translate(a, "e")({"e": np.ones((2, WIDTH), int)}), InputError, "int64"),
    "texts": (lambda a: Translate(a, "e")(pa.table({"e": ["a", "b"]})), InputError, "string"),
    "NaN": (lambda a: Translate(a, "e")({"e": _with(np.nan)}), InputError, "Row 5 of e"),
    "infinity": (lambda a: Translate(a, "e")({"e": _with(np.inf)}), InputError, "Row 5 of e"),
}


def _with(value: float) -> np.ndarray:
    made = X.copy()
    made[5, 2] = value
    return made


@pytest.mark.parametrize("kind", BAD)
def test_what_is_wrong_is_refused_with_its_place(kind, adapter, refusal):
    """If it fails, a job of hours ends in an error of numpy, or in vectors that nobody can use."""
    call, error, says = BAD[kind]
    assert says in refusal(call, adapter, error=error)


EMPTY = {
    "Arrow": lambda: arrow(LISTS["lists"]).slice(0, 0),
    "a column that was never filled": lambda: pa.table({"e": pa.array([], pa.null())}),
    "a frame": lambda: pd.DataFrame({"e": []}),
    "arrays": lambda: {"e": X[:0]},
    "a list": lambda: {"e": []},
}


@pytest.mark.parametrize("kind", EMPTY)
def test_of_no_rows_it_makes_none(kind, adapter):
    """If it fails, a partition without rows, which engines make, ends the job."""
    made = Translate(adapter, "e", "moved", confidence=True)(EMPTY[kind]())
    assert {"moved", "moved_confidence"} <= set(names(made))
    assert len(read(made, "moved")) == len(read(made, "moved_confidence")) == 0


@pytest.mark.parametrize("form", [None, "numpy", "arrow", "pandas", "torch"])
def test_datasets_map(form, adapter, wanted):
    """If it fails, `map` of datasets refuses what comes back in one of its formats, or writes other columns anew."""
    table = datasets.Dataset.from_dict({"id": list(range(ROWS)), "e": list(X), "text": ["a"] * ROWS})
    made = table.with_format(form).map(Translate(adapter, "e", "moved", confidence=True), batched=True, batch_size=10)
    assert made.column_names == ["id", "e", "text", "moved", "moved_confidence"]
    np.testing.assert_allclose(np.asarray(made.with_format("numpy")["moved"][:]), wanted, atol=1e-6)
    assert made.with_format(None)["id"][:] == list(range(ROWS))
    if form != "pandas":  # which has another kind of texts
        assert made.features["text"] == table.features["text"]


def test_datasets_decode_no_other_column(adapter):
    """If it fails, a data set with pictures decodes each of them to move a vector."""
    table = datasets.Dataset.from_dict({"e": list(X), "picture": [{"path": "/nowhere.png", "bytes": None}] * ROWS})
    table = table.cast_column("picture", datasets.Image())
    assert table.map(Translate(adapter, "e", "moved"), batched=True).column_names == ["e", "picture", "moved"]


def test_datasets_find_what_they_made_before(adapter, folder):
    """If it fails, `map` does all of its work again each time a script runs; or takes what another adapter made."""
    for given in (adapter, folder):
        move = Translate(given, "e")
        before = Hasher.hash(move)
        move({"e": X})
        assert Hasher.hash(move) == before == Hasher.hash(Translate(given, "e"))
    other = IRPAdapter.from_anchors(*parallel(150), method="whitened")
    assert Hasher.hash(Translate(other, "e")) != Hasher.hash(Translate(adapter, "e"))


def test_batches_are_an_iterator(adapter, wanted):
    """If it fails, Spark gets one partition as a whole, which may be more than memory holds."""
    parts = iter([{"e": X[:40]}, {"e": X[40:]}])
    made = Translate(adapter, "e").batches(parts)
    first = next(made)["e"]
    assert next(parts)["e"] is not None  # the second was not asked for yet
    np.testing.assert_allclose(first, wanted[:40], atol=1e-6)


def test_more_values_than_lists_of_arrow_count(adapter, monkeypatch, refusal):
    """If it fails, ends of lists overflow, and rows hold others' numbers."""
    monkeypatch.setattr("irp_hf.integrations.batches.MOST_VALUES", 100)
    move = Translate(adapter, "e")
    assert "64" in refusal(move, arrow(LISTS["lists"]), error=InputError)
    assert move(arrow(LISTS["large lists"])).num_rows == ROWS


@pytest.mark.slow
def test_no_engine_is_imported():
    """If it fails, somebody who has Spark must install Ray."""
    code = "import sys, irp_hf.integrations.ray; print({'ray', 'pyspark', 'daft'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
