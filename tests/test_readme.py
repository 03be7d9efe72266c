"""The README's code runs as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from irp_hf import AnchorSet

README = Path(__file__).resolve().parent.parent / "README.md"
ARRAYS, TEXTS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)[:2]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_arrays_snippet(here, capsys):
    """If it fails, the first thing that a new user copies does not work."""
    pixels = load_digits().data.astype(np.float32)[:400]
    other = np.tanh(pixels @ np.random.RandomState(0).randn(64, 48).astype(np.float32) / 32)
    np.save("source_anchors.npy", pixels[:200])
    np.save("target_anchors.npy", other[:200])
    np.save("source.npy", pixels[200:])
    names: dict = {}
    exec(ARRAYS, names)
    assert names["y"].shape == (200, 48)
    assert names["c"].shape == (200,)
    np.testing.assert_array_equal(names["adapter"].translate(pixels[200:]), names["y"])
    assert "kernel" in capsys.readouterr().out


def test_the_texts_snippet(here):
    """If it fails, the way by anchor sets and spaces is not what the README says. Two functions stand in for the Hub."""

    def letters(texts):
        return np.array([[text.count(letter) for letter in "aeioulnrst "] for text in texts], dtype=np.float32)

    def lengths(texts):
        counts = letters(texts)
        return np.column_stack([np.tanh(counts), counts.sum(1, keepdims=True)])

    random = np.random.RandomState(0)
    dataset = [{"text": " ".join(random.choice(["late", "rain", "house", "tree", "song"], 6))} for _ in range(3000)]
    code = TEXTS.replace("num_anchors=1500", "num_anchors=60")
    code = code.replace('"sentence-transformers/all-MiniLM-L6-v2"', "letters")
    code = code.replace('"sentence-transformers/all-mpnet-base-v2"', "lengths")
    names = {"dataset": dataset, "letters": letters, "lengths": lengths}
    exec(code, names)
    assert isinstance(names["anchors"], AnchorSet)
    assert names["back"].config.source_size == 12
