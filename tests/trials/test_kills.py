"""Saves, runs and pushes that are killed at thirty moments each: what is left is old or new, and a second try ends it."""

import os
import shutil
import signal
import tempfile
import time
from multiprocessing.util import get_temp_dir
from pathlib import Path

import pytest
import tiny_encoders as tiny
from trials import works
from trials.killing import KILLS, done, kills, started

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter

try:
    from irp_hf.disk.reading import read_folder
except ImportError:  # an older package reads whatever is there

    def read_folder(folder, read):
        return read(folder)


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs processes that can be killed"),
]
NAMES = [f"{number:03d}.txt" for number in range(200)]


def contents(folder: Path) -> dict[str, bytes]:
    """What lies there, but for what killed saves left."""
    files = [file for file in folder.rglob("*") if file.is_file() and ".irp-" not in str(file.relative_to(folder))]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.fixture
def two(adapters: dict[str, IRPAdapter], tmp_path: Path) -> dict[str, tuple[IRPAdapter, dict[str, bytes]]]:
    """Two adapters, and the files of each, by their checksum."""
    made = {}
    for method in ("kernel", "whitened"):
        adapters[method].save_pretrained(tmp_path / method)
        made[adapters[method].checksum()] = adapters[method], contents(tmp_path / method)
        shutil.rmtree(tmp_path / method)
    return made


def saves(two, folder: Path, inside: bool) -> int:
    """Kill saves of the one over the other; returns how many were killed at work."""
    (first, _), (second, wanted) = two.values()
    begun = 0
    for killed in kills(works.save, folder, [second], inside, before=lambda: first.save_pretrained(folder)):
        begun += killed
        found = IRPAdapter.from_pretrained(folder).checksum()
        assert found in two
        assert killed or found == second.checksum()
        done(works.save, folder, [second], inside)
        assert contents(folder) == wanted
    return begun


def test_saves(two, tmp_path: Path) -> None:
    """If it fails, a killed save leaves a folder that is neither of two adapters."""
    assert saves(two, tmp_path / "adapter", inside=False) > KILLS / 6
    left = [path for path in tmp_path.iterdir() if path.name != "adapter"]
    old = time.time() - 7200
    for item in [item for path in left for item in (path, *path.rglob("*"))]:
        os.utime(item, (old, old), follow_symlinks=False)
    next(iter(two.values()))[0].save_pretrained(tmp_path / "adapter")
    assert os.listdir(tmp_path) == ["adapter"], "what killed saves left stays for ever"


def test_saves_in_the_working_directory(two, tmp_path: Path) -> None:
    """The same where the folder cannot be swapped."""
    assert saves(two, tmp_path / "adapter", inside=True) > KILLS / 6


def test_saves_of_many_files_in_place(tmp_path: Path) -> None:
    """The same where moving the files takes most of the time."""
    folder = tmp_path / "many"

    def before() -> None:
        shutil.rmtree(folder, ignore_errors=True)  # with what an earlier kill left there for the next save to finish
        folder.mkdir()
        for name in NAMES:
            (folder / name).write_text("old")

    for _ in kills(works.save_texts, folder, NAMES, "new", before=before):
        texts = read_folder(folder, lambda place: {(place / name).read_text() for name in NAMES})
        assert texts in ({"old"}, {"new"}), "neither old nor new"


def test_encoding_to_a_file(tmp_path: Path) -> None:
    """If it fails, a run that was killed gives other rows the second time, or half a file the first."""
    folder = tiny.save(tmp_path / "bert", tiny.model("bert", **tiny.LAYERS, **tiny.VOCAB), tiny.tokenizer())
    out = tmp_path / "out" / "v.npy"

    def before() -> None:
        shutil.rmtree(out.parent, ignore_errors=True)
        out.parent.mkdir()

    before()
    works.encode_to(out, folder)
    wanted = out.read_bytes()
    begun = 0
    for killed in kills(works.encode_to, out, folder, before=before):
        begun += killed
        assert not out.exists() or out.read_bytes() == wanted
        done(works.encode_to, out, folder)
        assert contents(out.parent).keys() == {"v.npy", "v.npy.json"}
        assert out.read_bytes() == wanted
    assert begun > KILLS / 6


def test_predicting_a_data_set(tmp_path: Path) -> None:
    """The same for all that a stitched model says of a data set."""
    out = tmp_path / "out"
    works.predict_to(out)
    wanted = contents(out)
    begun = 0
    for killed in kills(works.predict_to, out, before=lambda: shutil.rmtree(out, ignore_errors=True)):
        begun += killed
        for name, data in wanted.items():
            assert name == "run.json" or not (out / name).exists() or (out / name).read_bytes() == data
        done(works.predict_to, out)
        assert contents(out) == wanted
    assert begun > KILLS / 6


def test_pushes(hub, spaces: tuple[AnchoredSpace, AnchoredSpace], tmp_path: Path, monkeypatch) -> None:
    """If it fails, half a model is on the Hub, or what was to be pushed stays in the temporary folder for ever."""
    get_temp_dir()  # multiprocessing's own folder lies elsewhere
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (old, new), token = spaces, hub.token("me")
    states = []
    for space in spaces:
        space.push_to_hub("me/clean", token=token)
        states.append(ours(hub.files("me/clean")))
    push = (works.push, new, "me/space", token, tmp_path)
    begun = 0
    for killed in kills(*push, before=lambda: old.push_to_hub("me/space", token=token)):
        begun += killed
        assert ours(hub.files("me/space")) in states
        done(*push)
        assert ours(hub.files("me/space")) == states[1]
    assert begun > KILLS / 6
    left = list(tmp_path.iterdir())
    assert left, "no push was killed while its folder was there"
    for item in [item for folder in left for item in (folder, *folder.rglob("*"))]:
        os.utime(item, (time.time() - 7200,) * 2)
    AnchorSet(["one", "two"]).push_to_hub("me/anchors", token=token)
    assert list(tmp_path.iterdir()) == [], "what killed pushes left stays for ever"


def ours(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name not in ("README.md", ".gitattributes")}


def test_a_reader_during_two_hundred_saves(two, tmp_path: Path) -> None:
    """If it fails, who loads an adapter while it is saved anew is told that it is damaged."""
    folder, both = tmp_path / "adapter", [adapter for adapter, _ in two.values()]
    both[0].save_pretrained(folder)
    saver, loads = started(works.save, folder, both * 100), 0
    while saver.is_alive():
        assert IRPAdapter.from_pretrained(folder).checksum() in two
        loads += 1
    assert saver.exitcode == 0
    assert loads > 20


def test_a_reader_of_anchors_during_two_hundred_saves_in_place(tmp_path: Path) -> None:
    """The same for anchor sets, saved into a folder that cannot be swapped."""
    sets = [AnchorSet([f"{kind} {row}" for row in range(40)]) for kind in ("apple", "pear")]
    folder = tmp_path / "anchors"
    sets[0].save_pretrained(folder)
    saver, loads = started(works.save, folder, sets * 100, True), 0
    while saver.is_alive():
        assert AnchorSet.from_pretrained(folder) in sets
        loads += 1
    assert saver.exitcode == 0
    assert loads > 20
    assert sorted(os.listdir(folder)) == ["anchor_set.json", "data"]
