"""Hyper-parameters by out-of-fold cosine: the climb, and every tuner against explicit refits."""

import math
from functools import partial

import numpy as np
import pytest
import reference
import torch
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

import irp_hf.maths.tuning_kernel
import irp_hf.maths.tuning_pruned
import irp_hf.maths.tuning_whitened
from irp_hf.maths.climbing import FLAT, NEARLY, Candidate, climb, less_smooth
from irp_hf.maths.folds import NUM_FOLDS
from irp_hf.maths.inverses.whitened import WhitenedInverse
from irp_hf.maths.pairs import Pairs, others
from irp_hf.maths.projection import lifted_cosines, unit_rows
from irp_hf.maths.request import Given
from irp_hf.maths.tuning_kernel import GAMMAS, LIFTS, SKETCH, climb_ridges, sketched, tune_kernel, tune_lift
from irp_hf.maths.tuning_kernel import RIDGES as KERNEL_RIDGES
from irp_hf.maths.tuning_pruned import THRESHOLDS, tune_pruned
from irp_hf.maths.tuning_whitened import BALANCES, RIDGES, OfProducts, RidgeJudge, WideRidgeJudge, tune_whitened

FEW = settings(max_examples=20, derandomize=True, deadline=None)


def pairs(seed: int = 0, k: int = 24, d_x: int = 5, d_y: int = 6) -> Pairs:
    random = np.random.RandomState(seed)
    source = random.randn(k, d_x) * np.linspace(1, 0.3, d_x) + 1
    target = np.tanh(source @ random.randn(d_x, d_y)) + 0.2 * random.randn(k, d_y) + 0.5
    return Pairs(torch.from_numpy(source), torch.from_numpy(target))


def mean_cosine(directions: np.ndarray, true: np.ndarray) -> float:
    return np.mean([reference.cosine(a, b) for a, b in zip(directions, true, strict=True)])


def refitted(pairs: Pairs, translate, seed: int = 0, lift: float = 0.0) -> float:
    """Cosine of the directions of every fold with the true ones, all fitted and normalised on the others alone."""
    source, target = pairs.source.numpy(), pairs.target.numpy()
    directions, true = np.zeros_like(target), np.zeros_like(target)
    for fold in pairs.folds(NUM_FOLDS, seed):
        others = [row for row in range(len(source)) if row not in fold.tolist()]
        directions[fold] = translate(
            reference.normalize(source[fold], source[others], lift),
            reference.normalize(source[others], source[others], lift),
            reference.normalize(target[others], target[others]),
        )
        true[fold] = reference.normalize(target[fold], target[others])
    return mean_cosine(directions, true)


def own_cosine(candidate: Candidate) -> float:
    return mean_cosine(candidate.directions.numpy(), candidate.true.numpy())


@FEW
@examples(top=st.integers(0, 9), start=st.integers(0, 9), width=st.floats(1, 5))
def test_the_climb_finds_the_top_of_a_hill(top, start, width):
    """If it fails, tuning stops before the best γ, λ or δ, or asks for the same (costly) point twice."""
    asked = []

    def hill(point: int) -> float:
        asked.append(point)
        return 0.9 - ((point - top) / width / 10) ** 2

    tried = climb(hill, range(10), start)
    assert next(iter(tried)) == top
    assert len(asked) == len(set(asked)) == len(tried)
    values = list(tried.values())
    assert values == sorted(values, reverse=True)


def test_the_climb_stays_where_it_is_flat():
    """If it fails, an extreme γ or λ wins that gains nothing on the anchors and is worse elsewhere."""
    slope = FLAT * 0.1 / 2  # half of what a step must gain, where 0.1 is missing
    tried = climb(lambda point: 0.9 + slope * point, range(10), 4)
    assert next(iter(tried)) == 4
    assert list(tried) == [4, 5, 3]
    tried = climb(lambda point: 0.9 + 4 * slope * point, range(10), 4)
    assert next(iter(tried)) == 9


