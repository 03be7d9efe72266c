"""Adding an inverse is one file and one line: here a toy is registered, and everything that names inverses knows it."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from irp_hf import AnchoredSpace, IRPAdapter
from irp_hf.errors import DamagedFolderError, InputError
from irp_hf.maths.climbing import mean_cosine
from irp_hf.maths.confidence import calibrate
from irp_hf.maths.folds import NUM_FOLDS
from irp_hf.maths.inverses import INVERSES, Inverse, KernelInverse, PrunedInverse, describe
from irp_hf.maths.inverses.base import KernelMap, LinearMap
from irp_hf.maths.inverses.hyperparameters import hyperparameter, hyperparameters_of, lift
from irp_hf.maths.pairs import Pairs, distinct_pairs
from irp_hf.maths.projection import normalize, relative_projection
from irp_hf.maths.request import Given
from irp_hf.maths.selection import select
from irp_hf.maths.tuning import tune
from irp_hf.maths.typicality import nearest_of


@dataclass(frozen=True)
class Toy(Inverse):
    """Anchors weighted by how near they are to each other, sharpened by an exponent: no good inverse, but one."""

    title = "toy"
    folds_to = LinearMap

    sharpness: float = hyperparameter(1.0, "p", "the exponent", most=4, open=True, grid=(0.5, 1.0, 2.0))

    def relative(self, rows: Tensor, source: Tensor) -> Tensor:
        return relative_projection(rows, source)

    def absolute(self, coordinates: Tensor, target: Tensor) -> Tensor:
        weights = target.square().sum(0).pow(self.sharpness - 1)
        return coordinates @ (target * weights)

    def fold(self, source: Tensor, target: Tensor) -> LinearMap:
        return LinearMap(self.absolute(source.T, target))


@dataclass(frozen=True)
class TooSharp(Toy):
    """The same with a default that suits nobody, and is not on the grid."""

    sharpness: float = hyperparameter(4.0, "p", "the exponent", most=4, open=True, grid=(0.5, 1.0, 2.0))


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(INVERSES, "toy", Toy)


@pytest.fixture
def sides(digits):
    return digits.source[:60], digits.target[:60]


def test_it_is_fitted_saved_loaded_and_reported(toy, sides, digits, tmp_path):
    """If it fails, a new inverse must be named in a place of its own that nobody remembers."""
    adapter = IRPAdapter.from_anchors(*sides, method="toy")
    assert adapter.config.method == "toy"
    assert adapter.config.sharpness in (0.5, 1.0, 2.0)
    adapter.save_pretrained(tmp_path)
    loaded = IRPAdapter.from_pretrained(tmp_path)
    assert loaded.config.sharpness == adapter.config.sharpness
    assert np.array_equal(loaded.translate(digits.held_source), adapter.translate(digits.held_source))

    report = loaded.report(progress=False)
    row = next(row for row in report.rows if row.method == "toy")
    assert row.settings == f"sharpness={adapter.config.sharpness:g}, restoration=0.5"
    assert {"kernel", "whitened", "pruned (paper)", "toy"} <= {row.method for row in report.rows}
    assert report.chosen == "toy"
    assert f"sharpness={adapter.config.sharpness:g}" in str(loaded._card("me/toy", tmp_path, report=report))


def test_it_competes_where_the_method_is_auto(toy, sides):
    """If it fails, "auto" leaves a registered inverse out."""
    adapter = IRPAdapter.from_anchors(
        *sides, gamma=1.0, ridge=1e-2, balance=0.5, num_subspaces=1, pruning_threshold=0.5
    )
    assert set(adapter.fitted.choices) == set(INVERSES) >= {"kernel", "toy"}


def test_its_hyperparameter_is_an_option_with_a_range(toy, sides, refusal):
    """If it fails, its own option is unknown, unchecked, or taken by the others."""
    adapter = IRPAdapter.from_anchors(*sides, method="toy", sharpness=3)
    assert (adapter.config.sharpness, adapter.config.given) == (3.0, ["sharpness"])
    words = refusal(IRPAdapter.from_anchors, *sides, method="toy", sharpness=5, error=InputError)
    assert words.startswith("sharpness: expected a number above 0 and at most 4, got 5")
    assert "'toy'" in refusal(IRPAdapter.from_anchors, *sides, method="kernel", sharpness=3, error=InputError)


def test_its_halves_stand_alone(toy, sides, digits):
    """If it fails, two spaces that were published apart cannot meet by it."""
    source, target = (AnchoredSpace.from_embeddings(side) for side in sides)
    whole = IRPAdapter.connect(source, target, method="toy", sharpness=2.0, restoration=0.0)
    halves = target.to_absolute(source.to_relative(digits.held_source, "toy", sharpness=2.0), "toy", sharpness=2.0)
    np.testing.assert_allclose(halves, whole.translate(digits.held_source), rtol=1e-4, atol=1e-5)


def test_the_checksum_covers_its_hyperparameter(toy, sides, tmp_path, refusal):
    """If it fails, somebody changes what an adapter says of itself, and nobody is told."""
    IRPAdapter.from_anchors(*sides, method="toy", sharpness=2.0).save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"sharpness": 2.0', '"sharpness": 3.0'))
    refusal(IRPAdapter.from_pretrained, tmp_path, error=DamagedFolderError)


def test_without_it_what_it_saved_is_refused_in_words(sides, tmp_path, refusal, monkeypatch):
    """If it fails, an older irp_hf loads an adapter of an inverse that it does not know, and translates by another."""
    with monkeypatch.context() as patched:
        patched.setitem(INVERSES, "toy", Toy)
        IRPAdapter.from_anchors(*sides, method="toy", sharpness=2.0).save_pretrained(tmp_path)
    assert "toy" in refusal(IRPAdapter.from_pretrained, tmp_path, error=DamagedFolderError)


def test_the_tuner_for_all_takes_the_best_of_its_grid(sides, monkeypatch):
    """If it fails, an inverse without a tuner of its own keeps its default whatever the anchors say, or is flattered."""
    monkeypatch.setitem(INVERSES, "toy", TooSharp)
    anchors = Pairs(*(torch.from_numpy(side) for side in sides))
    (best,), others = tune("toy", anchors, Given())
    tried = [best, *others]
    assert best.inverse.sharpness != 4.0
    assert {trial.inverse.sharpness for trial in others} <= {0.5, 1.0, 2.0, 4.0}
    assert len({trial.inverse for trial in tried}) == len(tried) > 2
    for trial in tried:
        directions, true = torch.empty_like(anchors.target), torch.empty_like(anchors.target)
        for fold in anchors.folds(NUM_FOLDS, 0):
            train = anchors.without(fold)
            rows = normalize(anchors.source[fold], train.source_stats)
            directions[fold] = trial.inverse.fold(train.source_rows, train.target_rows)(rows)
            true[fold] = normalize(anchors.target[fold], train.target_stats)
        assert trial.cosine == pytest.approx(mean_cosine(directions, true), abs=1e-9)
        assert trial.cosine <= best.cosine
    assert mean_cosine(best.directions, best.true) == pytest.approx(best.cosine, abs=1e-9)
    (fixed,), none = tune("toy", anchors, Given(sharpness=3.0))
    assert (fixed.inverse.sharpness, none) == (3.0, [])


@pytest.mark.parametrize("method", INVERSES)
def test_fields_and_registry_agree(method):
    """If it fails, a default lies outside of its own range, or a hyper-parameter has no words."""
    inverse = INVERSES[method]()
    for name, parameter in hyperparameters_of(inverse).items():
        assert parameter.meaning
        assert parameter.symbol
        if parameter.default is not None:
            assert parameter.check(parameter.default) == getattr(inverse, name)
    assert describe(inverse, 0.5).endswith("restoration=0.5")


def test_settings_are_written_as_connect_takes_them():
    """If it fails, what a report or a card says cannot be given to `connect`, or names what was not set."""
    assert describe(KernelInverse(2.0, 1e-2), 0.0) == "gamma=2, ridge=0.01, restoration=0"
    lifted = KernelInverse(0.0625, 1 / 300, num_landmarks=1500, lift=0.5)
    assert describe(lifted, 0.5) == "gamma=0.0625, ridge=0.00333, num_landmarks=1500, lift=0.5, restoration=0.5"
    assert describe(PrunedInverse(), 0.0) == "pruning_threshold=0.7, num_subspaces=8, restoration=0"


@dataclass(frozen=True)
class ToyKernel(Inverse):
    """Another radial similarity on a few landmarks, with a γ of its own: what it folds to has landmarks, too."""

    title = "toy kernel"
    folds_to = KernelMap

    gamma: float = hyperparameter(3.0, "γ", "how local it is", most=10, open=True)

    def relative(self, rows: Tensor, source: Tensor) -> Tensor:
        return relative_projection(rows, source[::3], self.gamma)

    def absolute(self, coordinates: Tensor, target: Tensor) -> Tensor:
        return coordinates @ target[::3]

    def fold(self, source: Tensor, target: Tensor) -> KernelMap:
        return KernelMap(source[::3], target[::3], torch.zeros(target.shape[1], dtype=target.dtype), self.gamma)


@dataclass(frozen=True)
class ToyGamma(Toy):
    """A linear map whose own hyper-parameter is called γ, as that of the confidence is."""

    title = "toy gamma"

    gamma: float = hyperparameter(0.5, "γ", "nothing", most=10, open=True)


@pytest.mark.parametrize("kind", [ToyKernel, ToyGamma])
def test_confidence_and_map_do_not_take_each_others_place(kind, sides, digits, monkeypatch, tmp_path):
    """If it fails, a new inverse with landmarks or a γ of its own cannot be translated, or with wrong confidences."""
    monkeypatch.setitem(INVERSES, "toy", kind)
    adapter = IRPAdapter.from_anchors(*sides, method="toy")
    pairs = distinct_pairs(*(torch.from_numpy(side) for side in sides))
    choice = select(pairs, ("toy",))[0]
    confidence, _ = calibrate(choice, pairs)
    x = torch.from_numpy(digits.held_source[:9]).double()
    rows = normalize(x, pairs.source_stats, choice.inverse.lift)
    similar = relative_projection(rows, confidence.landmarks, confidence.gamma)
    typical = confidence.typicality(x, pairs.source_stats.mean, nearest_of(similar, confidence.gamma))
    norms = torch.linalg.vector_norm(choice.fold(pairs)(rows), dim=1)
    expected = confidence.of_similarities(similar, norms, typical)
    adapter.save_pretrained(tmp_path)
    for one in (adapter, IRPAdapter.from_pretrained(tmp_path)):
        torch.testing.assert_close(one.translate(x), choice.translator(pairs)(x), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(one.confidence(x), expected, rtol=1e-4, atol=1e-4)
        assert one.config.gamma == kind.gamma


@dataclass(frozen=True)
class ToyWithoutDefault(Toy):
    """Its hyper-parameter has no default, and lengths may count."""

    sharpness: float | None = hyperparameter(None, "p", "the exponent", most=4, open=True, grid=(0.5, 1.0, 2.0))
    lift: float = lift()

    def absolute(self, coordinates: Tensor, target: Tensor) -> Tensor:
        return coordinates @ (target * target.square().sum(0).pow((self.sharpness or 1.0) - 1))


def test_what_has_no_default_is_tuned_too_and_lengths_count_where_they_tell(sides, monkeypatch):
    """If it fails, an inverse that leaves a hyper-parameter open cannot be fitted, or is never lifted."""
    monkeypatch.setitem(INVERSES, "toy", ToyWithoutDefault)
    random = np.random.RandomState(3)
    x = random.randn(80, 6) * np.exp(random.randn(80, 1)) + 2
    y = np.hstack([np.tanh(x[:, :4]), np.log1p(np.linalg.norm(x - x.mean(0), axis=1, keepdims=True))])
    adapter = IRPAdapter.from_anchors(x, y, method="toy")
    assert adapter.config.sharpness in (0.5, 1.0, 2.0)
    assert adapter.config.lift > 0
    assert IRPAdapter.from_anchors(*sides, method="toy", lift=0.0).config.lift == 0.0
