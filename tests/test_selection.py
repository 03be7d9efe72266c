"""Selection from the anchors alone: exact cases, invariances, no leak, honest scores, degenerate anchors."""

import itertools

import numpy as np
import pytest
import reference
import torch
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from irp_hf.pairs import Pairs
from irp_hf.projection import denormalize, normalize, unit_rows
from irp_hf.selection import METHODS, OBJECTIVES, RESTORATIONS, Choice, select
from irp_hf.tuning import FLAT, NUM_FOLDS, Given

FEW = settings(max_examples=6, derandomize=True, deadline=None)
EXACT = {  # what lets an inverse be exact; the defaults trade some of it for noise
    "pruned": Given(pruning_threshold=0.0, num_subspaces=2),
    "whitened": Given(ridge=1e-12, restoration=0.0),
}


def isometric(seed: int, k: int, d_x: int, d_y: int, rank: int, dtype=np.float32) -> tuple[Pairs, Pairs]:
    """Anchors and unseen rows, `target = source @ orthogonal * scale + shift` on data of that rank."""
    random = np.random.RandomState(seed)
    latent = random.randn(k + 40, rank) * np.linspace(1, 0.3, rank)
    into_x, into_y = (np.linalg.qr(random.randn(d, rank))[0] for d in (d_x, d_y))
    source, target = latent @ into_x.T + random.randn(d_x), latent @ into_y.T * 3.7 + random.randn(d_y)
    source, target = torch.from_numpy(source.astype(dtype)), torch.from_numpy(target.astype(dtype))
    return Pairs(source[:k], target[:k]), Pairs(source[k:], target[k:])


def curved(
    seed: int = 0, k: int = 60, n: int = 0, d_x: int = 6, d_y: int = 8, noise: float = 0.1
) -> tuple[Pairs, Pairs]:
    """Two encoders of the same items with no linear map between them."""
    random = np.random.RandomState(seed)
    source = random.randn(k + n, d_x) + 1
    target = np.tanh(source @ random.randn(d_x, d_y)) + noise * random.randn(k + n, d_y) + 0.5
    source, target = torch.from_numpy(source), torch.from_numpy(target)
    return Pairs(source[:k], target[:k]), Pairs(source[k:], target[k:]) if n else None


def translate(choice: Choice, anchors: Pairs, source: torch.Tensor) -> torch.Tensor:
    return denormalize(choice.fold(anchors)(normalize(source.double(), anchors.source_stats)), anchors.target_stats)


def out_of_fold_vectors(directions, anchors: Pairs) -> np.ndarray:
    """Every fold with the mean and the scale of the other folds alone."""
    target, vectors = anchors.target.numpy(), np.zeros(tuple(anchors.target.shape))
    for fold in anchors.folds(NUM_FOLDS, 0):
        others = np.setdiff1d(np.arange(len(target)), fold.numpy())
        vectors[fold] = reference.denormalize(np.asarray(directions)[fold], target[others])
    return vectors


def cosine(translated: torch.Tensor, target: torch.Tensor) -> float:
    return float((unit_rows(translated) * unit_rows(target)).sum(1).mean())


def direction_errors(choice: Choice, anchors: Pairs, unseen: Pairs) -> torch.Tensor:
    """Distance of unit directions; a translation keeps no lengths, so directions are all that can be
    exact."""
    found = normalize(translate(choice, anchors, unseen.source), anchors.target_stats)
    return (found - normalize(unseen.target, anchors.target_stats)).norm(dim=1)


WIDTHS = [(60, 8, 8, 8), (60, 8, 12, 8), (60, 12, 8, 8), (60, 12, 12, 5), (9, 8, 8, 8), (8, 8, 12, 4)]


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("method", ["pruned", "whitened"])
@pytest.mark.parametrize("seed", range(3))
def test_isometries_are_exact(widths, method, seed):
    """If it fails, two encoders that differ by a rotation, a scale and a shift are not stitched without
    loss: float32
    rounding in directions that the data lacks (d_Y above the rank) is taken for data and blown up."""
    anchors, unseen = isometric(seed, *widths)
    (choice,) = select(anchors, (method,), given=EXACT[method])
    assert float(direction_errors(choice, anchors, unseen).max()) < 1e-5


