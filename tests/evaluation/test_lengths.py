"""Rows of an exact fit that were scaled: told with their numbers, and no alarm where lengths only vary."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from irp_hf import IRPAdapter
from irp_hf.errors import FitWarning
from irp_hf.evaluation.doubts import longer
from irp_hf.evaluation.lengths import longer_rows
from irp_hf.maths.pairs import distinct_pairs

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((600, 24)).astype(np.float32) + 1
Y = np.tanh(X @ RANDOM.standard_normal((24, 20)) / 5).astype(np.float32)
SMALL = dict(method="kernel", gamma=0.5, ridge=0.1, restoration=0.0, lift=0.0)


def told(x: np.ndarray, y: np.ndarray) -> list[str]:
    sides = [torch.tensor(np.ascontiguousarray(side), dtype=torch.float32) for side in (x, y)]
    pairs = distinct_pairs(*sides)
    of_both = zip(("sources", "targets"), sides, strict=True)
    return [doubt.words for name, side in of_both for doubt in longer(name, side, pairs)]


@pytest.mark.parametrize("times", [0.1, 3, 10, 30])
@pytest.mark.parametrize("side", ["sources", "targets"])
def test_scaled_rows_of_an_exact_fit_are_told(side, times):
    """If it fails, the length of all translations is wrong without a word."""
    x, y = X.copy(), Y.copy()
    (x if side == "sources" else y)[100:160] *= np.float32(times)
    with pytest.warns(FitWarning, match=f"60 rows of the {side}, between row 100 and row 159, are") as caught:
        IRPAdapter.from_anchors(x, y, **SMALL)
    assert sum("as long as the others" in str(warning.message) for warning in caught) == 1


def test_they_are_named_as_they_were_given():
    """If it fails, who drops the named rows drops others, since copies were counted out."""
    y = Y.copy()
    y[::10] *= 10
    x, y = np.concatenate([X[:300], X]), np.concatenate([Y[:300], y])
    assert any("60 rows of the targets, between row 300 and row 890" in words for words in told(x, y))


def test_scaled_classes_are_told():
    """If it fails, targets of one number each pass for copies of one row."""
    classes = np.eye(300)[np.arange(600) // 2] * np.where(np.arange(600) < 60, 30, 1)[:, None]
    assert "60 rows of the targets, between row 0 and row 59, are 29 times" in told(X, classes)[0]


UNIT = X / np.linalg.norm(X, axis=1, keepdims=True)
DIGITS = load_digits().data
CLEAN = {
    "unit vectors": UNIT,
    "digits": DIGITS[:600],
    "one-hot": np.eye(10)[RANDOM.integers(10, size=600)],
    "several classes at once": (RANDOM.random((600, 40)) < 0.05) * 1.0,
    "a few rows in many copies, some long": np.tile(UNIT[:10] * np.where(np.arange(10) < 3, 9, 1)[:, None], (60, 1)),
    "zeros among them": np.where((np.arange(600) % 5 == 0)[:, None], 0, UNIT),
    "lengths of heavy tails": UNIT * np.exp(0.7 * RANDOM.standard_normal((600, 1))),
    "lengths without a mean": UNIT * (1 + RANDOM.pareto(1, (600, 1))),
    "counts": RANDOM.poisson(0.1, (600, 50)) * 1.0,
    "one column": RANDOM.standard_normal((600, 1)),
}


def apart(lengths: np.ndarray) -> bool:
    """Whether two groups of lengths are told, of rows that differ in nothing else."""
    rows = torch.stack([torch.as_tensor(lengths), torch.zeros(len(lengths))], dim=1)
    return longer_rows(rows, rows, torch.arange(len(rows))) is not None


@pytest.mark.parametrize("count", [24, 100, 300, 1000])
@pytest.mark.parametrize("spread", [0.3, 0.7, 1.0, 1.5, 2.5])
def test_a_heavy_tail_is_no_group(spread, count):
    """It fell into pieces now and then: one clean table in fifty was said to be scaled."""
    drawn = [np.exp(spread * np.random.default_rng(seed).standard_normal(count)) for seed in range(40)]
    assert not any(map(apart, drawn))


@pytest.mark.parametrize(("spread", "times"), [(0.02, 2.0), (0.05, 2.5), (0.1, 3.0), (0.1, 0.3), (0.1, 10.0)])
@pytest.mark.parametrize("scaled", [12, 60])
def test_a_dozen_rows_of_an_ordinary_encoder_are_told(spread, times, scaled):
    """If it fails, a part that was not normalised passes for a tail."""
    for seed in range(8):
        lengths = np.exp(spread * np.random.default_rng(seed).standard_normal(600))
        lengths[5 : 5 + scaled] *= times
        assert apart(lengths)


@pytest.mark.parametrize("side", CLEAN)
@pytest.mark.parametrize("count", [20, 60, 100, 600])
def test_nothing_is_said_of_lengths_that_vary(side, count):
    """If it fails, people learn to ignore what is said."""
    assert told(X[:count], CLEAN[side][:count]) == []
    assert told(CLEAN[side][:count], X[:count]) == []
