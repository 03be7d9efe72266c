"""A folder is replaced whole or not at all."""

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from disk.bare import BARE

import irp_hf.disk.atomic
from irp_hf.disk.atomic import replaced_folder
from irp_hf.disk.leftovers import STALE_SECONDS
from irp_hf.errors import InputError

CHILD_HEAD = (
    BARE
    + """
from irp_hf.disk import atomic as saving
from irp_hf.disk.reading import read_folder

def state(folder):
    text = (folder / "config.json").read_text()
    weights = (folder / "weights" / "model.bin").read_text()
    return text, weights == text * 1000, (folder / "README.md").read_text()

def save(folder, generation):
    with saving.replaced_folder(folder) as fresh:
        (fresh / "config.json").write_text(generation)
        (fresh / "weights").mkdir()
        (fresh / "weights" / "model.bin").write_text(generation * 1000)
"""
)

# For each line of the module that a save runs: fork a saver that kills itself there, print what it leaves.
KILL_AT_EVERY_LINE = (
    CHILD_HEAD
    + """
def kill_at(moment):
    seen = 0
    def trace(frame, event, argument):
        nonlocal seen
        if os.path.dirname(frame.f_code.co_filename) != os.path.dirname(saving.__file__):
            return None
        seen += event == "line"
        if seen == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace
    return trace

folder = Path(sys.argv[1])
if sys.argv[2] == "two renames":
    saving._exchange = lambda first, second: False
save(folder, "0")
(folder / "README.md").write_text("by hand")
if sys.argv[2] == "in place":
    os.chdir(folder)
    folder = Path.cwd()
for moment in range(1, 10_000, int(sys.argv[3])):
    child = os.fork()
    if not child:
        sys.settrace(kill_at(moment))
        save(folder, str(moment % 10))
        os._exit(0)
    killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    if not folder.exists():
        print("missing", flush=True)
    print(*read_folder(folder, state), killed, flush=True)
    if not killed:
        break
    if not folder.exists():  # read where it was left
        with saving.replaced_folder(folder):
            pass
    for left in (*folder.parent.glob(".model.irp-*"), *folder.glob(".model.irp-*")):  # each would lengthen the next save
        shutil.rmtree(left)
"""
)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def save(folder: str | os.PathLike[str], **files: str) -> None:
    with replaced_folder(folder) as fresh:
        for name, text in files.items():
            (fresh / f"{name}.json").write_text(text)


def test_missing_folder_is_made_with_its_parents(tmp_path):
    """The first save of a model would fail."""
    save(tmp_path / "a" / "b", config="new")
    assert contents(tmp_path / "a") == {"b/config.json": b"new"}


def test_new_files_replace_old_ones_and_other_files_stay(tmp_path):
    """A hand-written README.md or a git history would be lost with the next save."""
    save(tmp_path / "model", config="old", weights="old")
    (tmp_path / "model" / ".git" / "refs").mkdir(parents=True)
    (tmp_path / "model" / ".git" / "refs" / "main").write_text("abc")
    (tmp_path / "model" / "README.md").write_text("by hand")
    (tmp_path / "model" / "link").symlink_to("README.md")
    (tmp_path / "model").chmod(0o750)
    save(tmp_path / "model", config="new")
    assert contents(tmp_path / "model") == {
        "config.json": b"new",
        "weights.json": b"old",
        ".git/refs/main": b"abc",
        "README.md": b"by hand",
        "link": b"by hand",
    }
    assert (tmp_path / "model" / "link").is_symlink()
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o750
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("in_place", [False, True])
def test_a_file_never_takes_the_place_of_a_folder_nor_the_reverse(tmp_path, monkeypatch, in_place):
    """If it fails, what a user keeps under one of our names is lost, or a save ends half-way."""
    folder = tmp_path / "model"
    save(folder, config="old")
    (folder / "data").write_text("a user's file")
    (folder / "model.safetensors").mkdir()
    (folder / "model.safetensors" / "kept").write_text("a user's too")
    before = contents(folder)
    if in_place:
        monkeypatch.chdir(folder)

    def a_folder_for_a_file():
        with replaced_folder(folder) as fresh:
            (fresh / "config.json").write_text("new")
            (fresh / "data").mkdir()

    def a_file_for_a_folder():
        with replaced_folder(folder) as fresh:
            (fresh / "config.json").write_text("new")
            (fresh / "model.safetensors").write_text("new")

    for clash, name in ((a_folder_for_a_file, "data"), (a_file_for_a_folder, "model.safetensors")):
        with pytest.raises(InputError) as caught:
            clash()
        assert str(folder / name) in str(caught.value)
        assert contents(folder) == before