@pytest.mark.parametrize("ridge", [1e-12, 1e-11, 1e-10, 1e-9])
@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_a_tiny_ridge_lifts_no_direction_that_anchors_lack(ridge, balance):
    """If it fails, a ridge from the low end of the grid divides float32 rounding by almost nothing (errors of 1e-2)."""
    for widths in WIDTHS:
        anchors, unseen = isometric(0, *widths)
        given = Given(ridge=ridge, balance=balance, restoration=0.0)
        (choice,) = select(anchors, ("whitened",), given=given)
        assert float(direction_errors(choice, anchors, unseen).max()) < 1e-5


@pytest.mark.parametrize("widths", WIDTHS[:3])
@pytest.mark.parametrize("seed", range(3))
def test_selection_finds_exactness_by_itself(widths, seed):
    """If it fails, the defaults lose an isometry: pruning keeps too few anchors, the ridge stays too large, or scale
    restoration stretches what needs no stretching."""
    anchors, unseen = isometric(seed, *widths)
    for method in ("pruned", "whitened"):
        (choice,) = select(anchors, (method,))
        assert float(direction_errors(choice, anchors, unseen).max()) < 1e-5, method


@pytest.mark.parametrize("widths", WIDTHS[:4])
def test_the_kernel_translates_isometries_as_leave_one_out_predicts(widths):
    """If it fails, leave-one-out promises what the kernel does not keep on unseen rows, even with no
    noise."""
    anchors, unseen = isometric(0, *widths)
    choice = select(anchors, ("kernel",))[0]
    predicted = cosine(choice.directions, anchors.target_rows)
    found = cosine(
        translate(choice, anchors, unseen.source) - anchors.target_stats.mean,
        unseen.target - anchors.target_stats.mean,
    )
    assert found == pytest.approx(predicted, abs=0.01)
    assert found > 0.97


@FEW
@examples(
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([1e-3, 7.0]),
    shift=st.sampled_from([0.0, 30.0]),
    turn=st.booleans(),
)
def test_a_moved_source_is_translated_alike(seed, scale, shift, turn):
    """If it fails, translation depends on the source's scale, origin or axes, which mean nothing."""
    anchors, unseen = curved(seed, n=10)
    rotation = (
        torch.linalg.qr(torch.from_numpy(np.random.RandomState(seed).randn(6, 6)))[0] if turn else torch.eye(6).double()
    )

    def moved(x: torch.Tensor) -> torch.Tensor:
        return (x @ rotation) * scale + shift

    there = Pairs(moved(anchors.source), anchors.target)
    for method in METHODS:
        plain, other = select(anchors, (method,))[0], select(there, (method,))[0]
        assert other.inverse == plain.inverse
        torch.testing.assert_close(
            translate(other, there, moved(unseen.source)),
            translate(plain, anchors, unseen.source),
            rtol=1e-5,
            atol=1e-6,
        )


@FEW
@examples(seed=st.integers(0, 10**6), scale=st.sampled_from([1e-2, 1.0, 50.0]))
def test_a_turned_target_turns_the_translation(seed, scale):
    """If it fails, translations depend on the target's axes: restoration or whitening is not along its own
    directions."""
    anchors, unseen = curved(seed, n=10)
    rotation = torch.linalg.qr(torch.from_numpy(np.random.RandomState(seed).randn(8, 8)))[0] * scale
    there = Pairs(anchors.source, anchors.target @ rotation)
    for method in METHODS:
        plain, other = select(anchors, (method,))[0], select(there, (method,))[0]
        assert other.inverse == plain.inverse
        assert other.score == pytest.approx(plain.score, abs=1e-9)
        expected = translate(plain, anchors, unseen.source) @ rotation
        torch.testing.assert_close(translate(other, there, unseen.source), expected, rtol=1e-5, atol=1e-6 * scale)


