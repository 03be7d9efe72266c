"""An anchored space holds one side's anchors; its two halves make a translation with anybody else's."""

import copy
import pickle

import datasets
import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoConfig, AutoModel

from irp_hf import AnchoredSpace, AnchoredSpaceConfig, AnchorSet, IRPAdapter
from irp_hf.errors import AnchorMismatchError, InputError
from irp_hf.maths import halves
from irp_hf.maths.inverses.kernel import KernelInverse
from irp_hf.maths.inverses.pruned import PrunedInverse
from irp_hf.maths.metrics import cosines
from irp_hf.maths.projection import denormalize
from irp_hf.maths.request import Given

X = np.random.RandomState(0).randn(30, 4).astype(np.float32)


def space(x=X, **options):
    return AnchoredSpace.from_embeddings(x, **options)


@pytest.mark.parametrize(
    "x",
    [
        X.astype(np.float64),
        torch.from_numpy(X),
        torch.from_numpy(X.copy()).requires_grad_(),
        X.tolist(),
        pa.array(X.tolist(), pa.list_(pa.float32())),
        datasets.Dataset.from_dict({"e": X.tolist()})["e"],
    ],
    ids=lambda x: type(x).__name__,
)
def test_every_kind_makes_the_same_space(x):
    """A space would depend on the container that its embeddings came in."""
    made = space(x)
    np.testing.assert_array_equal(made.anchors, X)
    np.testing.assert_array_equal(made.mean, space().mean)
    assert (made.config.num_anchors, made.config.hidden_size) == (30, 4)
    assert {(p.dtype, p.requires_grad) for p in made.parameters()} == {(torch.float32, False)}


def test_the_anchors_are_a_copy():
    """A caller who reuses the buffer would change the anchors."""
    x = X.copy()
    made = space(x)
    x[:] = 0
    np.testing.assert_array_equal(made.anchors, X)


def test_mean_and_mean_scale_are_those_of_the_anchors():
    """Translations would arrive off centre or in another size."""
    made = space()
    np.testing.assert_allclose(made.mean, X.mean(0), rtol=1e-5, atol=1e-7)
    scale = np.linalg.norm(X - X.mean(0), axis=1).mean()
    np.testing.assert_allclose(made.statistics.scale, scale, rtol=1e-6)
    unit = (X - X.mean(0)) / np.linalg.norm(X - X.mean(0), axis=1, keepdims=True)
    np.testing.assert_allclose(made.unit_anchors, unit, atol=1e-6)


def test_who_encoded_what_is_kept():
    """Two published spaces could not be told apart."""
    anchors = AnchorSet([f"item {row}" for row in range(30)])
    made = space(anchor_set=anchors, encoder="me/encoder")
    assert made.config.anchor_fingerprint == anchors.fingerprint
    assert made.config.encoder == {"id": "me/encoder"}
    assert repr(made) == "AnchoredSpace(me/encoder: 30 anchors, 4 wide)"
    assert space(encoder={"id": "a", "pooling": "mean"}).config.encoder == {"id": "a", "pooling": "mean"}
    assert (space().config.encoder, space().config.anchor_fingerprint) == (None, None)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (X[:1], ["at least 2", "got 1"]),
        (X[[3] * 5], ["same vector 5 times"]),
        (X * 0, ["same vector 30 times"]),
        (np.where(X[7, 1] == X, np.nan, X), ["Row 7", "NaN"]),
        (np.where(X[7, 1] == X, np.inf, X), ["Row 7", "infinity"]),
        (np.where(X[7, 1] == X, 1e20, X), ["Row 7", "1e+20", "1e+15"]),
        (np.array([[3e-20, 0], [0, 4e-20], [-3e-20, -4e-20]]), ["mean scale", "1e-15", "got 4e-20"]),
    ],
    ids=["one", "constant", "zero", "NaN", "infinity", "huge", "tiny"],
)
def test_anchors_that_describe_no_space_are_refused(x, said, refusal):
    """Translations would be NaN, or all the mean."""
    words = refusal(space, x, error=InputError)
    assert "embeddings" in words
    assert all(part in words for part in said), words


