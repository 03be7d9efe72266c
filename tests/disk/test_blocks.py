"""The files of a run in blocks: whole parts, one join, nobody else's files."""

import contextlib
import json
import os
import resource
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from disk.runs import ITEMS, blocks, fill, finished, ones
from says import says

import irp_hf.disk.blocks
from irp_hf.disk.blocks import Blocks
from irp_hf.disk.journal import Run
from irp_hf.errors import InputError

# A run in a child that is killed at one line of the modules after the other; then a run that must do the rest.
KILL_AT_EVERY_LINE = f"""
import os, shutil, signal, sys, types
package = types.ModuleType("irp_hf")  # importing the whole package would cost seconds
package.__path__ = [{str(Path(irp_hf.disk.blocks.__file__).parents[1])!r}]
sys.modules["irp_hf"] = package
from pathlib import Path
import numpy as np
from irp_hf.disk import blocks, journal, parts

def run(folder):
    calls = 0
    run = journal.Run({{"id": "ones"}}, 10, 1, "x", 6)
    with blocks.Blocks.for_folder(folder, run) as files:
        left = files.begin()
        for block in left or ():
            calls += 1
            files.write(block, {{"a": np.array(files.rows(block)), "b": np.ones((len(files.rows(block)), 2))}})
        if left is not None:
            files.join()
    return calls, files.results()

def traced(at_line):
    def trace(frame, event, argument):
        if frame.f_code.co_filename not in (blocks.__file__, journal.__file__, parts.__file__):
            return None
        if event == "line":
            at_line(frame.f_code.co_filename, frame.f_lineno)
        return trace
    return trace

lines = []
sys.settrace(traced(lambda *line: lines.append(line)))
run(Path(sys.argv[1], "whole"))
sys.settrace(None)

first = [moment for moment, line in enumerate(lines) if line not in lines[:moment]]  # a loop does again what it has done
for moment in first[:: int(sys.argv[2])]:
    folder = Path(sys.argv[1], str(moment))
    child = os.fork()
    if not child:
        left = iter(range(moment))
        sys.settrace(traced(lambda *_: next(left, None) is None and os.kill(os.getpid(), signal.SIGKILL)))
        run(folder)
        os._exit(0)
    killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    calls, found = run(folder)
    right = found["a"].tolist() == list(range(10)) and (found["b"] == 1).all() and found["b"].shape == (10, 2)
    tidy = {{path.name for path in folder.iterdir() if ".irp-" not in path.name}} == {{"run.json", "a.npy", "b.npy"}}
    print(calls, right, tidy, killed, flush=True)
    shutil.rmtree(folder)
"""