@pytest.mark.parametrize("method", METHODS)
def test_the_fold_is_both_halves_and_the_restoration(method):
    """If it fails, an adapter translates differently from its own halves."""
    anchors, unseen = curved(n=10)
    choice = select(anchors, (method,), given=Given(restoration=0.75))[0]
    rows = normalize(unseen.source, anchors.source_stats)
    inverse = choice.inverse
    halves = inverse.absolute(inverse.relative(rows, anchors.source_rows), anchors.target_rows) @ choice.matrix
    torch.testing.assert_close(choice.fold(anchors)(rows), halves, rtol=1e-7, atol=1e-9)
    assert not torch.allclose(choice.matrix, torch.eye(8, dtype=torch.float64), atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_no_restoration_is_no_matrix(method):
    """If it fails, q = 0 is not the paper."""
    choice = select(curved()[0], (method,), given=Given(restoration=0.0))[0]
    torch.testing.assert_close(choice.matrix, torch.eye(8, dtype=torch.float64))


# --- no leak, honest scores


def balanced(x: np.ndarray) -> np.ndarray:
    """Rows of equal length whose sum is zero: the trap, for then a held-out row is minus the sum of the
    others."""
    for _ in range(200):
        x = x - x.mean(0)
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return x


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("k", "d_x", "d_y"), [(20, 20, 20), (30, 60, 20), (40, 10, 10), (60, 20, 30)])
@pytest.mark.parametrize("equal_norms", [False, True])
def test_unrelated_spaces_score_what_unseen_rows_give(method, k, d_x, d_y, equal_norms):
    """If it fails, something of the held-out target leaks into its own prediction, and selection rewards
    it."""
    gaps = []
    for seed in range(3):
        random = np.random.RandomState(seed)
        source, target = random.randn(k, d_x), random.randn(k, d_y)
        if equal_norms:
            source, target = balanced(source), balanced(target)
        anchors = Pairs(torch.from_numpy(source), torch.from_numpy(target))
        choice = select(anchors, (method,))[0]
        unseen = torch.from_numpy(random.randn(300, d_x)), torch.from_numpy(random.randn(300, d_y))
        honest = cosine(translate(choice, anchors, unseen[0]), unseen[1])
        assert abs(honest) < 0.1
        gaps.append(max(choice.score, choice.fold_score) - honest)
    assert np.mean(gaps) < 0.1


@pytest.mark.parametrize(("gamma", "ridge"), list(itertools.product([1e-6, 1e-3, 0.0625, 2.0, 64.0], [1e-7, 1e-4])))
def test_no_kernel_leaks(gamma, ridge):
    """If it fails, the known trap is back: features and targets that sum to zero look perfect under a tiny
    ridge."""
    random = np.random.RandomState(0)
    anchors = Pairs(*(torch.from_numpy(balanced(random.randn(20, 20))) for _ in range(2)))
    choice = select(anchors, ("kernel",), given=Given(gamma=gamma, ridge=ridge, restoration=0.0))[0]
    assert choice.score < 0.1
    assert choice.fold_score < 0.1


@pytest.fixture(scope="module")
def encoders() -> dict[str, torch.Tensor]:
    """Three encoders of the same 1,797 handwritten digits: principal components, and two random
    nonlinear layers."""
    random = np.random.RandomState(0)
    pixels = load_digits().data / 16
    pixels = pixels[random.permutation(len(pixels))]
    tanh = np.tanh((pixels - pixels.mean(0)) @ random.randn(64, 96) / 2) + 0.05 * random.randn(len(pixels), 96) + 0.3
    relu = np.maximum(pixels @ random.randn(64, 50) / 4 + 0.3 * random.randn(50), 0)
    views = {"pca": PCA(40, svd_solver="full").fit_transform(pixels), "tanh": tanh, "relu": relu}
    return {name: torch.from_numpy(x.astype(np.float32)) for name, x in views.items()}


