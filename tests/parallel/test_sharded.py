"""Blocks shared out by Accelerate: one and two processes give the same bits, and what died goes on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_encoders as tiny
import torch
from many_pairs import sample
from parallel import script as script
from parallel.script import BLOCK, ITEMS, NUM_ROWS, Logged, two_arrays
from says import says
from tiny_encoders import LAYERS, VOCAB

from irp_hf import IRPAdapter
from irp_hf.encoding import encode
from irp_hf.errors import FitWarning, InputError
from irp_hf.models import PairSums
from irp_hf.parallel import encode_dataset, run_sharded

HERE = Path(__file__).parent
STARTS = set(range(0, NUM_ROWS, BLOCK))


@pytest.fixture
def folder(tmp_path) -> Path:
    """With a tiny model."""
    tiny.save(tmp_path / "model", tiny.model("bert", **LAYERS, **VOCAB), tiny.tokenizer())
    return tmp_path


def launch(task: str, folder: Path) -> subprocess.CompletedProcess:
    """Two processes on a CPU, as `accelerate launch` starts them."""
    options = (
        "--multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no --main_process_port 0"
    )
    path = os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "accelerate.commands.launch",
            *options.split(),
            HERE / "script.py",
            task,
            folder,
        ],
        env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def logged(folder: Path) -> set[int]:
    return {int(path.name) for path in folder.iterdir()}


@pytest.mark.slow
def test_two_processes_sum_as_one_does(folder):
    """If it fails, an adapter from sums over processes is another than that of one process."""
    result = launch("sums", folder)
    assert result.returncode == 0, result.stderr
    x, y = (side.float() for side in sample(4000))
    sums = PairSums(x[:2000], y[:2000], num_landmarks=100, seed=3)
    y[3000:3100] = y[3000:3100].roll(1, 0)
    sums.add(x, y)
    with pytest.warns(FitWarning, match="From row 3000 to row 3099"):
        expected = IRPAdapter.from_sums(sums).translate(x)
    for process in range(2):
        assert np.allclose(np.load(folder / f"sums-{process}.npy"), expected, atol=1e-5)
    (told, known), (silent, same) = (
        json.loads((folder / f"doubts-{process}.json").read_text()) for process in range(2)
    )
    assert known == same
    assert told == known
    assert silent == []
    (words,) = told
    assert says(words, "Process 1: In a part of 1,952 pairs", "From row 952", "1 row later")


@pytest.mark.slow
def test_two_processes_give_the_bits_of_one(folder):
    """Arrays and embeddings, in order, in both processes and in the files."""
    result = launch("both", folder)
    assert result.returncode == 0, result.stderr
    found = run_sharded(two_arrays, ITEMS, folder / "one", block_size=BLOCK)
    vectors = script.encode_in(folder, "one.npy")
    for name in ("waves.npy", "rows.npy"):
        assert (folder / "two" / name).read_bytes() == (folder / "one" / name).read_bytes()
    assert (folder / "two.npy").read_bytes() == (folder / "one.npy").read_bytes()
    seen = np.hstack([found["waves"], vectors.numpy()])
    for process in range(2):
        assert np.array_equal(np.load(folder / f"seen-{process}.npy"), seen)
    assert found["rows"].tolist() == list(range(NUM_ROWS))
    assert not (folder / "two.npy.parts").exists()


@pytest.mark.slow
def test_what_a_killed_process_leaves_is_not_done_again(folder):
    """One of two dies by kill -9 in its third block; a run of one process goes on, and its bits are the same."""
    (folder / "first").mkdir()
    (folder / "second").mkdir()
    result = launch("die", folder)
    assert result.returncode != 0
    assert f"Signal {signal.SIGKILL.value}" in result.stderr
    kept = {int(path.stem) * BLOCK for path in (folder / "two" / "parts").glob("*.npz")}
    assert len(kept & {80, 96}) == 2  # of the second process, whose blocks begin at row 80
    found = run_sharded(Logged(folder / "second"), ITEMS, folder / "two", block_size=BLOCK)
    again = logged(folder / "second")
    assert again >= STARTS - kept
    assert len(again & kept) == 2  # to see that it is the same function
    wanted = run_sharded(two_arrays, ITEMS, folder / "one", block_size=BLOCK)
    assert all(np.array_equal(found[name], wanted[name]) for name in ("waves", "rows"))


@pytest.mark.slow
def test_processes_with_other_items_are_refused(folder):
    """A shuffle with a seed for each would write rows of two orders into one file."""
    result = launch("differ", folder)
    assert result.returncode != 0
    text = (folder / "1.txt").read_text()
    assert "Process 1" in text
    assert "process 0" in text
    assert not (folder / "two" / "waves.npy").exists()


def test_a_dataset_is_encoded_as_a_list(folder):
    """The same vectors and the same record as by `encode`, up to the rounding of other batches."""
    found, record = encode_dataset(
        folder / "model", script.DATASET, "text", folder / "e.npy", pooling="mean", device="cpu"
    )
    wanted, same = encode(folder / "model", tiny.texts(NUM_ROWS), pooling="mean", device="cpu")
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert record == same
    assert np.array_equal(np.load(folder / "e.npy"), found.numpy())


def test_a_model_that_is_spread_over_devices(folder):
    """If it fails, a model too large for one device is refused, since each process would choose a device besides."""
    options = {"pooling": "mean", "device_map": {"": "cpu"}}
    dataset = script.DATASET.select(range(5))
    found, _ = encode_dataset(folder / "model", dataset, "text", folder / "e.npy", **options)
    assert torch.equal(found, encode(folder / "model", dataset["text"], **options)[0])


def test_a_finished_run_is_returned_at_once(tmp_path):
    """By either function; two blocks are made again, to see that it is still the same."""
    for part in ("first", "second"):
        (tmp_path / part).mkdir()
    for log in ("first", "second"):
        found = run_sharded(Logged(tmp_path / log), ITEMS, tmp_path / "out", block_size=BLOCK)
    assert (logged(tmp_path / "first"), logged(tmp_path / "second")) == (STARTS, {0, 80})
    assert found["rows"].tolist() == list(range(NUM_ROWS))
    calls = []

    def encoder(texts):
        calls.append(1)
        return np.ones((len(texts), 2)) * len(texts)

    for _ in range(2):
        encode_dataset(encoder, script.DATASET, "text", tmp_path / "e.npy", block_size=NUM_ROWS, batch_size=NUM_ROWS)
    assert len(calls) == 2


def test_one_array_and_tensors(tmp_path):
    """Under the name "values"; bfloat16, which numpy lacks, becomes float32."""
    found = run_sharded(lambda items: torch.tensor(items, dtype=torch.bfloat16), ITEMS, tmp_path / "out", block_size=7)
    assert found["values"].dtype == np.float32
    assert found["values"].tolist() == torch.tensor(ITEMS).bfloat16().float().tolist()
    found["values"][:] = 0
    assert np.load(tmp_path / "out" / "values.npy")[5] == 5


def test_processes_that_accelerate_does_not_know(monkeypatch, refusal, tmp_path):
    """Each would do all the work, into the same files."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    text = refusal(run_sharded, two_arrays, ITEMS, tmp_path / "out", error=InputError)
    assert says(text, "the 2 processes", "got 1", "accelerate launch")
    assert not (tmp_path / "out").exists()