def test_parts_are_kept_until_they_are_joined(tmp_path):
    """If it fails, a run that was interrupted begins anew, or leaves something behind."""
    with blocks(tmp_path) as first:
        assert first.begin() == [0, 1, 2]
        assert [list(first.rows(block)) for block in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        first.write(1, ones(ITEMS[4:8]))
        (tmp_path / "parts" / ".0000000.npz.irp-01234567").write_bytes(b"half a part")
    with blocks(tmp_path) as again:
        assert again.begin() == [0, 2]
        for block in (0, 2):
            assert not again.complete()
            again.write(block, ones([ITEMS[row] for row in again.rows(block)]))
        assert again.complete()
        assert not again.joined()
        again.join()
        assert again.joined()
    assert np.array_equal(again.results()["values"], ones(ITEMS))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json", "values.npy"]
    assert blocks(tmp_path).begin() is None


def test_rows_go_where_they_belong(tmp_path):
    """If it fails, vectors stand in the rows of other items: batches are sorted by length, and several share a part."""
    run = Run({"id": "ones"}, 10, 4, "x")
    with Blocks.for_file(tmp_path / "out.npy", run, gather=True) as files:
        files.begin()
        for block, rows in ((0, [9, 0, 8, 1]), (1, [2, 7, 3, 6]), (2, [5, 4])):
            files.write(block, ones([ITEMS[row] for row in rows]), rows)
        files.join()
    assert np.array_equal(files.results()["values"], ones(ITEMS))


def test_a_join_that_was_cut_short_is_done_again(tmp_path):
    """The journal names the arrays, one has its final name and the other has not, and the parts are there."""
    with blocks(tmp_path) as files:
        files.begin()
        for block in range(3):
            rows = [ITEMS[row] for row in files.rows(block)]
            files.write(block, {"a": ones(rows), "b": np.array(rows)})
        files.run.write(files.journal, names=["a", "b"])
        np.save(tmp_path / "a.npy", ones(ITEMS))
    with blocks(tmp_path) as again:
        assert again.begin() == []
        again.join()
    assert np.array_equal(again.results()["b"], ITEMS)


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 5])
def test_a_kill_at_any_line_is_made_good_by_the_next_run(tmp_path, step):
    """If it fails, a run that was killed at an unlucky moment is refused for ever, or its result is wrong."""
    result = subprocess.run(
        [sys.executable, "-c", KILL_AT_EVERY_LINE, tmp_path, str(step)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    lines = [line.split() for line in result.stdout.splitlines()]
    assert len(lines) > 100 // step, "it ran too few lines to have been killed at many moments"
    assert {tuple(line[1:]) for line in lines} == {("True", "True", "True")}
    calls = [int(line[0]) for line in lines]
    assert calls == sorted(calls, reverse=True), "what was kept is made again"
    assert {0, 2} <= set(calls) <= {0, 1, 2}
    assert 1 in calls or step > 1


def test_another_run_is_refused(tmp_path, refusal):
    """If it fails, rows of two runs are mixed. The difference is named, however deep it lies, and nothing is changed."""
    record = {"id": "ones", "parts": {"head": {"revision": "a"}}}
    with blocks(tmp_path, encoder=record) as files:
        files.begin()
        fill(files)
        files.join()
    text = refusal(blocks(tmp_path, encoder=record, block_size=5).begin, error=InputError)
    assert says(text, str(tmp_path / "run.json"), "expected block_size=4", "got block_size=5")
    other = {"id": "ones", "parts": {"head": {"revision": "b"}}}
    text = refusal(blocks(tmp_path, encoder=other).begin, error=InputError)
    assert "expected revision='a' of the head, as in the earlier run, got revision='b'" in text
    assert np.array_equal(files.results()["values"], ones(ITEMS))


def test_a_record_is_the_same_after_it_was_written(tmp_path):
    """If it fails, an encoder with two poolings, a list in its record, never goes on where it was."""
    two = Run({"id": "e", "pooling": ("mean", "cls"), "at": None}, 4, 2, "sha256:0")
    two.write(tmp_path / "journal.json")
    assert two.read(tmp_path / "journal.json")["run"]["encoder"]["pooling"] == ["mean", "cls"]
    assert Run({"id": "e", "pooling": ["mean", "cls"]}, 4, 2, "sha256:0").read(tmp_path / "journal.json")


def test_what_only_one_of_two_records_says_is_a_difference(tmp_path, refusal):
    """If it fails, what a head reads and an encoder's own vectors pass for the same."""
    Run({"id": "e", "at": "head"}, 4, 2, "sha256:0").write(tmp_path / "journal.json")
    text = refusal(Run({"id": "e"}, 4, 2, "sha256:0").read, tmp_path / "journal.json", error=InputError)
    assert "got at=None" in text
    assert "expected at='head'" in text


@pytest.mark.parametrize("record", [{"id": object()}, {"id": float("nan")}, {1: {2}}])
def test_a_record_that_json_does_not_hold(record, refusal):
    """If it fails, a run ends in a bare TypeError, or is never known again."""
    assert "record" in refusal(Run, record, 4, 2, "sha256:0", error=InputError)


def test_no_other_file_is_touched(tmp_path, refusal):
    """An array or a folder of parts that is somebody else's."""
    (tmp_path / "values.npy").write_bytes(b"mine")
    assert str(tmp_path / "values.npy") in refusal(blocks(tmp_path).begin, error=InputError)
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "logits.npy").write_bytes(b"mine")
    with blocks(tmp_path / "named") as files:
        files.begin()
        text = refusal(files.write, 0, {"logits": ones(ITEMS[:4])}, error=InputError)
        assert str(tmp_path / "named" / "logits.npy") in text, "it is told before the work, not after it"
    assert (tmp_path / "named" / "logits.npy").read_bytes() == b"mine"
    (tmp_path / "other" / "parts").mkdir(parents=True)
    (tmp_path / "other" / "parts" / "0000000.npz").write_bytes(b"mine")
    assert str(tmp_path / "other" / "parts") in refusal(blocks(tmp_path / "other").begin, error=InputError)
    assert [path.name for path in (tmp_path / "other").rglob("*")] == ["parts", "0000000.npz"]
    assert "Not a directory" in refusal(blocks(tmp_path / "values.npy" / "out").begin, error=InputError)


def test_two_runs_do_not_share_a_folder(tmp_path, refusal):
    """If it fails, two runs write one result. The one that comes second leaves no journal that names it."""
    with blocks(tmp_path) as first:
        first.begin()
        (tmp_path / "run.json").unlink()  # as before the first has written it
        other = blocks(tmp_path, block_size=5)
        with other:
            text = refusal(other.begin, error=InputError)
        assert str(tmp_path / "parts") in text
        assert "in use" in text
        assert not (tmp_path / "run.json").exists()
        assert (tmp_path / "parts").exists()


def test_a_run_that_begins_as_another_ends_keeps_its_own(tmp_path):
    """If it fails, the journal and the parts of a run that just began are removed by the one before it."""
    other = blocks(tmp_path, block_size=5)

    def begin() -> None:
        assert other.begin() == [0, 1]
        other.write(0, ones(ITEMS[:5]))

    with other:
        with blocks(tmp_path) as first:
            first.begin()
            ending = contextlib.ExitStack()
            ending.callback(begin)  # at the moment when the first has given up its lock
            ending.enter_context(first._lock)
            first._lock = ending
        assert (tmp_path / "run.json").exists()
        fill(other)
        other.join()
    assert np.array_equal(other.results()["values"], ones(ITEMS))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json", "values.npy"]


@pytest.mark.parametrize(
    "state",
    [
        {"batches_done": "7"},
        {"batches_done": None},
        {"batches_done": True},
        {"names": "values"},
        {"names": ["../up"]},
        {"names": [3]},
        {"names": 5},
        {"names": []},
        {"names": ["a", "a"]},
        {"names": ["values"], "arrays": ["values"]},
        {"names": ["values"], "arrays": {"values": {"dtype": "float32"}}},
        {"names": ["values"], "arrays": {"values": {"dtype": "float32", "shape": [10, -1]}}},
        {"names": ["values"], "arrays": {"values": {"dtype": 7, "shape": [10, 2]}}},
        {"names": ["values"], "arrays": {"values": {"dtype": "float32", "shape": [10, 2.0]}}},
        {"names": ["values"], "digests": ["values"]},
        {"names": ["values"], "digests": {"values": 10**70}},
        {"names": ["values"], "digests": {"values": "../" + "a" * 61}},
        {"batches_done": -1},
        {"batches_done": 2**70},
        {"batches_done": float("inf")},
        {"batches_done": 10, "width": "3"},
        {"batches_done": 10, "width": float("nan")},
        {"batches_done": 10, "width": -3},
        {"format_version": 2},
        {"format_version": 99},
        {"format_version": "1"},
        {"format_version": None},
    ],
)
def test_a_journal_that_says_what_no_run_writes(tmp_path, refusal, state):
    """If it fails, the error is Python's own, a file elsewhere is read, or a newer format is misread."""
    run = blocks(tmp_path).run
    (tmp_path / "run.json").write_text(json.dumps({"format_version": 1, "run": asdict(run), **state}))
    for call in (blocks(tmp_path).begin, blocks(tmp_path).joined, blocks(tmp_path).results):
        assert says(refusal(call, error=InputError), str(tmp_path / "run.json"), repr([*state.values()][-1]))


def zeroed(array: np.ndarray) -> None:
    array[7] = 0


def nudged(array: np.ndarray) -> None:
    array[3, 1] = np.nextafter(array[3, 1], 2)


def swapped(array: np.ndarray) -> None:
    array[[0, 9]] = array[[9, 0]]


@pytest.mark.parametrize("change", [zeroed, nudged, swapped])
def test_numbers_that_were_changed_after_the_run_ended(tmp_path, refusal, change):
    """They came back as the run's own, without a word."""
    file = finished(tmp_path)
    before = np.load(file)
    change(np.lib.format.open_memmap(file, "r+"))
    changed = file.read_bytes()
    words = refusal(blocks(tmp_path).begin, error=InputError)
    assert says(words, str(file), "was changed since", "remove it and run.json")
    assert file.read_bytes() == changed
    np.save(file, before)
    assert blocks(tmp_path).begin() is None
    file.unlink()
    (tmp_path / "run.json").unlink()
    assert np.array_equal(np.load(finished(tmp_path)), before)


def test_a_journal_without_digests_tells_nothing_of_the_numbers(tmp_path):
    """Of runs that ended before digests were noted."""
    file = finished(tmp_path)
    journal = json.loads((tmp_path / "run.json").read_text())
    del journal["digests"]
    (tmp_path / "run.json").write_text(json.dumps(journal))
    zeroed(np.lib.format.open_memmap(file, "r+"))
    assert blocks(tmp_path).begin() is None


def test_a_journal_that_names_another_array(tmp_path, refusal):
    """If it fails, `encode` ends in a KeyError, or a file that is somebody else's is replaced."""
    run, out = blocks(tmp_path).run, tmp_path / "out.npy"
    run.write(tmp_path / "out.npy.json", names=["x"])
    for call in (Blocks.for_file(out, run).begin, Blocks.for_file(out, run).results):
        assert says(refusal(call, error=InputError), f"{out}.json", "into one file", "into a folder, with x")
    run.write(tmp_path / "run.json", names=["x"])
    np.save(tmp_path / "values.npy", ITEMS)
    with blocks(tmp_path) as files:
        files.begin()
        assert str(tmp_path / "values.npy") in refusal(files.write, 0, ones(ITEMS[:4]), error=InputError)
    assert np.load(tmp_path / "values.npy").tolist() == ITEMS


def test_room_is_asked_for_again(tmp_path, refusal):
    """If it fails, a disk that is too small is told once, and the next time only after all the work."""
    wide, limits = np.ones((4, 5000)), resource.getrlimit(resource.RLIMIT_FSIZE)
    reserved = tmp_path / "parts" / "values.npy"
    with blocks(tmp_path, num_rows=8) as files:
        files.begin()
        files.write(0, wide)
    (tmp_path / "parts").mkdir(exist_ok=True)
    reserved.write_bytes(b"what a killed run had not allocated")
    with blocks(tmp_path, num_rows=8) as files:
        assert files.begin() == [1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (wide.nbytes + 2000, limits[1]))  # of a part and not of the whole
        try:
            for _ in range(2):
                assert "File too large" in refusal(files.write, 1, wide, error=InputError)
                assert not reserved.exists()
                files._gathered.clear()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        files.write(1, wide)
        assert reserved.stat().st_size > 2 * wide.nbytes
        files.join()
    assert np.array_equal(files.results()["values"], np.ones((8, 5000)))


def test_what_killed_runs_left_is_removed(tmp_path):
    """If it fails, parts of a finished run, as large as its result, and files of killed writes stay for good."""
    finished(tmp_path)
    parts = tmp_path / "parts"
    parts.mkdir()  # without a lock
    for name in ("0000000.npz", "0000001-0000002.npz", ".0000001.npz.irp-01234567", "values.npy"):
        (parts / name).write_bytes(b"ours")
    old, new, other = (tmp_path / f".run.json.irp-{name}" for name in ("01234567", "89abcdef", "mine"))
    for path in (old, new, other):
        path.write_bytes(b"{")
    for path in (old, other):
        os.utime(path, (0, 0))
    assert blocks(tmp_path).begin() is None
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "values.npy", new.name, other.name}
    parts.mkdir()
    (parts / "0000000.npz").write_bytes(b"ours")
    (parts / "notes.txt").write_bytes(b"mine")
    assert blocks(tmp_path).begin() is None
    assert [path.name for path in parts.iterdir()] == ["notes.txt"]


