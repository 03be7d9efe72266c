"""Rows that share a source or a target, exactly or to within rounding, are one group; others are not."""

import numpy as np
import pytest
import torch

from irp_hf.maths.groups import (
    can_hold_out,
    components,
    first_groups,
    group_rows,
    groups_by_size,
    row_labels,
    tight_groups,
    whole_folds,
)
from irp_hf.maths.projection import unit_rows


def rows(k: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(k, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def same_partition(labels: torch.Tensor, expected: list[int]) -> bool:
    return bool(torch.equal(labels[:, None] == labels, torch.tensor(expected)[:, None] == torch.tensor(expected)))


@pytest.mark.parametrize("mean", [0.0, 3.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_copies_to_within_the_rounding_of_a_type_are_one_item(dtype: torch.dtype, mean: float):
    """One item that was encoded in two precisions would be held out while its copy stays."""
    x = rows(80, 48) + mean
    both = torch.cat([x, x.to(dtype).double()])
    assert same_partition(row_labels(both), [*range(80), *range(80)])


def test_the_result_of_another_batch_is_the_same_item():
    """Copies that differ in their last bits, as kernels for other batch sizes give them, would pass for other items."""
    x = rows(50, 30)
    near = x * (1 + 1e-6 * rows(50, 30, 1))
    assert same_partition(row_labels(torch.cat([x, near])), [*range(50), *range(50)])


@pytest.mark.parametrize("apart", [0.03, 0.1])
def test_near_neighbours_are_other_items(apart: float):
    """Paraphrases, which lie farther apart than rounding, would be merged: fewer anchors count than there are."""
    x = rows(60, 40)
    other = rows(60, 40, 1)
    near = x + apart * x.norm(dim=1, keepdim=True) * other / other.norm(dim=1, keepdim=True)
    assert len(row_labels(torch.cat([x, near])).unique()) == 120


@pytest.mark.parametrize(
    "dense",
    [
        rows(800, 1),
        rows(800, 2),
        torch.stack([torch.linspace(0, 20, 800, dtype=torch.float64) * f for f in (0.1, 0.3, 0.7)], 1).sin(),
        rows(800, 16).cumsum(0),
    ],
    ids=["line", "plane", "curve", "walk"],
)
def test_rows_along_a_line_do_not_hang_together(dense: torch.Tensor):
    """Logits of one class or a slow time series, whose rows are near by chance, would be one group of all rows."""
    assert len(row_labels(dense).unique()) > 0.98 * len(dense)


def test_exact_copies_count_however_dense_the_rows_are():
    """Where nearness tells nothing, equality still does."""
    line = rows(500, 1)
    assert len(row_labels(line).unique()) >= 495
    assert 450 <= len(row_labels(line.repeat(3, 1)).unique()) <= 500


def test_many_copies_of_one_item_are_one_group():
    """Half of all rows with one target would take a comparison of each with each."""
    x = rows(2000, 32)
    x[1000:] = x[0]
    labels = row_labels(x)
    assert len(labels.unique()) == 1000
    assert (labels[1000:] == labels[0]).all()


def test_what_shares_a_side_hangs_together_over_both():
    """A fold would hold a row whose source is another's, and whose target is a third's."""
    source, target = rows(30, 8), rows(30, 6, 1)
    source[1] = source[0]
    target[2] = target[1]
    groups = group_rows(source, target)
    assert same_partition(groups.labels, [0, 0, 0, *range(3, 30)])
    assert (len(groups.sources.unique()), len(groups.targets.unique()), groups.by) == (29, 29, "both")
    assert [rows.tolist() for rows in groups.copies] == [[[0, 1, 2]]]


def test_a_large_mean_hides_no_difference_and_no_copy():
    """Rows far from the origin would all look alike, relative to their norms."""
    x = rows(40, 12) + 1e5
    assert len(row_labels(x).unique()) == 40
    assert len(row_labels(torch.cat([x, x])).unique()) == 40


def test_rows_at_the_mean_are_themselves():
    """A row at the mean has no distance from it, and would be near to nothing or to everything."""
    x = rows(20, 5)
    x = torch.cat([x, -x, torch.zeros(3, 5, dtype=torch.float64)])
    assert len(row_labels(x).unique()) == 41


def test_targets_of_a_few_classes_leave_the_sources_to_decide():
    """A class would be held out whole, and every figure be that of a class which the fit never saw."""
    source, classes = rows(90, 8), torch.arange(90) % 3
    groups = group_rows(source, rows(3, 6, 1)[classes])
    assert (groups.by, len(groups.labels.unique()), len(groups.targets.unique())) == ("source", 90, 3)
    assert group_rows(source, rows(30, 6, 1)[torch.arange(90) % 30]).labels.unique().numel() == 30


@pytest.mark.parametrize(("classes", "each"), [(10, 10), (10, 100), (12, 25), (20, 5), (20, 50), (100, 30)])
def test_targets_of_many_classes_do_so_too(classes: int, each: int):
    """From ten classes on, whole classes were held out: a score of .000, and hyper-parameters that smooth all away."""
    source, of = rows(classes * each, 16), torch.arange(classes * each) % classes
    noisy = rows(classes, 6, 1)[of] + 1e-3 * rows(len(of), 6, 2)
    for target in (rows(classes, 6, 1)[of], noisy):
        groups = group_rows(source, target)
        assert (groups.by, len(groups.labels.unique())) == ("source", len(source))


@pytest.mark.parametrize(
    ("items", "each", "noise"),
    [(100, 3, 3.0), (100, 5, 0.5), (200, 5, 2.0), (40, 10, 0.5), (30, 20, 0.3), (20, 50, 0.3)],
)
def test_variants_of_items_are_no_classes(items: int, each: int, noise: float):
    """A fit would be judged by the other variants of the items that it was fitted on: .995 promised, .894 true."""
    of = torch.arange(items * each) // each
    source = rows(items, 32)[of] + noise * rows(len(of), 32, 2)
    target = torch.tanh(rows(items, 32) @ rows(32, 6, 1) / 6)
    groups = group_rows(source, target[of])
    assert (groups.by, len(groups.labels.unique())) == ("both", items)


@pytest.mark.parametrize("apart", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("classes", "each"), [(51, 4), (60, 20), (100, 10), (200, 4), (200, 12)])
def test_more_classes_than_fifty_are_told_by_what_their_sources_do_not_tell(classes: int, each: int, apart: float):
    """They were held out whole, with a score of .000, although each of a class tells of the others."""
    of = torch.arange(classes * each) % classes
    source = apart * rows(classes, 48, 3)[of] + rows(len(of), 48)
    names, noise = rows(classes, 24, 1)[of], 1e-3 * rows(len(of), 24, 2)
    for target in (names, names + noise, names[:, :2], torch.eye(classes, dtype=torch.float64)[of]):
        groups = group_rows(source, target)
        assert (groups.by, len(groups.labels.unique())) == ("source", len(source))


@pytest.mark.parametrize(("items", "each"), [(60, 5), (200, 4), (600, 5)])
def test_variants_whose_targets_are_anothers_stay_together(items: int, each: int):
    """A fit on pairs of which all are wrong would be judged by the other variants of each item, and look good."""
    of = torch.arange(items * each) // each
    source = rows(items, 32)[of] + 0.8 * rows(len(of), 32, 2)
    target = torch.tanh(rows(items, 32) @ rows(32, 6, 1) / 6)[torch.randperm(items)]
    assert group_rows(source, target[of]).by == "both"


@pytest.mark.parametrize(("k", "shared"), [(2, 2), (3, 2), (4, 3), (6, 5), (6, 6)])
def test_something_is_left_to_fit_on(k: int, shared: int):
    """A fit on one row or on none would be what the figures come from."""
    target = rows(k, 4)
    source = rows(k, 5, 1)
    source[:shared] = source[0]
    assert group_rows(source, target).by == "row"
    assert len(group_rows(source, target).labels.unique()) == k


def test_can_hold_out_asks_for_two_rows_besides():
    """The same where part of the rows is taken."""
    assert can_hold_out(torch.tensor([0, 0, 1, 2]))
    assert can_hold_out(torch.tensor([0, 1]))
    assert not can_hold_out(torch.tensor([0, 0, 1]))
    assert not can_hold_out(torch.tensor([0, 0, 0]))


def test_components_are_those_of_scipy():
    """Long chains would fall apart, or components be joined."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    random = np.random.RandomState(0)
    for k, e in ((1, 0), (50, 0), (50, 20), (400, 300), (400, 900)):
        edges = random.randint(k, size=(e, 2))
        _, expected = connected_components(coo_array((np.ones(e), edges.T), shape=(k, k)), directed=False)
        assert same_partition(components(torch.from_numpy(edges), k), expected.tolist())
    chain = torch.tensor([[row, row + 1] for row in range(999)])[torch.randperm(999)]
    assert len(components(chain, 1000).unique()) == 1


def test_groups_are_listed_by_their_size():
    """A group would be solved with rows of another."""
    labels = torch.tensor([7, 3, 7, 1, 3, 5, 5, 5])
    assert [rows.tolist() for rows in groups_by_size(labels)] == [[[1, 4], [0, 2]], [[5, 6, 7]]]
    assert groups_by_size(torch.arange(4)) == []


@pytest.mark.parametrize("num_folds", [2, 5, 10, 200])
def test_folds_keep_groups_whole_and_are_about_as_large(num_folds: int):
    """A copy would stay while its row is held out, or one fold would be nearly all."""
    labels = torch.randint(40, (120,), generator=torch.Generator().manual_seed(0))
    folds = whole_folds(labels, torch.randperm(120, generator=torch.Generator().manual_seed(1)), num_folds)
    assert sorted(torch.cat(folds).tolist()) == list(range(120))
    assert len(folds) == min(num_folds, len(labels.unique()))
    of = {int(label): fold for fold, held in enumerate(folds) for label in labels[held]}
    assert all(
        set(labels[held].tolist()) == {one for one, f in of.items() if f == fold} for fold, held in enumerate(folds)
    )
    sizes = [len(held) for held in folds]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] - sizes[-1] <= int(labels.bincount().max())


def test_the_first_groups_are_whole():
    """A split would part a row from its copy."""
    assert first_groups(torch.tensor([4, 4, 2, 2, 2, 1, 9]), 3).tolist() == [
        True,
        True,
        False,
        False,
        False,
        True,
        False,
    ]
    assert first_groups(torch.tensor([4, 4, 2, 2, 2]), 1).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("noise", [0.02, 0.08])
@pytest.mark.parametrize("copies", [2, 7])
def test_noisy_copies_are_tight_groups(noise: float, copies: int):
    """Variants of few items would pass for as many items."""
    items = unit_rows(rows(60, 48)).repeat(copies, 1)
    found = tight_groups(unit_rows(items + noise * unit_rows(rows(len(items), 48, 1))))
    assert found is not None
    assert same_partition(found[0], [*range(60)] * copies)


@pytest.mark.parametrize(("k", "d"), [(400, 2), (2000, 3), (400, 48), (2, 5), (1, 5)])
def test_rows_that_are_many_are_no_tight_groups(k: int, d: int):
    """Along a line or in a plane every row has others near it."""
    assert tight_groups(unit_rows(rows(k, d) + 0.3)) is None
