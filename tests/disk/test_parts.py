"""The parts of a run: read only where they are whole and its own, so that each row of a result is written once."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from disk.runs import ITEMS, blocks, fill, ones
from says import says

from irp_hf.disk.blocks import Blocks
from irp_hf.disk.journal import Run
from irp_hf.errors import InputError


def test_parts_of_an_earlier_version(tmp_path):
    """If it fails, what was half done before an update is computed again; such parts do not name their rows."""
    with blocks(tmp_path) as files:
        files.begin()
        files.write(1, ones(ITEMS[4:8]))
        np.savez(tmp_path / "parts" / "0000000.npz", values=ones(ITEMS[:4]))
        assert files.left() == [2]
        fill(files)
        files.join()
    assert np.array_equal(files.results()["values"], ones(ITEMS))


@pytest.mark.parametrize("names", [("file", "allow_pickle"), ("allow_pickle",), ("self", "args", "kwds")])
def test_names_that_numpy_keeps_for_itself(tmp_path, names):
    """If it fails, an array is lost after hours of work, or every block ends in a TypeError."""
    with blocks(tmp_path) as files:
        files.begin()
        for block in files.left():
            files.write(block, dict.fromkeys(names, ones([ITEMS[row] for row in files.rows(block)])))
        files.join()
    assert set(files.results()) == set(names)
    assert all(np.array_equal(array, ones(ITEMS)) for array in files.results().values())


def damage(parts: Path, **changes: object) -> None:
    """Write part 0 anew, its rows or its values changed."""
    members = {"rows of the result": np.arange(4), "array values": ones(ITEMS[:4])}
    np.savez(parts / "0000000.npz", **members | {name.replace("_", " "): value for name, value in changes.items()})


def give(parts: Path, path: Path) -> None:
    path.rename(parts / "0000000.npz")


ROWS = "rows_of_the_result"
DAMAGED = {  # what is done to the folder of parts; which part is named, and what of it
    "an array in place of a part": (
        lambda parts: (np.save(parts / "x.npy", ones(ITEMS[:4])), give(parts, parts / "x.npy")),
        ["0000000.npz", "a single array"],
    ),
    "empty": (lambda parts: (parts / "0000000.npz").write_bytes(b""), ["0000000.npz", "No data left"]),
    "cut": (lambda parts: (parts / "0000000.npz").write_bytes((parts / "0000000.npz").read_bytes()[:99]), ["0000000"]),
    "floats": (lambda parts: damage(parts, **{ROWS: np.arange(4.0)}), ["0000000.npz", "float64"]),
    "booleans": (lambda parts: damage(parts, **{ROWS: np.ones(4, bool)}), ["0000000.npz", "bool"]),
    "negative": (lambda parts: damage(parts, **{ROWS: np.arange(-1, 3)}), ["0000000.npz", "from -1 to 2"]),
    "out of range": (lambda parts: damage(parts, **{ROWS: np.arange(7, 11)}), ["0000000.npz", "from 7 to 10"]),
    "twice": (lambda parts: damage(parts, **{ROWS: np.array([0, 1, 1, 2])}), ["0000000.npz", "3 from 0 to 2"]),
    "fewer rows": (lambda parts: damage(parts, **{ROWS: np.arange(3)}), ["0000000.npz", "shape (3,)"]),
    "of another part": (lambda parts: damage(parts, **{ROWS: np.arange(4, 8)}), ["0000001.npz", "row 4"]),
    "one row": (lambda parts: damage(parts, array_values=ones(ITEMS[:1])), ["0000000.npz", "4 rows", "shape (1, 2)"]),
    "a number": (lambda parts: damage(parts, array_values=np.float32(1)), ["0000000.npz", "shape ()"]),
    "another folder": (
        lambda parts: [damage(parts, **{"array_../up": ones(ITEMS[:4])})],
        ["0000000.npz", "identifiers", "'../up'"],
    ),
    "text": (lambda parts: damage(parts, array_values=np.full(4, "a")), ["0000000.npz", "<U1"]),
    "of more blocks": (
        lambda parts: (parts / "0000000.npz").rename(parts / "0000000-0000001.npz"),
        ["0000000-0000001.npz", "8 rows", "shape (4,)"],
    ),
    "backwards": (
        lambda parts: damage(parts) or shutil.copy(parts / "0000000.npz", parts / "0000002-0000001.npz"),
        ["0000002-0000001.npz"],
    ),
    "beyond the end": (
        lambda parts: shutil.copy(parts / "0000000.npz", parts / "0000003.npz"),
        ["0000003.npz", "0 to 2"],
    ),
    "the same again": (
        lambda parts: shutil.copy(parts / "0000000.npz", parts / "00000000.npz"),
        ["0000000.npz", "row 0"],
    ),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_part_that_no_run_has_written(tmp_path, refusal, what):
    """If it fails, rows of zeros, of other items or of one item only stand in the result, or the error is Python's own."""
    with blocks(tmp_path) as files:
        files.begin()
        fill(files)
        change, words = DAMAGED[what]
        change(tmp_path / "parts")
        assert says(refusal(files.join, error=InputError), *words)
    assert not (tmp_path / "values.npy").exists()
    if what not in ("one row", "a number", "text", "another folder"):  # the arrays are read when they are joined
        text = refusal(blocks(tmp_path).begin, error=InputError)
        assert says(text, *words), "it is told when the work is done"


def test_older_parts_of_foreign_bytes(tmp_path):
    """If it fails, a run that was half done before an update ends in a result that is refused."""
    with blocks(tmp_path) as files:
        files.begin()
        for block in range(3):
            np.savez(tmp_path / "parts" / f"{block:07d}.npz", values=np.array(ITEMS, ">f8")[files.rows(block)])
        files.join()
    assert files.results()["values"].tolist() == ITEMS


def test_a_part_of_another_array(tmp_path, refusal):
    """If it fails, the journal of a finished run names an array that nobody asks for, and is refused for ever."""
    run, out = Run({"id": "ones"}, 4, 4, "x"), tmp_path / "out.npy"
    with Blocks.for_file(out, run) as files:
        files.begin()
        np.savez(tmp_path / "out.npy.parts" / "0000000.npz", x=ones(ITEMS[:4]))
        assert says(refusal(files.join, error=InputError), str(out), "'x'", "'values'")
    assert not out.exists()


def test_rows_that_no_part_has(tmp_path, refusal):
    """If it fails, rows of zeros stand in a result that says it is finished."""
    run = Run({"id": "ones"}, 10, 4, "x")
    with Blocks.for_file(tmp_path / "out.npy", run) as files:
        files.begin()
        files.write(0, ones(ITEMS[:4]), [0, 1, 2, 3])
        files.write(1, ones(ITEMS[4:8]), [0, 1, 2, 3])
        files.write(2, ones(ITEMS[8:]), [8, 9])
        assert says(refusal(files.join, error=InputError), "0000001.npz", "row 0")
    assert not (tmp_path / "out.npy").exists()


def test_parts_in_another_order(tmp_path, refusal):
    """If it fails, a run of an older version that goes on in another order is refused only after all its work."""
    run, out = Run({"id": "ones"}, 10, 4, "x"), tmp_path / "out.npy"
    with Blocks.for_file(out, run) as files:
        files.begin()
        files.write(0, ones([9.0, 0.0, 8.0, 1.0]), [9, 0, 8, 1])
    with Blocks.for_file(out, run) as again:
        assert again.begin() == [1, 2]
        again.write(1, ones(ITEMS[4:8]))
        assert says(refusal(again.write, 2, ones(ITEMS[8:]), range(8, 10), error=InputError), f"{out}.parts", "row 8")