def test_folders_where_files_should_be(tmp_path, refusal):
    """If it fails, a raw IsADirectoryError says neither what was expected nor what to do."""
    (tmp_path / "a" / "run.json").mkdir(parents=True)
    for call in (blocks(tmp_path / "a").begin, blocks(tmp_path / "a").joined, blocks(tmp_path / "a").results):
        assert says(refusal(call, error=InputError), str(tmp_path / "a" / "run.json"), "a folder")
    with blocks(tmp_path / "b") as files:
        files.begin()
        fill(files)
        files.join()
    (tmp_path / "b" / "values.npy").unlink()
    (tmp_path / "b" / "values.npy").mkdir()
    assert str(tmp_path / "b" / "values.npy") in refusal(files.results, error=InputError)
    assert str(tmp_path / "b" / "values.npy") in refusal(blocks(tmp_path / "b").begin, error=InputError)


@pytest.mark.parametrize("wrong", [{"num_rows": 0}, {"num_rows": "3"}, {"batch_size": 0}])
def test_a_run_has_rows(wrong, refusal):
    """If it fails, a run of nothing counts as joined before it began."""
    assert repr(*wrong.values()) in refusal(blocks, Path("nowhere"), **wrong, error=InputError)


def test_a_run_that_did_nothing_leaves_nothing(tmp_path):
    """If it fails, a function that fails at once leaves a journal, which refuses the run that was meant."""
    with contextlib.suppress(ZeroDivisionError), blocks(tmp_path) as files:
        files.begin()
        files.write(0, 1 / 0)
    assert not list(tmp_path.iterdir())


