"""Embeddings written to a file: the same as in memory, resumed after a kill, and nobody else's file touched."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset

from irp_hf import AnchoredSpace, AnchorSet, InputError
from irp_hf.disk import matrix as resuming
from irp_hf.encoding import encode

ROOT = Path(__file__).parents[2]
# Of many lengths, so that the order of encoding is another than that of rows.
TEXTS = [" ".join(["word"] * (7 * row % 11 + 1)) + f" {row}" for row in range(40)]
SCRIPT = """
import os, signal, sys
from irp_hf.disk import matrix as resuming
from irp_hf.encoding import encode
from disk.test_matrix import TEXTS, lengths
resuming.SYNC_SECONDS = 0.0
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


def test_a_killed_run_goes_on_from_its_last_batch(tmp_path, wanted):
    """After kill -9 in the fourth batch three are there, and seven of ten are left to do."""
    out = tmp_path / "embeddings.npy"
    killed = subprocess.run([sys.executable, "-c", SCRIPT, out], cwd=ROOT, env=_environment(), check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    encoder = Counted()
    assert torch.equal(run(out, encoder), wanted)
    assert encoder.calls == 7
    assert run(out, encoder).shape == (40, 3)
    assert encoder.calls == 7  # finished: returned at once


def test_an_error_keeps_what_is_done(tmp_path, wanted):
    """Also where the journal's turn had not come."""
    out = tmp_path / "embeddings.npy"
    with pytest.raises(RuntimeError, match="the power is gone"):
        run(out, Counted(fails_at=6))
    encoder = Counted()
    assert torch.equal(run(out, encoder), wanted)
    assert encoder.calls == 5


def test_what_only_the_earlier_run_had_counts(tmp_path, refusal):
    """A record says "at" only where it is the head: its absence is a difference too."""
    first = resuming.Run({"id": "e", "at": "head"}, 4, 2, "sha256:0")
    first.note(tmp_path / "journal.json", batches_done=0)
    assert "its encoder's at is 'head', now None." in refusal(
        resuming.Run({"id": "e"}, 4, 2, "sha256:0").check, tmp_path / "journal.json"
    )


def test_windows_are_skipped_unread(tmp_path, monkeypatch):
    """A long column is not read from the start again; rows of other windows keep their places."""
    from irp_hf.encoding import batches as encoding

    monkeypatch.setitem(encoding.BATCHES_SORTED, "text", 2)
    column, out = Spied(Dataset.from_dict({"text": TEXTS})["text"]), tmp_path / "embeddings.npy"
    with pytest.raises(RuntimeError, match="the power is gone"):
        run(out, Counted(fails_at=8), column)
    encoder, column.read = Counted(), []
    assert torch.equal(run(out, encoder, column), torch.from_numpy(lengths(["a " + text for text in TEXTS])))
    assert encoder.calls == 3
    assert [part for part in column.read if part[0] < 24] == [(0, 1), (0, 1024)]  # the first item, and for the digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_size": 5}, "its batch_size is 4, now 5."),
        ({"prompt": "b "}, "its encoder's prompt is 'a ', now 'b '."),
        ({"normalize": True}, "its encoder's normalize is False, now True."),
        ({"modality": "text", "prompt": None}, "its encoder's prompt is 'a ', now None."),
        ({"texts": TEXTS[1:]}, "its num_rows is 40, now 39."),
        ({"texts": TEXTS[::-1]}, "its items is 'sha256:"),
    ],
)
@pytest.mark.parametrize("fails_at", [0, 6])
def test_another_run_is_refused(tmp_path, refusal, change, said, fails_at):
    """Finished or on its way: rows of two runs would be mixed, and the file says nothing of it."""
    out = tmp_path / "embeddings.npy"
    if fails_at:
        with pytest.raises(RuntimeError):
            run(out, Counted(fails_at))
    else:
        run(out, Counted())
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    text = refusal(run, out, Counted(), **change)
    assert text.startswith(f"{out}.json is of another run: {said}")
    assert text.endswith(" Name another place, or remove what that run wrote.")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_no_other_file_is_touched(tmp_path, refusal):
    """A matrix, a part or a journal that is somebody else's."""
    out = tmp_path / "embeddings.npy"
    for name in ("embeddings.npy", "embeddings.npy.part"):
        np.save(tmp_path / "other.npy", np.zeros((40, 3), np.float32))
        (tmp_path / "other.npy").rename(tmp_path / name)
        assert refusal(run, out, Counted()) == (
            f"{tmp_path / name} is there already and not of this run. Name another file, or move it."
        )
        (tmp_path / name).unlink()
    (tmp_path / "embeddings.npy.json").write_text("[]")
    assert refusal(run, out, Counted()) == (f"{out}.json is no journal of a run. Name another place, or move it.")
    (tmp_path / "embeddings.npy.json").unlink()
    run(out, Counted())
    np.save(out, np.zeros((7, 3), np.float32))
    assert "is there already and not of this run" in refusal(run, out, Counted())


