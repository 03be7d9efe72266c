"""`encode(out=)`: the same as in memory, resumed after a kill, and nobody else's file touched."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from golden import make as golden
from says import says

from irp_hf import AnchoredSpace, AnchorSet, InputError
from irp_hf.disk import blocks
from irp_hf.encoding import encode

ROOT = Path(__file__).parents[2]
# Of many lengths, so that the order of encoding is another than that of rows.
TEXTS = [" ".join(["word"] * (7 * row % 11 + 1)) + f" {row}" for row in range(40)]
SCRIPT = """
import os, signal, sys
from irp_hf.disk import blocks
from irp_hf.encoding import encode
from encoding.test_resuming import TEXTS, lengths
blocks.GATHER_SECONDS = blocks.GATHER_SHARE = 0.0
calls = 0

def encoder(texts):
    global calls
    calls += 1
    if calls == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return lengths(texts)

encode(encoder, TEXTS, prompt="a ", batch_size=4, out=sys.argv[1])
"""


def lengths(items: list[str]) -> np.ndarray:
    """An encoder that is a function, `(n, 3)`."""
    return np.array([[len(item), item.count(" "), ord(item[-1])] for item in items], dtype=np.float32)


class Counted:
    """The same encoder by the name "encoder", which counts its batches and may fail in one."""

    def __init__(self, fails_at: int = 0) -> None:
        self.__name__, self.calls, self._fails_at = "encoder", 0, fails_at

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.calls += 1
        if self.calls == self._fails_at:
            raise RuntimeError("the power is gone")
        return lengths(texts)


class Spied(Sequence):
    """A column that notes which slices of it are read."""

    def __init__(self, column: object) -> None:
        self._column, self.read = column, []

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, rows: slice) -> list[str]:
        self.read.append((rows.start or 0, rows.stop))
        return self._column[rows]


def run(out: Path, encoder: Counted, texts: object = TEXTS, **options: object) -> torch.Tensor:
    return encode(encoder, texts, **({"prompt": "a ", "batch_size": 4} | options), out=out)[0]


def contents(folder: Path) -> dict[str, bytes]:
    """Of all files, but for the lock."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def wanted() -> torch.Tensor:
    return encode(Counted(), TEXTS, prompt="a ", batch_size=4)[0]


def test_a_file_holds_what_memory_would(tmp_path, wanted):
    """In order, float32, as `numpy.load` reads it; what is returned can be changed without changing the file."""
    out = tmp_path / "embeddings.npy"
    found = run(out, Counted())
    assert torch.equal(found, wanted)
    found.zero_()
    assert np.array_equal(np.load(out), wanted.numpy())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["embeddings.npy", "embeddings.npy.json"]


