"""`evaluate` on rows that a fit has seen, whichever side tells: figures of them promise what no new row keeps."""

import warnings

import numpy as np
import pytest
from many_pairs import sample
from says import says

from irp_hf import IRPAdapter
from irp_hf.errors import FitWarning

RANDOM = np.random.RandomState(4)
X = RANDOM.randn(400, 16)
Y = np.tanh(X @ RANDOM.randn(16, 12) / 4) + 3
FIXED = dict(method="kernel", gamma=0.5, ridge=0.1, restoration=0.0, lift=0.0)
MANY = tuple(side.numpy().astype(np.float32) for side in sample(6500))
FRESH = tuple(side.numpy().astype(np.float32) for side in sample(300, seed=9))


def told(adapter, x, y) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        adapter.evaluate(x, y)
    return [text for one in found if says(text := str(one.message), "fit has", "seen")]


@pytest.fixture(scope="module")
def few() -> IRPAdapter:
    return IRPAdapter.from_anchors(X[:300], Y[:300], **FIXED)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (lambda: (X, Y), "300 of the 400 rows are anchors of this adapter, which its fit has seen (300 by source and target)"),
        (lambda: (X[:300], 2 * Y[:300]), "300 of the 300 rows are anchors"),
        (lambda: (X[:300], Y[:300][::-1].copy()), "300 by the source alone"),
        (lambda: (X[:300] + RANDOM.randn(300, 16), Y[:300]), "(300 by the target alone)"),
        (lambda: (X[:300].astype(np.float16), Y[:300] + RANDOM.randn(300, 12)), "(300 by the source alone)"),
        (lambda: (X[299:], np.concatenate([Y[:1], Y[300:]])), "1 of the 101 rows is an anchor"),
    ],
)  # fmt: skip
def test_rows_that_share_a_side_with_an_anchor_are_told(few, case, words):
    """If it fails, a figure on rows that were fitted on is taken for one on new rows, since the other side was changed."""
    (text,) = told(few, *case())
    assert words in text


def test_new_rows_are_not(few):
    """If it fails, an honest test is called none."""
    assert told(few, X[300:], Y[300:]) == []
    classes = RANDOM.randn(5, 12)  # which are no items
    rows = np.arange(400) % 5
    by_class = IRPAdapter.from_anchors(X[:300], classes[rows[:300]], **FIXED)
    assert told(by_class, X[300:], classes[rows[300:]]) == []


def test_intervals_take_what_shares_an_item_together(few):
    """If it fails, copies in a test count as further evidence, as they did not before."""
    twice = few.evaluate(np.repeat(X[300:], 2, 0), np.repeat(Y[300:], 2, 0))
    once = few.evaluate(X[300:], Y[300:])
    assert twice.cosine.high - twice.cosine.low == pytest.approx(once.cosine.high - once.cosine.low, rel=0.3)


@pytest.mark.parametrize("lift", [0.0, 1.0])
def test_landmarks_are_told_too(lift):
    """If it fails, of many pairs that were fitted on only the few that are kept whole are known again."""
    x, y = MANY
    adapter = IRPAdapter.from_anchors(x, y, **FIXED | {"num_landmarks": 400, "lift": lift})
    anchors = {row.tobytes() for row in adapter.source_anchors.numpy()}
    kept = [row for row in range(6500) if x[row].tobytes() in anchors]
    unit = np.concatenate(
        [x - adapter.source_mean.numpy(), np.full((6500, int(lift > 0)), float(adapter.source_lift) if lift else 0)], 1
    )
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    landmarks = (unit @ adapter.landmarks.numpy().T).argmax(0)
    rows = np.concatenate(
        [kept[:100], landmarks, [row for row in range(500) if row not in landmarks and row not in kept]]
    )
    (text,) = told(adapter, x[rows], y[rows])
    assert says(
        text, "At least 500", "(100 by source and target, 400 by a landmark", "saw 6,500 pairs", "the others cannot be"
    )
    assert told(adapter, *FRESH) == []


@pytest.mark.slow
def test_a_sample_of_many_pairs_was_seen_alone():
    """If it fails, pairs that an inverse without sums never read are said to have been fitted on."""
    with pytest.warns(FitWarning, match="are read"):
        adapter = IRPAdapter.from_anchors(
            *MANY, method="pruned", pruning_threshold=0.5, num_subspaces=1, restoration=0.0
        )
    anchors = {row.tobytes() for row in adapter.source_anchors.numpy()}
    count = sum(row.tobytes() in anchors for row in MANY[0][:400])
    (text,) = told(adapter, *(side[:400] for side in MANY))
    assert says(text, f"{count} of the 400 rows are anchors", f"({count} by source and target)")
    assert told(adapter, *FRESH) == []


def test_directions_of_one_number_are_no_items():
    """If it fails, every row of a side that is one wide passes for a landmark."""
    x, y = MANY[0][:, :1], MANY[1]
    adapter = IRPAdapter.from_anchors(x, y, **FIXED | {"num_landmarks": 50})
    assert told(adapter, FRESH[0][:, :1], FRESH[1]) == []