def test_as_many_rows_as_items(refusal):
    """Anchors of other items, or in another order, would be published under the fingerprint."""
    anchors = AnchorSet(["a", "b", "c"])
    words = refusal(space, X, anchor_set=anchors, error=AnchorMismatchError)
    assert words.startswith("embeddings: expected 3 rows")
    assert "got 30. " in words
    assert "got a list. " in refusal(space, X, anchor_set=["a"] * 30, error=InputError)


@pytest.mark.parametrize("k", [2, 3])
def test_two_anchors_are_enough(k):
    """The smallest space would divide by zero."""
    assert torch.isfinite(space(X[:k]).unit_anchors).all()


def test_a_zero_vector_is_an_anchor_like_others():
    """An encoder that gives zeros for an empty text would break the whole space."""
    x = X.copy()
    x[4] = 0
    assert np.isfinite(space(x).to_relative(X)).all()


HALVES = [
    ("kernel", {"gamma": 1.5, "ridge": 1e-3}),
    ("kernel", {"gamma": 1.5, "ridge": 1e-3, "num_landmarks": 40, "seed": 3}),
    ("whitened", {"balance": 0.25, "ridge": 1e-2}),
    ("pruned", {"pruning_threshold": 0.6, "num_subspaces": 3, "seed": 5}),
]


@pytest.mark.parametrize(("method", "options"), HALVES)
def test_the_two_halves_are_the_connected_translation(method, options, spaces, digits):
    """Spaces published apart would not speak to each other as an adapter between them does."""
    source, target = spaces
    x = digits.held_source[:50].astype(np.float64)
    coordinates = source.to_relative(x, method, **options)
    assert coordinates.shape == (50, source.config.num_anchors)
    alone = {} if method == "pruned" else {"rigid": 0}  # which takes both sides
    together = IRPAdapter.connect(source, target, method=method, restoration=0, **alone, **options)
    np.testing.assert_allclose(
        target.to_absolute(coordinates, method, **options), together.translate(x), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("method", ["kernel", "whitened", "pruned"])
def test_the_halves_have_sane_defaults(method, spaces, digits):
    """`target.to_absolute(source.to_relative(x))`, the shortest way to translate, would give noise."""
    source, target = spaces
    made = target.to_absolute(source.to_relative(digits.held_source, method), method)
    centred = [side - digits.target.mean(0) for side in (made, digits.held_target)]
    cosine = (centred[0] * centred[1]).sum(1) / np.prod([np.linalg.norm(side, axis=1) for side in centred], axis=0)
    assert cosine.mean() > 0.6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_halves_keep_kind_and_dtype(dtype, spaces, digits):
    """Half precision in would not be half precision out."""
    source, target = spaces
    coordinates = source.to_relative(torch.from_numpy(digits.held_source[:3]).to(dtype), "pruned")
    made = target.to_absolute(coordinates, "pruned")
    assert (coordinates.dtype, made.dtype, made.shape) == (dtype, dtype, (3, 24))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "auto"}, ["method: ", "'kernel', 'whitened', 'pruned'", "got 'auto'"]),
        ({"method": "whitened", "gamma": 1}, ["gamma: ", "'whitened'", "'kernel'"]),
        ({"gama": 1}, ["'gama'"]),
        ({"gamma": -1}, ["gamma: ", "got -1"]),
        ({"ridge": 0}, ["ridge: ", "got 0"]),
        ({"restoration": 0.5}, ["restoration: ", "got 0.5"]),
    ],
)
def test_halves_refuse_what_they_cannot_use(options, said, refusal):
    """A typing error would silently give the defaults, and what a half cannot do be left out without a word."""
    for half in (space().to_relative, space().to_absolute):
        words = refusal(half, X, error=InputError, **options)
        assert all(part in words for part in said), words