@pytest.mark.parametrize("path", ["", None, 5, b"", "a\0b", "/proc/no/such", "n" * 300])
def test_a_path_that_cannot_be_written_is_refused(path):
    """If it fails, a slip in the path raises something foreign, or writes into the working directory."""
    with pytest.raises(InputError), replaced_folder(path):
        pytest.fail("a save began")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_folder(tmp_path, error):
    """A failed or interrupted save would leave a broken model or rubbish beside it."""
    save(tmp_path / "model", config="old")

    def fail():
        with replaced_folder(tmp_path / "model") as fresh:
            (fresh / "config.json").write_text("new")
            raise error

    with pytest.raises(error):
        fail()
    assert contents(tmp_path) == {"model/config.json": b"old"}
    assert os.listdir(tmp_path) == ["model"]


def test_a_symbolic_link_is_followed(tmp_path):
    """The link itself would be replaced, and the folder behind it would stay old."""
    save(tmp_path / "real", config="old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    save(tmp_path / "link", config="new")
    assert (tmp_path / "link").is_symlink()
    assert contents(tmp_path / "real") == {"config.json": b"new"}


def test_a_file_is_refused_in_words(tmp_path):
    """A user who names a file would lose it, or read a bare OSError."""
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "model"):
        with pytest.raises(InputError) as caught, replaced_folder(place):
            pytest.fail("a save began")
        assert f"{tmp_path}/file" in str(caught.value)
        assert "got a file" in str(caught.value)
    assert contents(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS])
def test_a_full_disk_is_refused_in_words(tmp_path, number):
    """If it fails, a save to a full disk ends in a bare OSError, and perhaps without the old folder."""
    save(tmp_path / "model", config="old")
    with pytest.raises(InputError) as caught, replaced_folder(tmp_path / "model"):
        raise OSError(number, os.strerror(number))  # as a write to it would
    assert str(tmp_path / "model") in str(caught.value)
    assert os.strerror(number) in str(caught.value)
    assert contents(tmp_path) == {"model/config.json": b"old"}


@pytest.mark.parametrize("inside", [".", "deeper"])
def test_the_working_directory_is_filled_in_place(tmp_path, monkeypatch, inside):
    """The shell of the user would stand in a deleted folder after the swap."""
    save(tmp_path / "model", config="old", kept="old")
    (tmp_path / "model" / "deeper").mkdir()
    monkeypatch.chdir(tmp_path / "model" / inside)
    before = (tmp_path / "model").stat().st_ino
    with replaced_folder(tmp_path / "model") as fresh:
        (fresh / "config.json").write_text("new")
        (fresh / "part").mkdir()
        (fresh / "part" / "weights.bin").write_text("new")
    assert (tmp_path / "model").stat().st_ino == before
    assert contents(tmp_path) == {
        "model/config.json": b"new",
        "model/kept.json": b"old",
        "model/part/weights.bin": b"new",
    }


def test_in_place_the_weights_come_first_and_the_configuration_last(tmp_path, monkeypatch):
    """A save that dies half way would leave a new configuration over old weights."""
    monkeypatch.chdir(tmp_path)
    order = []
    monkeypatch.setattr(Path, "replace", lambda file, place: order.append(place.name) or os.replace(file, place))
    with replaced_folder(tmp_path) as fresh:
        (fresh / "config.json").write_text("long" * 100)
        (fresh / "card.md").write_text("short")
        (fresh / "model.bin").write_text("long" * 1000)
    assert order == ["model.bin", "card.md", "config.json"]