def test_the_climb_can_start_at_an_end_and_on_one_point():
    """If it fails, a hyper-parameter that the user fixed, a grid of one, breaks tuning."""
    assert climb(float, [0.5], 0) == {0.5: 0.5}
    assert next(iter(climb(lambda point: -point, range(5), 0))) == 0
    assert next(iter(climb(lambda point: point / 10, range(5), 4))) == 4


@pytest.mark.parametrize("num_landmarks", [None, 9])
def test_kernel_trials_are_leave_one_out(num_landmarks):
    """If it fails, γ and λ are chosen by a cosine that n explicit refits would not give."""
    anchors = pairs()
    (best,), others = tune_kernel(anchors, Given(num_landmarks=num_landmarks))
    trials = [best, *others]
    assert len({trial.inverse for trial in trials}) == len(trials)
    source, target = anchors.lifted(best.inverse.lift), anchors.target_rows.numpy()
    for trial in (trials[0], trials[1], trials[-1]):
        landmarks = None if num_landmarks is None else trial.inverse.landmarks(source).numpy()
        assert trial.inverse.gamma in GAMMAS
        assert KERNEL_RIDGES[0] <= trial.inverse.ridge <= KERNEL_RIDGES[-1]
        assert trial.inverse.num_landmarks == num_landmarks
        singles = [[row] for row in range(len(anchors))]
        directions = reference.kernel_left_out(
            source.numpy(), target, trial.inverse.gamma, trial.inverse.ridge, singles, landmarks
        )
        assert trial.cosine == pytest.approx(mean_cosine(directions, target), abs=1e-6)
    assert own_cosine(best) == pytest.approx(best.cosine, abs=1e-9)
    assert all(other.cosine - best.cosine <= (2 * FLAT + NEARLY) * (1 - best.cosine) for other in trials)


@pytest.mark.parametrize(("shared", "lifted"), [("length", True), ("direction", False)])
def test_lengths_count_where_they_tell_something(shared, lifted):
    """If it fails, what the lengths of the source's vectors tell is thrown away, or their noise is let in."""
    random = np.random.RandomState(0)
    directions, lengths = reference.unit_rows(random.randn(75, 6)), np.exp(random.randn(75, 1))
    directions, lengths = np.vstack([directions, -directions]), np.vstack([lengths, lengths])  # their mean stays put
    column = np.log(lengths) if shared == "length" else random.randn(150, 1)
    target = np.hstack([directions + 0.3 * random.randn(150, 6), column])
    source = torch.from_numpy(directions * lengths - 3)
    anchors = Pairs(source, torch.from_numpy(target))
    lift = tune_lift(anchors, Given())
    assert lift in LIFTS
    assert (lift > 0) == lifted
    for tune in (tune_kernel, tune_whitened):
        assert {trial.inverse.lift for trial in tune(anchors, Given())[0]} == {lift}
    assert tune_pruned(anchors, Given())[0][0].inverse.lift == 0


def bags_of_tokens() -> Pairs:
    """Means of a few token vectors: those of few tokens are long, and what lengths tell is in the directions, too."""
    random = torch.Generator().manual_seed(1)
    tokens, meanings = (torch.randn(60, width, generator=random).double() for width in (16, 8))
    bags = []
    for _ in range(400):
        count = int(torch.randint(1, 9, (1,), generator=random))
        bags.append(torch.randint(60, (count,), generator=random))
    target = torch.stack([meanings[bag].mean(0) for bag in bags])
    return Pairs(torch.stack([tokens[bag].mean(0) for bag in bags]), unit_rows(target))


@pytest.mark.parametrize("known", [False, True])
def test_a_local_kernel_may_do_without_lengths(known):
    """A regression is glad of lengths; a kernel that sees the same in directions would be worse by them."""
    anchors = bags_of_tokens()
    lift = tune_lift(anchors, Given())
    assert lift > 0
    (candidate,), _ = tune_kernel(anchors, Given(), lift if known else None)
    (with_it,), _ = tune_kernel(anchors, Given(lift=lift))
    assert candidate.inverse.lift == 0
    assert with_it.inverse.lift == lift
    assert candidate.cosine > with_it.cosine + FLAT * (1 - with_it.cosine)
    assert {one.inverse.lift for one in tune_whitened(anchors, Given(), lift)[0]} == {lift}


