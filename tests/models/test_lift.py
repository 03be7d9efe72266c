"""The lift, from end to end: what lengths tell is stored, comes back bit for bit, and is refused where it was altered."""

import json

import numpy as np
import pytest
import reference
import torch

from irp_hf import AnchoredSpace, IRPAdapter, IRPConfig
from irp_hf.errors import DamagedFolderError
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import normalize, statistics

RANDOM = np.random.RandomState(3)
X = (RANDOM.randn(80, 6) * np.exp(RANDOM.randn(80, 1)) + 2).astype(np.float32)
Y = np.hstack([np.tanh(X[:, :4]), np.log1p(np.linalg.norm(X - X.mean(0), axis=1, keepdims=True))]).astype(np.float32)
GIVEN = {
    "kernel": {"method": "kernel", "gamma": 2.0, "ridge": 0.1, "restoration": 0.0},
    "whitened": {"method": "whitened", "balance": 0.5, "ridge": 0.1, "restoration": 0.0},
}


def fit(method: str, lift: float) -> IRPAdapter:
    return IRPAdapter.from_anchors(X, Y, **GIVEN[method], lift=lift, rigid=0.0)


def by_hand(method: str, lift: float, x: np.ndarray) -> np.ndarray:
    source, target = X.astype(float), Y.astype(float)
    rows, anchors = (reference.normalize(side.astype(float), source, lift) for side in (x, source))
    unit = reference.normalize(target, target)
    directions = (
        reference.kernel(rows, anchors, unit, 2.0, 0.1)
        if method == "kernel"
        else reference.whitened(rows, anchors, unit, 0.5, 0.1)
    )
    return reference.denormalize(directions, target)


def test_it_is_one_more_coordinate():
    """If it fails, lengths are not measured in mean scales, or count where they should not."""
    stats = statistics(torch.from_numpy(X).double())
    for lift in (0.0, 0.5, 3.0):
        found = normalize(torch.from_numpy(X).double(), stats, lift)
        np.testing.assert_allclose(found, reference.normalize(X.astype(float), X.astype(float), lift), rtol=1e-6)
        assert found.shape[1] == 6 + (lift > 0)


@pytest.mark.parametrize("lift", [0.0, 0.7])
@pytest.mark.parametrize("method", GIVEN)
def test_it_translates_as_the_loops_do(method, lift):
    """If it fails, the stored map is not the inverse at its lift, in either precision or on one vector."""
    x = X[:9] * 1.3
    adapter = fit(method, lift)
    expected = by_hand(method, lift, x)
    np.testing.assert_allclose(adapter.translate(x.astype(float)), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(adapter.translate(x), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(adapter.translate(x[:1]), expected[:1], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        adapter(embeddings=torch.from_numpy(x)).translated, torch.from_numpy(adapter.translate(x))
    )


@pytest.mark.parametrize("method", GIVEN)
def test_both_halves_lift_alike(method):
    """If it fails, whoever exchanges relative coordinates gets other vectors than the adapter gives."""
    source, target = AnchoredSpace.from_embeddings(X), AnchoredSpace.from_embeddings(Y)
    options = {name: value for name, value in GIVEN[method].items() if name != "restoration"}
    halves = target.to_absolute(source.to_relative(X[:5], **options, lift=0.7), **options)
    np.testing.assert_allclose(halves, fit(method, 0.7).translate(X[:5]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", GIVEN)
def test_lengths_count_with_it_alone(method):
    """If it fails, an adapter without a lift changed its meaning, or one with a lift does not see lengths."""
    mean = X.mean(0)
    longer = (X[:5] - mean) * 2 + mean
    without, lifted = fit(method, 0.0), fit(method, 0.7)
    np.testing.assert_allclose(without.translate(longer), without.translate(X[:5]), rtol=1e-3, atol=1e-4)
    assert np.abs(lifted.translate(longer) - lifted.translate(X[:5])).max() > 0.01


@pytest.mark.parametrize("method", GIVEN)
def test_a_moved_source_is_lifted_alike(method):
    """If it fails, the lift depends on the source's unit or origin, which mean nothing."""
    moved = IRPAdapter.from_anchors(X * 40 - 7, Y, **GIVEN[method], lift=0.7)
    np.testing.assert_allclose(moved.translate(X[:5] * 40 - 7), fit(method, 0.7).translate(X[:5]), rtol=1e-3, atol=1e-3)


def test_it_is_chosen_and_reported():
    """If it fails, lengths that tell something are left unused, or the report and the config keep quiet about it."""
    adapter = IRPAdapter.from_anchors(X, Y, method="kernel")
    assert adapter.config.lift > 0
    assert adapter.config.given == []
    plain = IRPAdapter.from_anchors(X, Y, method="kernel", lift=0.0)
    assert adapter.config.score > plain.config.score + 0.01
    chosen, given = (made.report(progress=False, against=[]).finalists[0].words for made in (adapter, plain))
    assert f"lift={adapter.config.lift:.3g}" in chosen
    assert "lift" not in given


@pytest.mark.parametrize("method", GIVEN)
def test_it_comes_back_bit_for_bit(method, tmp_path):
    """If it fails, a saved adapter translates, or trusts itself, otherwise than the one that was measured."""
    adapter = fit(method, 0.7)
    adapter.save_pretrained(tmp_path)
    loaded = IRPAdapter.from_pretrained(tmp_path)
    assert loaded.config.lift == 0.7
    assert np.array_equal(loaded.translate(X), adapter.translate(X))
    assert np.array_equal(loaded.confidence(X), adapter.confidence(X))
    expected = 0.7 * float(Pairs(torch.from_numpy(X), torch.from_numpy(Y)).source_stats.scale)
    assert float(loaded.source_lift) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("saved", "altered"), [(0.7, 0.9), (0.7, 0.0), (0.0, 0.7), (0.7, -1.0)])
def test_an_altered_lift_is_refused(saved, altered, tmp_path):
    """If it fails, the card tells of another lift than the vectors have."""
    fit("kernel", saved).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"lift": altered}))
    with pytest.raises(DamagedFolderError):
        IRPAdapter.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("method", "checksum"),
    [
        ("kernel", "8a1df0827cfbc0d015ce351d49567a14b0fe3bc09b2cb36b722448e3f4962e68"),
        ("whitened", "a328458a34834c27805bacb305b46126d336824002aadec2ac8871dfc8ed6c5e"),
    ],
)
def test_what_was_saved_before_there_was_a_lift_is_whole(method, checksum):
    """If it fails, every adapter that was ever published is refused as damaged."""
    sizes = {"num_anchors": 4, "source_size": 3, "target_size": 2, "num_landmarks": 4}
    assert IRPAdapter(IRPConfig(**sizes, method=method, gamma=2.0, ridge=0.1)).checksum() == checksum
