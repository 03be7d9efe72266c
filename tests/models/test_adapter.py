"""`IRPAdapter`: connects what belongs together, keeps what is given, and stands on the anchors alone."""

import copy

import numpy as np
import pyarrow as pa
import pytest
import synthetic_pairs
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from irp_hf import IRPAdapter, IRPConfig
from irp_hf.maths.inverses import INVERSES
from irp_hf.maths.request import OBJECTIVES

RANDOM = np.random.RandomState(0)
X = RANDOM.randn(60, 8).astype(np.float32)
Y = np.tanh(X @ RANDOM.randn(8, 12) * 0.5).astype(np.float32)
QUICK = {"method": "kernel", "gamma": 1.0, "ridge": 1e-2}


def fit(x=X, y=Y, **options):
    return IRPAdapter.from_anchors(x, y, **(options or QUICK))


def stored(adapter):
    return {name: tensor.clone() for name, tensor in adapter.state_dict().items()}


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_connect_is_from_anchors_with_names(spaces, digits):
    """Published spaces would translate otherwise than the same anchors at hand."""
    options = {"method": "whitened", "balance": 0.5, "ridge": 0.1}
    connected = IRPAdapter.connect(*spaces, **options)
    raw = IRPAdapter.from_anchors(digits.source, digits.target, **options)
    assert equal(stored(connected), stored(raw))
    config = connected.config
    assert config.anchor_fingerprint == spaces[0].config.anchor_fingerprint
    assert (config.source_encoder, config.target_encoder) == ({"id": "me/pixels"}, spaces[1].config.encoder)
    assert (config.num_anchors, config.source_size, config.target_size) == (120, 64, 24)
    assert repr(connected) == "IRPAdapter(me/pixels (64) to you/features (24), whitened, 120 anchors)"
    assert (raw.config.anchor_fingerprint, raw.config.source_encoder) == (None, None)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (X.astype(np.float64), torch.from_numpy(Y)),
        (X.tolist(), Y.tolist()),
        (pa.array(X.tolist(), pa.list_(pa.float32())), Y),
        (torch.from_numpy(X).requires_grad_(), np.asfortranarray(Y)),
    ],
    ids=["float64", "lists", "Arrow", "gradients"],
)
def test_anchors_of_any_kind_give_the_same_adapter(x, y):
    """The fit would depend on the container, or fail on one."""
    made = fit(x, y)
    assert equal(stored(made), stored(fit()))
    assert {(p.dtype, p.requires_grad) for p in made.parameters()} == {(torch.float32, False)}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_anchors_in_half_precision(dtype):
    """Encoders that run in half precision could not be connected."""
    made = fit(torch.from_numpy(X).to(dtype), torch.from_numpy(Y).to(dtype))
    np.testing.assert_allclose(made.translate(X), fit().translate(X), atol=0.1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (QUICK, {"gamma": 1.0, "ridge": 0.01, "num_landmarks": 60, "balance": None, "num_subspaces": None}),
        (
            {"method": "kernel", "gamma": np.float32(2), "num_landmarks": 20},
            {"gamma": 2.0, "num_landmarks": 20},
        ),
        ({"method": "kernel", "ridge": 1, "restoration": 0.25}, {"ridge": 1.0, "restoration": 0.25}),
        (
            {"method": "whitened", "balance": 0, "ridge": 0},
            {"balance": 0.0, "ridge": 0.0, "restoration": 0.5},
        ),
        (
            {"method": "pruned", "pruning_threshold": 0.9, "num_subspaces": np.int64(3), "restoration": 1},
            {"pruning_threshold": 0.9, "num_subspaces": 3, "restoration": 1.0},
        ),
        ({"method": "pruned", "seed": 7}, {"seed": 7, "restoration": 0.0}),
        ({"method": "pruned", "objective": "neighbors"}, {"objective": "neighbors", "depth": None}),
        ({"method": "whitened", "objective": "recall"}, {"objective": "recall", "depth": 100}),
        ({"method": "whitened", "objective": "recall", "depth": np.int64(20)}, {"depth": 20}),
    ],
)
def test_what_is_given_is_kept(options, expected):
    """An option would be accepted and then ignored."""
    config = fit(**options).config
    found = {name: getattr(config, name) for name in expected}
    assert repr(found) == repr(expected)
    assert config.method == options["method"]
    assert config.given == sorted(set(options) - {"method", "objective", "depth", "seed"})