def test_nearly_as_good_smooths_less():
    """If it fails, heads and neighbours pay for a thousandth of cosine with a ridge that smooths their classes away."""
    random = np.random.RandomState(1)
    source = random.randn(200, 20)
    target = np.tanh(source @ random.randn(20, 30)) + random.randn(200, 30)
    anchors = Pairs(torch.from_numpy(source), torch.from_numpy(target))
    (best,), others = tune_kernel(anchors, Given())
    top = max(others, key=lambda trial: trial.cosine)
    assert best.inverse.ridge < top.inverse.ridge
    assert best.cosine < top.cosine <= best.cosine + NEARLY * (1 - top.cosine)


@FEW
@examples(cost=st.floats(0.1, 3), steps=st.integers(1, 2))
def test_less_smoothing_costs_what_is_allowed(cost, steps):
    """If it fails, a hair's breadth about the allowed cost moves λ by a step of the grid, and a head by a hundredth."""
    grid = (0.01, 0.1, 1.0)

    def first(cost):
        def cosine(ridge):  # a step costs `cost` times what is allowed of the tenth that is missing
            return 0.9 + 0.1 * NEARLY * cost * math.log10(ridge)

        found = less_smooth({1.0: 0.9}, cosine, grid, steps)
        assert all(value == pytest.approx(cosine(ridge)) for ridge, value in found.items())
        return next(iter(found))

    assert first(cost) == pytest.approx(max(10 ** (-1 / cost), 10**-steps), rel=0.05)
    assert first(cost) / first(cost + 1e-3) < 1.1


def test_kernel_folds_are_refits():
    """If it fails, the kernel is compared with the other inverses on folds that it has partly seen."""
    anchors = pairs()
    (trial,), _ = tune_kernel(anchors, Given())
    inverse = trial.inverse
    folds = anchors.folds(NUM_FOLDS, 0)
    source, target = anchors.lifted(inverse.lift).numpy(), anchors.target_rows.numpy()
    lists = [fold.tolist() for fold in folds]
    expected = reference.kernel_left_out(source, target, inverse.gamma, inverse.ridge, lists)
    found = trial.solved.leave_fold_out(folds)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_a_sample_chooses_gamma_and_all_anchors_choose_the_ridge(monkeypatch):
    """If it fails, a large anchor set is tuned on its sample alone, and the scores are the sample's."""
    anchors = pairs(k=60)
    monkeypatch.setattr(irp_hf.maths.tuning_kernel, "SAMPLE", 25)
    (best,), others = tune_kernel(anchors, Given())
    assert {trial.inverse.gamma for trial in others} == {best.inverse.gamma}
    assert best.directions.shape == (60, 6)
    for trial in (best, *others):
        given = Given(gamma=trial.inverse.gamma, ridge=trial.inverse.ridge, lift=trial.inverse.lift)
        monkeypatch.setattr(irp_hf.maths.tuning_kernel, "SAMPLE", 1000)
        exact = 1e-9 if trial is best else 0.01  # others are compared with it on the sample's rows
        assert trial.cosine == pytest.approx(tune_kernel(anchors, given)[0][0].cosine, abs=exact)