def test_blocks_that_do_not_fit_together(tmp_path, refusal):
    """If it fails, a function that changed between two runs makes an array of two kinds of rows."""
    with blocks(tmp_path) as files:
        files.begin()
        files.write(0, ones(ITEMS[:4]))
    with blocks(tmp_path) as again:
        again.begin()
        text = refusal(again.write, 1, np.ones((4, 3)), error=InputError)
        assert says(text, "Block 1", "values float64[2]", "values float64[3]")
        np.savez(tmp_path / "parts" / "0000001.npz", values=np.ones(4))  # as by another process at the same time
        again.write(2, ones(ITEMS[8:]))
        assert "values float64[]" in refusal(again.join, error=InputError)


@pytest.mark.parametrize("size", [100, None])
def test_a_part_that_the_disk_has_lost(tmp_path, refusal, size):
    """If it fails, rows of zeros stand in the result."""
    with blocks(tmp_path) as files:
        files.begin()
        fill(files)
        part = tmp_path / "parts" / "0000001.npz"
        if size is None:
            part.unlink()
        else:
            part.write_bytes(part.read_bytes()[:size])
        assert ("block 1" if size is None else str(part)) in refusal(files.join, error=InputError)
    assert not (tmp_path / "values.npy").exists()


def test_a_disk_that_is_full_in_the_end(tmp_path, refusal):
    """If it fails, the process dies by a signal as it writes to a map of a full disk, or what it made is lost."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    wide = np.ones((4, 5000))
    with blocks(tmp_path, num_rows=8) as files:
        files.begin()
        for block in range(2):
            files.write(block, wide)
        resource.setrlimit(resource.RLIMIT_FSIZE, (wide.nbytes, limits[1]))
        try:
            assert "File too large" in refusal(files.join, error=InputError)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with blocks(tmp_path, num_rows=8) as again:
        assert again.begin() == []
        again.join()
    assert np.array_equal(again.results()["values"], np.ones((8, 5000)))