@pytest.mark.slow  # an error in the same place is tried below
def test_a_killed_run_goes_on_from_its_last_batch(tmp_path, wanted):
    """After kill -9 in the fourth batch three are there, and seven of ten are left to do; two are looked at again."""
    out = tmp_path / "embeddings.npy"
    killed = subprocess.run([sys.executable, "-c", SCRIPT, out], cwd=ROOT, env=_environment(), check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    encoder = Counted()
    assert torch.equal(run(out, encoder), wanted)
    assert encoder.calls == 2 + 7
    assert run(out, encoder).shape == (40, 3)
    assert encoder.calls == 2 + 7 + 2  # finished: returned at once


def test_an_error_keeps_what_is_done(tmp_path, wanted):
    """Also where the journal's turn had not come."""
    out = tmp_path / "embeddings.npy"
    with pytest.raises(RuntimeError, match="the power is gone"):
        run(out, Counted(fails_at=6))
    encoder = Counted()
    assert torch.equal(run(out, encoder), wanted)
    assert encoder.calls == 2 + 5


def test_fast_batches_share_a_part(tmp_path, wanted):
    """If it fails, a fast encoder waits for the disk with every batch."""
    out = tmp_path / "embeddings.npy"
    with pytest.raises(RuntimeError, match="the power is gone"):
        run(out, Counted(fails_at=6))
    assert [path.name for path in (tmp_path / "embeddings.npy.parts").glob("*.npz")] == ["0000000-0000004.npz"]
    assert torch.equal(run(out, Counted()), wanted)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["embeddings.npy", "embeddings.npy.json"]


def test_a_part_that_is_lost_is_made_again(tmp_path, wanted, monkeypatch):
    """If it fails, rows of zeros stand in a file that says it is finished, or all is encoded anew."""
    monkeypatch.setattr(blocks, "GATHER_BYTES", 0)
    out = tmp_path / "embeddings.npy"
    with pytest.raises(RuntimeError, match="the power is gone"):
        run(out, Counted(fails_at=6))
    (tmp_path / "embeddings.npy.parts" / "0000002.npz").unlink()
    encoder = Counted()
    assert torch.equal(run(out, encoder), wanted)
    assert encoder.calls == 2 + 6


def test_memory_that_is_used_again(tmp_path, wanted):
    """If it fails, an encoder that fills one array batch after batch has its last batch written to all rows."""
    memory = np.empty((4, 3), np.float32)

    class Reusing(Counted):
        def __call__(self, texts: list[str]) -> np.ndarray:
            memory[:] = super().__call__(texts)
            return memory

    assert torch.equal(run(tmp_path / "embeddings.npy", Reusing()), wanted)


def test_an_older_run_that_was_interrupted(tmp_path):
    """If it fails, what an earlier version left half done stands in the way, or is mixed in."""
    for name in ("half.npy.json", "half.npy.part"):
        shutil.copy(ROOT / "tests" / "golden" / "encoded" / name, tmp_path)
    vectors, _ = encode(golden.embed, golden.TEXTS, batch_size=golden.BATCH, out=tmp_path / "half.npy")
    assert np.array_equal(vectors, golden.embed(golden.TEXTS))


def test_a_disk_without_room(tmp_path, refusal):
    """If it fails, the process dies by a signal after hours, or ends in a bare OSError, and what it made is lost."""
    out, texts = tmp_path / "embeddings.npy", [f"text {row}" for row in range(400)]

    def encoder(items: list[str]) -> np.ndarray:
        return np.ones((len(items), 500))

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        text = refusal(encode, encoder, texts, out=out, error=InputError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"{out}.parts" in text
    assert "File too large" in text
    assert not list(tmp_path.iterdir())
    assert encode(encoder, texts, out=out)[0].shape == (400, 500)


def test_a_name_that_is_too_long(tmp_path, refusal):
    """If it fails, a bare OSError, perhaps after the model was loaded."""
    assert "File name too long" in refusal(run, tmp_path / f"{'n' * 246}.npy", Counted(), error=InputError)
    assert "out" in refusal(run, tmp_path / ("n" * 300) / "e.npy", Counted(), error=InputError)
    assert not list(tmp_path.iterdir())


def test_windows_are_skipped_unread(tmp_path, monkeypatch):
    """A long column is not read from the start again; rows of other windows keep their places."""
    from irp_hf.encoding import batches as encoding

    monkeypatch.setitem(encoding.BATCHES_SORTED, "text", 2)
    column, out = Spied(Dataset.from_dict({"text": TEXTS})["text"]), tmp_path / "embeddings.npy"
    with pytest.raises(RuntimeError, match="the power is gone"):
        run(out, Counted(fails_at=8), column)
    encoder, column.read = Counted(), []
    assert torch.equal(run(out, encoder, column), torch.from_numpy(lengths(["a " + text for text in TEXTS])))
    assert encoder.calls == 2 + 3
    # The first item, the digest, and the two windows that are looked at again.
    assert [part for part in column.read if part[0] < 24] == [(0, 1), (0, 1024), (0, 8), (8, 16)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": 5}, ["expected batch_size=4, as in the earlier run, got batch_size=5"]),
        ({"prompt": "b "}, ["prompt='b '", "prompt='a '"]),
        ({"normalize": True}, ["normalize=True", "normalize=False"]),
        ({"modality": "text", "prompt": None}, ["prompt=None", "prompt='a '"]),
        ({"texts": TEXTS[1:]}, ["expected 40 items, as many as the earlier run had, got 39"]),
        ({"texts": TEXTS[::-1]}, ["the items that the earlier run had", "got other items, or another order"]),
    ],
)
@pytest.mark.parametrize("fails_at", [0, 6])
def test_another_run_is_refused(tmp_path, refusal, change, words, fails_at):
    """Finished or on its way: rows of two runs would be mixed, and the file says nothing of it."""
    out = tmp_path / "embeddings.npy"
    if fails_at:
        with pytest.raises(RuntimeError):
            run(out, Counted(fails_at))
    else:
        run(out, Counted())
    before = contents(tmp_path)
    text = refusal(run, out, Counted(), error=InputError, **change)
    assert says(text, f"{out}.json", *words)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(("first", "then"), [("text", None), (None, "text")])
@pytest.mark.parametrize("told", [True, False])
def test_another_order_is_refused(tmp_path, refusal, first, then, told):
    """If it fails, rows of zeros: texts are sorted by length, and items of a function without a modality are not.

    Older journals do not tell the two apart, but their parts do.
    """
    out, journal = tmp_path / "embeddings.npy", tmp_path / "embeddings.npy.json"
    with pytest.raises(RuntimeError):
        run(out, Counted(fails_at=6), prompt=None, modality=first)
    state = json.loads(journal.read_text())
    orders = {"text": state["run"]["batches_sorted"], None: 1} if first else {"text": 256, None: 1}
    assert state["run"]["batches_sorted"] == orders[first]
    if not told:
        del state["run"]["batches_sorted"]
        journal.write_text(json.dumps(state))
    before, encoder = contents(tmp_path), Counted()
    text = refusal(run, out, encoder, prompt=None, modality=then, error=InputError)
    if told:
        assert says(text, str(journal), "sorted by length", "the modality")
        assert not encoder.calls
        assert contents(tmp_path) == before
    else:
        assert says(text, f"{out}.parts", "row ")
    assert not out.exists()
    if told:
        assert torch.equal(run(out, Counted(), prompt=None, modality=first), torch.from_numpy(lengths(TEXTS)))
        assert torch.equal(run(out, Counted(), prompt=None, modality=then), torch.from_numpy(lengths(TEXTS)))


@pytest.mark.parametrize(
    "other", [np.zeros((12, 4), np.float32), np.zeros((12, 3)), np.zeros((12, 3), ">f4"), np.full((12, 3), "a")]
)
def test_an_older_result_that_was_replaced(tmp_path, refusal, other):
    """If it fails, another array of as many rows passes for the embeddings, or torch's own error is shown."""
    out = shutil.copytree(ROOT / "tests" / "golden" / "encoded", tmp_path / "runs") / "finished.npy"
    np.save(out, other)
    text = refusal(encode, golden.embed, golden.TEXTS, batch_size=golden.BATCH, out=out, error=InputError)
    assert says(text, str(out), other.dtype, other.shape)


def test_no_other_file_is_touched(tmp_path, refusal):
    """A matrix, a folder of parts or a journal that is somebody else's."""
    out = tmp_path / "embeddings.npy"
    np.save(out, np.zeros((40, 3), np.float32))
    assert str(out) in refusal(run, out, Counted(), error=InputError)
    out.unlink()
    (tmp_path / "embeddings.npy.parts").mkdir()
    (tmp_path / "embeddings.npy.parts" / "0000000.npz").write_text("mine")
    assert f"{out}.parts" in refusal(run, out, Counted(), error=InputError)
    assert contents(tmp_path) == {"embeddings.npy.parts/0000000.npz": b"mine"}
    shutil.rmtree(tmp_path / "embeddings.npy.parts")
    for text in ("[]", "{", '{"run": 1}'):
        (tmp_path / "embeddings.npy.json").write_text(text)
        assert f"{out}.json" in refusal(run, out, Counted(), error=InputError)
        assert contents(tmp_path) == {"embeddings.npy.json": text.encode()}
    (tmp_path / "embeddings.npy.json").unlink()
    run(out, Counted())
    np.save(out, np.zeros((7, 3), np.float32))
    assert str(out) in refusal(run, out, Counted(), error=InputError)


def test_two_processes_do_not_write_one_file(tmp_path, refusal):
    """The second is told; the first is not disturbed."""
    out = tmp_path / "embeddings.npy"

    class Nested(Counted):
        def __call__(self, texts: list[str]) -> np.ndarray:
            if not self.calls:
                said.append(refusal(run, out, Counted(), error=InputError))
            return super().__call__(texts)

    said: list[str] = []
    assert run(out, Nested()).shape == (40, 3)
    assert f"{out}.parts" in said[0]
    assert "in use" in said[0]


def test_bad_input_leaves_nothing_behind(tmp_path, refusal):
    """If it fails, a slip leaves a journal, which then refuses the run that was meant."""
    out = tmp_path / "embeddings.npy"
    assert "Item 1" in refusal(run, out, Counted(), ["a", 1], error=InputError)
    assert "[]" in refusal(run, out, Counted(), [], error=InputError)
    assert ".npy" in refusal(run, tmp_path / "embeddings.bin", Counted(), error=InputError)
    assert str(tmp_path / "no" / "e.npy") in refusal(run, tmp_path / "no" / "e.npy", Counted(), error=InputError)
    for place in ("", 5, b"e.npy", "a\0.npy"):
        assert refusal(run, place, Counted(), error=InputError).startswith("out")
    assert "(4, d)" in refusal(encode, lambda items: np.ones((1, 1)), TEXTS, batch_size=4, out=out, error=InputError)
    assert not list(tmp_path.iterdir())


def test_another_width_is_refused(tmp_path, refusal):
    """A function that was changed has the name that it had."""
    out = tmp_path / "embeddings.npy"
    with pytest.raises(RuntimeError):
        run(out, Counted(fails_at=6))

    def encoder(texts: list[str]) -> np.ndarray:
        return lengths(texts)[:, :2]

    text = refusal(run, out, encoder, error=InputError)
    assert "float32[2]" in text
    assert "float32[3]" in text


def test_a_space_from_a_file(tmp_path):
    """`AnchoredSpace.encode` takes `out` too."""
    anchors = AnchorSet(TEXTS)
    space = AnchoredSpace.encode(Counted(), anchors, out=tmp_path / "anchors.npy", prompt="a ")
    assert np.array_equal(space.anchors.numpy(), np.load(tmp_path / "anchors.npy"))
    assert json.loads((tmp_path / "anchors.npy.json").read_text())["run"]["encoder"]["prompt"] == "a "


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
