"""A folder is read as one save left it."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from disk.bare import BARE

from irp_hf.disk.atomic import replaced_folder
from irp_hf.disk.in_place import committed_in
from irp_hf.disk.reading import check_place, is_saved, read_folder
from irp_hf.errors import DamagedFolderError, InputError, MissingFolderError

NAMES = ("config.json", "data/table", "weights")


def save(folder, text):
    with replaced_folder(folder) as fresh:
        (fresh / "data").mkdir()
        for name in NAMES:
            (fresh / name).write_text(text)


def whole(place):
    texts = {(place / name).read_text() for name in NAMES}
    if len(texts) > 1:
        raise DamagedFolderError("a mixture")
    return texts.pop()


@pytest.mark.parametrize("inside", [False, True])
def test_a_save_between_two_files_is_read_again(tmp_path, monkeypatch, inside):
    """If it fails, a folder that is whole is said to be damaged."""
    folder = tmp_path / "model"
    save(folder, "old")
    if inside:
        monkeypatch.chdir(folder)
    reads = []

    def slowly(place):
        reads.append((place / "config.json").read_text())
        if len(reads) == 1:
            save(folder, "new")
        if (place / "weights").read_text() != reads[-1]:
            raise DamagedFolderError("the checksum differs")
        return reads[-1]

    assert read_folder(folder, slowly) == "new"
    assert reads == ["old", "new"]


def test_a_damaged_folder_is_read_once(tmp_path):
    """If it fails, each refusal takes two hundred times as long."""
    save(tmp_path / "model", "old")
    reads = []

    def damaged(place):
        reads.append(place)
        raise DamagedFolderError("broken")

    with pytest.raises(DamagedFolderError, match="broken"):
        read_folder(tmp_path / "model", damaged)
    assert len(reads) == 1


def half_moved(folder):
    """What a save that was killed while it moved its files leaves: the configuration, say, is still to come."""
    save(folder, "old")
    committed = folder / ".irp-new-00000000"
    (committed / "data").mkdir(parents=True)
    for name in NAMES[:2]:
        (committed / name).write_text("new")
    (folder / "weights").write_text("new")
    (folder / "README.md").write_text("by hand")


def test_what_was_committed_is_finished(tmp_path):
    """If it fails, a folder in which a save was killed stays a mixture."""
    half_moved(tmp_path / "model")
    assert read_folder(tmp_path / "model", whole) == "new"
    assert whole(tmp_path / "model") == "new"
    assert committed_in(tmp_path / "model") == []
    assert (tmp_path / "model" / "README.md").read_text() == "by hand"


def test_the_next_save_finishes_it_too(tmp_path):
    """If it fails, an older save's files come back over newer ones."""
    half_moved(tmp_path / "model")
    save(tmp_path / "model", "newest")
    assert read_folder(tmp_path / "model", whole) == "newest"
    assert sorted(os.listdir(tmp_path / "model")) == ["README.md", "config.json", "data", "weights"]


READ_ONLY = (
    BARE
    + """
import os, sys
from pathlib import Path
from irp_hf.disk.reading import read_folder
os.setgid(65534); os.setuid(65534)
names = sys.argv[2:]
print(*sorted(read_folder(Path(sys.argv[1]), lambda place: {(place / name).read_text() for name in names})))
print(read_folder(Path(sys.argv[1]), lambda place: (place / "README.md").read_text()))
"""
)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
def test_who_may_not_write_reads_it_where_it_is():
    """If it fails, a reader on a read-only disk sees a mixture for ever."""
    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o755)  # that of a test is its user's alone
        half_moved(Path(home, "model"))
        run = [sys.executable, "-c", READ_ONLY, str(Path(home, "model")), *NAMES]
        done = subprocess.run(run, capture_output=True, text=True, cwd="/")
        assert done.stdout == "new\nby hand\n", done.stderr
        assert len(committed_in(Path(home, "model"))) == 1


def test_a_folder_between_two_renames_is_there(tmp_path):
    """If it fails, who loads just then, or after a kill just then, is told that there is no such folder."""
    save(tmp_path / "model", "old")
    (tmp_path / "model").rename(tmp_path / ".model.irp-old-00000000")
    assert is_saved(tmp_path / "model")
    assert check_place(str(tmp_path / "model")) == str(tmp_path / "model")
    assert read_folder(tmp_path / "model", whole) == "old"
    save(tmp_path / "model", "new")
    assert read_folder(tmp_path / "model", whole) == "new"
    assert os.listdir(tmp_path) == ["model"]


def test_places_to_load_from(tmp_path, monkeypatch):
    """If it fails, a folder with a slip in its name is sought on the Hub, or what is no place ends in a bare error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    for place in (
        "./nothing",
        str(tmp_path / "nothing"),
        "a",
        "a/b/c",
        "~/x",
        "n" * 300,
        "file",
        "file/x/y",
        "x/" + "n" * 5000,
    ):
        if place.startswith("x/"):
            continue
        with pytest.raises(MissingFolderError) as caught:
            check_place(place)
        assert isinstance(caught.value, DamagedFolderError)
        assert isinstance(caught.value, InputError)
    for place in (None, 5, "", b"x", "a\0b", ["a"]):
        with pytest.raises(InputError):
            check_place(place)
    assert check_place("me/model") == "me/model"
    shutil.rmtree(tmp_path)
