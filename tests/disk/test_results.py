"""The results of a run: arrays of numbers by name, known again by what the journal notes of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from disk.runs import ITEMS, blocks, finished, ones
from says import says

from irp_hf.errors import InputError


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (np.ones((3, 2)), ["Block 0", "4 rows", "values float64 of shape (3, 2)"]),
        (["a", "b", "c", "d"], ["values <U1 of shape (4,)"]),
        (np.float32(1), ["values float32 of shape ()"]),
        ([[1.0], [1.0, 2.0]], ["a list"]),
        ({}, ["identifiers", "[]"]),
        ({"../up": np.ones(4)}, ["identifiers", "'../up'"]),
        ({1: np.ones(4)}, ["identifiers", "1"]),
    ],
)
def test_results_that_do_not_fit(tmp_path, refusal, result, words):
    """One row of numbers for each item, under names that are files here."""
    with blocks(tmp_path) as files:
        files.begin()
        text = refusal(files.write, 0, result, error=InputError)
        assert says(text, *words)
        assert not list((tmp_path / "parts").glob("*.npz"))


def write_several(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)


OTHERS = {
    "float32 of shape (10, 2)": lambda path: np.save(path, ones(ITEMS).astype(np.float32)),
    "float64 of shape (10, 3)": lambda path: np.save(path, np.ones((10, 3))),
    "float64 of shape (9, 2)": lambda path: np.save(path, ones(ITEMS[:9])),
    "float64 of shape (20,)": lambda path: np.save(path, np.ones(20)),
    ">f8 of shape (10, 2)": lambda path: np.save(path, ones(ITEMS).astype(">f8")),
    "<U4 of shape (10, 2)": lambda path: np.save(path, np.full((10, 2), "text")),
    "several arrays": lambda path: write_several(path, {f"a{row}": np.ones(2) for row in range(10)}),
    "No data left": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:150]),
}


NOT_TOLD = ("float32 of shape (10, 2)", "float64 of shape (10, 3)")  # where the journal notes the length alone


@pytest.mark.parametrize(
    ("got", "noted"), [*((got, True) for got in OTHERS), *((got, False) for got in OTHERS if got not in NOT_TOLD)]
)
def test_a_result_that_was_replaced(tmp_path, refusal, got, noted):
    """If it fails, another file than the one that was written is given back, or Python's own error. Nothing is changed."""
    path = finished(tmp_path)
    journal = json.loads((tmp_path / "run.json").read_text())
    assert journal["arrays"] == {"values": {"dtype": "float64", "shape": [10, 2]}}
    if not noted:  # as in older journals
        del journal["arrays"]
        (tmp_path / "run.json").write_text(json.dumps(journal))
    OTHERS[got](path)
    before = path.read_bytes()
    text = refusal(blocks(tmp_path).begin, error=InputError)
    assert says(text, str(path), "" if got == "cut" else got)
    assert path.read_bytes() == before


def test_bytes_in_another_order(tmp_path):
    """If it fails, the result of a function that reads foreign files is no array that torch can take, and is refused later."""
    with blocks(tmp_path) as files:
        files.begin()
        for block in files.left():
            files.write(block, np.array(ITEMS, ">f4")[files.rows(block)])
        files.join()
    assert files.results()["values"].dtype == np.dtype("float32")
    assert files.results()["values"].tolist() == ITEMS
    assert blocks(tmp_path).begin() is None
