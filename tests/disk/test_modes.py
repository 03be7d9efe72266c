"""Who may read what is saved."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from disk.bare import BARE

from irp_hf import AnchorSet
from irp_hf.disk.atomic import replaced_folder, written_file
from irp_hf.disk.blocks import Blocks
from irp_hf.disk.journal import Run
from irp_hf.disk.results import ONLY

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes of another kind")
BY_UMASK = (
    BARE
    + """
import os, sys
from pathlib import Path
from irp_hf.disk.atomic import replaced_folder, written_file
os.umask(0o027)
with replaced_folder(sys.argv[1]) as fresh:
    (fresh / "data").mkdir()
    (fresh / "data" / "file").write_text("new")
with written_file(Path(sys.argv[2])) as file:
    file.write(b"new")
"""
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("inside", [False, True])
def test_files_and_folders_keep_their_modes(tmp_path, monkeypatch, inside):
    """If it fails, a model that only its owner could read is open to all after the next save."""
    folder = tmp_path / "model"
    (folder / "data").mkdir(parents=True)
    modes = {"config.json": 0o600, "data/table": 0o640, "data": 0o710, ".": 0o700, "mine": 0o604}
    for name in ("config.json", "data/table", "mine"):
        (folder / name).write_text("old")
    for name, wanted in modes.items():
        (folder / name).chmod(wanted)
    if inside:
        monkeypatch.chdir(folder)
    with replaced_folder(folder) as fresh:
        assert mode(fresh) == 0o700, "others can read it before it is done"
        (fresh / "data").mkdir()
        for name in ("config.json", "data/table", "data/more"):
            (fresh / name).write_text("new")
    assert {name: mode(folder / name) for name in modes} == modes
    assert (folder / "config.json").read_text() == "new"
    assert mode(folder / "data" / "more") & 0o600 == 0o600


def test_a_new_folder_is_as_the_umask_has_it(tmp_path):
    """If it fails, nobody else can load what is saved for all."""
    subprocess.run([sys.executable, "-c", BY_UMASK, tmp_path / "model", tmp_path / "file"], check=True)
    assert mode(tmp_path / "model") == mode(tmp_path / "model" / "data") == 0o750
    assert mode(tmp_path / "model" / "data" / "file") == mode(tmp_path / "file") == 0o640


def test_a_file_keeps_its_mode_and_is_never_more_readable(tmp_path):
    """If it fails, a journal, a picture or a result is open to all, for a moment or for good."""
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o600)
    with written_file(path) as file:
        file.write(b"new")
        (fresh,) = (left for left in tmp_path.iterdir() if left != path)
        assert mode(fresh) & 0o077 == 0
    assert (path.read_bytes(), mode(path)) == (b"new", 0o600)
    path.chmod(0o664)
    with written_file(path) as file:
        file.write(b"newer")
    assert mode(path) == 0o664


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_files_keep_their_owner(tmp_path):
    """If it fails, what root saves for a user is lost to that user."""
    folder, path = tmp_path / "model", tmp_path / "file"
    folder.mkdir()
    for item in (folder / "config.json", path):
        item.write_text("old")
        item.chmod(0o640)
        os.chown(item, 1234, 4321)
    os.chown(folder, 1234, 4321)
    with replaced_folder(folder) as fresh, written_file(path) as file:
        (fresh / "config.json").write_text("new")
        file.write(b"new")
    for item in (folder, folder / "config.json", path):
        assert (item.stat().st_uid, item.stat().st_gid) == (1234, 4321)
    assert mode(path) == mode(folder / "config.json") == 0o640


def test_anchors_and_results_keep_their_modes(tmp_path):
    """The same by what users call."""
    anchors, out = AnchorSet(["one", "two"]), tmp_path / "v.npy"
    anchors.save_pretrained(tmp_path / "anchors")
    for file in (tmp_path / "anchors").rglob("*.*"):
        file.chmod(0o600)
    anchors.save_pretrained(tmp_path / "anchors")
    assert {mode(file) for file in (tmp_path / "anchors").rglob("*.*")} == {0o600}
    run = Run({"id": "x"}, 4, 2, "digest")
    for _ in range(2):
        with Blocks.for_file(out, run) as blocks:
            left = blocks.begin()
            for block in left or ():
                blocks.write(block, np.ones((2, 3), np.float32))
            if left:
                blocks.join()
            assert blocks.results()[ONLY].shape == (4, 3)
        Path(f"{out}.json").chmod(0o600)
    assert mode(Path(f"{out}.json")) == 0o600
