"""What killed processes left is removed, and nothing that somebody is at work in."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from disk.bare import BARE

from irp_hf.disk.atomic import replaced_folder, written_file
from irp_hf.disk.leftovers import (
    PREFIX,
    STALE_SECONDS,
    claimed,
    is_abandoned,
    remove_leftovers,
    temporary_folder,
    temporary_name,
)
from irp_hf.evaluation.plots import draw

OLD = 2 * STALE_SECONDS
CLAIM = (
    BARE
    + """
import sys, time
from pathlib import Path
from irp_hf.disk.leftovers import claimed
with claimed(Path(sys.argv[1])):
    print("claimed", flush=True)
    time.sleep(60)
"""
)


def age(path: Path) -> Path:
    for item in (*path.rglob("*"), path):
        os.utime(item, (time.time() - OLD,) * 2, follow_symlinks=False)
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    (path / "file").write_text("half")
    return path


def test_what_is_claimed_is_no_leftover(tmp_path):
    """If it fails, a save that takes hours is deleted under the hands of the process that makes it."""
    path = age(folder(tmp_path / "x"))
    assert is_abandoned(path)
    with subprocess.Popen([sys.executable, "-c", CLAIM, path], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "claimed\n"
            assert not is_abandoned(path)
        finally:
            other.kill()
    assert is_abandoned(path)
    with claimed(path):
        assert not is_abandoned(path), "in the same process, too"
    assert is_abandoned(path)
    (path / "file").write_text("still at work")
    assert not is_abandoned(path)


def test_files_and_folders_of_the_same_name_alone(tmp_path):
    """If it fails, a save deletes what is not its own."""
    for name in (".m.irp-00000000", ".m.irp-old-00000000", ".m.irp-mine", ".other.irp-00000000"):
        age(folder(tmp_path / name))
    age(tmp_path / ".m.irp-11111111") if (tmp_path / ".m.irp-11111111").write_text("half") else None
    (tmp_path / ".m.irp-22222222").symlink_to(tmp_path / ".m.irp-mine")
    remove_leftovers(tmp_path / "m")
    assert sorted(os.listdir(tmp_path)) == [".m.irp-22222222", ".m.irp-mine", ".other.irp-00000000"]


@pytest.mark.parametrize("name", ["é" * 120, "n" * 255])
def test_a_name_may_be_as_long_as_the_system_allows(tmp_path, name):
    """If it fails, what has a long name cannot be saved, since the temporary name is longer."""
    path = tmp_path / name
    with replaced_folder(path) as fresh:
        (fresh / "file").write_text("new")
    with written_file(path / name) as file:
        file.write(b"new")
    assert (path / name).read_bytes() == b"new"
    left = age(folder(temporary_name(path)))
    remove_leftovers(path)
    assert not left.exists()


def test_folders_of_killed_pushes(tmp_path, monkeypatch):
    """If it fails, each push that is killed leaves a copy of a model among the temporary files for ever."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in (f"{PREFIX}abcd_123", "other-abcd_123", f"{PREFIX}mine"):
        age(folder(tmp_path / name))
    folder(tmp_path / f"{PREFIX}abcd_456")  # young
    with temporary_folder() as ours:
        assert ours.stat().st_mode & 0o077 == 0
        assert not is_abandoned(age(ours))
        assert sorted(set(os.listdir(tmp_path)) - {ours.name}) == [
            f"{PREFIX}abcd_456",
            f"{PREFIX}mine",
            "other-abcd_123",
        ]
    assert not ours.exists()


def test_pictures_that_were_left(tmp_path):
    """The same of plots, which are written in one step."""
    left = tmp_path / ".x.png.irp-00000000"
    left.write_text("half")
    age(left)
    path = tmp_path / "x.png"
    draw([lambda axes: None], path, what="a figure")
    first = path.stat().st_ino
    draw([lambda axes: None], path, what="a figure")
    assert path.stat().st_ino != first, "it is half a picture while it is written"
    assert os.listdir(tmp_path) == ["x.png"]
    draw([lambda axes: None], tmp_path / "y", what="a figure")
    assert (tmp_path / "y.png").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_under_the_name_of_a_leftover_is_not_opened(tmp_path, monkeypatch):
    """If it fails, anybody who may write into /tmp makes each push, and each save beside it, wait for ever."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("irp_hf-abcdefgh", ".m.irp-abcdef01"):
        os.mkfifo(tmp_path / name)
        os.utime(tmp_path / name, (1, 1))
    with temporary_folder():
        remove_leftovers(tmp_path / "m")
    assert sorted(os.listdir(tmp_path)) == [".m.irp-abcdef01", "irp_hf-abcdefgh"]