def test_two_processes_do_not_write_one_file(tmp_path, refusal):
    """The second is told; the first is not disturbed."""
    out = tmp_path / "embeddings.npy"

    class Nested(Counted):
        def __call__(self, texts: list[str]) -> np.ndarray:
            if not self.calls:
                said.append(refusal(run, out, Counted()))
            return super().__call__(texts)

    said: list[str] = []
    assert run(out, Nested()).shape == (40, 3)
    assert said == [f"{out}.part is being written by another process. Wait for it."]


def test_bad_input_leaves_nothing_behind(tmp_path, refusal):
    """No file, no journal."""
    out = tmp_path / "embeddings.npy"
    assert "Item 1 is a int, but encoder reads texts." in refusal(run, out, Counted(), ["a", 1])
    assert "The items are []" in refusal(run, out, Counted(), [])
    assert refusal(run, tmp_path / "embeddings.bin", Counted()) == (
        f"out is '{tmp_path / 'embeddings.bin'}', but a .npy file is written. Name one: embeddings.npy, say."
    )
    assert refusal(run, tmp_path / "no" / "e.npy", Counted()) == (
        f"out is '{tmp_path / 'no' / 'e.npy'}', but its folder is not there. Make it first."
    )
    with pytest.raises(InputError):
        encode(lambda items: np.ones((1, 1)), TEXTS, out=out)
    assert not list(tmp_path.iterdir())


def test_another_width_is_refused(tmp_path, refusal):
    """A function that was changed has the name that it had."""
    out = tmp_path / "embeddings.npy"
    with pytest.raises(RuntimeError):
        run(out, Counted(fails_at=6))

    def encoder(texts: list[str]) -> np.ndarray:
        return lengths(texts)[:, :2]

    assert refusal(run, out, encoder) == (
        f"encoder makes 2 columns, but {out}.part has 3. It is another encoder of the same name: name another file."
    )


def test_the_journal_never_runs_ahead(tmp_path, monkeypatch):
    """Whatever the clock: a batch is on the disk before the journal counts it."""
    monkeypatch.setattr(resuming, "SYNC_SECONDS", 0.0)
    order = []
    monkeypatch.setattr(resuming, "sync", lambda path: order.append(path.name))
    note = resuming.Run.note
    monkeypatch.setattr(
        resuming.Run,
        "note",
        lambda self, path, **state: (order.append(state["batches_done"]), note(self, path, **state)),
    )
    run(tmp_path / "e.npy", Counted(), TEXTS[:8])
    assert order == [0, "e.npy.part", 1, "e.npy.part", 2, "e.npy.part", 2, tmp_path.name]


def test_a_space_from_a_file(tmp_path):
    """`AnchoredSpace.encode` takes `out` too."""
    anchors = AnchorSet(TEXTS)
    space = AnchoredSpace.encode(Counted(), anchors, out=tmp_path / "anchors.npy", prompt="a ")
    assert np.array_equal(space.anchors.numpy(), np.load(tmp_path / "anchors.npy"))
    assert json.loads((tmp_path / "anchors.npy.json").read_text())["run"]["encoder"]["prompt"] == "a "


def _environment() -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