@pytest.mark.parametrize(("source", "target"), [("pca", "tanh"), ("relu", "tanh"), ("tanh", "relu")])
@pytest.mark.parametrize("k", [60, 200, 600])
def test_scores_predict_unseen_rows(encoders, source, target, k):
    """If it fails, `report()` promises what rows never seen do not give. Tolerance .02 of mean cosine on
    600 rows."""
    anchors = Pairs(encoders[source][:k], encoders[target][:k])
    choices = select(anchors)
    for choice in choices:
        found = cosine(translate(choice, anchors, encoders[source][-600:]), encoders[target][-600:].double())
        assert choice.score == pytest.approx(found, abs=0.02), choice.inverse
        assert choice.fold_score == pytest.approx(found, abs=0.02), choice.inverse
    if k > 60:  # these encoders are curved, and with enough anchors all three methods can tell
        assert choices[0].method == "kernel"
    assert choices[-1].method == "pruned"


def test_landmarks_score_honestly_too(encoders):
    """If it fails, a kernel with landmarks is scored as if all anchors carried it."""
    anchors = Pairs(encoders["relu"][:300], encoders["tanh"][:300])
    few, all_ = (select(anchors, ("kernel",), given=Given(num_landmarks=m))[0] for m in (40, None))
    found = cosine(translate(few, anchors, encoders["relu"][-600:]), encoders["tanh"][-600:].double())
    assert few.score == pytest.approx(found, abs=0.02)
    assert few.score < all_.score - 0.005
    assert few.fold(anchors).landmarks.shape == (40, 50)


# --- objectives


HEAD = torch.from_numpy(np.random.RandomState(9).randn(8, 4))


def head(vectors: torch.Tensor) -> torch.Tensor:
    return (vectors @ HEAD).argmax(1)


def measured(objective: str, translated: torch.Tensor, target: torch.Tensor) -> float:
    """The objective by the reference's loops."""
    if objective == "neighbors":
        return float(reference.neighbors_kept(translated.numpy(), target.numpy(), 10).mean())
    if objective == "agreement":
        return np.mean([a == b for a, b in zip(head(translated).tolist(), head(target).tolist(), strict=True)])
    return np.mean([reference.cosine(a, b) for a, b in zip(translated.numpy(), target.numpy(), strict=True)])


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("method", METHODS)
def test_each_objective_scores_and_picks_what_it_says(objective, method):
    """If it fails, `neighbors` or `agreement` optimise something else, or a better q or b was at hand and
    not taken."""
    anchors, _ = curved(1, k=50, noise=0.4)

    def chosen(**given) -> Choice:
        return select(anchors, (method,), objective, Given(**given), head)[0]

    choice = chosen()
    assert choice.score == pytest.approx(measured(objective, choice.translated, anchors.target), abs=1e-9)
    assert choice.fold_score == pytest.approx(measured(objective, choice.fold_translated, anchors.target), abs=1e-9)
    np.testing.assert_allclose(choice.translated, out_of_fold_vectors(choice.directions, anchors), rtol=1e-9)

    if method == "pruned":
        assert choice.restoration == 0  # the paper's inverse stays the paper's
    elif objective == "cosine":
        assert choice.restoration == 0.5  # cosine alone would always choose 0
    else:
        scores = {q: chosen(restoration=q).score for q in RESTORATIONS}
        assert choice.score == max(scores.values())
        assert scores[choice.restoration] == choice.score
    if method == "whitened":
        balances = [chosen(balance=b, restoration=0.0).score for b in (0.0, 0.25, 0.5, 0.75, 1.0)]
        assert chosen(restoration=0.0).score == max(balances)


