"""Runs of rows that lost their step are found where they begin, and no run is found where none is."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from irp_hf.maths.alignment import Run, _stays, coordinates, lags_that_stand_out, principal
from irp_hf.maths.alignment import misaligned_runs as runs_by

RANDOM = np.random.RandomState(0)
PIXELS = load_digits().data / 16
MIX, BACK = RANDOM.randn(64, 48) / 2, RANDOM.randn(64, 40) / 2
LABELS = load_digits().target


def encoders(rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Two encoders of the same pictures of digits, each with a noise of its own."""
    noise = [0.3 * np.random.RandomState(seed).randn(len(rows), width) for seed, width in ((1, 48), (2, 40))]
    sides = np.tanh(PIXELS[rows] @ MIX) + noise[0], np.maximum(PIXELS[rows] @ BACK, 0) + noise[1]
    return torch.from_numpy(sides[0]), torch.from_numpy(sides[1])


def misaligned_runs(source: torch.Tensor, target: torch.Tensor) -> list[Run]:
    return runs_by(*coordinates(source, target))


def shuffled(k: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).permutation(len(PIXELS))[:k]


def steps(runs: list[Run]) -> list[tuple[int, int, int, bool]]:
    return [(run.first, run.stop, run.offset, run.reverse) for run in runs]


@pytest.mark.parametrize(("k", "share"), [(100, 0.5), (200, 0.3), (200, 0.8), (1000, 0.5)])
def test_a_row_that_was_inserted_or_lost_is_found_where_it_is(k: int, share: float):
    """Half of the pairs would be of other items, and the fit look like encoders that are hard to translate."""
    source, target = encoders(shuffled(k + 1))
    at = int(share * k)
    inserted = torch.cat([target[:at], target[k:], target[at : k - 1]])
    (run,) = misaligned_runs(source[:k], inserted)
    assert steps([run]) == [(run.first, k, 1, False)]
    assert abs(run.first - at) <= 2
    assert run.found > run.own + 0.3
    (run,) = misaligned_runs(source[:k], torch.cat([target[:at], target[at + 1 :]]))
    assert steps([run]) == [(run.first, k, -1, False)]
    assert abs(run.first - at) <= 2


def test_two_breaks_are_two_ends_of_a_run():
    """Rows between an inserted and a lost one would pass for noise."""
    source, target = encoders(shuffled(601))
    broken = torch.cat([target[:200], target[600:], target[200:399], target[400:600]])
    (run,) = misaligned_runs(source[:600], broken)
    assert run.offset == 1
    assert abs(run.first - 200) <= 2
    assert abs(run.stop - 400) <= 2


@pytest.mark.parametrize("shift", [1, -3, 8, 40, -150])
def test_a_shift_of_all_rows_is_found(shift: int):
    """No fit can see it: where every row is another item, nothing goes together."""
    source, target = encoders(shuffled(400))
    runs = misaligned_runs(source, target.roll(shift, 0))
    longest = max(runs, key=lambda run: run.stop - run.first)
    assert longest.offset == shift
    assert longest.stop - longest.first >= 400 - abs(shift) - 3


def test_blocks_in_another_order_are_found():
    """Files that were read in another order on one side would pass for noise."""
    source, target = encoders(shuffled(600))
    runs = misaligned_runs(source, torch.cat([target[:100], target[300:500], target[100:300], target[500:]]))
    assert [(run.offset, run.reverse) for run in runs] == [(200, False), (-200, False)]
    assert np.abs(np.array([[run.first, run.stop] for run in runs]) - [[100, 300], [300, 500]]).max() <= 2


def test_one_side_in_reverse_is_found():
    """The commonest wrong order after a shift would be named as none."""
    source, target = encoders(shuffled(300))
    assert steps(misaligned_runs(source, target.flip(0))) == [(0, 300, 299, True)]


@pytest.mark.parametrize("k", [5, 19, 20, 45, 150, 700])
@pytest.mark.parametrize(
    "order", ["as it came", "by label", "by length", "shuffled within labels", "by the first axis"]
)
def test_tables_in_step_give_no_alarm(k: int, order: str):
    """A user whose table is sorted would be told of rows that nobody moved."""
    for seed in range(3 if k < 500 else 1):
        rows = shuffled(k, seed) if order != "as it came" else np.arange(seed * k, (seed + 1) * k) % len(PIXELS)
        rows = {
            "by label": rows[np.argsort(LABELS[rows], kind="stable")],
            "by length": rows[np.argsort((PIXELS[rows] ** 2).sum(1))],
            "by the first axis": rows[np.argsort(PIXELS[rows] @ MIX[:, 0])],
        }.get(order, rows)
        source, target = encoders(rows)
        if order == "shuffled within labels":  # unrelated beyond the label: no run
            rows = rows[np.argsort(LABELS[rows], kind="stable")]
            other = np.concatenate([RANDOM.permutation(rows[LABELS[rows] == one]) for one in range(10)])
            source, target = encoders(rows)[0], encoders(other)[1]
        assert misaligned_runs(source, target) == []
        assert misaligned_runs(target, source) == []


