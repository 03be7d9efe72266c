"""Whether vectors are those that an adapter translates: a map that was applied the wrong way round once destroyed an index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from store_kinds import parallel, some_rows, table_of

from irp_hf import AnchoredSpace, AnchorSet, InputError, IRPAdapter
from irp_hf.encoding import encode
from irp_hf.records import EncoderRecord
from irp_hf.stores import open_store, translate_store
from irp_hf.stores.base import as_lists
from irp_hf.stores.identity import check_record

SAME = (24, 24)  # both as wide
GIVEN: dict[str, Any] = {"method": "whitened", "balance": 0.5, "ridge": 0.01}


def saved(folder: Path, vectors: np.ndarray[Any, Any]) -> Path:
    np.save(folder / "source.npy", vectors)
    return folder / "source.npy"


def refused(source: Any, adapter: IRPAdapter, folder: Path) -> str:
    """The words of the refusal; nothing is there then."""
    before = sorted(folder.rglob("*"))
    with pytest.raises(InputError) as caught:
        translate_store(source, adapter, folder / "moved.npy")
    assert sorted(folder.rglob("*")) == before
    return str(caught.value)


@pytest.fixture(scope="module")
def one_width() -> IRPAdapter:
    return IRPAdapter.from_anchors(*parallel(200, widths=SAME), **GIVEN)


def test_the_wrong_direction_at_one_width(one_width: IRPAdapter, tmp_path: Path):
    """If it fails, the target's vectors are moved to nowhere, and no width tells it."""
    source, target = parallel(1000, seed=5, widths=SAME)
    assert "target" in refused(saved(tmp_path, target), one_width, tmp_path)
    translate_store(saved(tmp_path, source), one_width, tmp_path / "moved.npy")


def test_translated_vectors_at_one_width(one_width: IRPAdapter, tmp_path: Path):
    """If it fails, what was translated by hand, without a record, is translated again."""
    moved = one_width.translate(parallel(1000, seed=5, widths=SAME)[0])
    assert "target" in refused(saved(tmp_path, moved), one_width, tmp_path)


@pytest.mark.parametrize("strange", ["noise", "turned", "shuffled"])
def test_what_no_encoder_of_the_source_made(strange: str, one_width: IRPAdapter, tmp_path: Path):
    """If it fails, another encoder's vectors of that width become vectors of no space at all."""
    vectors, random = parallel(1000, seed=5, widths=SAME)[0], np.random.RandomState(0)
    made = {
        "noise": random.randn(1000, 24).astype(np.float32),
        "turned": -vectors,
        "shuffled": vectors[:, random.permutation(24)],
    }[strange]
    assert "check=False" in refused(saved(tmp_path, made), one_width, tmp_path)
    translate_store(saved(tmp_path, made), one_width, tmp_path / "moved.npy", check=False)


def encoder(texts: list[str]) -> np.ndarray[Any, Any]:
    """Vectors of texts that end in the number of a row."""
    return parallel(600)[0][[int(text.rpartition(" ")[2]) for text in texts]]


TEXTS = [f"text {row}" for row in range(600)]


def adapter_of(record: dict[str, Any], canary: bool = False) -> IRPAdapter:
    """An adapter whose source's encoder is so recorded."""
    anchors = AnchorSet(TEXTS[:200])
    x, y = parallel(200)
    target = AnchoredSpace.from_embeddings(y, anchors, "me/target")
    source = AnchoredSpace.encode(encoder, anchors) if canary else AnchoredSpace.from_embeddings(x, anchors, record)
    return IRPAdapter.connect(source, target, **GIVEN)


def test_encoded_vectors_say_by_whom(tmp_path: Path):
    """If it fails, what is noted beside encoded vectors is of no use."""
    encode(encoder, TEXTS, out=tmp_path / "source.npy")
    with open_store(tmp_path / "source.npy") as store:
        made = store.encoder()
    assert made is not None
    assert made.id == "encoder"
    words = refused(tmp_path / "source.npy", adapter_of({"id": "me/other"}), tmp_path)
    assert "me/other" in words
    assert "encoder" in words
    translate_store(tmp_path / "source.npy", adapter_of({"id": "encoder"}), tmp_path / "moved.npy")