@pytest.mark.parametrize("objective", ["neighbors", "agreement"])
def test_an_objective_is_never_worse_by_its_own_measure(objective):
    """If it fails, choosing an objective buys less of it than the default does."""
    for seed in range(4):
        anchors, _ = curved(seed, k=50, noise=0.4)
        own = select(anchors, ("kernel",), objective, labels=head)[0]
        plain = select(anchors, ("kernel",))[0]
        assert own.inverse == plain.inverse  # γ and λ are chosen first, by plain cosine
        assert own.score >= measured(objective, plain.translated, anchors.target) - 1e-12


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("method", METHODS)
def test_the_chosen_comes_first_then_by_score(objective, method):
    """If it fails, the report shows another choice than the one that translates, or a runner-up that was
    not second."""
    for seed in range(12):  # some of them end on a plateau, where the choice is not the highest by a hair
        anchors, _ = curved(seed, k=30, noise=0.5)
        choice = select(anchors, (method,), objective, labels=head)[0]
        assert choice.tried[0].inverse == choice.inverse
        rest = [candidate.score for candidate in choice.tried[1:]]
        assert rest == sorted(rest, reverse=True)
        assert choice.runner_up == choice.tried[1]
        assert len({candidate[:2] for candidate in choice.tried}) == len(choice.tried)
        if objective == "cosine" and method != "pruned":
            top = choice.tried[0].score
            assert rest[0] - top <= 2 * FLAT * (1 - top)
        elif objective != "cosine":
            assert choice.tried[0].restoration == choice.restoration
            assert rest[0] <= choice.tried[0].score == choice.score


def test_nothing_left_to_choose_has_no_runner_up():
    """If it fails, a fully given configuration crashes the report."""
    given = Given(gamma=1.0, ridge=0.1, balance=0.5, restoration=0.5, num_subspaces=2, pruning_threshold=0.5)
    for choice in select(curved()[0], given=given):
        assert choice.runner_up is None
        assert choice.restoration == 0.5


def test_methods_are_ranked_by_the_folds_they_share():
    """If it fails, `auto` takes the kernel because leave-one-out is kinder than K folds."""
    disagree = 0
    for seed in (1, 5, 15, 16):  # here leave-one-out flatters the kernel by more than it is ahead
        choices = select(curved(seed, k=30, noise=0.5)[0], ("kernel", "whitened"))
        scores = [choice.fold_score for choice in choices]
        assert scores == sorted(scores, reverse=True)
        disagree += choices[0].score < choices[1].score
    assert disagree > 0  # or the data no longer tells the two rankings apart
    assert select(curved(2, noise=0.02, k=150)[0])[0].method == "kernel"


def test_the_kernel_is_ranked_by_refits_on_the_shared_folds():
    """If it fails, the kernel's `fold_score` is leave-one-out again, which sees more rows than its rivals did."""
    anchors, _ = curved(4, k=30, noise=0.5)
    choice = select(anchors, ("kernel",), given=Given(restoration=0.0))[0]
    folds = [fold.tolist() for fold in anchors.folds(NUM_FOLDS, 0)]
    directions = reference.kernel_left_out(
        anchors.source_rows.numpy(),
        anchors.target_rows.numpy(),
        choice.inverse.gamma,
        choice.inverse.ridge,
        folds,
    )
    expected = out_of_fold_vectors(directions, anchors)
    np.testing.assert_allclose(choice.fold_translated, expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(choice.fold_translated, choice.translated, atol=1e-3)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_same_seed_chooses_bit_for_bit_the_same(objective):
    """If it fails, two people with the same anchors publish different adapters."""
    anchors, _ = curved(3, k=40)
    source, target = anchors.source.float(), anchors.target.float()
    before = source.clone(), target.clone()
    first, again = (select(Pairs(source, target), METHODS, objective, Given(seed=5), head) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        assert (a.method, a.inverse, a.score, a.fold_score, a.tried) == (
            b.method,
            b.inverse,
            b.score,
            b.fold_score,
            b.tried,
        )
        for name in ("directions", "translated", "fold_translated", "matrix"):
            assert torch.equal(getattr(a, name), getattr(b, name))
            assert getattr(a, name).dtype == torch.float64
    assert torch.equal(source, before[0])
    assert torch.equal(target, before[1])


# --- degenerate anchors


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(seed).randn(*shape))


def constant_column(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x, torch.full((len(x), 1), 7.1, dtype=x.dtype)], 1)