def test_only_old_leftovers_of_this_folder_are_removed(tmp_path):
    """Killed saves would fill the disk, or a save would delete what a concurrent one writes."""
    old = time.time() - 2 * STALE_SECONDS
    for name in (".model.irp-00000000", ".model.irp-11111111", ".model.irp-mine", ".other.irp-00000000"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("half")
        os.utime(tmp_path / name / "file", (old, old))
        os.utime(tmp_path / name, (old, old))
    os.utime(tmp_path / ".model.irp-11111111" / "file")  # still being written
    save(tmp_path / "model", config="new")
    assert sorted(os.listdir(tmp_path)) == [
        ".model.irp-11111111",
        ".model.irp-mine",
        ".other.irp-00000000",
        "model",
    ]


def test_without_an_exchange_a_failed_second_rename_is_undone(tmp_path, monkeypatch):
    """On file systems that cannot exchange folders, an error would leave no folder at all."""
    save(tmp_path / "model", config="old")
    monkeypatch.setattr(irp_hf.disk.atomic, "_exchange", lambda first, second: False)
    save(tmp_path / "model", config="new")
    rename = Path.rename

    def failing(path, place):
        if ".irp-" in path.name and "-old-" not in path.name:
            raise OSError("no")
        return rename(path, place)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(InputError, match="the error: no"):
        save(tmp_path / "model", config="newer")
    assert contents(tmp_path) == {"model/config.json": b"new"}
    assert os.listdir(tmp_path) == ["model"]


def test_concurrent_saves_leave_one_of_them(tmp_path):
    """Two processes that save the same folder at once would mix their files or crash."""

    def work(text):
        for _ in range(20):
            save(tmp_path / "model", config=text, weights=text)

    workers = [threading.Thread(target=work, args=(text,)) for text in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = contents(tmp_path / "model")
    assert found["config.json"] == found["weights.json"]
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("step", [pytest.param(3, marks=pytest.mark.slow), 11])
@pytest.mark.parametrize("way", ["exchange", "two renames", "in place"])
def test_a_kill_at_any_line_leaves_the_old_folder_or_the_new_one(tmp_path, way, step):
    """A save that is killed would leave a mixture, or lose what was written by hand."""
    run = subprocess.run(
        [sys.executable, "-c", KILL_AT_EVERY_LINE, str(tmp_path / "model"), way, str(step)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lines = run.stdout.splitlines()
    assert len(lines) > 180 // step, "the saver ran too few lines to have been killed at many moments"
    missing = lines.count("missing")
    assert missing == 0 if way != "two renames" else missing <= 4  # between two renames, where it is read beside
    states = [line.split(" ", 1) for line in lines if line != "missing"]
    assert {state for _, state in states[:-1]} == {"True by hand True"}
    assert states[-1][1] == "True by hand False"
    assert len({generation for generation, _ in states}) > 2, "no kill came after the swap"


@pytest.mark.parametrize("kills", [pytest.param(12, marks=pytest.mark.slow), 3])
def test_a_kill_from_outside_leaves_the_old_folder_or_the_new_one(tmp_path, kills):
    """The same at moments inside the system calls, which no line of Python marks."""
    loop = CHILD_HEAD + "\nfor number in range(10**9): save(sys.argv[1], str(number % 10)); print(flush=True)"
    save(tmp_path / "model", config="0")
    for delay in range(0, 12, 12 // kills):
        with subprocess.Popen([sys.executable, "-c", loop, str(tmp_path / "model")], stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            time.sleep(delay * 0.0007)
            child.kill()
        text = (tmp_path / "model" / "config.json").read_bytes()
        assert (tmp_path / "model" / "weights" / "model.bin").read_bytes() == text * 1000
