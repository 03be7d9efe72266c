"""What a fit on many pairs settles from a sample: who judges, who carries the map, and which rows are copies of judges."""

import pytest
import torch
from many_pairs import plan_of, sample
from says import says

from irp_hf.errors import InputError
from irp_hf.maths.many.plan import EXACT, Copies, num_judges, sample_size
from irp_hf.maths.projection import normalize, statistics


def test_no_landmark_judges():
    """If it fails, λ is judged by rows that know themselves, and comes out as if nothing needed smoothing."""
    source, target = sample()
    plan, rows = plan_of(source, target, lift=0.0)
    assert torch.equal(plan.judges.source, source[rows])
    assert torch.equal(plan.judges.target, target[rows])
    assert len(plan.judges) == 100
    assert len(plan.landmarks) == 50
    assert float((plan.judges.lifted(0.0) @ plan.landmarks.T).max()) < 1 - 1e-6
    assert torch.allclose(plan.judges.source_rows, normalize(source[rows], statistics(source)))


def test_what_is_given_is_kept():
    """If it fails, a user's γ, λ or lift is chosen anew."""
    plan, _ = plan_of(*sample(), gamma=3.0, ridge=0.25, lift=0.75)
    assert (plan.gamma, plan.ridge, plan.lift) == (3.0, 0.25, 0.75)


def test_the_order_of_the_sample_says_who_judges_and_groups_stay_whole():
    """If it fails, rows that must be kept are not, or a copy of a judge carries the map."""
    source, target = sample()
    source[700] = source[3] * (1 + 1e-6)  # a copy, to within rounding
    _plan, rows = plan_of(source, target)
    assert {3, 700} <= set(rows.tolist())
    assert set(range(99)) <= set(rows.tolist())


@pytest.mark.parametrize("side", ["source", "target"])
def test_copies_of_judges_are_known_in_rows_that_no_sample_held(side):
    """If it fails, a row that is held out stays in the sums as its own copy."""
    source, target = sample()
    plan, _ = plan_of(source, target)
    x, y = sample(400, seed=9)
    (x if side == "source" else y)[7] = (plan.judges.source if side == "source" else plan.judges.target)[5] + 1e-7
    assert plan.held(x, y).nonzero()[:, 0].tolist() == [7]
    assert plan.held(plan.judges.source.float().double(), plan.judges.target.float().double()).all()


def test_few_targets_leave_something_to_fit_on():
    """If it fails, one vector for each class makes every row a copy of a judge, and nothing is summed."""
    source, _ = sample()
    classes = torch.eye(4, dtype=torch.float64)[torch.arange(1000) % 4]
    plan, _ = plan_of(source, classes)
    assert not plan.jointly
    assert len(plan.copies) == 1
    held = plan.held(source, classes)
    assert 50 < int(held.sum()) < 200


def test_where_all_hangs_together_pairs_alone_are_held():
    """If it fails, judges stay in the sums where nothing else could be held out."""
    source, target = sample(200)
    source[:, 1:] = 0
    source[:, 0] = torch.arange(200) % 2  # two sources
    target = torch.eye(2, dtype=torch.float64)[(torch.arange(200) // 2) % 2]
    with pytest.raises(InputError) as error:  # four distinct pairs
        plan_of(source, target)
    assert says(str(error.value), "pairs", "held out")


def test_copies_are_those_that_are_near_in_all_directions():
    """If it fails, rows that look alike in a few directions alone count as copies."""
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(40, 64, generator=random, dtype=torch.float64)
    copies = Copies.of(rows, statistics(rows), 2.0**-6)
    other = rows.clone()
    beside = torch.randn(40, 64, generator=random, dtype=torch.float64)
    other += beside - beside @ copies.axes @ copies.axes.T
    assert not copies.among(other).any()
    assert copies.among(rows + 1e-4 * beside).all()


def test_numbers():
    """If it fails, few pairs are nearly all judges, or a sample is larger than what it is of."""
    assert num_judges(EXACT) * 5 <= EXACT
    assert num_judges(10**6) == num_judges(10**5)
    assert sample_size(EXACT, 4000) <= EXACT
    assert sample_size(10**6, 4000) < 20_000
