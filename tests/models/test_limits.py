"""`IRPAdapter` at its limits: awkward anchors still translate, and bad anchors, options or inputs are refused."""

import numpy as np
import pytest
import torch
from torch import nn

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter, IRPConfig
from irp_hf.errors import AnchorMismatchError, InputError, IRPError
from irp_hf.maths.selection import METHODS

RANDOM = np.random.RandomState(0)
X = RANDOM.randn(60, 8).astype(np.float32)
Y = np.tanh(X @ RANDOM.randn(8, 12) * 0.5).astype(np.float32)
QUICK = {"method": "kernel", "gamma": 1.0, "ridge": 1e-2}


def fit(x=X, y=Y, **options):
    return IRPAdapter.from_anchors(x, y, **(options or QUICK))


@pytest.mark.parametrize("method", [*METHODS, "auto"])
@pytest.mark.parametrize(
    ("x", "y"),
    [
        (X[:2], Y[:2]),
        (X[:3], Y[:3]),
        (X[:6], Y[:6]),
        (X[:8], Y[:8]),
        (X[:12], Y[:12]),
        (X[:, :1], Y),
        (X, Y[:, :1]),
        (X[:, :1], Y[:, :1]),
        (X * np.float32([0, 1, 1, 1, 1, 1, 1, 0]), Y),
        (np.outer(X[:, 0], np.ones(8)), Y),
        (X[[0] * 30 + [1] * 30], Y[[0] * 30 + [1] * 30]),
        (X[[0] * 30 + [1] * 30], Y),
        (np.where(np.arange(60)[:, None] == 5, 0, X), np.where(np.arange(60)[:, None] == 7, 0, Y)),
    ],
    ids=[
        "k=2",
        "k=3",
        "k<d",
        "k=d_X",
        "k=d_Y",
        "d_X=1",
        "d_Y=1",
        "widths 1",
        "dead columns",
        "rank 1",
        "two distinct",
        "two distinct sources",
        "zero vectors",
    ],
)
def test_awkward_anchors_still_give_finite_translations(method, x, y):
    """Few, narrow, degenerate or repeated anchors would end in NaN or in a failed decomposition."""
    made = fit(x, y, method=method)
    assert made.translate(x).shape == y.shape
    assert np.isfinite(made.translate(x)).all()
    assert np.isfinite(made.confidence(x)).all()
    assert all(torch.isfinite(tensor).all() for tensor in made.state_dict().values())


@pytest.mark.parametrize("gamma", [1e-6, 1.0, 1e3])
@pytest.mark.parametrize("ridge", [1e-12, 1e-6, 1e6])
def test_extreme_options_still_give_finite_translations(gamma, ridge):
    """A value inside the allowed range would end in a failed decomposition."""
    x = np.concatenate([X, X[:10]])
    y = np.concatenate([Y, Y[10:20]])
    for num_landmarks in (None, 20):
        made = fit(x, y, method="kernel", gamma=gamma, ridge=ridge, num_landmarks=num_landmarks)
        assert np.isfinite(made.translate(X)).all()


@pytest.mark.parametrize("method", METHODS)
def test_copies_are_dropped_for_the_fit(method):
    """Copies leak in leave-one-out: a tiny ridge would look perfect."""
    twice = fit(np.concatenate([X, X[::-1]]), np.concatenate([Y, Y[::-1]]), method=method)
    once = fit(method=method)
    np.testing.assert_array_equal(twice.translate(X), once.translate(X))
    np.testing.assert_array_equal(twice.confidence(X), once.confidence(X))
    assert (twice.config.num_anchors, twice.config.score) == (120, once.config.score)


def test_unequal_numbers_of_anchors(refusal):
    """Rows that do not belong together would be paired."""
    assert refusal(fit, X, Y[:50], error=AnchorMismatchError) == (
        "The source has 60 anchors, the target 50. Encode the same items in the same order on both sides."
    )


def test_spaces_of_different_anchors(refusal):
    """Two spaces that share no items would be connected, and translate into noise."""
    sets = [AnchorSet([f"{word} {row}" for row in range(60)]) for word in ("cat", "dog")]
    cat, dog = (AnchoredSpace.from_embeddings(X, anchors) for anchors in sets)
    short = [f"{anchors.fingerprint[:8]}…" for anchors in sets]
    assert refusal(IRPAdapter.connect, cat, dog, error=AnchorMismatchError) == (
        f"Anchor sets differ: source {short[0]} (60 items), target {short[1]} (60 "
        f"items). Both spaces must encode the "
        "same items in the same order; encode one of them again with the anchor set of the other."
    )
    unknown = AnchoredSpace.from_embeddings(Y[:50])
    assert refusal(IRPAdapter.connect, cat, unknown, error=AnchorMismatchError).startswith(
        f"Anchor sets differ: source {short[0]} (60 items), target without fingerprint (50 items). "
    )
    trusted = AnchoredSpace.from_embeddings(Y)
    assert IRPAdapter.connect(trusted, cat, **QUICK).config.anchor_fingerprint == sets[0].fingerprint


