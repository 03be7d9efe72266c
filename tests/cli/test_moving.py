"""`translate`."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from interruptible import interruptible
from pyarrow import parquet

from irp_hf import IRPAdapter
from irp_hf.stores import translate_store, verify_store

OLD, ENCODER = "old.parquet#embedding", "sentence-transformers/all-MiniLM-L6-v2"


def vectors(path):
    return np.array(parquet.read_table(path)["embedding"].to_pylist(), np.float32)


def test_translate_is_that_of_python(desk, irp_hf_command):
    """If it fails, a shell moves an index otherwise than Python does, or loses what stands beside its vectors."""
    done = irp_hf_command("translate", OLD, "old-to-new", "moved.parquet#embedding", "--confidence", "--json")
    assert done.code == 0, done.err
    told = translate_store(OLD, "old-to-new", "expected.parquet#embedding", confidence=True)
    assert Path("moved.parquet").read_bytes() == Path("expected.parquet").read_bytes()
    assert (done.json["num_rows"], done.json["width"]) == (told.num_rows, told.width) == (300, 16)
    written, source = parquet.read_table("moved.parquet"), parquet.read_table("old.parquet")
    for column in ("id", "text"):
        assert written[column] == source[column]


def test_the_options_are_those_of_python(desk, irp_hf_command):
    """If it fails, an option of the shell is not what Python does by that name."""
    options = ("--unit-length", "--dtype", "float16", "--limit", 50, "--no-check")
    done = irp_hf_command("translate", OLD, "old-to-new", "moved.npy", *options)
    assert done.code == 0, done.err
    moved = np.load("moved.npy")
    assert (moved.shape, moved.dtype) == ((50, 16), np.float16)
    x = IRPAdapter.from_pretrained("old-to-new").translate(vectors("old.parquet")[:50])
    assert np.abs(moved - x / np.linalg.norm(x, axis=1, keepdims=True)).max() < 1e-3


@pytest.mark.slow
def test_a_dry_run_writes_nothing_and_tells_what_is_kept(desk, irp_hf_command):
    """If it fails, who only asks finds files, or has to move an index to know what it keeps."""
    before = sorted(Path().rglob("*"))
    done = irp_hf_command("translate", OLD, "old-to-new", "moved.parquet#embedding", "--dry-run", "--json")
    assert done.code == 0, done.err
    report = IRPAdapter.from_pretrained("old-to-new").report(index_size=300, progress=False)
    assert done.json["neighbors_kept"] == pytest.approx(report.index.shares[0].moved.mean)
    assert done.json["dry_run"]
    assert sorted(Path().rglob("*")) == before


def test_too_few_neighbours_stop_it(desk, irp_hf_command):
    """If it fails, a script moves an index that loses what it was to keep, or does not move one that keeps it."""
    asked = ("translate", OLD, "old-to-new", "moved.parquet#embedding")
    done = irp_hf_command(*asked, "--min-neighbors", 0.999, "--json")
    assert (done.code, done.json["enough"]) == (1, False)
    assert not Path("moved.parquet").exists()
    kept = done.json["neighbors_kept"]
    assert irp_hf_command(*asked, "--min-neighbors", kept).code == 0
    assert Path("moved.parquet").exists()


def test_a_store_is_verified_and_becomes_true(desk, folders, irp_hf_command):
    """If it fails, a shell measures otherwise than Python does, or puts other vectors into a store than the encoder makes."""
    irp_hf_command("translate", OLD, "old-to-new", "moved.parquet#embedding", "--confidence")
    asked = ("moved.parquet#embedding", folders / "encoder", "--text", "text")
    told = irp_hf_command("verify", *asked, "--source", OLD, "--sample", 200, "--json")
    assert told.code == 0, told.err
    expected = verify_store(
        "moved.parquet#embedding", str(folders / "encoder"), text="text", source=OLD, sample=200, progress=False
    )
    assert told.json["neighbors"]["mean"] == pytest.approx(expected.neighbors.mean)
    assert expected.neighbors.mean < 1
    assert told.json["before"]["mean"] == pytest.approx(expected.before.mean)
    kept = told.json["neighbors_kept"]
    assert irp_hf_command("verify", *asked, "--sample", 200, "--min-neighbors", kept + 0.01).code == 1
    some = irp_hf_command("reencode", *asked, "--budget", 100, "--json")
    assert (some.code, some.json["true_rows"]) == (0, 100), some.err
    assert irp_hf_command("doctor", "moved.parquet#embedding", "--json").json["true_rows"] == 100
    done = irp_hf_command("reencode", *asked, "--json")
    assert done.json["true_rows"] == done.json["num_rows"] == 300
    assert np.allclose(vectors("moved.parquet"), np.load("new.npy"), atol=1e-5)


def test_doctor_knows_what_was_translated(desk, irp_hf_command):
    """If it fails, nobody sees that an index is in the new space already."""
    irp_hf_command("translate", OLD, "old-to-new", "moved.parquet#embedding")
    told = irp_hf_command("doctor", "moved.parquet#embedding", "--json").json
    assert told["translated_by"] == IRPAdapter.from_pretrained("old-to-new").checksum()
    assert irp_hf_command("doctor", "moved.parquet#embedding", "old-to-new").code == 1


REFUSED = {
    "wrong direction": (["translate", "new.parquet#embedding", "old-to-new", "x.npy"], 1, "16"),
    "a store that is not there": (["translate", "none.parquet#embedding", "old-to-new", "x.npy"], 1, "none.parquet"),
    "a column that is not there": (["translate", "old.parquet#vector", "old-to-new", "x.npy"], 1, "'vector'"),
    "a destination that is there": (["translate", OLD, "old-to-new", "new.npy"], 1, "new.npy"),
    "a kind that is none": (["translate", OLD, "old-to-new", "x.docx"], 1, "x.docx"),
    "no adapter": (["translate", OLD, "minilm-anchored", "x.npy"], 1, "minilm-anchored"),
    "a dtype that is none": (["translate", OLD, "old-to-new", "x.npy", "--dtype", "int8"], 1, "'int8'"),
    "no rows": (["translate", OLD, "old-to-new", "x.npy", "--limit", "0"], 1, "0"),
    "a share of more than all": (["translate", OLD, "old-to-new", "x.npy", "--min-neighbors", "1.5"], 1, "1.5"),
    "a verified store that is not there": (["verify", "x.parquet#embedding", ENCODER], 1, "x.parquet"),
    "no column of texts": (["verify", OLD, ENCODER, "--text", "texts"], 1, "'texts'"),
    "another encoder": (["verify", OLD, ENCODER], 1, "16"),
    "too few": (["verify", OLD, ENCODER, "--sample", "5"], 1, "5"),
    "what was never translated": (["reencode", OLD, ENCODER], 1, "old.parquet"),
    "less than no rows": (["reencode", OLD, ENCODER, "--budget", "0"], 1, "0"),
    "nowhere": (["translate", OLD, "old-to-new"], 2, "destination"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused_in_words(what, desk_on_the_hub, irp_hf_command):
    """If it fails, bad input ends in a traceback or another code, or leaves something behind."""
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    arguments, code, said = REFUSED[what]
    done = irp_hf_command(*arguments)
    assert (done.code, done.out) == (code, ""), done.err
    assert said in done.err
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_translated(desk):
    """If it fails, an hour of moving is lost, or nobody is told that the same command goes on, or ends in other bytes."""
    np.save("many.npy", np.tile(np.load("old.npy"), (4000, 1)))
    command = [sys.executable, "-m", "irp_hf_cli", "translate", "many.npy", "old-to-new"]
    running = subprocess.Popen(
        [*command, "moved.npy"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible
    )
    before, deadline = {*os.listdir()}, time.monotonic() + 120
    while {*os.listdir()} == before and time.monotonic() < deadline and running.poll() is None:
        time.sleep(0.02)
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, ""), err
    assert err.splitlines()[-1].startswith("Interrupted. What was translated is kept beside moved.npy")
    assert not Path("moved.npy").exists()
    done = subprocess.run([*command, "moved.npy", "--json"], capture_output=True, text=True)
    assert json.loads(done.stdout)["num_rows"] == 1_200_000
    subprocess.run([*command, "whole.npy"], check=True, capture_output=True)
    assert Path("moved.npy").read_bytes() == Path("whole.npy").read_bytes()
