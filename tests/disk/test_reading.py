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


def facts(folder):
    """All that is in a folder, with what tells that it was changed."""
    found = {}
    for item in (folder, *folder.rglob("*")):
        about = item.lstat()
        found[item] = about.st_mode, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
    return found


def test_what_was_committed_is_read_where_it_is(tmp_path):
    """If it fails, a folder in which a save was killed is a mixture to its readers, or reading changes it."""
    half_moved(tmp_path / "model")
    (tmp_path / "model" / "data" / "other").write_text("by hand")
    before = facts(tmp_path / "model")
    for name in ("README.md", "data/other"):
        assert read_folder(tmp_path / "model", lambda place, name=name: (place / name).read_text()) == "by hand"
    assert read_folder(tmp_path / "model", whole) == "new"
    assert facts(tmp_path / "model") == before


HOOK = "g/hooks/post-checkout"


def planted(folder, name, kind):
    """A stranger's folder, with something under the name of an unfinished save that no save has left."""
    save(folder, "old")
    (folder / ".git" / "hooks").mkdir(parents=True)
    (folder / "g").symlink_to(".git")
    committed = folder / ".irp-new-00000000"
    if kind == "file":
        committed.write_text("x")
    elif kind == "link":
        committed.symlink_to(name)
    elif kind == "pipe":
        os.mkfifo(committed)
    else:
        (committed / name).parent.mkdir(parents=True)
        if kind == "link inside":
            (committed / name).symlink_to("/etc/passwd")
        else:
            (committed / name).write_text("evil")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes and links")
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (HOOK, "folder"),
        (".git/hooks/post-checkout", "folder"),
        ("data/.bashrc", "folder"),
        ("config.json", "link inside"),
        ("", "file"),
        ("", "pipe"),
        ("/etc", "link"),
        (".irp-new-00000000", "link"),
    ],
)
def test_what_a_stranger_calls_an_unfinished_save_is_put_nowhere(tmp_path, monkeypatch, name, kind):
    """If it fails, loading a cloned folder, or saving into it, writes where the stranger wants, a hook of git say."""
    folder = tmp_path / "clone"
    planted(folder, name, kind)
    before = facts(folder)
    assert read_folder(folder, whole) == "old"
    assert facts(folder) == before
    for inside in (False, True):
        if inside:
            monkeypatch.chdir(folder)
        save(folder, "new")
        assert read_folder(folder, whole) == "new"
        assert list((folder / ".git" / "hooks").iterdir()) == []


def test_a_save_in_place_goes_through_no_linked_folder(tmp_path, monkeypatch):
    """If it fails, a save into a stranger's folder overwrites files elsewhere."""
    folder, elsewhere = tmp_path / "model", tmp_path / "home"
    elsewhere.mkdir()
    (elsewhere / "table").write_text("mine")
    folder.mkdir()
    (folder / "data").symlink_to(elsewhere)
    monkeypatch.chdir(folder)
    save(folder, "new")
    assert read_folder(folder, whole) == "new"
    assert (elsewhere / "table").read_text() == "mine"


def test_an_overlay_looks_into_no_linked_folder(tmp_path):
    """If it fails, a link to a large folder, or to the one that it is in, is copied into the temporary folder at each load."""
    half_moved(tmp_path / "model")
    for number in range(3):
        (tmp_path / "model" / f"loop{number}").symlink_to(".")
    (tmp_path / "model" / "big").mkdir()
    (tmp_path / "model" / "big" / "file").write_text("x")
    names = read_folder(tmp_path / "model", lambda place: sorted(str(i.relative_to(place)) for i in place.rglob("*")))
    linked = {"README.md", "big", "loop0", "loop1", "loop2"}
    assert set(names) == {"config.json", "data", "data/table", "weights"} | linked


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_an_unfinished_save_of_another_user_is_left_to_them(tmp_path):
    """If it fails, what another user put into a shared folder is moved over its files."""
    half_moved(tmp_path / "model")
    os.chown(tmp_path / "model" / ".irp-new-00000000", 65534, 65534)
    before = facts(tmp_path / "model")
    with pytest.raises(InputError, match="no unfinished save of another user"):
        save(tmp_path / "model", "newest")
    assert facts(tmp_path / "model") == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_what_strangers_put_beside_a_folder_is_not_that_folder(tmp_path):
    """If it fails, whoever may write into /tmp puts a model where the user's own is missing."""
    save(tmp_path / ".model.irp-old-00000000", "evil")
    os.chown(tmp_path / ".model.irp-old-00000000", 65534, 65534)
    assert not is_saved(tmp_path / "model")
    (tmp_path / ".other.irp-old-00000000").symlink_to("/etc")
    assert not is_saved(tmp_path / "other")


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
