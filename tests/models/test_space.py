"""An anchored space holds one side's anchors; its two halves make a translation with anybody else's."""

import datasets
import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoConfig, AutoModel

from irp_hf import AnchoredSpace, AnchoredSpaceConfig, AnchorSet, IRPAdapter
from irp_hf.errors import AnchorMismatchError, InputError
from irp_hf.maths.inverses.pruned import PrunedInverse
from irp_hf.models.space import inverse_of

X = np.random.RandomState(0).randn(30, 4).astype(np.float32)
WORDS_FINITE = "Only finite numbers can be used; drop or encode that row again."


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
    ("x", "words"),
    [
        (
            X[:1],
            "There is 1 anchor in the embeddings; at least 2 are wanted. Some hundred to a few thousand work well.",
        ),
        (
            X[[3] * 5],
            "All 5 anchors in the embeddings are the same vector; different ones are "
            "wanted. Check what the encoder was given.",
        ),
        (
            X * 0,
            "All 30 anchors in the embeddings are the same vector; different ones are "
            "wanted. Check what the encoder was given.",
        ),
        (np.where(X[7, 1] == X, np.nan, X), f"embeddings hold NaN in row 7. {WORDS_FINITE}"),
        (np.where(X[7, 1] == X, np.inf, X), f"embeddings hold infinity in row 7. {WORDS_FINITE}"),
        (
            np.where(X[7, 1] == X, 1e20, X),
            "embeddings hold 1e+20 in row 7; at most 1e+15 is wanted. Scale them to the size of the anchors.",
        ),
        (
            np.array([[3e-20, 0], [0, 4e-20], [-3e-20, -4e-20]]),
            "The anchors in the embeddings have a mean scale of 4e-20; at least 1e-15 "
            "is wanted. Multiply them by a constant.",
        ),
    ],
    ids=["one", "constant", "zero", "NaN", "infinity", "huge", "tiny"],
)
def test_the_words_of_a_refusal(x, words, refusal):
    """No space can be described by such anchors: translations would be NaN, or all the mean."""
    assert refusal(space, x, error=InputError) == words


def test_as_many_rows_as_items(refusal):
    """Anchors of other items, or in another order, would be published under the fingerprint."""
    anchors = AnchorSet(["a", "b", "c"])
    assert refusal(space, X, anchor_set=anchors, error=AnchorMismatchError) == (
        "The embeddings have 30 rows, the anchor set 3 items. Encode anchor_set.view(), all of it and in its order."
    )


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
    together = IRPAdapter.connect(source, target, method=method, restoration=0, **options)
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
    ("options", "words"),
    [
        (
            {"method": "auto"},
            "method is 'auto'; one of 'kernel', 'whitened', 'pruned' is wanted. Choose one of them.",
        ),
        ({"method": "whitened", "gamma": 1}, None),
        ({"gama": 1}, None),
        ({"gamma": -1}, None),
        ({"ridge": 0}, None),
    ],
)
def test_halves_refuse_what_they_cannot_use(options, words, refusal):
    """A typing error would silently give the defaults."""
    for half in (space().to_relative, space().to_absolute):
        found = refusal(half, X, error=InputError, **options)
        assert words is None or found == words


def test_halves_check_their_input(refusal):
    """Absolute vectors would be taken for relative coordinates, or NaN would pass."""
    made = space()
    assert refusal(made.to_relative, X[:, :3]) == (
        "embeddings are 3 wide, 4 is wanted. Encode them with the encoder whose anchors these are."
    )
    assert refusal(made.to_absolute, X).startswith("relative coordinates are 4 wide, 30 is wanted. ")
    assert refusal(made.to_relative, X * np.nan).startswith("embeddings hold NaN in row 0. ")
    assert refusal(made.to_absolute, np.full((2, 30), np.inf)).startswith("relative coordinates hold infinity ")


def test_half_precision_that_cannot_hold_the_space_is_refused(refusal):
    """Coordinates in float16 would come back as infinity."""
    made = space(X * 1e6)
    coordinates = made.to_relative(X, "pruned").astype(np.float16)
    words = refusal(made.to_absolute, coordinates, "pruned")
    assert words.startswith("relative coordinates are float16, which ends at 65504; the results would reach 2.")
    assert words.endswith(". Give them as float32.")


def test_defaults_and_options_reach_the_inverse():
    """What the user gave would be replaced by a default."""
    assert inverse_of("pruned") == PrunedInverse()
    assert inverse_of("pruned", pruning_threshold=0.3, seed=4) == PrunedInverse(pruning_threshold=0.3, seed=4)


def test_a_saved_space_is_the_same(tmp_path, spaces, digits):
    """A published space would not be the one that was made."""
    spaces[0].save_pretrained(tmp_path)
    for loaded in (AnchoredSpace.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)):
        assert type(loaded) is AnchoredSpace
        assert loaded.config.encoder == {"id": "me/pixels"}
        assert loaded.config.anchor_fingerprint == spaces[0].config.anchor_fingerprint
        np.testing.assert_array_equal(loaded.to_relative(digits.held_source), spaces[0].to_relative(digits.held_source))
    assert type(AutoConfig.from_pretrained(tmp_path)) is AnchoredSpaceConfig
