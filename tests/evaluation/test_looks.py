"""The look at all of many pairs while they are read: what is wrong between the windows, and no alarm where nothing is."""

import numpy as np
import pytest
import torch

from irp_hf.data.arrays import Rows
from irp_hf.evaluation.doubts import longer
from irp_hf.evaluation.doubts_of_many import Look
from irp_hf.maths.pairs import distinct_pairs

RANDOM = np.random.default_rng(0)
COUNT = 30_000
X = RANDOM.standard_normal((COUNT, 24)).astype(np.float32) + 1
Y = np.tanh(X @ RANDOM.standard_normal((24, 20)) / 5).astype(np.float32)
Y += np.float32(0.3) * RANDOM.standard_normal(Y.shape).astype(np.float32)


def told(x: np.ndarray, y: np.ndarray) -> list[str]:
    sides = Rows(x, "x"), Rows(y, "y")
    sample = torch.from_numpy(np.random.default_rng(1).permutation(len(x))[:5000])
    look = Look(*(side.take(sample) for side in sides)).anew()
    for (part, source), (_, target) in zip(*(side.chunks(8192) for side in sides), strict=True):
        look.add(source, target, part.start)
    return [doubt.words for doubt in look.doubts(*sides)]


def moved(rows: slice, others) -> np.ndarray:
    order = np.arange(COUNT)
    order[rows] = others
    return Y[order]


def swapped(one: int, other: int, length: int) -> np.ndarray:
    order = np.arange(COUNT)
    order[one : one + length], order[other : other + length] = (
        np.arange(other, other + length),
        np.arange(one, one + length),
    )
    return Y[order]


CASES = {
    "30 rows, one later": (
        lambda: moved(slice(11_010, 11_040), np.roll(np.arange(11_010, 11_040), -1)),
        ["From row 11011 to row 11039 (29 rows)", "1 row earlier"],
    ),
    "40 rows in reverse": (
        lambda: moved(slice(11_010, 11_050), np.arange(11_049, 11_009, -1)),
        ["From row 11010 to row 11049", "in reverse order, that of row 11049 first"],
    ),
    "60 rows in any order": (
        lambda: moved(slice(11_010, 11_070), np.random.default_rng(2).permutation(np.arange(11_010, 11_070))),
        ["to row 1107", "no better than each other's"],
    ),
    "64 rows of another place": (
        lambda: moved(slice(11_008, 11_072), np.arange(2000, 2064)),
        ["From row 11008 to row 11071 (64 rows)", "no better than each other's"],
    ),
    "two parts swapped": (
        lambda: swapped(4001, 21_003, 6000),
        ["From row 4001 to row 10000 (6,000 rows)", "17,002 rows later", "From row 21003 to row 27002", "17,002 rows earlier"],
    ),
    "the last quarters swapped": (
        lambda: swapped(15_000, 22_500, 7500),
        ["From row 15000", "7,500 rows later", "7,500 rows earlier"],
    ),
    "targets of one part": (
        lambda: np.concatenate([Y[:20_000], 5 * Y[20_000:]]),
        ["10,000 rows of the targets, between row 20000 and row 29999, are 5", "Encode all in one way"],
    ),
    "targets here and there": (
        lambda: Y * np.where(np.arange(COUNT) % 7 == 3, np.float32(5), np.float32(1))[:, None],
        ["of the targets, between row 3 and row 29998, are 5"],
    ),
    "targets that were shrunk": (
        lambda: Y * np.where(np.arange(COUNT) // 100 == 77, np.float32(0.1), np.float32(1))[:, None],
        ["100 rows of the targets, between row 7700 and row 7799"],
    ),
    "zeros": (
        lambda: Y * np.isin(np.arange(COUNT), [17, 23_456], invert=True)[:, None],
        ["2 rows of the targets are zero throughout (the first is row 17)"],
    ),
    "a constant": (
        lambda: np.where((np.arange(COUNT) == 23_456)[:, None], np.float32(0.3), Y),
        ["Row 23456 of the targets is one number throughout"],
    ),
    "far off": (
        lambda: Y * np.where(np.arange(COUNT) == 23_456, np.float32(1e6), np.float32(1))[:, None],
        ["Row 23456 of the targets lies far off", "leave those rows out"],
    ),
}  # fmt: skip


def some_slow(names, slow: set[str]) -> list:
    """Those that are much like another are tried with the slow tests."""
    return [pytest.param(name, marks=[pytest.mark.slow] if name in slow else []) for name in names]


@pytest.mark.parametrize(
    "case", some_slow(CASES, {"the last quarters swapped", "targets that were shrunk", "a constant"})
)
def test_what_is_wrong_between_the_windows_is_told(case):
    """If it fails, a part of many pairs that spoils the fit passes without a word, since no window shows it."""
    wrong, words = CASES[case]
    found = told(X, wrong())
    assert all(word in " ".join(found) for word in words), found
    assert len(found) == 1 or case == "60 rows in any order", found  # of which some are one run by chance


@pytest.mark.parametrize("side", some_slow(["5 times the source", "sources of zeros"], {"sources of zeros"}))
def test_the_source_is_looked_at_too(side):
    """If it fails, only half of what is handed in is looked at."""
    x = X.copy()
    x[9000:9500] *= 5 if side.startswith("5") else 0
    found = told(x, Y)
    assert any("500 rows of the sources" in one and "9000" in one for one in found), found


def _alike(x: np.ndarray) -> np.ndarray:
    return x[x[:, 0].argsort(kind="stable")]


BOTH = np.concatenate([X, Y], 1)
TABLES = {
    "in random order": BOTH,
    "sorted, so that neighbours are alike": _alike(BOTH),
    "each row three times": BOTH[:10_000].repeat(3, 0),
    "few rows in many copies": np.tile(BOTH[:300], (40, 1)),
    "long copies": BOTH[:300].repeat(40, 0),
    "weak": np.concatenate([X, Y + 3 * RANDOM.standard_normal(Y.shape).astype(np.float32)], 1),
    "unrelated": np.concatenate([X, Y[::-1]], 1),
    "heavy tails": BOTH * np.float32(1) * np.exp(0.5 * RANDOM.standard_normal((COUNT, 1))).astype(np.float32),
    "two subjects": np.concatenate([BOTH[:20_000], BOTH[20_000:] * np.float32(0.7) + np.float32(0.4)]),
    "the last rows tell nothing": np.concatenate([X, np.concatenate([Y[:-10], Y[-10:][::-1]])], 1),
}


@pytest.mark.parametrize("table", some_slow(TABLES, {"unrelated", "long copies", "two subjects", "heavy tails"}))
def test_nothing_is_said_of_what_is_right(table):
    """If it fails, people learn to ignore what is said."""
    x, y = np.split(TABLES[table], [24], axis=1)
    found = [words for words in told(np.ascontiguousarray(x), np.ascontiguousarray(y)) if "in reverse" not in words]
    assert found == []


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("count", [60, 300, 3000])
def test_nothing_is_said_of_lengths_in_an_exact_fit_either(table, count):
    """If it fails, a fit on fewer rows warns of what one on all of them does not."""
    rows = TABLES[table][np.random.default_rng(count).permutation(len(TABLES[table]))[:count]]
    sides = [torch.from_numpy(np.ascontiguousarray(side)) for side in np.split(rows, [24], axis=1)]
    pairs = distinct_pairs(*sides)
    assert [longer(name, side, pairs) for name, side in zip(("sources", "targets"), sides, strict=True)] == [[], []]