def test_whitened_trials_are_refits_on_the_other_folds():
    """If it fails, λ and b are chosen by fits that saw the fold, by its mean, its scale or its rows."""
    anchors = pairs(k=30)
    candidates, others = tune_whitened(anchors, Given())
    trials = [*candidates, *others]
    assert sorted(trial.inverse.balance for trial in candidates) == list(BALANCES)
    for trial in (*candidates, others[0], others[-1]):
        b, ridge = trial.inverse.balance, trial.inverse.ridge
        assert RIDGES[0] <= ridge <= RIDGES[-1]
        translate = partial(reference.whitened, balance=b, ridge=ridge)
        expected = refitted(anchors, translate, lift=trial.inverse.lift)
        assert trial.cosine == pytest.approx(expected, abs=1e-6)
    for candidate in candidates:
        assert own_cosine(candidate) == pytest.approx(candidate.cosine, abs=1e-9)
        rivals = [trial.cosine for trial in trials if trial.inverse.balance == candidate.inverse.balance]
        assert max(rivals) - candidate.cosine <= (2 * FLAT + NEARLY) * (1 - candidate.cosine)


def test_pruned_trials_are_refits_on_the_other_folds():
    """If it fails, δ is chosen by subspaces of anchors that include the fold."""
    anchors = pairs(k=30)
    candidates, others = tune_pruned(anchors, Given(num_subspaces=3))
    assert sorted(trial.inverse.pruning_threshold for trial in (*candidates, *others)) == list(THRESHOLDS)
    assert len(candidates) == 2
    for trial in candidates:

        def translate(rows, source, target, inverse=trial.inverse):
            path = inverse.path(torch.from_numpy(target))
            return reference.pruned(
                rows, source, target, [kept.tolist() for kept in path.subspaces(inverse.pruning_threshold)]
            )

        assert trial.inverse.num_subspaces == 3
        assert trial.cosine == pytest.approx(refitted(anchors, translate), abs=1e-6)
        assert own_cosine(trial) == pytest.approx(trial.cosine, abs=1e-9)


@pytest.mark.parametrize(
    ("tune", "given"),
    [
        (tune_kernel, Given(gamma=3.3, ridge=0.017, num_landmarks=8, lift=0.7, seed=4)),
        (tune_whitened, Given(balance=0.3, ridge=0.017, lift=0.7)),
        (tune_pruned, Given(pruning_threshold=0.33, num_subspaces=2, seed=4)),
    ],
)
def test_what_is_given_is_kept(tune, given):
    """If it fails, a hyper-parameter that the user fixed is tuned away or snapped to the grid."""
    (trial,), others = tune(pairs(), given)
    assert not others
    for name in vars(trial.inverse):
        assert getattr(trial.inverse, name) == getattr(given, name), name


@pytest.mark.parametrize("tune", [tune_kernel, tune_whitened, tune_pruned])
def test_the_seed_decides_all(tune):
    """If it fails, two runs with one seed choose differently."""
    (first, others), (again, others_again) = (tune(pairs(), Given(seed=3)) for _ in range(2))
    assert others == others_again
    for a, b in zip(first, again, strict=True):
        assert a[:2] == b[:2]
        assert torch.equal(a.directions, b.directions)


# --- more anchors than a sample


@pytest.fixture
def of_many(monkeypatch):
    """Let 30 anchors be many."""
    for file in (irp_hf.maths.tuning_kernel, irp_hf.maths.tuning_whitened, irp_hf.maths.tuning_pruned):
        monkeypatch.setattr(file, "SAMPLE", 30)


def without_folds(anchors: Pairs, translate, lift: float = 0.0) -> float:
    """Cosine of the directions of every fold, fitted on the others with the means and scales of all."""
    source, target = anchors.lifted(lift).numpy(), anchors.target_rows.numpy()
    directions = np.zeros_like(target)
    for fold in anchors.folds(NUM_FOLDS, 0):
        others = np.setdiff1d(np.arange(len(source)), fold.numpy())
        directions[fold] = translate(source[fold], source[others], target[others])
    return mean_cosine(directions, target)


