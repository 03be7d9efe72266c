"""Selection where the answer is known: isometries exact, no leak, honest scores, finite on degenerate anchors."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from irp_hf.maths.climbing import SAMPLE
from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import normalize, unit_rows
from irp_hf.maths.request import Given
from irp_hf.maths.selection import Choice, select

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


def translate(choice: Choice, anchors: Pairs, source: torch.Tensor) -> torch.Tensor:
    return choice.translator(anchors)(source.double())


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
@pytest.mark.parametrize("seed", range(2))
def test_isometries_are_exact(widths, method, seed):
    """If it fails, two encoders that differ by a rotation, a scale and a shift are not stitched without
    loss: float32
    rounding in directions that the data lacks (d_Y above the rank) is taken for data and blown up."""
    anchors, unseen = isometric(seed, *widths)
    (choice,) = select(anchors, (method,), given=EXACT[method])
    assert float(direction_errors(choice, anchors, unseen).max()) < 1e-5


@pytest.mark.parametrize("ridge", [1e-12, 1e-10])
@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_a_tiny_ridge_lifts_no_direction_that_anchors_lack(ridge, balance):
    """If it fails, a ridge from the low end of the grid divides float32 rounding by almost nothing (errors of 1e-2)."""
    for widths in WIDTHS:
        anchors, unseen = isometric(0, *widths)
        given = Given(ridge=ridge, balance=balance, restoration=0.0)
        (choice,) = select(anchors, ("whitened",), given=given)
        assert float(direction_errors(choice, anchors, unseen).max()) < 1e-5


@pytest.mark.parametrize(("seed", "widths"), list(enumerate(WIDTHS[:3])))
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


# --- no leak, honest scores


def balanced(x: np.ndarray) -> np.ndarray:
    """Rows of equal length whose sum is zero: the trap, for then a held-out row is minus the sum of the
    others."""
    for _ in range(200):
        x = x - x.mean(0)
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return x


@pytest.mark.parametrize("method", INVERSES)
@pytest.mark.parametrize(
    ("k", "d_x", "d_y", "equal_norms"),
    [(20, 20, 20, True), (20, 20, 20, False), (30, 60, 20, True), (40, 10, 10, True), (60, 20, 30, False)],
)
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


@pytest.mark.parametrize(
    ("source", "target", "k"),
    [("pca", "tanh", 200), ("relu", "tanh", 60), ("relu", "tanh", 200), ("tanh", "relu", 60), ("tanh", "relu", 600)],
)
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
    if k > SAMPLE:  # where it is left out, it would have come last
        choices += select(anchors, ("pruned",))
        assert choices[-1].fold_score < choices[-2].fold_score
    assert [choice.method for choice in choices if choice.method == "pruned"] == ["pruned"]
    assert choices[-1].method == "pruned"


def test_landmarks_score_honestly_too(encoders):
    """If it fails, a kernel with landmarks is scored as if all anchors carried it."""
    anchors = Pairs(encoders["relu"][:300], encoders["tanh"][:300])
    few, all_ = (select(anchors, ("kernel",), given=Given(num_landmarks=m))[0] for m in (40, None))
    found = cosine(translate(few, anchors, encoders["relu"][-600:]), encoders["tanh"][-600:].double())
    assert few.score == pytest.approx(found, abs=0.02)
    assert few.score < all_.score - 0.005
    assert few.fold(anchors).landmarks.shape == (40, 50 + (few.inverse.lift > 0))


# --- degenerate anchors


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(seed).randn(*shape))


def constant_column(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x, torch.full((len(x), 1), 7.1, dtype=x.dtype)], 1)


DEGENERATE = {
    **{
        f"k={k} d_X={d_x} d_Y={d_y}": (noise(k, k, d_x), noise(k + 1, k, d_y))
        for k, d_x, d_y in ((2, 1, 1), (2, 2, 7), (2, 7, 2), (3, 3, 3), (3, 2, 7), (4, 1, 1), (4, 7, 2))
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
        for choice in select(anchors, INVERSES, objective):
            translated = translate(choice, anchors, source * 2 + 1)
            assert translated.shape == target.shape
            for value in (
                translated,
                choice.directions,
                choice.translated,
                choice.fold_translated,
                choice.stretch.factors,
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


@pytest.mark.parametrize("method", ["whitened", "kernel"])
def test_many_anchors_of_a_wide_target(method: str):
    """Sums that stand for the columns of a wide target would be of another dtype than what they are compared with."""
    random = torch.Generator().manual_seed(0)
    source = torch.randn(520, 20, generator=random, dtype=torch.float64)
    target = torch.tanh(source @ torch.randn(20, 210, generator=random, dtype=torch.float64) / 4)
    (choice,) = select(Pairs(source, target), (method,))
    assert choice.score > 0.9