def test_a_given_option_takes_part(digits):
    """The configuration would name it, and the weights not feel it."""
    makes = [
        fit(method="kernel", gamma=gamma, ridge=ridge, num_landmarks=m, restoration=q).translate(X)
        for gamma, ridge, m, q in [
            (1, 0.1, 60, 0),
            (2, 0.1, 60, 0),
            (1, 1, 60, 0),
            (1, 0.1, 30, 0),
            (1, 0.1, 60, 1),
        ]
    ]
    makes += [fit(method="whitened", balance=b, ridge=ridge).translate(X) for b, ridge in [(0, 0.1), (1, 0.1), (1, 1)]]
    makes += [
        fit(method="pruned", pruning_threshold=threshold, num_subspaces=omega, seed=seed).translate(X)
        for threshold, omega, seed in [(0.5, 2, 0), (0.8, 2, 0), (0.5, 3, 0), (0.5, 2, 1)]
    ]
    for row, first in enumerate(makes):
        assert all(np.abs(first - second).max() > 1e-3 for second in makes[:row])


@pytest.mark.parametrize("method", INVERSES)
def test_the_same_seed_gives_the_same_adapter(method):
    """Nobody could make a published adapter again."""
    assert equal(stored(fit(method=method, seed=3)), stored(fit(method=method, seed=3)))


def test_auto_is_the_best_of_all(tuned):
    """The default would not be the inverse that wins on these anchors."""
    choices = tuned.fitted.choices
    assert tuple(choices) == tuple(INVERSES)
    assert tuned.config.method == max(choices, key=lambda method: choices[method].fold_score)
    alone = fit(tuned.source_anchors, tuned.target_anchors, method=tuned.config.method)
    assert equal(stored(tuned), stored(alone))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_fits(objective):
    """An objective would not run on a real fit."""
    made = fit(method="auto", objective=objective, head=nn.Linear(12, 3))
    assert made.config.objective == objective
    assert 0 < made.config.score <= 1


def test_agreement_listens_to_the_head():
    """The head would be taken and not asked."""
    asked = []

    def head(vectors):
        asked.append(len(vectors))
        return vectors[:, :3]

    fit(method="whitened", ridge=0.1, objective="agreement", head=head)
    assert len(asked) > 2
    classifier = LogisticRegression().fit(Y, Y[:, 0] > 0)
    assert fit(method="pruned", objective="agreement", head=classifier).config.score > 0.5


@pytest.mark.parametrize(("scale", "shift"), [(1e-4, -300), (1, 5), (1e4, 0)])
def test_scale_and_shift_of_the_source_do_not_matter(adapter, digits, scale, shift):
    """A normalised encoder would translate otherwise than the same one without normalisation."""
    moved = (digits.source.astype(np.float64) * scale + shift * scale).astype(np.float32)
    options = {name: getattr(adapter.config, name) for name in adapter.config.given}
    made = IRPAdapter.from_anchors(moved, digits.target, adapter.config.method, **options)
    x = digits.held_source[:50].astype(np.float64)
    np.testing.assert_allclose(made.translate(x * scale + shift * scale), adapter.translate(x), atol=2e-2)


def test_a_rotation_of_the_source_does_not_matter(adapter, digits):
    """Relative projection sees angles alone: an encoder with rotated axes would translate otherwise."""
    rotation = np.linalg.qr(np.random.RandomState(0).randn(64, 64))[0]
    options = {name: getattr(adapter.config, name) for name in adapter.config.given}
    made = IRPAdapter.from_anchors(digits.source @ rotation, digits.target, adapter.config.method, **options)
    x = digits.held_source[:50].astype(np.float64)
    np.testing.assert_allclose(made.translate(x @ rotation), adapter.translate(x), atol=1e-3)


