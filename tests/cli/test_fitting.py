"""`connect`, `fit` and `report`."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import NUM_ANCHORS
from pyarrow import parquet
from safetensors.numpy import save_file

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.stores.base import as_lists

FIXED = ("--method", "kernel", "--gamma", "1", "--ridge", ".001")


def test_connect_is_that_of_python(desk, irp_hf_command):
    """If it fails, the same two spaces give another adapter from a shell."""
    done = irp_hf_command(
        "connect", "minilm-anchored", "mpnet-anchored", "--objective", "neighbors", "--out", "a", "--json"
    )
    assert done.code == 0, done.err
    expected = IRPAdapter.connect("minilm-anchored", "mpnet-anchored", objective="neighbors")
    assert done.json["checksum"] == expected.checksum() == IRPAdapter.from_pretrained("a").checksum()
    assert done.json["objective"] == "neighbors"


def test_a_depth_is_that_of_python(desk, irp_hf_command):
    """If it fails, candidates that were asked for in a shell have no part, or another objective takes them without a word."""
    files = ("fit", "old.npy", "new.npy", "--method", "whitened")
    done = irp_hf_command(*files, "--objective", "recall", "--depth", "20", "--out", "fitted", "--json")
    assert done.code == 0, done.err
    sides = np.load("old.npy"), np.load("new.npy")
    expected = IRPAdapter.from_anchors(*sides, method="whitened", objective="recall", depth=20)
    assert (done.json["objective"], done.json["depth"]) == ("recall", 20)
    assert done.json["checksum"] == expected.checksum()
    for options, said in ((("--depth", "20"), "objective='recall'"), (("--objective", "recall", "--depth", "0"), "10")):
        refused = irp_hf_command(*files, *options, "--out", "other")
        assert refused.code == 1
        assert "depth: expected" in refused.err
        assert said in refused.err
        assert not Path("other").exists()


@pytest.mark.parametrize("kind", ["npy", "safetensors", "parquet", "folder"])
def test_fit_takes_vectors_of_any_kind(kind, desk, irp_hf_command):
    """If it fails, vectors have to be written as another kind of file first, or others are read than are named."""
    source, target = np.load("old.npy"), np.load("new.npy")
    expected = IRPAdapter.from_anchors(source, target, method="kernel", gamma=1.0, ridge=1e-3).checksum()
    first, second = "old.npy", "new.npy"
    if kind == "safetensors":
        save_file({"rows": source, "more": target}, "both.safetensors")
        first, second = "both.safetensors#rows", "both.safetensors#more"
    elif kind in ("parquet", "folder"):
        first = "old.parquet#embedding"
        if kind == "folder":
            Path("parts").mkdir()
            Path("old.parquet").rename("parts/0.parquet")
            first = "parts"
    done = irp_hf_command("fit", first, second, *FIXED, "--out", "fitted", "--json")
    assert done.code == 0, done.err
    assert done.json["checksum"] == expected


def test_fit_pairs_rows_by_their_ids(desk, irp_hf_command):
    """If it fails, rows of two files are paired by their places, which are those of other items."""
    done = irp_hf_command("fit", "old.parquet", "new.parquet", "--key", "id", *FIXED, "--out", "fitted", "--json")
    assert done.code == 0, done.err
    adapter = IRPAdapter.from_pretrained("fitted")
    source, target = np.load("old.npy"), np.load("new.npy")
    place = {row.tobytes(): number for number, row in enumerate(source)}
    rows = [place[row.tobytes()] for row in adapter.source_anchors.numpy()]
    assert done.json["num_anchors"] == len(rows) == NUM_ANCHORS
    assert np.array_equal(adapter.target_anchors.numpy(), target[rows])
    assert "120 pairs by id, of 300 rows" in done.err


@pytest.mark.slow
def test_fit_with_unpaired_rows(desk, irp_hf_command):
    """If it fails, few pairs stay few from a shell."""
    np.save("x.npy", np.load("old.npy")[:30])
    np.save("y.npy", np.load("new.npy")[:30])
    beside = ("--source-background", "old.npy", "--target-background", "new.npy")
    done = irp_hf_command("fit", "x.npy", "y.npy", *beside, "--method", "kernel", "--out", "fitted")
    assert done.code == 0, done.err
    rows = [np.load(file) for file in ("x.npy", "y.npy", "old.npy", "new.npy")]
    expected = IRPAdapter.from_anchors(*rows[:2], method="kernel", source_background=rows[2], target_background=rows[3])
    assert expected.config.background is not None or "Warning: Backgrounds have no part in this fit" in done.err
    assert IRPAdapter.from_pretrained("fitted").checksum() == expected.checksum()


@pytest.mark.slow
def test_a_report_and_whether_it_is_enough(desk, irp_hf_command):
    """If it fails, a script that asks for neighbours goes on where they are lost, or stops where they are kept."""
    asked = ("report", "old-to-new", "--index-size", "1000", "--index-size", "100000")
    told = irp_hf_command(*asked, "--json")
    assert told.code == 0, told.err
    expected = IRPAdapter.from_pretrained("old-to-new").report(index_size=[1000, 100_000], progress=False)
    shares = told.json["index"]["shares"]
    assert [share["num_rows"] for share in shares] == [1000, 100_000]
    assert told.json["neighbors_kept"] == shares[-1]["moved"]["mean"] == expected.index.shares[-1].moved.mean
    kept = told.json["neighbors_kept"]
    assert irp_hf_command(*asked, "--min-neighbors", kept).code == 0
    less = irp_hf_command(*asked, "--min-neighbors", kept + 0.01)
    assert less.code == 1
    assert "Neighbours kept: expected at least" in less.out
    among = irp_hf_command("report", "old-to-new", "--min-neighbors", 0, "--json").json
    assert 0 < among["neighbors_kept"] < 1
    assert among["enough"]


REFUSED = {
    "spaces of other anchors": (["connect", "minilm-anchored", "other", "--out", "x"], 1, "50 items"),
    "an adapter for a space": (["connect", "old-to-new", "mpnet-anchored", "--out", "x"], 1, "old-to-new"),
    "a method that is none": (
        ["connect", "minilm-anchored", "mpnet-anchored", "--method", "kernels", "--out", "x"], 1, "'kernel'",
    ),
    "an option of another method": (
        ["fit", "old.npy", "new.npy", "--method", "kernel", "--balance", ".5", "--out", "x"], 1, "balance",
    ),
    "a number out of its range": (["fit", "old.npy", "new.npy", "--ridge", "-1", "--out", "x"], 1, "-1"),
    "no head to agree with": (["fit", "old.npy", "new.npy", "--objective", "agreement", "--out", "x"], 1, "head"),
    "sides of unequal length": (["fit", "old.npy", "new.parquet", "--out", "x"], 1, "300"),
    "a file that is not there": (["fit", "old.npy", "none.npy", "--out", "x"], 1, "none.npy"),
    "a column that is not there": (["fit", "old.parquet#vector", "new.npy", "--out", "x"], 1, "'vector'"),
    "a table of texts": (["fit", "old.parquet#text", "new.npy", "--out", "x"], 1, "text"),
    "no vectors at all": (["fit", "texts.csv", "new.npy", "--out", "x"], 1, "texts.csv"),
    "numbers that are none": (["fit", "nan.npy", "new.npy", "--out", "x"], 1, "NaN"),
    "a pickle": (["fit", "pickled.npy", "new.npy", "--out", "x"], 1, "pickled.npy"),
    "a broken file": (["fit", "broken.safetensors", "new.npy", "--out", "x"], 1, "broken.safetensors"),
    "a key that is not there": (["fit", "old.parquet", "new.parquet", "--key", "ids", "--out", "x"], 1, "'ids'"),
    "a key in what has no columns": (["fit", "old.npy", "new.npy", "--key", "id", "--out", "x"], 1, "--key"),
    "a key that is not unique": (["fit", "twice.parquet", "new.parquet", "--key", "id", "--out", "x"], 1, "again"),
    "a key without pairs": (["fit", "old.parquet", "apart.parquet", "--key", "id", "--out", "x"], 1, "share"),
    "pairs of what has none": (["fit", "old.npy", "new.npy", "--unpaired", "--key", "id", "--out", "x"], 2, "--unpaired"),
    "nowhere to write": (["fit", "old.npy", "new.npy"], 2, "--out"),
    "a file for a folder": (["fit", "old.npy", "new.npy", *FIXED, "--out", "texts.csv"], 1, "texts.csv"),
    "a report of no adapter": (["report", "minilm-anchored"], 1, "minilm-anchored"),
    "a report of nothing": (["report", "none"], 1, "none"),
    "an index of nothing": (["report", "old-to-new", "--index-size", "0"], 1, "0"),
    "a share of more than all": (["report", "old-to-new", "--min-neighbors", "2"], 1, "2"),
    "a baseline that is none": (["report", "old-to-new", "--baselines", "magic"], 1, "magic"),
    "a picture of no kind": (["report", "old-to-new", "--plot", "report.nonsense"], 1, "report.nonsense"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused_in_words(what, desk, refuses, digits):
    """If it fails, bad input ends in a traceback or another code, or leaves something behind."""
    AnchoredSpace.from_embeddings(digits.target[:50]).save_pretrained("other")
    spoilt = np.load("old.npy")
    spoilt[7] = np.nan
    np.save("nan.npy", spoilt)
    np.save("pickled.npy", np.array([{}, {}], object))
    Path("broken.safetensors").write_bytes(b"\xff" * 40)
    write_ids("twice.parquet", [*range(299), 5])
    write_ids("apart.parquet", range(1000, 1300))
    refuses(*REFUSED[what])


def write_ids(path, ids):
    parquet.write_table(pa.table({"id": list(ids), "embedding": as_lists(np.load("old.npy"))}), path)
