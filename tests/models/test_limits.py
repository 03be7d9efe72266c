"""`IRPAdapter` at its limits: awkward anchors still translate, and bad anchors, options or inputs are refused."""

import numpy as np
import pytest
import torch
from torch import nn

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter, IRPConfig
from irp_hf.errors import AnchorMismatchError, InputError, IRPError, kind_of
from irp_hf.maths.inverses import INVERSES

RANDOM = np.random.RandomState(0)
X = RANDOM.randn(60, 8).astype(np.float32)
Y = np.tanh(X @ RANDOM.randn(8, 12) * 0.5).astype(np.float32)
QUICK = {"method": "kernel", "gamma": 1.0, "ridge": 1e-2}


def fit(x=X, y=Y, **options):
    return IRPAdapter.from_anchors(x, y, **(options or QUICK))


@pytest.mark.parametrize("method", INVERSES)
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


@pytest.mark.parametrize(
    ("gamma", "ridge"), [(1e-6, 1e-12), (1e-6, 1e6), (1.0, 1e-12), (1.0, 1e-6), (1e3, 1e-12), (1e3, 1e6)]
)
def test_extreme_options_still_give_finite_translations(gamma, ridge):
    """A value inside the allowed range would end in a failed decomposition."""
    x = np.concatenate([X, X[:10]])
    y = np.concatenate([Y, Y[10:20]])
    for num_landmarks in (None, 20):
        made = fit(x, y, method="kernel", gamma=gamma, ridge=ridge, num_landmarks=num_landmarks)
        assert np.isfinite(made.translate(X)).all()


@pytest.mark.parametrize("num_anchors", [2, 3])
def test_few_anchors_are_enough_to_choose_by(num_anchors):
    """The default would end in a comparison of scores that are no numbers."""
    made = fit(X[:num_anchors], Y[:num_anchors], method="auto")
    assert np.isfinite(made.config.score)
    assert np.isfinite(made.translate(X)).all()


@pytest.mark.parametrize("method", INVERSES)
def test_copies_are_dropped_for_the_fit(method):
    """Copies leak in leave-one-out: a tiny ridge would look perfect."""
    twice = fit(np.concatenate([X, X[::-1]]), np.concatenate([Y, Y[::-1]]), method=method)
    once = fit(method=method)
    np.testing.assert_array_equal(twice.translate(X), once.translate(X))
    np.testing.assert_array_equal(twice.confidence(X), once.confidence(X))
    assert (twice.config.num_anchors, twice.config.score) == (120, once.config.score)


def test_unequal_numbers_of_anchors(refusal):
    """Rows that do not belong together would be paired."""
    words = refusal(fit, X, Y[:50], error=AnchorMismatchError)
    assert "60 in source embeddings and 50 in target embeddings" in words


def test_spaces_of_different_anchors(refusal):
    """Two spaces that share no items would be connected, and translate into noise."""
    sets = [AnchorSet([f"{word} {row}" for row in range(60)]) for word in ("cat", "dog")]
    cat, dog = (AnchoredSpace.from_embeddings(X, anchors) for anchors in sets)
    short = [f"{anchors.fingerprint[:8]}…" for anchors in sets]
    words = refusal(IRPAdapter.connect, cat, dog, error=AnchorMismatchError)
    assert f"source {short[0]} (60 items) and target {short[1]} (60 items)" in words
    unknown = AnchoredSpace.from_embeddings(Y[:50])
    words = refusal(IRPAdapter.connect, cat, unknown, error=AnchorMismatchError)
    assert f"source {short[0]} (60 items) and target without fingerprint (50 items)" in words
    trusted = AnchoredSpace.from_embeddings(Y)
    assert IRPAdapter.connect(trusted, cat, **QUICK).config.anchor_fingerprint is None  # of the pair it is not known


@pytest.mark.parametrize("thing", [X, None, 3, {"anchors": X}, AnchoredSpace])
def test_only_spaces_connect(thing, spaces, refusal):
    """Raw arrays carry no fingerprint; the refusal names the way for them."""
    for side, both in (("source", (thing, spaces[1])), ("target", (spaces[0], thing))):
        words = refusal(IRPAdapter.connect, *both, error=InputError)
        assert words.startswith(f"{side}: expected an AnchoredSpace")
        assert f"got {kind_of(thing)}. " in words
        assert "from_anchors" in words


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (X * np.nan, ["Row 0", "NaN"]),
        (X[:0], ["(0, 8)"]),
        (X[0], ["(8,)"]),
        (X.astype(int), ["int64"]),
        (None, ["got None"]),
        (X[[0] * 60], ["60", "same"]),
        (X * 1e20, ["Row 0", "e+20", "1e+15"]),
        (X * 1e-20, ["mean scale", "1e-15", "e-20"]),
    ],
    ids=["NaN", "empty", "1-d", "integers", "None", "constant", "huge", "tiny"],
)
def test_bad_anchors_are_named_with_their_side(x, said, refusal):
    """The user would not know which of two arrays to look at."""
    for side, sides in (("source", (x, Y)), ("target", (X, x))):
        words = refusal(fit, *sides, error=InputError)
        assert f"{side} embeddings" in words
        assert all(part in words for part in said), words


