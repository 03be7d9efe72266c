"""The comparison of the examples: everybody on the same anchors and rows, and tables that say what was measured."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from irp_hf.baselines.registry import BASELINES
from irp_hf.maths.climbing import SAMPLE
from irp_hf.maths.pairs import distinct_pairs
from irp_hf.maths.selection import select

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def modules():
    """`grid`, `grid_results` and `grid_plot` of the examples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "examples"))
        import grid
        import grid_plot
        import grid_results

        yield grid, grid_results, grid_plot


@pytest.fixture(scope="module")
def found(modules):
    """A head on random features of digits, fed with pixels, and the reverse; two samples of 80 anchors."""
    grid, grid_results, _ = modules
    digits = load_digits()
    pixels = torch.from_numpy(digits.data[:900] / 16).float()
    mix = torch.randn(64, 40, generator=torch.Generator().manual_seed(0)) * 0.4
    sides = {"pixels": pixels, "features": torch.tanh(pixels @ mix)}
    labels = digits.target[:600], digits.target[600:900]
    tasks = [
        grid.head_task(names, *(sides[name].split([600, 300]) for name in names), labels)
        for names in (("pixels", "features"), ("features", "pixels"))
    ]
    scores = grid.run(tasks, 80, (0, 1))
    return tasks, scores, grid_results.Results.of("Digits", tasks, scores, 80, (0, 1), ["pandas"])


@pytest.mark.slow
def test_everybody_is_there_and_translation_helps(modules, found):
    """A contestant would be missing, or the comparison would measure something else than translation."""
    grid, _, _ = modules
    _, scores, results = found
    names = {grid.NATIVE, grid.RAW, grid.HEAD, grid.OURS, *grid.INVERSES.values(), *BASELINES}
    assert {frozenset(rows) for rows in scores.values()} == {frozenset(names)}
    accuracy = {(c.task, c.contestant): c.mean for c in results.cells if c.measure == "accuracy"}
    for task in scores:
        assert accuracy[task, grid.RAW] < 0.4 < 0.7 < accuracy[task, grid.OURS] <= accuracy[task, grid.NATIVE] + 0.05
        assert len(set(results.table("accuracy")[0]) & set(scores)) == 2


def test_the_native_row_is_the_head_at_home(modules, found):
    """The line that all others are compared with would be wrong."""
    grid, _, _ = modules
    tasks, scores, _ = found
    from sklearn.linear_model import LogisticRegression

    digits = load_digits()
    head = LogisticRegression(max_iter=3000).fit(tasks[1].target_pool.numpy(), digits.target[:600])
    native = scores["features → pixels"][grid.NATIVE]
    assert native[0, 0].mean() == pytest.approx(head.score(tasks[1].target_test.numpy(), digits.target[600:900]))
    assert native[:, 1:].min() > 1 - 1e-6  # its own neighbours, and its own direction


def test_known_items_are_sought_among_the_test_rows(found):
    """MRR would be of another search than the caption says: of fewer rivals, of anchors too, or of ranks from the wrong end."""
    (task, _), *_ = found
    given = task.target_test + torch.randn(task.target_test.shape, generator=torch.Generator().manual_seed(1)) * 0.5
    rows = dict(zip(task.measures, task.score(given), strict=True))
    cosine = torch.cosine_similarity(given[:, None].double(), task.target_test[None].double(), dim=2)
    ranks = (cosine > cosine.diagonal()[:, None]).sum(1) + 1
    assert ranks.unique().numel() > 5
    assert torch.allclose(rows["MRR"], 1 / ranks.double())
    assert torch.allclose(rows["cosine"], cosine.diagonal(), atol=1e-6)


def test_auto_is_one_of_the_three(modules, found):
    """`auto` would be something that `connect` does not give."""
    grid, _, _ = modules
    _, scores, _ = found
    for rows in scores.values():
        for sample in range(2):
            assert any(torch.equal(rows[grid.OURS][sample], rows[name][sample]) for name in grid.INVERSES.values())