def test_a_translation_between_rotated_copies_is_exact(digits):
    """The one case with a known answer would be missed."""
    rotation = np.linalg.qr(np.random.RandomState(0).randn(24, 24))[0]
    target = (3 * digits.target @ rotation + 1).astype(np.float32)
    made = IRPAdapter.from_anchors(digits.target, target, "whitened", balance=1, ridge=0, restoration=0)
    y = 3 * digits.held_target @ rotation + 1
    translated = made.translate(digits.held_target.astype(np.float64))
    centred = [side - target.mean(0, dtype=np.float64) for side in (translated, y)]
    cosine = (centred[0] * centred[1]).sum(1) / np.prod([np.linalg.norm(side, axis=1) for side in centred], axis=0)
    assert cosine.min() > 0.9999


def test_forward_is_translate_with_gradients(adapter, digits):
    """The transformers way would give other vectors, or block training through the adapter."""
    x = torch.from_numpy(digits.held_source[:5]).requires_grad_()
    output = adapter(embeddings=x)
    torch.testing.assert_close(output.translated.detach(), adapter.translate(x))
    assert output[0] is output.translated
    output.translated.square().sum().backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in adapter.parameters())
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        assert adapter(x.detach().to(dtype)).translated.dtype == dtype


def test_gradients_are_right(adapter, digits):
    """Training through the adapter would go astray."""
    x = torch.from_numpy(digits.held_source[:1]).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: adapter(x).translated, (x,), eps=1e-5, atol=1e-4)


def test_source_and_target_come_back_as_spaces(adapter, spaces):
    """What was published would be lost once connected."""
    for found, space in zip((adapter.source, adapter.target), spaces, strict=True):
        assert equal(stored(found), stored(space))
        assert found.config.encoder == space.config.encoder
        assert found.config.anchor_fingerprint == space.config.anchor_fingerprint
    assert adapter.source.to_relative(np.ones((3, 64)), "pruned").shape == (3, 120)


def test_the_reverse_keeps_the_objective():
    """If it fails, the way back of an adapter for known items is one for heads, without a word."""
    few, _ = synthetic_pairs.pairs(0, 60, 6, 5)
    one = IRPAdapter.from_anchors(few.source, few.target, objective="retrieval", **QUICK)
    assert one.reverse(**QUICK).config.objective == "retrieval"
    assert one.reverse(objective="cosine", **QUICK).config.objective == "cosine"


def test_reverse_goes_the_other_way(adapters, spaces, digits):
    """The way back would be fitted on other anchors, or named after the wrong sides."""
    back = adapters["kernel"].reverse(**QUICK)
    assert equal(stored(back), stored(IRPAdapter.connect(spaces[1], spaces[0], **QUICK)))
    assert back.config.source_encoder == spaces[1].config.encoder
    assert back.config.anchor_fingerprint == spaces[0].config.anchor_fingerprint
    assert back.translate(digits.held_target).shape == digits.held_source.shape


def test_evaluate_on_held_out_pairs(adapter, digits):
    """The numbers would not be those of these translations."""
    result = adapter.evaluate(digits.held_source, digits.held_target)
    translated = adapter.translate(digits.held_source).astype(np.float64)
    norms = np.linalg.norm(translated, axis=1) * np.linalg.norm(digits.held_target.astype(np.float64), axis=1)
    cosine = (translated * digits.held_target).sum(1) / norms
    assert result.cosine.mean == pytest.approx(cosine.mean(), abs=1e-4)
    assert result.num_rows == 400
    assert result.agreement is None
    head = nn.Linear(24, 4)
    agreement = adapter.evaluate(digits.held_source, digits.held_target, head=head).agreement
    labels = [head(torch.from_numpy(v).float()).argmax(1) for v in (translated, digits.held_target)]
    assert agreement.mean == pytest.approx((labels[0] == labels[1]).double().mean().item(), abs=0.01)


def test_a_copy_stands_alone(adapters, digits):
    """A change to the copy would reach the original."""
    original = adapters["kernel"]
    twin = copy.deepcopy(original)
    np.testing.assert_array_equal(twin.translate(digits.held_source), original.translate(digits.held_source))
    with torch.no_grad():
        twin.coefficients.zero_()
    assert original.coefficients.abs().sum() > 0


def test_the_configuration_goes_through_json(adapter, tmp_path):
    """A value would change, or lose its type, between two machines."""
    adapter.config.save_pretrained(tmp_path)
    loaded = IRPConfig.from_pretrained(tmp_path)
    stored, fitted = (repr(sorted(config.to_diff_dict().items())) for config in (loaded, adapter.config))
    assert stored == fitted