@pytest.mark.parametrize("shape", [(80, 5, 6), (80, 100, 6), (80, 6, 100)])
@pytest.mark.parametrize("balance", [None, 1.0, 0.5])
def test_whitened_trials_of_many_anchors_are_refits(of_many, shape, balance):
    """If it fails, λ of many anchors is chosen by what a fit that saw the fold says, or by another ridge than it is given."""
    anchors = pairs(0, *shape)
    (best, *rest), others = tune_whitened(anchors, Given(balance=balance))
    assert len(others) > 1
    assert balance is None or not rest
    for trial in (best, *rest, others[0], others[-1]):
        translate = partial(reference.whitened, balance=trial.inverse.balance, ridge=trial.inverse.ridge)
        halved = shape[1] > shape[0] and trial.inverse.balance == 1 and trial is not best
        close = 2e-2 if halved else 1e-6  # half of the rows compared it
        assert trial.cosine == pytest.approx(without_folds(anchors, translate, trial.inverse.lift), abs=close)
    own = [trial.cosine for trial in others if trial.inverse.balance == best.inverse.balance]
    assert max(own) - best.cosine <= (2 * FLAT + NEARLY) * (1 - best.cosine)


@pytest.mark.parametrize(
    ("objective", "width", "counts"), [("cosine", 100, {1}), ("cosine", 5, {2, 3}), ("neighbors", 100, {len(BALANCES)})]
)
def test_a_sample_chooses_the_balance_by_cosine_alone(of_many, objective, width, counts):
    """If it fails, an objective that wants another balance than cosine does cannot choose it, or all are paid for in vain."""
    candidates, _ = tune_whitened(pairs(k=60, d_x=width), Given(), objective=objective)
    assert len(candidates) in counts


def test_groups_of_many_anchors_are_held_out_together(of_many):
    """If it fails, a copy in another batch's rounding tells the λ of many anchors what it should predict."""
    one = pairs(k=40)
    source = torch.cat([one.source, one.source * (1 + 1e-7)])
    target = torch.cat([one.target, one.target.flip(1)])  # copies of a source, with targets of their own
    anchors = Pairs(source, target)
    assert anchors.copies
    (best,), _ = tune_kernel(anchors, Given(lift=0.0))
    groups = [[row, row + 40] for row in range(40)]
    expected = reference.kernel_left_out(
        anchors.source_rows.numpy(), anchors.target_rows.numpy(), best.inverse.gamma, best.inverse.ridge, groups
    )
    np.testing.assert_allclose(best.directions, expected, rtol=1e-4, atol=1e-6)


def test_many_anchors_may_want_no_pruning(of_many):
    """If it fails, the paper's inverse of many more anchors than d_Y is pruned as its sample wants, and loses neighbours."""
    random = np.random.RandomState(0)
    source = random.randn(400, 12)
    target = source @ random.randn(12, 12) + 0.1 * random.randn(400, 12)
    anchors = Pairs(torch.from_numpy(source), torch.from_numpy(target))
    (best,), others = tune_pruned(anchors, Given())
    scores = {
        threshold: tune_pruned(anchors, Given(pruning_threshold=threshold))[0][0].cosine for threshold in THRESHOLDS
    }
    assert best.cosine >= max(scores.values()) - 0.01
    assert best.cosine == pytest.approx(scores[best.inverse.pruning_threshold], abs=1e-9)
    assert others


@pytest.mark.parametrize("shape", [(30, 6, 4), (30, 40, 50), (30, 50, 4)])
@pytest.mark.parametrize(("balance", "ridge"), [(1.0, 1e-1), (0.75, 1e-2), (0.5, 1.0), (0.0, 1e-3)])
def test_products_of_rows_tell_what_fits_on_the_others_give(shape, balance, ridge):
    """If it fails, the balance of many anchors is chosen by what no fit would give."""
    anchors = pairs(3, *shape)
    rows, target, folds = anchors.source_rows, anchors.target_rows, anchors.folds(3, 0)
    expected = torch.empty_like(target)
    for fold in folds:
        rest = others(fold, len(rows))
        expected[fold] = WhitenedInverse(balance, ridge).fold(rows[rest], target[rest])(rows[fold])
    judge = OfProducts(rows @ rows.T, target @ target.T, shape[1:], folds)
    assert judge.cosine(balance, ridge) == pytest.approx(mean_cosine(expected.numpy(), target.numpy()), abs=1e-6)


