"""The files of a run in blocks: whole parts, one join, nobody else's files."""

from pathlib import Path

import numpy as np
import pytest

from irp_hf.disk.blocks import Blocks
from irp_hf.disk.matrix import Run
from irp_hf.parallel import run_sharded

ITEMS = [float(row) for row in range(10)]


def ones(items: list[float]) -> np.ndarray:
    return np.array([[item, 1] for item in items])


def blocks(folder: Path, **changes: object) -> Blocks:
    run = Run(**({"encoder": {"id": "ones"}, "num_rows": 10, "batch_size": 1, "items": "x", "block_size": 4} | changes))
    return Blocks(run, folder / "run.json", folder / "parts", lambda name: folder / f"{name}.npy")


def test_parts_are_kept_until_they_are_joined(tmp_path):
    """A run that was killed between any two steps goes on with what is there."""
    first = blocks(tmp_path)
    assert first.begin() == [0, 1, 2]
    assert [list(first.rows(block)) for block in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    first.write(1, ones(ITEMS[4:8]))
    (tmp_path / "parts" / ".0000000.npz.irp-0123").write_bytes(b"half a part")
    first.close()  # as the end of a process does
    again = blocks(tmp_path)
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


def test_a_join_that_was_cut_short_is_done_again(tmp_path):
    """The journal names the arrays, one has its final name and the other has not, and the parts are there."""
    first = blocks(tmp_path)
    first.begin()
    for block in range(3):
        rows = [ITEMS[row] for row in first.rows(block)]
        first.write(block, {"a": ones(rows), "b": np.array(rows)})
    first.run.note(first.journal, names=["a", "b"])
    np.save(tmp_path / "a.npy", ones(ITEMS))
    first.join()
    assert np.array_equal(first.results()["b"], ITEMS)


def test_another_run_is_refused(tmp_path, refusal):
    """In words that name the difference, and nothing is changed."""
    run_sharded(ones, ITEMS, tmp_path / "out", block_size=4)
    text = refusal(run_sharded, ones, ITEMS, tmp_path / "out", block_size=5)
    assert text == (
        f"{tmp_path / 'out' / 'run.json'} is of another run: its block_size is 4, now 5. "
        "Name another place, or remove what that run wrote."
    )
    assert "its encoder's id is 'ones', now 'twos'" in refusal(
        run_sharded, ones, ITEMS, tmp_path / "out", block_size=4, record={"id": "twos"}
    )


def test_no_other_file_is_touched(tmp_path, refusal):
    """An array or a folder of parts that is somebody else's."""
    (tmp_path / "values.npy").write_bytes(b"mine")
    assert refusal(run_sharded, ones, ITEMS, tmp_path) == (
        f"{tmp_path / 'values.npy'} is there already and not of this run. Name another place, or move it."
    )
    named = tmp_path / "named"
    named.mkdir()
    (named / "logits.npy").write_bytes(b"mine")
    assert "logits.npy is there already" in refusal(run_sharded, lambda items: {"logits": ones(items)}, ITEMS, named)
    assert (named / "logits.npy").read_bytes() == b"mine"
    other = tmp_path / "other"
    (other / "parts").mkdir(parents=True)
    assert "parts is there already" in refusal(run_sharded, ones, ITEMS, other)
    assert "cannot be written (Not a directory)" in refusal(run_sharded, ones, ITEMS, tmp_path / "values.npy" / "out")


def test_a_function_that_fails_lets_the_next_run_begin(tmp_path):
    """In the same process, as in a notebook."""
    with pytest.raises(ZeroDivisionError):
        run_sharded(lambda items: 1 / 0, ITEMS, tmp_path, record={"id": "mine"})
    assert run_sharded(ones, ITEMS, tmp_path, record={"id": "mine"})["values"].shape == (10, 2)


def test_two_runs_do_not_share_a_folder(tmp_path, refusal):
    """The second is told."""
    first = blocks(tmp_path)
    first.begin()
    assert refusal(blocks(tmp_path).begin) == f"{tmp_path / 'parts'} is being written by another run. Wait for it."


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (
            np.ones((3, 2)),
            "The function made values float64[2] of the 4 items of block 0, of shape (3, 2). Return numbers,",
        ),
        (
            ["a", "b", "c", "d"],
            "The function made values <U1[] of the 4 items of block 0, of shape (4,). Return numbers,",
        ),
        (np.float32(1), "The function made values float32[] of the 4 items of block 0, of shape (). Return numbers,"),
        ({}, "The function named its arrays []. Give names"),
        ({"../up": np.ones(4)}, "The function named its arrays ['../up']. Give names"),
    ],
)
def test_results_that_do_not_fit(tmp_path, refusal, result, said):
    """One row of numbers for each item, under names that are files here."""
    first = blocks(tmp_path)
    first.begin()
    assert refusal(first.write, 0, result).startswith(said)
    assert not list((tmp_path / "parts").glob("*.npz"))


def test_blocks_that_do_not_fit_together(tmp_path, refusal):
    """Another width, and a part that the disk has lost."""
    text = refusal(run_sharded, lambda items: np.ones((len(items), len(items))), ITEMS, tmp_path / "out", block_size=4)
    assert text == (
        "The function made values float64[2] of block 2, but values float64[4] of block 0. Make the same arrays of all."
    )
    first = blocks(tmp_path)
    first.begin()
    for block in range(3):
        first.write(block, ones([ITEMS[row] for row in first.rows(block)]))
    part = tmp_path / "parts" / "0000001.npz"
    part.write_bytes(part.read_bytes()[:100])
    assert refusal(first.join).startswith(f"{part} is damaged (")
    assert not (tmp_path / "values.npy").exists()