@pytest.mark.slow
def test_the_papers_inverse_has_its_row_where_auto_leaves_it_out(modules):
    """The method that everything builds on would be missing from the tables of many anchors."""
    grid, _, _ = modules
    random = torch.Generator().manual_seed(0)
    source = torch.randn(SAMPLE + 60, 30, generator=random)
    pairs = distinct_pairs(source, (source @ torch.randn(30, 40, generator=random) / 4).tanh())
    assert "pruned" not in {choice.method for choice in select(pairs)}
    assert {*grid.INVERSES.values()} < {name for name, _ in grid.translators(pairs, {})}


def test_the_same_seeds_give_the_same_scores(modules, found):
    """A second run would give another table."""
    grid, _, _ = modules
    tasks, scores, _ = found
    again = grid.run(tasks[:1], 80, (1,))[tasks[0].name]
    for name, every in again.items():
        assert torch.equal(every[0].nan_to_num(-1), scores[tasks[0].name][name][1].nan_to_num(-1)), name


def test_a_head_of_its_own_has_no_neighbours(modules, found):
    """NaN would stand in a table, or a number that was never measured."""
    grid, _, _ = modules
    *_, results = found
    measured = {cell.measure for cell in results.cells if cell.contestant == grid.HEAD}
    assert measured == {"accuracy"}
    assert all(math.isfinite(value) for cell in results.cells for value in (*cell.samples, cell.low, cell.high))


def test_differences_are_paired(modules):
    """An interval of unpaired rows would call a sure gain unsure: here each row gains exactly one tenth."""
    grid, grid_results, _ = modules
    rows = torch.rand(2, len(grid.MEASURES), 50, generator=torch.Generator().manual_seed(0)).double()
    one = torch.ones(4, 2)
    task = grid.Task("a", "b", one, one, one, torch.ones(50, 2), None, grid.MEASURES)
    given = {grid.NATIVE: rows, "ridge": rows, grid.OURS: rows + 0.1, grid.RAW: rows * 0}
    results = grid_results.Results.of("Hand-made", [task], {task.name: given}, 4, (0, 1), [])
    for difference in results.differences:
        assert difference.baseline == "ridge"
        assert (difference.mean, difference.low, difference.high) == pytest.approx((0.1, 0.1, 0.1))
        assert str(difference) == "+.100 (+.100 to +.100)"
    spread = np.std(rows[:, 0].mean(1).numpy())
    (cell,) = [c for c in results.cells if (c.contestant, c.measure) == ("ridge", "accuracy")]
    assert str(cell) == f"{cell.mean:.3f}"[1:] + f" ±{spread:.3f}".replace("0.", ".")


def test_the_best_baseline_is_the_one_that_comes_nearest(modules, found):
    """The table would compare with a weak baseline."""
    grid, grid_results, _ = modules
    *_, results = found
    cells = {(c.task, c.contestant): c.mean for c in results.cells if c.measure == "accuracy"}
    for task in ("pixels → features", "features → pixels"):
        best = results.best_baseline(task, "accuracy")
        assert cells[task, best.baseline] == max(cells[task, name] for name in (*BASELINES, grid.HEAD))
        assert best.mean == pytest.approx(cells[task, grid.OURS] - cells[task, best.baseline])
    best = results.best_baseline(grid_results.ALL, "accuracy")
    assert best.mean == min(
        d.mean for d in results.differences if (d.task, d.measure) == (grid_results.ALL, "accuracy")
    )


@pytest.mark.slow
def test_results_come_back_from_their_file_and_are_drawn(modules, found, tmp_path, monkeypatch):
    """`--redraw` would write another table than the run did."""
    _, grid_results, grid_plot = modules
    *_, results = found
    monkeypatch.setattr(grid_results, "RESULTS", tmp_path)
    results.save("digits")
    assert grid_results.Results.read("digits") == results
    assert (tmp_path / "digits.md").read_text("utf-8") == results.to_markdown()
    grid_plot.draw(results, tmp_path / "digits.png")
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")


def test_vectors_are_fitted_to_a_width(modules):
    """The row without translation would fail where widths differ."""
    grid, _, _ = modules
    assert grid.fitted_to_width(torch.ones(2, 3), 4).tolist() == [[1, 1, 1, 0]] * 2
    assert grid.fitted_to_width(torch.arange(6.0).reshape(2, 3), 2).tolist() == [[0, 1], [3, 4]]