DEGENERATE = {
    **{
        f"k={k} d_X={d_x} d_Y={d_y}": (noise(k, k, d_x), noise(k + 1, k, d_y))
        for k in (2, 3, 4)
        for d_x, d_y in ((1, 1), (3, 3), (2, 7), (7, 2))
    },
    "constant columns": (constant_column(noise(0, 20, 5)), constant_column(noise(1, 20, 6))),
    "constant columns, float32": (
        constant_column(noise(0, 20, 5)).float(),
        constant_column(noise(1, 20, 6)).float(),
    ),
    "low rank": (noise(0, 20, 2) @ noise(1, 2, 6), noise(2, 20, 3) @ noise(3, 3, 7)),
    "low rank, float32": (
        (noise(0, 20, 2) @ noise(1, 2, 6)).float(),
        (noise(2, 20, 3) @ noise(3, 3, 7)).float(),
    ),
    "copies": (noise(0, 8, 4).repeat(3, 1), noise(1, 8, 5).repeat(3, 1)),
    "copies of the source": (noise(0, 8, 4).repeat(3, 1), noise(1, 24, 5)),
    "one source vector": (torch.full((12, 4), 0.1), noise(0, 12, 5)),
    "one target vector": (noise(0, 12, 5), torch.full((12, 4), 0.1)),
    "zero rows": (torch.cat([torch.zeros(3, 4), noise(0, 10, 4).float()]), noise(1, 13, 5)),
    "tiny": (noise(0, 20, 5) * 1e-30, noise(1, 20, 6) * 1e-30),
    "large, float32": ((noise(0, 20, 5) * 1e30).float(), (noise(1, 20, 6) * 1e30).float()),
    "far away, float32": ((noise(0, 20, 5) + 1e4).float(), (noise(1, 20, 6) + 1e4).float()),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_anchors_stay_finite(name):
    """If it fails, odd anchors become NaN in silence, in the scores or in the translations."""
    source, target = DEGENERATE[name]
    anchors = Pairs(source, target)
    for objective in ("cosine", "neighbors"):
        for choice in select(anchors, METHODS, objective):
            translated = translate(choice, anchors, source * 2 + 1)
            assert translated.shape == target.shape
            for value in (
                translated,
                choice.directions,
                choice.translated,
                choice.fold_translated,
                choice.matrix,
            ):
                assert torch.isfinite(value).all(), choice.inverse
            assert np.isfinite(
                [choice.score, choice.fold_score, *(candidate.score for candidate in choice.tried)]
            ).all()


@pytest.mark.parametrize(
    "given",
    [
        Given(restoration=1.0),
        Given(num_landmarks=1),
        Given(num_landmarks=2),
        Given(pruning_threshold=0.0),
        Given(pruning_threshold=1.0),
        Given(num_subspaces=50),
        Given(gamma=1e-6),
        Given(gamma=1e3),
        Given(ridge=1e-12),
        Given(ridge=1e6),
    ],
)
def test_extreme_options_stay_finite(given):
    """If it fails, an option inside its allowed range gives NaN in silence."""
    for source, target in ((noise(0, 20, 5), noise(1, 20, 6)), DEGENERATE["copies"]):
        anchors = Pairs(source, target)
        for choice in select(anchors, given=given):
            assert torch.isfinite(translate(choice, anchors, source * 2 + 1)).all(), choice.inverse
            assert np.isfinite([choice.score, choice.fold_score]).all()


def test_whitened_takes_no_ridge_at_all():
    """If it fails, λ = 0 is no pseudo-inverse."""
    for source, target in DEGENERATE.values():
        anchors = Pairs(source, target)
        choice = select(anchors, ("whitened",), given=Given(ridge=0.0))[0]
        assert torch.isfinite(translate(choice, anchors, source * 2 + 1)).all()
        assert np.isfinite(choice.score)
