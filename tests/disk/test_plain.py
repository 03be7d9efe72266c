"""What stands under the names of our own files is ours, or is refused: anybody may put anything into a shared folder."""

import io
import os
import zipfile

import numpy as np
import pytest
from disk.runs import ITEMS, blocks, fill, finished, ones
from says import says

from irp_hf.disk.atomic import written_file
from irp_hf.disk.blocks import LOCK, Blocks
from irp_hf.disk.journal import LARGEST_JOURNAL, Run
from irp_hf.disk.plain import opened, read_plain
from irp_hf.errors import InputError

RUN = Run({"id": "ones"}, 10, 1, "x", 4)


def put(kind, path, elsewhere):
    """Something of this kind at a path; links lead to what must stay as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "link to a file":
        path.symlink_to(elsewhere / "precious.npy")
    elif kind == "link to a folder":
        path.symlink_to(elsewhere)
    elif kind == "link to nowhere":
        path.symlink_to(elsewhere / "new")
    elif kind == "loop":
        path.symlink_to(path.name)


@pytest.fixture
def elsewhere(tmp_path):
    """A folder of somebody's, which must stay as it is: looked at again afterwards."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    np.save(folder / "precious.npy", np.arange(3))
    (folder / "0000000.npz").write_text("precious")
    (folder / LOCK).write_text("precious")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    yield folder
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


KINDS = ["pipe", "folder", "device", "link to a file", "link to a folder", "link to nowhere", "loop"]
FILES = ["v.npy.json", "v.npy.parts", f"v.npy.parts/{LOCK}", "v.npy.parts/0000000.npz"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FILES)
def test_a_run_writes_and_removes_nothing_elsewhere(tmp_path, elsewhere, refusal, name, kind):
    """If it fails, a run waits for ever, or what a link leads to is overwritten or removed."""
    if (name, kind) == ("v.npy.parts", "folder"):
        pytest.skip("that is what stands there")
    home = tmp_path / "shared"
    put(kind, home / name, elsewhere)
    if name.endswith(".npz"):
        RUN.write(home / "v.npy.json")

    def run():
        with Blocks.for_file(home / "v.npy", RUN) as files:
            files.begin()
            fill(files)
            files.join()

    assert says(refusal(run, error=InputError), name.rpartition("/")[2])
    assert os.path.lexists(home / name)


@pytest.mark.parametrize("kind", ["link to a file", "link to nowhere", "link to a folder", "pipe", "device"])
def test_the_room_for_an_array_is_a_new_file(tmp_path, elsewhere, kind):
    """If it fails, the rows are written into the file that somebody's link of that name leads to."""
    home = tmp_path / "shared"
    put(kind, home / "parts" / "values.npy", elsewhere)
    blocks(home).run.write(home / "run.json")
    with blocks(home) as files:
        files.begin()
        fill(files)
        files.join()
    assert files.results()["values"].tolist() == ones(ITEMS).tolist()
    assert not (home / "values.npy").is_symlink()


@pytest.mark.parametrize("kind", KINDS)
def test_a_joined_array_that_is_none(tmp_path, elsewhere, refusal, kind):
    """If it fails, a second look at what was finished waits for ever."""
    path = finished(tmp_path / "run")
    path.unlink()
    put(kind, path, elsewhere)
    if kind in ("link to nowhere", "loop"):  # it is made again, in place of the link
        with blocks(path.parent) as files:
            files.begin()
            fill(files)
            files.join()
        assert not path.is_symlink()
    else:
        assert says(refusal(blocks(path.parent).begin, error=InputError), "values.npy")


def test_a_link_that_comes_while_a_run_is_at_work(tmp_path, elsewhere, refusal):
    """If it fails, the end of a run removes somebody's files."""
    home = tmp_path / "run"
    files = blocks(home)
    files.begin()
    fill(files)
    files.join()
    (home / "parts").rename(home / "away")
    (home / "parts").symlink_to(elsewhere)
    assert says(refusal(files.__exit__, None, None, None, error=InputError), "parts", "a link")


def test_a_journal_without_end(tmp_path, refusal):
    """If it fails, a file of some kilobytes on the disk takes all memory."""
    with (tmp_path / "run.json").open("wb") as file:
        file.truncate(1 << 40)
    assert says(refusal(RUN.read, tmp_path / "run.json", error=InputError), f"{LARGEST_JOURNAL:,}")


def test_a_part_that_is_packed(tmp_path, refusal):
    """If it fails, a part of some kilobytes takes all memory when it is read."""
    home, content = tmp_path / "run", io.BytesIO()
    np.save(content, np.zeros((4, 100_000)))
    (home / "parts").mkdir(parents=True)
    RUN.write(home / "run.json")
    with zipfile.ZipFile(home / "parts" / "0000000.npz", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("array values.npy", content.getvalue())
    assert says(refusal(blocks(home).begin, error=InputError), "0000000.npz", "not packed")


def test_a_file_is_written_in_place_of_a_link(tmp_path, elsewhere):
    """If it fails, what stands behind a stranger's link is overwritten."""
    put("link to a file", tmp_path / "x", elsewhere)
    with written_file(tmp_path / "x") as file:
        file.write(b"new")
    assert not (tmp_path / "x").is_symlink()


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_a_file_is_not_written_in_place_of_what_is_none(tmp_path, elsewhere, kind):
    """If it fails, a device or a pipe that others use is gone."""
    put(kind, tmp_path / "x", elsewhere)
    with pytest.raises(OSError, match="no regular file"), written_file(tmp_path / "x"):
        pass


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "link to a folder"])
def test_what_is_no_plain_file_is_not_opened(tmp_path, elsewhere, kind):
    """If it fails, a reader waits for ever or reads without end."""
    put(kind, tmp_path / "x", elsewhere)
    with pytest.raises(OSError, match="no regular file"):
        opened(tmp_path / "x")


def test_a_link_to_a_plain_file_is_read(tmp_path, elsewhere):
    """If it fails, what lies in the cache of the Hub, where all files are links, cannot be read."""
    put("link to a file", tmp_path / "x", elsewhere)
    assert read_plain(tmp_path / "x", None) == (elsewhere / "precious.npy").read_bytes()