def series(name: str, k: int, seed: int) -> np.ndarray:
    random = np.random.RandomState(seed)
    if name == "sines":
        return np.sin(np.linspace(0, k / 20, k)[:, None] * random.rand(24) * 2 + random.rand(24))
    if name == "walk":
        return random.randn(k, 24).cumsum(0)
    items = random.randn(k, 24)
    return {
        "copies in a row": items.repeat(3, 0)[:k],
        "augmented in a row": items.repeat(3, 0)[:k] + 0.3 * random.randn(k, 24),
        "copies far apart": np.tile(items[: -(-k // 3)], (3, 1))[:k],
        "augmented far apart": np.tile(items[: -(-k // 3)], (3, 1))[:k] + 0.3 * random.randn(k, 24),
        "a few classes": items[random.randint(5, size=k)] + 0.2 * random.randn(k, 24),
        "sorted classes": items[np.sort(random.randint(5, size=k))] + 0.2 * random.randn(k, 24),
        "a period": items[np.arange(k) % 7] + 0.3 * random.randn(k, 24),
    }[name]


@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(
    "name",
    [
        *("sines", "walk", "copies in a row", "augmented in a row", "copies far apart", "augmented far apart"),
        *("a few classes", "sorted classes", "a period"),
    ],
)
def test_series_copies_and_classes_give_no_alarm(name: str, noise: float):
    """Rows that are like others at a constant distance would be told to stand there."""
    mix = np.random.RandomState(9).randn(24, 30)
    for seed, k in enumerate((30, 90, 300)):
        source = series(name, k, seed)
        target = np.tanh(source @ mix / 5)
        target = target + noise * target.std() * np.random.RandomState(seed + 50).randn(*target.shape)
        assert misaligned_runs(torch.from_numpy(source), torch.from_numpy(target)) == []
        assert misaligned_runs(torch.from_numpy(target), torch.from_numpy(source)) == []


def test_unrelated_sides_have_no_step():
    """Shuffled rows would be told to stand in some order that chance made up."""
    for seed in range(6):
        source, target = encoders(shuffled(60 + 60 * seed))
        assert (
            misaligned_runs(source, target[torch.randperm(len(target), generator=torch.Generator().manual_seed(seed))])
            == []
        )


@pytest.mark.parametrize("width", [1, 2, 3])
def test_narrow_and_degenerate_sides_break_nothing(width: int):
    """A fit of two dimensions, or of a constant target, would end in an error of the check for its order."""
    rows = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    for target in (rows[:, :width], torch.ones(60, width), rows[:, :1].sign().expand(60, width)):
        assert misaligned_runs(rows, target) == []
        assert misaligned_runs(target, rows) == []


def test_the_lag_that_stands_out_is_the_true_one():
    """A shift beyond the near ones would never be tried."""
    source, target = encoders(shuffled(500))
    x, y = (principal(side, 16) for side in (source, target))
    assert lags_that_stand_out(x, y, 4)[0] == 0
    assert lags_that_stand_out(x, y.roll(123, 0), 2) == [123, -377]
    assert lags_that_stand_out(x, y[torch.randperm(500, generator=torch.Generator().manual_seed(0))], 4) == []


def test_principal_coordinates_are_those_of_the_decomposition():
    """Rows would be told apart by directions in which they hardly differ."""
    source, _ = encoders(shuffled(200))
    rows = torch.nn.functional.normalize(source - source.mean(0))
    rows = rows - rows.mean(0)
    values = torch.linalg.svdvals(rows)[:8]
    torch.testing.assert_close(principal(source, 8).norm(dim=0), values, rtol=2e-2, atol=0)


def test_the_first_of_many_principal_coordinates_are_as_good():
    """Lags would be sought along directions in which rows hardly differ."""
    source = torch.randn(900, 300, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 301) ** -0.5
    rows = torch.nn.functional.normalize(source - source.mean(0))
    values = torch.linalg.svdvals(rows - rows.mean(0))
    found = principal(source, 128)
    torch.testing.assert_close(found[:, :16].norm(dim=0).to(values), values[:16], rtol=2e-2, atol=0)
    assert float(found.square().sum()) > 0.95 * float(values[:128].square().sum())
    first, _ = coordinates(source, source, (rows.double(), rows.double()))
    torch.testing.assert_close(first.abs(), found.abs(), rtol=0, atol=1e-3)


def test_where_the_bound_says_that_rows_stay_no_path_is_better():
    """If it fails, rows that lost their step are passed without a word, since nobody looked for a path."""
    said = 0
    for seed in range(60):
        random = np.random.RandomState(seed)
        fits = torch.from_numpy(random.randn(random.randint(2, 4), random.randint(3, 7)))
        fits[0] += 2 * random.rand()
        price, table = 6 * random.rand(), fits.tolist()
        if _stays(fits, price):
            said += 1
            for path in product(range(len(table)), repeat=len(table[0])):
                gained = sum(table[step][row] - table[0][row] for row, step in enumerate(path))
                assert gained <= price * sum(a != b for a, b in pairwise(path)) + 1e-9
    assert said > 10  # or nearly every fit takes the long way
