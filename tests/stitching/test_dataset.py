"""A stitched model over a data set: one and two processes give the same bits, and what died goes on."""

import signal

import numpy as np
import pytest
from datasets import Dataset
from parallel import script as script
from parallel.script import BLOCK
from parallel.test_sharded import folder, launch  # noqa: F401
from says import says

from irp_hf.errors import InputError

NAMES = ("logits.npy", "confidence.npy")


def same(left, right):
    return all((left / name).read_bytes() == (right / name).read_bytes() for name in NAMES)


@pytest.mark.slow
def test_two_processes_classify_with_the_bits_of_one(folder):  # noqa: F811
    """If it fails, the answers depend on how many processes there were."""
    result = launch("classify", folder)
    assert result.returncode == 0, result.stderr
    found = script.classify_in(folder, "one")
    assert found["logits"].shape == (script.NUM_ROWS, 3)
    assert found["confidence"].shape == (script.NUM_ROWS,)
    assert same(folder / "one", folder / "two")


@pytest.mark.slow
def test_a_killed_process_leaves_what_it_classified(folder):  # noqa: F811
    """If it fails, a run that died is lost, or its answers are not those of a run that did not."""
    result = launch("classify and die", folder)
    assert result.returncode != 0
    assert f"Signal {signal.SIGKILL.value}" in result.stderr
    kept = {path: path.stat().st_mtime_ns for path in (folder / "two" / "parts").glob("*.npz")}
    assert len(kept) >= 2
    script.classify_in(folder, "two")
    script.classify_in(folder, "one")
    assert same(folder / "one", folder / "two")


def test_the_answers_are_those_of_predict(folder):  # noqa: F811
    """If it fails, the files hold other answers than the model gives, or those of another run."""
    found = script.classify_in(folder, "one")
    model = script.stitched_in(folder)
    wanted = model.predict(script.DATASET["text"], batch_size=4, return_confidence=True)
    for name in ("logits", "confidence"):
        np.testing.assert_allclose(found[name], wanted[name].numpy(), atol=1e-5)
    with pytest.raises(InputError, match="batch_size"):
        model.predict_dataset(
            script.DATASET, "text", folder / "one", batch_size=5, return_confidence=True, block_size=BLOCK
        )


def test_options_of_the_wrong_type(folder, tmp_path):  # noqa: F811
    """They would stand in the journal of a run that can never go on."""
    model = script.stitched_in(folder)
    for name, wrong in {"batch_size": 2.5, "return_confidence": "no", "confidence": 1, "progress": 2}.items():
        with pytest.raises(InputError, match=name):
            model.predict_dataset(script.DATASET, "text", tmp_path / "it", **{name: wrong})
    assert not (tmp_path / "it").exists()


def test_a_column_that_is_not_there(monkeypatch, folder):  # noqa: F811
    """If it fails, a slip of the pen shows as a KeyError of another library."""
    monkeypatch.setattr(script, "DATASET", Dataset.from_dict({"words": ["w1"]}))
    with pytest.raises(InputError, match="column") as caught:
        script.classify_in(folder, "one")
    assert says(str(caught.value), "'text'", "'words'")