def test_halves_check_their_input(refusal):
    """Absolute vectors would be taken for relative coordinates, or NaN would pass."""
    made = space()
    for half, x, said in (
        (made.to_relative, X[:, :3], ["embeddings", "4", "3"]),
        (made.to_absolute, X, ["relative coordinates", "30", "4", "to_relative"]),
        (made.to_relative, X * np.nan, ["Row 0", "embeddings", "NaN"]),
        (made.to_absolute, np.full((2, 30), np.inf), ["Row 0", "relative coordinates", "infinity"]),
    ):
        words = refusal(half, x, error=InputError)
        assert all(part in words for part in said), words


def test_half_precision_that_cannot_hold_the_space_is_refused(refusal):
    """Coordinates in float16 would come back as infinity."""
    made = space(X * 1e6)
    coordinates = made.to_relative(X, "pruned").astype(np.float16)
    words = refusal(made.to_absolute, coordinates, "pruned", error=InputError)
    assert all(part in words for part in ("relative coordinates", "float16", "65504", "e+06", "float32")), words


def test_defaults_and_options_reach_the_inverse():
    """What the user gave would be replaced by a default."""
    made = space()
    coordinates = made.to_relative(X, "pruned")
    given = made.to_absolute(coordinates, "pruned", pruning_threshold=0.3, seed=4, num_subspaces=2)
    inverse = PrunedInverse(pruning_threshold=0.3, seed=4, num_subspaces=2)
    directions = inverse.absolute(torch.from_numpy(coordinates).double(), made.unit_anchors)
    np.testing.assert_array_equal(given, denormalize(directions, made.statistics).float())
    assert made._half("kernel", Given(), "target") == KernelInverse()


def test_a_half_chooses_once(spaces, digits, monkeypatch, tmp_path):
    """Every call would choose again, or a space would go on with what was chosen for other anchors."""
    made = space(digits.target)
    calls, choose = [], halves.half
    monkeypatch.setattr("irp_hf.models.space.half", lambda *args: (calls.append(args), choose(*args))[1])
    z = made.to_relative(digits.target[:4], "whitened")
    first = made.to_absolute(z, "whitened")
    np.testing.assert_array_equal(made.to_absolute(z, "whitened"), first)
    assert [args[3] for args in calls] == ["source", "target"]
    twin = copy.deepcopy(pickle.loads(pickle.dumps(made)))
    np.testing.assert_array_equal(twin.to_absolute(z, "whitened"), first)
    made.save_pretrained(tmp_path)
    np.testing.assert_array_equal(AnchoredSpace.from_pretrained(tmp_path).to_absolute(z, "whitened"), first)
    calls.clear()
    made.load_state_dict(space(digits.target[::-1].copy()).state_dict())
    made.to_absolute(z, "whitened")
    made.to_absolute(z, "whitened", seed=1)
    assert len(calls) == 2


@pytest.mark.parametrize("method", ["kernel", "whitened", "pruned"])
def test_halves_keep_most_of_what_a_tuned_pair_reaches(method, spaces, digits):
    """Each side needs itself alone; translations by halves would be far worse than those that were tuned on both."""
    source, target = spaces
    for one, other, x, y in (
        (source, target, digits.held_source, digits.held_target),
        (target, source, digits.held_target, digits.held_source),
    ):
        made = other.to_absolute(one.to_relative(x, method), method)
        tuned = IRPAdapter.connect(one, other, method).translate(x)
        mean = other.mean.numpy()
        by_halves, by_both = (
            float(cosines(torch.from_numpy(found - mean), torch.from_numpy(y - mean)).mean()) for found in (made, tuned)
        )
        assert by_halves > 0.9 * by_both, (by_halves, by_both)


def test_a_saved_space_is_the_same(tmp_path, spaces, digits):
    """A published space would not be the one that was made."""
    spaces[0].save_pretrained(tmp_path)
    for loaded in (AnchoredSpace.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)):
        assert type(loaded) is AnchoredSpace
        assert loaded.config.encoder == {"id": "me/pixels"}
        assert loaded.config.anchor_fingerprint == spaces[0].config.anchor_fingerprint
        np.testing.assert_array_equal(loaded.to_relative(digits.held_source), spaces[0].to_relative(digits.held_source))
    assert type(AutoConfig.from_pretrained(tmp_path)) is AnchoredSpaceConfig