WRONG = {
    "column": ("words", None, ["text"], 0),
    "out": (5, "e", b"e.npy", None),
    "batch_size": (0, 2.5, "4", True, None),
    "block_size": (0, 2.5, "4", True, None),
}


@pytest.mark.parametrize("name", WRONG)
def test_options_that_do_not_fit_a_data_set(name, refusal, tmp_path):
    """If it fails, hours of work begin with a slip, or end in a bare TypeError. Nothing is written."""
    given = {"column": "text", "out": tmp_path / "e.npy"}
    for wrong in WRONG[name]:
        text = refusal(encode_dataset, len, script.DATASET, error=InputError, **given | {name: wrong})
        assert text.startswith(f"{name}: expected ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "dataset", [None, tiny.texts(3), {"text": tiny.texts(3)}, script.DATASET.to_iterable_dataset()]
)
def test_what_is_no_data_set(dataset, refusal, tmp_path):
    """A list has no column, and a stream no length."""
    assert refusal(encode_dataset, len, dataset, "text", tmp_path / "e.npy", error=InputError).startswith("dataset: ")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"function": None}, ["function", "None"]),
        ({"items": []}, ["items", "[]"]),
        ({"items": script.DATASET}, ["items", "a Dataset", "dataset['text']"]),
        ({"out_folder": 5}, ["out_folder", "5"]),
        ({"out_folder": "a\0"}, ["out_folder"]),
        ({"block_size": 2.5}, ["block_size", "2.5"]),
        ({"record": "me/model"}, ["record", "'me/model'"]),
        ({"record": {"id": object()}}, ["record", "object"]),
    ],
)
def test_input_that_does_not_fit(change, words, refusal, tmp_path):
    """Refused before anything is written."""
    given = {"function": two_arrays, "items": ITEMS, "out_folder": tmp_path / "out"}
    text = refusal(run_sharded, error=InputError, **given | change)
    assert says(text, *words)
    assert not list(tmp_path.iterdir())


def test_another_run_is_refused(tmp_path, refusal):
    """If it fails, rows of two functions stand in one result."""
    run_sharded(two_arrays, ITEMS[:20], tmp_path / "out", block_size=BLOCK)
    text = refusal(
        run_sharded, two_arrays, ITEMS[:20], tmp_path / "out", block_size=BLOCK, record={"id": "twos"}, error=InputError
    )
    assert "'two_arrays'" in text
    assert "'twos'" in text


def test_arrays_of_any_name(tmp_path):
    """If it fails, an array is lost after hours of work, by a name that numpy keeps for itself."""

    def function(items):
        return {"file": np.array(items), "allow_pickle": np.array(items) * 2}

    found = run_sharded(function, ITEMS, tmp_path, block_size=BLOCK)
    assert found["file"].tolist() == ITEMS
    assert found["allow_pickle"].tolist() == [2 * item for item in ITEMS]


def test_a_function_that_fails_lets_the_next_run_begin(tmp_path):
    """In the same process, as in a notebook."""
    with pytest.raises(ZeroDivisionError):
        run_sharded(lambda items: 1 / 0, ITEMS, tmp_path)
    assert run_sharded(two_arrays, ITEMS, tmp_path)["rows"].tolist() == list(range(NUM_ROWS))