def test_one_anchor(refusal):
    """One pair cannot be centred."""
    assert refusal(fit, X[:1], Y[:1], error=InputError).startswith(
        "source embeddings: expected at least 2 anchors, got 1."
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
        monkeypatch.setattr("irp_hf.models.fitting.choose", lambda *args: pytest.fail("a fit began"))
    refusal(fit, error=InputError, **options)
    monkeypatch.undo()
    refusal(IRPAdapter.connect, *spaces, error=InputError, **options)


def test_forward_checks_shape_and_dtype(adapter, refusal):
    """A wrong width would end in torch's words."""
    for x, said in (
        (torch.zeros(2, 9), ["9", "64"]),
        (torch.zeros(64), ["(64,)"]),
        (torch.zeros(2, 64).long(), ["int64"]),
        (np.zeros((2, 64), np.float32), ["a tensor", "ndarray"]),
    ):
        words = refusal(adapter, embeddings=x, error=InputError)
        assert words.startswith("embeddings: ")
        assert all(part in words for part in said), words


def test_evaluate_checks_both_sides(adapter, digits, refusal):
    """Other items, widths or NaN would be compared."""
    x, y = digits.held_source, digits.held_target
    for side, sides, said in (
        ("x", (y, y), ["24", "64"]),
        ("y", (x, x), ["24", "64"]),
        ("y", (x, y * np.nan), ["Row 0", "NaN"]),
        ("head", (x, y, 3), ["an int"]),
    ):
        words = refusal(adapter.evaluate, *sides, error=InputError)
        assert side in words.partition(":")[0].split()
        assert all(part in words for part in said), words
    words = refusal(adapter.evaluate, x, y[:50], error=AnchorMismatchError)
    assert "400 in x and 50 in y" in words


@pytest.mark.parametrize("value", ["no", 1, None, np.True_])
def test_flags_are_true_or_false(value, adapters, digits, refusal):
    """A "no" would be taken for yes."""
    adapter, x = adapters["kernel"], digits.held_source[:3]
    for name, call in (
        ("return_confidence", lambda: adapter.translate(x, return_confidence=value)),
        ("return_confidence", lambda: adapter(torch.from_numpy(x), return_confidence=value)),
        *((("progress", lambda: adapter.report(progress=value)),) if value is not None else ()),  # None: on a terminal
    ):
        text = refusal(call, error=InputError)
        assert name in text
        assert repr(value) in text


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
    with pytest.raises(InputError, match=next(iter(field))):
        IRPConfig(**field)
    config = IRPConfig()
    with pytest.raises(InputError, match=next(iter(field))):
        setattr(config, *next(iter(field.items())))


@pytest.mark.parametrize(
    "field",
    [
        *({"confidence_gamma": value} for value in (True, "1", -1.0, float("nan"), float("inf"), 10**4200, [1.0])),
        *({name: True} for name in ("num_errors", "typical_rank")),
        *({"unlifted": value} for value in ("yes", 2, [True])),
        *({"score": value} for value in (1.5, -2.0, float("nan"), float("inf"), True, 1e30)),
        *({"num_pairs": value} for value in (10**4200, 2**64, -1, True)),
        *({"condition_numbers": [value]} for value in (float("nan"), -1.0, True, "1")),
        *({"given": value} for value in (["gamma", "gamma"], ["foo"], [1], ["\ud800"])),
        {"seed": 10**4200},
        {"num_landmarks": 10**4200},
        {"ridge": float("nan")},
        {"source_encoder": {"id": "\ud800"}},
        {"source_encoder": {"note": float("nan")}},
        {"source_canary": {"rows": [True], "texts": ["a"]}},
        {"source_canary": {"rows": [10**4200], "texts": ["a"]}},
    ],
    ids=lambda field: next(iter(field)),
)
def test_the_configuration_checks_its_values(field):
    """Numbers that no save writes would be believed of whoever can compute a checksum: one that is no number, say, as 1."""
    with pytest.raises(InputError, match=next(iter(field))) as caught:
        IRPConfig(num_anchors=9, **field)
    assert len(str(caught.value).encode()) < 2000


def test_every_refusal_is_one_family():
    """`except IRPError` would not catch them all, nor `except ValueError` what is a wrong value."""
    assert issubclass(InputError, (IRPError, ValueError))
    assert issubclass(AnchorMismatchError, IRPError)
    assert issubclass(AnchorMismatchError, ValueError)


@pytest.mark.parametrize(
    "make",
    [AnchoredSpace.from_embeddings, lambda x: IRPAdapter.from_anchors(x, Y), lambda x: IRPAdapter.from_anchors(Y, x)],
)
def test_anchors_that_float32_cannot_tell_apart_are_not_called_the_same(make, refusal):
    """Float64 anchors of mean 1e6 and spread 1 differ; it is the float32 in which they are kept that loses it."""
    x = X.astype(np.float64) / np.abs(X).max() / 4 + 1e6
    words = refusal(make, x, error=InputError)
    assert "same vector" not in words
    assert "1e+06" in words
    assert "float32" in words
    assert "Subtract" in words
    make(x - x.mean(0))
