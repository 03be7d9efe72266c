"""The command line, run in this process, on a desk with the files that the examples of its help name."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tiny_encoders as tiny
from published import ENCODER
from pyarrow import parquet
from typer.testing import CliRunner

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
from irp_hf.encoding import encode
from irp_hf.stores.base import as_lists
from irp_hf_cli import app

ROWS, PAIRS = 300, 120
TEXTS = [f"w{row % 40} w{row // 40}" for row in range(1600)]


@dataclass
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def irp_hf_command():
    """Run `irp-hf` with arguments."""

    def run(*arguments, stdin=None):
        done = CliRunner().invoke(app, [str(one) for one in arguments], input=stdin)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert "Traceback" not in done.stderr
        return Ran(done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture
def refuses(irp_hf_command):
    """Run a command that ends with this code, and says that on stderr alone; nothing is left behind."""

    def run(arguments, code, said):
        before = sorted(Path().rglob("*"))
        done = irp_hf_command(*arguments)
        assert (done.code, done.out) == (code, ""), done.err
        assert said in done.err
        assert sorted(Path().rglob("*")) == before

    return run


def write_vectors(path, vectors, **columns):
    parquet.write_table(pa.table({**columns, "embedding": as_lists(vectors.astype(np.float32))}), path)


@pytest.fixture(scope="session")
def desk_once(tmp_path_factory, folders):
    """What the examples read, but for what the Hub has: the new encoder is the small one there, the old one knows less."""
    root = tmp_path_factory.mktemp("desk")
    (root / "texts.csv").write_text("\n".join(["text", *TEXTS]), encoding="utf-8")
    texts = tiny.texts(ROWS)
    target = encode(str(folders / "encoder"), texts)[0].numpy()
    random = np.random.RandomState(0)
    source = np.tanh((target - target.mean(0)) @ random.randn(16, 24) / target.std() / 4)
    source = (source + 0.05 * random.randn(ROWS, 24)).astype(np.float32)
    ids, some = np.arange(ROWS), random.permutation(ROWS)[:PAIRS]
    write_vectors(root / "old.parquet", source, id=ids, text=texts)
    write_vectors(root / "new.parquet", target[some], id=ids[some])
    np.save(root / "old.npy", source)
    np.save(root / "new.npy", target)
    anchors = AnchorSet(tiny.texts(60))
    anchors.save_pretrained(root / "anchors")
    spaces = [
        AnchoredSpace.from_embeddings(rows[:60], anchors, name)
        for rows, name in ((source, ENCODER), (target, "sentence-transformers/all-mpnet-base-v2"))
    ]
    for space, name in zip(spaces, ("minilm-anchored", "mpnet-anchored"), strict=True):
        space.save_pretrained(root / name)
    fitted = IRPAdapter.from_anchors(source[some], target[some], method="kernel", gamma=1.0, ridge=1e-3)
    fitted.save_pretrained(root / "old-to-new")
    return root


@pytest.fixture
def desk(desk_once, tmp_path, monkeypatch):
    """A copy of them, in which the commands run."""
    shutil.copytree(desk_once, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def desk_on_the_hub(published, desk):
    """The same, where the Hub has the encoder, the classifier, their spaces and the adapter."""
    IRPAdapter.from_pretrained("me/adapter").save_pretrained(desk / "minilm-to-topic")
    return desk
