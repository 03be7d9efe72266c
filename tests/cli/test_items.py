"""`anchors` and `encode`."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_encoders as tiny
from datasets import Dataset
from interruptible import interruptible
from pyarrow import parquet

from irp_hf import AnchoredSpace, AnchorSet
from irp_hf.encoding import encode

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def test_anchors_are_those_of_python(desk, irp_hf_command):
    """If it fails, two people who choose by the same seed, one of them from a shell, cannot connect their spaces."""
    done = irp_hf_command("anchors", "texts.csv", "--num-anchors", 50, "--seed", 3, "--out", "chosen", "--json")
    assert done.code == 0
    texts = Path("texts.csv").read_text(encoding="utf-8").splitlines()[1:]
    expected = AnchorSet.sample(texts, num_anchors=50, seed=3)
    assert done.json["fingerprint"] == expected.fingerprint
    assert AnchorSet.from_pretrained("chosen").view() == expected.view()


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "txt", "parquet", "folder", "saved"])
def test_a_table_may_be_of_any_kind(kind, desk, irp_hf_command):
    """If it fails, somebody has to turn a table into another kind first."""
    texts = tiny.texts(80)
    table, place = Dataset.from_dict({"text": texts, "more": [*range(80)]}), f"table.{kind}"
    if kind in ("csv", "tsv"):
        table.to_csv(place, sep="\t" if kind == "tsv" else ",")
    elif kind in ("json", "jsonl"):
        table.to_json(place)
    elif kind == "txt":
        Path(place).write_text("\n".join(texts), encoding="utf-8")
    elif kind == "saved":
        table.save_to_disk(place)
    elif kind == "folder":
        Path(place).mkdir()
        table.to_parquet(f"{place}/one.parquet")
    else:
        table.to_parquet(place)
    done = irp_hf_command("anchors", place, "--num-anchors", 40, "--out", "chosen")
    assert done.code == 0, done.err
    assert AnchorSet.from_pretrained("chosen").view() == AnchorSet.sample(texts, num_anchors=40).view()


def test_views_and_pictures(desk, irp_hf_command):
    """If it fails, what is no single column of texts cannot be anchored from a shell."""
    table = Dataset.from_dict({"en": tiny.texts(60), "es": [f"{text} w1" for text in tiny.texts(60)]})
    table.to_parquet("pairs.parquet")
    done = irp_hf_command(
        *(
            "anchors",
            "pairs.parquet",
            "--column",
            "en",
            "--column",
            "es",
            "--num-anchors",
            20,
            "--out",
            "views",
            "--json",
        )
    )
    assert done.json["views"] == ["en", "es"]
    Path("pictures").mkdir()
    for number, picture in enumerate(tiny.pictures(5)):
        picture.save(f"pictures/{number}.png")
    done = irp_hf_command("anchors", "pictures", "--column", "image", "--num-anchors", 4, "--out", "seen", "--json")
    assert done.json["views"] == ["image"], done.err


def test_a_space_and_vectors_are_those_of_python(desk_on_the_hub, irp_hf_command):
    """If it fails, a shell encodes otherwise than Python does."""
    done = irp_hf_command("encode", MINILM, "anchors", "--normalize", "--out", "space", "--no-canary", "--json")
    assert done.code == 0, done.err
    anchors = AnchorSet.from_pretrained("anchors")
    expected = AnchoredSpace.encode(MINILM, anchors, normalize=True, canary=False)
    space = AnchoredSpace.from_pretrained("space")
    assert space.checksum() == expected.checksum()
    assert done.json["width"] == 16
    table = Dataset.from_dict({"id": [*range(100)], "text": tiny.texts(100)})
    table.to_parquet("table.parquet")
    vectors, _ = encode(MINILM, tiny.texts(100))
    for out in ("all.npy", "all.parquet"):
        done = irp_hf_command("encode", MINILM, "table.parquet", "--out", out)
        assert done.code == 0, done.err
    assert np.array_equal(np.load("all.npy"), vectors.numpy())
    written = parquet.read_table("all.parquet")
    assert written.column_names == ["id", "text", "embedding"]
    assert np.array_equal(np.array(written["embedding"].to_pylist(), np.float32), vectors.numpy())
    assert written["text"].to_pylist() == tiny.texts(100)
    assert not list(Path().glob("all.parquet.*"))
    assert irp_hf_command("encode", MINILM, "all.parquet", "--out", "two.parquet#new").code == 0
    assert parquet.read_table("two.parquet").equals(written.append_column("new", written["embedding"]))
    assert irp_hf_command("encode", MINILM, "table.parquet", "--sample", 20, "--out", "some.parquet").code == 0
    some = parquet.read_table("some.parquet")
    rows = some["id"].to_pylist()
    assert len(rows) == 20
    assert rows == sorted({*rows}) != [*range(20)]
    assert np.array_equal(
        np.array(some["embedding"].to_pylist(), np.float32), encode(MINILM, [tiny.texts(100)[r] for r in rows])[0]
    )


@pytest.mark.parametrize(
    ("out", "file", "column"),
    [
        ("x.PARQUET", "x.PARQUET", "embedding"),
        ("x.Parquet#v", "x.Parquet", "v"),
        ("x.parquet#", "x.parquet", "embedding"),
        ("x.parquet#a/b", "x.parquet", "a/b"),
        ("x.parquet#a#b.parquet", "x.parquet", "a#b.parquet"),
        ("x#1.parquet#v", "x#1.parquet", "v"),
        ("x#1.parquet", "x#1.parquet", "embedding"),
    ],
)
def test_odd_names_of_files_and_columns(desk_on_the_hub, irp_hf_command, out, file, column):
    """If it fails, the vectors of a table go elsewhere than their name says, or a table is taken for a folder of anchors."""
    Path("few.csv").write_text("text\nw1 w2\nw3\n", encoding="utf-8")
    assert irp_hf_command("encode", MINILM, "few.csv", "--out", out).code == 0
    assert parquet.read_table(file).column_names == ["text", column]


@pytest.mark.parametrize("out", ["vectors", "x.csv", "x.pq#v", "#", "#v", ".parquet", "x.NPY", "x.parquet#\udcff"])
def test_vectors_of_a_table_go_into_a_file_of_vectors(desk, refuses, out):
    """If it fails, the error says of the table that it is no folder; or all is encoded and then cannot be written."""
    refuses(
        ["encode", MINILM, "texts.csv", "--out", out], 1, repr(out.rpartition("#")[2] if "udcff" in ascii(out) else out)
    )


def test_a_pushed_set_is_named_by_a_space(desk_on_the_hub, published, irp_hf_command):
    """If it fails, what is pushed from a shell lacks what tells others where it belongs."""
    done = irp_hf_command("anchors", "texts.csv", "--num-anchors", 30, "--push", "me/new-anchors", "--json")
    assert done.json["pushed"] == {"id": "me/new-anchors", "revision": done.json["pushed"]["revision"]}
    done = irp_hf_command("encode", MINILM, "me/new-anchors", "--push", "me/new-space")
    assert done.code == 0, done.err
    assert AnchoredSpace.from_pretrained("me/new-space").config.anchor_set["id"] == "me/new-anchors"


REFUSED = {
    "a file that is not there": (["anchors", "none.csv", "--out", "x"], 1, "none.csv"),
    "a column that is not there": (["anchors", "texts.csv", "--column", "txt", "--out", "x"], 1, "'txt'"),
    "too many": (["anchors", "texts.csv", "--num-anchors", "5000", "--out", "x"], 1, "5000"),
    "a strategy that is none": (["anchors", "texts.csv", "--strategy", "clever", "--out", "x"], 1, "'clever'"),
    "another split": (["anchors", "texts.csv", "--split", "test", "--out", "x"], 1, "'test'"),
    "a kind that nobody reads": (["anchors", "old.npy", "--out", "x"], 1, "old.npy"),
    "an anchor set for a table": (["anchors", "anchors", "--out", "x"], 1, "anchor set"),
    "a broken table": (["anchors", "broken.parquet", "--out", "x"], 1, "broken.parquet"),
    "no words for a number": (["anchors", "texts.csv", "--num-anchors", "many", "--out", "x"], 2, "--num-anchors"),
    "nowhere to write": (["anchors", "texts.csv"], 2, "--out"),
    "an encoder that is not there": (["encode", "./none", "anchors", "--out", "x"], 1, "none"),
    "one that the Hub lacks": (["encode", "me/none", "anchors", "--out", "x"], 1, "me/none"),
    "no anchor set": (["encode", MINILM, "texts.csv", "--out", "x"], 1, "texts.csv"),
    "a device that is none": (["encode", MINILM, "anchors", "--device", "gpu", "--out", "x"], 1, "'gpu'"),
    "a file for a background": (
        ["encode", MINILM, "texts.csv", "--background", "texts.csv", "--out", "x.npy"],
        2,
        "folder",
    ),
    "a column that is there": (["encode", MINILM, "old.parquet", "--out", "x.parquet"], 1, "new.parquet#vector"),
    "a sample of an anchor set": (["encode", MINILM, "anchors", "--sample", "5", "--out", "x.parquet"], 2, "--sample"),
    "a sample whose rows nobody could tell": (
        ["encode", MINILM, "texts.csv", "--sample", "5", "--out", "x.npy"],
        2,
        "--sample",
    ),
    "a column of a file that has none": (["encode", MINILM, "texts.csv", "--out", "x.npy#new"], 2, "#new"),
    "a file that is there": (["encode", MINILM, "texts.csv", "--out", "old.parquet"], 1, "old.parquet"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused_in_words(what, desk_on_the_hub, refuses):
    """If it fails, bad input ends in a traceback or another code, or leaves something behind."""
    Path("broken.parquet").write_bytes(b"PAR1 and nothing more")
    refuses(*REFUSED[what])


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_encoded(desk, folders):
    """If it fails, an hour of encoding is lost, or nobody is told that the same command goes on."""
    Path("many.txt").write_text("\n".join(f"w{row % 40} " * 40 + f"w{row}" for row in range(20_000)), encoding="utf-8")
    command = [sys.executable, "-m", "irp_hf_cli", "encode", str(folders / "encoder"), "many.txt", "--out", "many.npy"]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible
    )
    deadline = time.monotonic() + 120
    while not list(Path().glob("many.npy.parts/*")) and time.monotonic() < deadline and running.poll() is None:
        time.sleep(0.05)
    time.sleep(1)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, ""), err
    assert err.splitlines()[-1].startswith("Interrupted. What was encoded is kept beside many.npy")
    assert "Traceback" not in err
    done = subprocess.run([*command, "--json"], capture_output=True, text=True)
    assert json.loads(done.stdout)["num_rows"] == 20_000