def test_a_file_of_that_name_says_nothing(tmp_path: Path):
    """If it fails, somebody's JSON beside their vectors is an error."""
    source = saved(tmp_path, parallel(600)[0])
    for text in ("", "[]", "{}", '{"run": {"encoder": 3}}', '{"run": {"encoder": {"normalize": "no"}}}', "[" * 10**5):
        Path(f"{source}.json").write_text(text)
        with open_store(source) as store:
            assert store.encoder() is None


@pytest.mark.parametrize(
    ("theirs", "ours", "differ"),
    [
        ({"id": "a/b"}, {"id": "a/b"}, None),
        ({"id": "a/b"}, {"id": "c/d"}, "id"),
        ({"id": "a/b", "weights_sha256": "1" * 64}, {"id": "moved", "weights_sha256": "1" * 64}, None),
        ({"id": "a/b", "weights_sha256": "1" * 64}, {"id": "a/b", "weights_sha256": "2" * 64}, "weights_sha256"),
        ({"id": "a/b", "prompt": "query: "}, {"id": "a/b", "prompt": None}, "prompt"),
        ({"id": "a/b", "dtype": "float16"}, {"id": "a/b", "dtype": "float32"}, None),
        ({"id": "a/b", "pooling": "cls"}, {"id": "a/b"}, None),
        ({}, {"id": "a/b"}, None),
    ],
)
def test_what_tells_encoders_apart(theirs: dict[str, Any], ours: dict[str, Any], differ: str | None):
    """If it fails, a folder that was moved is another encoder, or another encoder of that name is the same."""
    adapter, record = adapter_of(ours), EncoderRecord.from_dict(theirs, "")
    if differ is None:
        check_record(None, record, adapter, "store")
    else:
        with pytest.raises(InputError, match=differ):
            check_record(None, record, adapter, "store")


def test_a_chain_of_translations(tmp_path: Path):
    """If it fails, a store that was moved once can never be moved again, or to wherever somebody likes."""
    x, y = parallel(600)
    spaces = [
        AnchoredSpace.from_embeddings(side[:200], AnchorSet(TEXTS[:200]), name)
        for side, name in ((x, "me/a"), (y, "me/b"), (x[:, :22], "me/c"))
    ]
    first, second = (IRPAdapter.connect(*spaces[at : at + 2], **GIVEN) for at in (0, 1))
    translate_store(saved(tmp_path, x), first, tmp_path / "b.npy")
    assert translate_store(tmp_path / "b.npy", second, tmp_path / "c.npy").width == 22
    other = IRPAdapter.connect(
        AnchoredSpace.from_embeddings(y[:200], AnchorSet(TEXTS[:200]), "me/d"), spaces[2], **GIVEN
    )
    assert "me/b" in refused(tmp_path / "b.npy", other, tmp_path)


def test_known_texts(tmp_path: Path):
    """If it fails, vectors whose rows were mixed up against their texts are translated, each to another's text."""
    adapter, rows = adapter_of({}, canary=True), some_rows(parallel(600)[0])
    rows["text"] = TEXTS
    pq.write_table(table_of(rows), tmp_path / "source.parquet")
    translate_store(tmp_path / "source.parquet", adapter, tmp_path / "right.npy")
    known = adapter.config.source_canary["rows"]
    mixed = rows["vectors"].copy()
    mixed[known[1:]] = mixed[known[:-1]]
    pq.write_table(table_of({**rows, "vectors": mixed}), tmp_path / "source.parquet")
    words = refused(tmp_path / "source.parquet", adapter, tmp_path)
    assert any(f"row {row} " in f"{words} ".replace(",", " ") for row in known[1:])


def test_texts_that_are_missing(tmp_path: Path):
    """If it fails, a store with an empty cell among its texts is refused, or another library's error is raised."""
    adapter, texts = adapter_of({}, canary=True), [None, "", *TEXTS[2:]]
    columns = {"text": pa.array(texts, pa.large_string()), "x": as_lists(parallel(600)[0])}
    pq.write_table(pa.table(columns), tmp_path / "source.parquet")
    assert translate_store(tmp_path / "source.parquet", adapter, tmp_path / "moved.npy").num_rows == 600


def test_another_width(one_width: IRPAdapter, tmp_path: Path):
    """If it fails, torch tells of a product of matrices."""
    assert "width" in refused(saved(tmp_path, torch.randn(100, 7).numpy()), one_width, tmp_path)