def test_wide_rows_are_judged_by_their_cosines_as_by_a_decomposition():
    """If it fails, λ of wide anchors is chosen by other figures than that of narrow ones."""
    anchors = pairs(3, 30, 40, 5)
    rows, target = anchors.source_rows, anchors.target_rows
    folds = anchors.folds(5, 0)
    wide, plain = WideRidgeJudge(rows @ rows.T, 40, target, folds), RidgeJudge(rows, target, folds)
    for ridge in (1e-2, 1.0, 10.0):
        found, expected = wide.directions(1.0, ridge), plain.directions(1.0, ridge)
        torch.testing.assert_close(unit_rows(found), unit_rows(expected), rtol=1e-6, atol=1e-8)
        assert wide.cosine(1.0, ridge) == pytest.approx(plain.cosine(1.0, ridge), abs=1e-6)


def test_half_of_many_folds_judge_wide_rows(monkeypatch):
    """If it fails, λ of many wide anchors is chosen by rows that were fitted on, or by the targets of others."""
    monkeypatch.setattr(irp_hf.maths.tuning_whitened, "SAMPLE", 20)
    anchors = pairs(3, 30, 40, 5)
    rows, target, folds = anchors.source_rows, anchors.target_rows, anchors.folds(5, 0)
    wide, plain = WideRidgeJudge(rows @ rows.T, 40, target, folds), RidgeJudge(rows, target, folds)
    judges = torch.cat(folds[2:])
    for ridge in (1e-12, 1e-2, 1.0, 10.0):  # of the least, single precision leaves nothing
        expected = mean_cosine(plain.directions(1.0, ridge)[judges].numpy(), target[judges].numpy())
        assert wide.cosine(1.0, ridge) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("height", [1e-3, 0.5, 3.0])
def test_lifted_cosines_are_those_of_lifted_rows(height):
    """If it fails, the lift is chosen by other cosines than the map has."""
    anchors = pairs(k=12)
    rows = anchors.lifted(height)
    lengths = torch.linalg.vector_norm(anchors.source - anchors.source_stats.mean, dim=1)
    flat = anchors.source_rows @ anchors.source_rows.T
    torch.testing.assert_close(lifted_cosines(flat, lengths, height * anchors.source_stats.scale), rows @ rows.T)


def test_a_sketch_keeps_cosines():
    """If it fails, hyper-parameters for wide targets are chosen by noise."""
    random = torch.Generator().manual_seed(0)
    target, other = (torch.randn(600, 1000, generator=random, dtype=torch.float64) for _ in range(2))
    found = sketched(target + other), sketched(other)
    assert found[0].shape == (600, SKETCH)
    assert found[0].dtype == target.dtype  # as its rivals compute
    wanted = torch.nn.functional.cosine_similarity(target + other, other).mean()
    assert abs(torch.nn.functional.cosine_similarity(*found).mean() - wanted) < 0.005
    assert torch.equal(sketched(target[:SKETCH]), target[:SKETCH])  # few rows stay as they are
    assert torch.equal(sketched(target[:, :SKETCH]), target[:, :SKETCH])


@pytest.mark.parametrize("least", [-1.0, 0.4, 0.7])
def test_no_other_ridge_is_tried_where_the_first_is_hopeless(least):
    """If it fails, fits spend their time on γ that cannot win; or one is left that could."""
    asked = []

    def score(gamma, ridge):
        asked.append(ridge)
        return 0.6 - 0.01 * abs(KERNEL_RIDGES.index(ridge) - 8)

    found = climb_ridges(score, 1.0, None, KERNEL_RIDGES[6], least)
    assert len(asked) == len(set(asked)) == len(found)
    assert next(iter(found)) == KERNEL_RIDGES[6 if least == 0.7 else 8]
    assert (len(found) == 1) == (least == 0.7)