@pytest.mark.parametrize("thing", [X, None, 3, {"anchors": X}, AnchoredSpace])
def test_only_spaces_connect(thing, spaces, refusal):
    """Raw arrays carry no fingerprint; the refusal names the way for them."""
    assert refusal(IRPAdapter.connect, thing, spaces[1], error=InputError) == (
        f"source is a {type(thing).__name__}; an AnchoredSpace, a folder or an id is wanted. Make one "
        f"with AnchoredSpace.encode or "
        "AnchoredSpace.from_embeddings, or call IRPAdapter.from_anchors."
    )
    assert refusal(IRPAdapter.connect, spaces[0], thing, error=InputError).startswith("target is a ")


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (X * np.nan, "{} embeddings hold NaN in row 0. "),
        (X[:0], "{} embeddings are empty, shape (0, 8). "),
        (X[0], "{} embeddings have shape (8,); "),
        (X.astype(int), "{} embeddings have dtype int64; "),
        (None, "{} embeddings have dtype object; "),
        (X[[0] * 60], "All 60 anchors in {} embeddings are the same vector; "),
        (X * 1e20, "{} embeddings hold "),
        (X * 1e-20, "The anchors in {} embeddings have a mean scale of "),
    ],
    ids=["NaN", "empty", "1-d", "integers", "None", "constant", "huge", "tiny"],
)
def test_bad_anchors_are_named_with_their_side(x, words, refusal):
    """The user would not know which of two arrays to look at."""
    assert refusal(fit, x, Y, error=InputError).startswith(words.format("source"))
    assert refusal(fit, X, x, error=InputError).startswith(words.format("target"))


def test_one_anchor(refusal):
    """One pair cannot be centred."""
    assert refusal(fit, X[:1], Y[:1]) == (
        "There is 1 anchor in source embeddings; at least 2 are wanted. Some hundred to a few thousand work well."
    )


@pytest.mark.parametrize(
    "options",
    [
        {"method": "foo"},
        {"objective": "foo"},
        {"objective": "agreement"},
        {"head": "a head"},
        {"objective": "agreement", "head": nn.Linear(5, 2)},
        {"gamma": -1},
        {"seed": 0.5},
        {"method": "pruned", "gamma": 1},
        {"delta": 0.5},
    ],
)
def test_bad_options_are_refused_before_the_fit(options, refusal, monkeypatch, spaces):
    """Minutes of fitting would pass before the refusal."""
    if not isinstance(options.get("head"), nn.Module):  # what a head says is known only by asking it
        monkeypatch.setattr("irp_hf.models.fitting.select", lambda *args: pytest.fail("a fit began"))
    refusal(fit, error=InputError, **options)
    monkeypatch.undo()
    refusal(IRPAdapter.connect, *spaces, error=InputError, **options)


def test_forward_checks_shape_and_dtype(adapter, refusal):
    """A wrong width would end in torch's words."""
    assert refusal(adapter, torch.zeros(2, 9), error=InputError).startswith("embeddings are 9 wide, 64 is wanted. ")
    assert refusal(adapter, torch.zeros(64), error=InputError).startswith("embeddings have shape (64,); ")
    assert refusal(adapter, torch.zeros(2, 64).long(), error=InputError).startswith("embeddings have dtype int64; ")


def test_evaluate_checks_both_sides(adapter, digits, refusal):
    """Other items, widths or NaN would be compared."""
    x, y = digits.held_source, digits.held_target
    assert refusal(adapter.evaluate, x, y[:50], error=AnchorMismatchError) == (
        "x has 400 rows, y 50. Give the vectors of the same items in the same order."
    )
    assert refusal(adapter.evaluate, y, y).startswith("x are 24 wide, 64 is wanted. ")
    assert refusal(adapter.evaluate, x, x).startswith("y are 64 wide, 24 is wanted. ")
    assert refusal(adapter.evaluate, x, y * np.nan).startswith("y hold NaN in row 0. ")
    assert refusal(adapter.evaluate, x, y, head=3).startswith("head is a int; ")


@pytest.mark.parametrize(
    "field",
    [
        {"gamma": "2"},
        {"gamma": True},
        {"num_anchors": "80"},
        {"num_anchors": 80.0},
        {"num_anchors": True},
        {"method": "foo"},
        {"objective": None},
        {"source_encoder": "me/encoder"},
        {"condition_numbers": 3.0},
        {"weights_sha256": 3},
    ],
)
def test_the_configuration_checks_its_types(field):
    """A config.json that was edited by hand would fail only when it translates, or translate wrongly."""
    with pytest.raises(Exception, match=f"Validation error for field '{next(iter(field))}'"):
        IRPConfig(**field)
    config = IRPConfig()
    with pytest.raises(Exception, match="Validation error"):
        setattr(config, *next(iter(field.items())))


def test_every_refusal_is_one_family():
    """`except IRPError` would not catch them all, nor `except ValueError` what is a wrong value."""
    assert issubclass(InputError, (IRPError, ValueError))
    assert issubclass(AnchorMismatchError, IRPError)
    assert issubclass(AnchorMismatchError, ValueError)
