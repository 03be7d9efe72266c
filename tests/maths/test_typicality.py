"""What the source's encoder would never give is told from what it gives, by the source's anchors alone."""

import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from irp_hf import IRPAdapter
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import centre, normalize, relative_projection, unit_rows
from irp_hf.maths.typicality import (
    EXACT,
    ITSELF,
    PRIOR,
    SIDE_RIDGE,
    SURE,
    WIDE,
    Sides,
    Spreads,
    _inner_products,
    _odds,
    _weights,
    learn_typicality,
    log_lengths,
    nearest_of,
    nearest_without_lift,
    spread,
    stretches,
)


def lengths_of(pairs):
    return torch.linalg.vector_norm(pairs.source - pairs.source_stats.mean, dim=1)


def auroc(real, strange):
    ranks = rankdata(np.concatenate([real, strange]))
    return (ranks[: len(real)].sum() - len(real) * (len(real) + 1) / 2) / (len(real) * len(strange))


def strangers(anchors, x):
    """Vectors that no encoder gave, as many as `x`."""
    random = np.random.RandomState(5)
    mean, deviation, width = anchors.mean(0), anchors.std(0), anchors.shape[1]
    noise, length = random.randn(*x.shape), np.linalg.norm(anchors - mean, axis=1).mean()
    directions = noise / np.linalg.norm(noise, axis=1, keepdims=True)
    turned, _ = np.linalg.qr(random.randn(width, width))
    return {
        "noise": mean + length * directions,
        "noise of unit length": directions,
        "noise by coordinate": mean + deviation * noise,
        "uniform": random.uniform(anchors.min(0), anchors.max(0), x.shape),
        "zeros": np.zeros_like(x),
        "constants": np.ones_like(x) * random.uniform(size=(len(x), 1)),
        "the mean": np.repeat(mean[None], len(x), 0),
        "another order": x[:, random.permutation(width)],
        "orders of their own": np.stack([random.permutation(row) for row in x]),
        "turned": x @ turned,
        "ten times": 10 * x,
        "a tenth": x / 10,
        "the other sign": -x,
    }


def encodings(kind, count=900):
    """What three kinds of encoders give, 32 wide: of unit length, of many lengths, and no value below zero."""
    random = np.random.RandomState(2)
    inner = random.randn(count, 8) * np.linspace(1.5, 0.5, 8)
    outer = np.tanh(inner @ random.randn(8, 32)) + 0.1 * random.randn(count, 32) + 0.3 * random.randn(32)
    if kind == "unit":
        return outer / np.linalg.norm(outer, axis=1, keepdims=True)
    return outer * np.exp(random.randn(count, 1) / 2) if kind == "lengths" else np.maximum(outer, 0)


@pytest.mark.parametrize("kind", ["unit", "lengths", "above zero"])
def test_what_no_encoder_gives_is_flagged(kind):
    """Noise, zeros, shuffled or foreign vectors would be translated with the confidence of good ones."""
    x = encodings(kind)
    y = np.tanh(x @ np.random.RandomState(3).randn(32, 16))
    adapter = IRPAdapter.from_anchors(x[:300], y[:300], "kernel", gamma=0.5, ridge=1e-2)
    real = adapter.confidence(x[300:])
    loose = {"noise of unit length", "ten times", "a tenth"} if kind == "lengths" else set()
    kinds = strangers(x[:300], x[300:])
    if kind == "lengths":  # vectors spread about the origin, and a mirrored one could be another of them
        del kinds["the other sign"]
    for name, rows in kinds.items():
        assert auroc(real, adapter.confidence(rows)) > (0.85 if name in loose else 0.95), name


@pytest.mark.parametrize("kind", ["unit", "lengths", "above zero"])
def test_held_out_anchors_are_judged_as_rows_that_come_later(kind):
    """Real rows would be less typical than those that the typicality was learnt on, and their confidence too low."""
    x = torch.from_numpy(encodings(kind))
    for k in (30, 200):
        pairs = Pairs(x[:k], x[:k])
        typicality, held_out = learn_typicality(pairs, 0.0, pairs.source_rows, 1.0)
        rows = normalize(x[200:], pairs.source_stats)
        nearest = nearest_of(relative_projection(rows, pairs.source_rows, 1.0), 1.0)
        later = typicality(x[200:], pairs.source_stats.mean, nearest)
        assert abs(float(later.mean() - held_out.mean())) < 0.06
        assert later.median() > 0.95


@pytest.mark.parametrize(("k", "d"), [(40, 6), (12, 30), (60, 40), (30, 300), (140, 200)])
def test_each_anchor_is_judged_by_the_others(k, d):
    """The typicality of a held-out anchor would know that anchor: rows that come later would look stranger than it."""
    random = np.random.RandomState(1)
    x = torch.from_numpy(random.randn(k, d) * np.linspace(2, 0.2, d) + 1)
    pairs = Pairs(x, x)
    spreads = Spreads(pairs.source_rows, lengths_of(pairs))
    refitted = []
    for row in range(k):
        few = pairs.without(torch.tensor([row]))
        fresh = Spreads(few.source_rows, lengths_of(few)).directions
        refitted.append(spread(normalize(x[row : row + 1], few.source_stats), fresh)[0])
    wanted = torch.stack(refitted).mean()
    inside = spread(pairs.source_rows, spreads.directions).mean()
    held_out = spreads.without(pairs.source_rows, torch.arange(k))
    assert abs(held_out.mean() - wanted) < 0.3 * abs(inside - wanted)
    if k <= EXACT:
        torch.testing.assert_close(held_out, torch.stack(refitted))


@pytest.mark.parametrize("copies", [1, 10])
@pytest.mark.parametrize("k", [12, 30, 60])
def test_few_wide_anchors_know_rows_of_their_own_encoder(k, copies):
    """Thirty anchors of 256 numbers, each once or ten times, gave every later vector a confidence of .01, where .24 is true."""
    random = np.random.RandomState(k)
    traits = random.randn(k + 300, 24) * np.linspace(2, 0.3, 24)
    x, y = (traits @ random.randn(24, d) + 0.5 * random.randn(k + 300, d) for d in (256, 64))
    rows = np.repeat(np.arange(k), copies)
    near = y[rows] + 0.01 * random.randn(len(rows), 64)
    adapter = IRPAdapter.from_anchors(x[rows], near, "whitened")
    found, translated = adapter.confidence(x[k:]), adapter.translate(x[k:])
    true = (unit_rows(torch.from_numpy(translated)) * unit_rows(torch.from_numpy(y[k:]))).sum(1)
    assert float(found.mean()) == pytest.approx(float(true.mean()), abs=0.2)
    assert (
        auroc(found, adapter.confidence(x[k:].mean(0) + np.linalg.norm(x[k:], axis=1).mean() * unit_noise(x[k:]))) > 0.9
    )


def unit_noise(x):
    noise = np.random.RandomState(7).randn(*x.shape)
    return noise / np.linalg.norm(noise, axis=1, keepdims=True)


@pytest.mark.parametrize(("k", "d"), [(40, 6), (12, 30)])
def test_strangers_made_of_an_anchor_are_judged_by_the_others(k, d):
    """An anchor with noise would look familiar, since half of it was seen, and what is really strange would pass."""
    random = torch.Generator().manual_seed(1)
    rows, found = (unit_rows(torch.randn(k, d, generator=random, dtype=torch.float64) + 0.1) for _ in range(2))
    found = unit_rows(rows + found)
    everyone = torch.arange(k)
    spreads, sides = Spreads(rows, torch.ones(len(rows), dtype=rows.dtype)), Sides(rows)
    ridge = SIDE_RIDGE * float(rows.square().sum()) / d  # that of all
    for row in range(k):
        others = torch.cat([rows[:row], rows[row + 1 :]])
        covariance = others.T @ others + ridge * torch.eye(d, dtype=torch.float64)
        wanted = found[row] @ torch.linalg.solve(covariance, others.sum(0))
        torch.testing.assert_close(sides.without(found, everyone)[row], wanted)
    inside = spread(found, spreads.directions)
    without = spreads.without(found, everyone)
    assert (without < inside).double().mean() > 0.8
    assert without.mean() < inside.mean()


@pytest.mark.parametrize("shape", [(EXACT + 20, 60), (EXACT + 20, EXACT + 60), (WIDE + 20, WIDE + 60)])
def test_rows_of_their_own_look_as_they_do_when_they_are_projected(shape):
    """What the inverse alone tells of rows that were fitted on would not be their distance, so that later ones look strange."""
    rows = unit_rows(torch.from_numpy(np.random.RandomState(0).randn(*shape) * np.linspace(2, 0.2, shape[1])))
    spreads, everyone = Spreads(rows, torch.ones(len(rows), dtype=rows.dtype)), torch.arange(len(rows))
    exact = shape[0] <= WIDE
    close = {"rtol": 1e-9, "atol": 1e-9} if exact else {"rtol": 1e-3, "atol": 1e-3}
    torch.testing.assert_close(spreads.without(rows, everyone), spreads.without(rows.clone(), everyone), **close)
    wanted = 1 - (rows @ spreads.directions).square().sum(1)
    torch.testing.assert_close(spreads.own.double(), wanted, **close)


@pytest.mark.parametrize("centre", [2.0, 0.0])
def test_the_opposite_sign_is_told_where_vectors_have_a_side(centre):
    """Vectors of the opposite sign would pass, since they spread like anchors; or, about the origin, good ones would fail."""
    random = np.random.RandomState(4)
    x = random.randn(500, 24) * np.linspace(2, 0.5, 24)
    x[:, -8:] += centre * np.sign(random.randn(8))
    adapter = IRPAdapter.from_anchors(x[:300], np.tanh(x[:300, :10]), "kernel", gamma=0.5, ridge=1e-2)
    real, turned = adapter.confidence(x[300:]), adapter.confidence(-x[300:])
    assert auroc(real, turned) > 0.97 if centre else abs(auroc(real, turned) - 0.5) < 0.1
    assert np.median(real) > 0.5


def test_weights_below_zero_are_left_out():
    """More of what the anchors have would speak against a vector."""
    scatter = torch.tensor([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 2.0]], dtype=torch.float64)
    apart = torch.tensor([1.0, 0.1, 2.0], dtype=torch.float64)
    torch.testing.assert_close(
        _weights(apart, scatter), torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64), rtol=1e-4, atol=0
    )
    assert not _weights(-apart.clamp(min=0.5), scatter).any()


@pytest.mark.parametrize(("centre", "deviation"), [(6.0, 3.0), (4.0, 1.0), (3.0, 0.5)])
def test_odds_are_those_of_what_scatters_more_than_strangers(centre, deviation):
    """Noise that is twenty times as likely as a vector of the encoder had a typicality of .6, as if both scattered alike."""
    random = np.random.RandomState(0)
    own = torch.from_numpy(centre + deviation * random.randn(20_000))
    slope, offset = _odds(own, torch.from_numpy(random.randn(20_000)), 1.0)
    turn = -offset / slope
    density = torch.distributions.Normal(torch.tensor([centre, 0.0]), torch.tensor([deviation, 1.0]))
    true = [
        float(density.log_prob(torch.tensor(turn + step)).diff().neg() + np.log(PRIOR / (1 - PRIOR)))
        for step in (0, 1e-2)
    ]
    assert 0 < turn < centre
    assert abs(true[0]) < 0.2
    assert slope == pytest.approx((true[1] - true[0]) / 1e-2, rel=0.05)


def test_odds_of_what_lies_far_apart_turn_near_the_strangers_and_gently():
    """Text of another domain, which lies between the anchors and noise, would get nothing."""
    random = np.random.RandomState(0)
    slope, offset = _odds(torch.from_numpy(100 + random.randn(500)), torch.from_numpy(random.randn(500)), 1.0)
    assert slope * 3 + offset < -SURE / 2
    assert abs(slope * 26.5 + offset) < 0.2
    assert SURE < slope * 60 + offset < 3 * SURE


@pytest.mark.parametrize(("own", "strange"), [(1.0, 0.0), (0.0, 0.0), (0.0, 1.0)])
def test_odds_of_what_does_not_scatter(own, strange):
    """Anchors or strangers that all look the same would make NaN of every confidence."""
    same = [torch.full((30,), value, dtype=torch.float64) for value in (own, strange)]
    wide = [value + torch.linspace(-2, 2, 30, dtype=torch.float64) for value in same]
    for pair in (same, [same[0], wide[1]], [wide[0], same[1]]):
        slope, offset = _odds(*pair, 1.1)
        assert np.isfinite([slope, offset]).all()
        assert slope >= 0
        assert slope * own + offset > 0


@pytest.mark.parametrize("lift", [0.5, 2.0])
def test_the_nearest_is_sought_without_the_lift(lift):
    """Short vectors lie near one another once they are lifted: of 300 static token vectors and noise with each coordinate's
    spread the nearest told .89 apart (AUROC) at a lift of .5 and .68 at 2, where it tells .97."""
    random = np.random.RandomState(3)
    x = torch.from_numpy(random.randn(60, 7) * np.exp(random.randn(60, 1) / 2) + 1)
    x[40], x[50] = x.mean(0), 1e6 * x[50]
    pairs = Pairs(x[:40], x[:40])
    stats, landmarks = pairs.source_stats, pairs.lifted(lift)
    x[40], x[41] = stats.mean, x[3]
    rows = normalize(x[40:], stats, lift)
    stretch = stretches(landmarks[:, -1])
    found = nearest_without_lift(2.5 * rows @ landmarks.T, 2.5, rows, landmarks, stretch / 2.5)
    wanted = (normalize(x[40:], stats) @ pairs.source_rows.T).amax(1)
    torch.testing.assert_close(found[1:], wanted[1:], rtol=0, atol=1e-3)  # of the longest, little is left of the lift
    torch.testing.assert_close(found[1:10], wanted[1:10], rtol=1e-9, atol=0)
    assert abs(found[0]) < 1
    rows, landmarks = rows.float(), landmarks.float()
    single = nearest_without_lift(rows @ landmarks.T, 1.0, rows, landmarks, stretch.float())
    torch.testing.assert_close(single[1:], wanted[1:].float(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("method", ["kernel", "whitened"])
def test_a_lift_does_not_change_what_is_typical(method, tmp_path):
    """The same vectors of the same encoder would be strangers or none by how their inverse weighs lengths."""
    x = encodings("lengths")
    pairs = Pairs(torch.from_numpy(x[:300]), torch.from_numpy(x[:300]))
    for found, wanted in zip(
        learn_typicality(pairs, 0.5, pairs.lifted(0.5), 1.0),
        learn_typicality(pairs, 0.0, pairs.source_rows, 1.0),
        strict=True,
    ):
        torch.testing.assert_close(
            getattr(found, "planes", found), getattr(wanted, "planes", wanted), rtol=1e-4, atol=1e-5
        )
    y = np.tanh(x @ np.random.RandomState(3).randn(32, 16))
    options = dict(gamma=1.0, ridge=1e-2) if method == "kernel" else dict(balance=0.5, ridge=0.1)
    lifted, flat = (IRPAdapter.from_anchors(x[:300], y[:300], method, lift=lift, **options) for lift in (0.5, 0.0))
    assert (lifted.config.unlifted, flat.config.unlifted) == (True, None)
    typical = []
    for adapter in (lifted, flat):
        translation = adapter._translation(torch.float64)
        rows = unit_rows(centre(torch.from_numpy(x[300:]), translation.source_mean, translation.source_lift))
        _, nearest = translation._similar(rows)
        typical.append(translation._typicality(torch.from_numpy(x[300:]), nearest))
    torch.testing.assert_close(*typical, rtol=1e-3, atol=1e-3)
    lifted.save_pretrained(tmp_path)
    np.testing.assert_array_equal(IRPAdapter.from_pretrained(tmp_path).confidence(x[300:]), lifted.confidence(x[300:]))


def test_a_landmark_is_not_its_own_neighbour():
    """With a landmark for every anchor, all anchors would look as near as can be, and later rows far."""
    x = torch.from_numpy(encodings("unit", 100))
    pairs = Pairs(x, x)
    cosines = pairs.source_rows @ pairs.source_rows.T
    assert (cosines.diagonal() > ITSELF).all()
    few, _ = learn_typicality(pairs, 0.0, pairs.source_rows[:20], 1.0)
    assert few.planes.isfinite().all()


@pytest.mark.parametrize("k", [2, 3, 5, 9, 10, 30])
@pytest.mark.parametrize("d", [1, 2, 20])
def test_few_anchors_of_any_width(k, d):
    """Small or narrow spaces would give NaN, or nothing but zeros for their own vectors."""
    random = np.random.RandomState(k + d)
    x, y = random.randn(k + 50, d) + 1, random.randn(k + 50, 3)
    adapter = IRPAdapter.from_anchors(x[:k], y[:k], "kernel")
    found = adapter.confidence(np.concatenate([x, 0 * x, 1e6 * x]).astype(np.float32))
    assert np.isfinite(found).all()
    assert (np.abs(found) <= 1).all()
    typicality, _ = learn_typicality(
        Pairs(torch.from_numpy(x[:k]), torch.from_numpy(y[:k])), 0.0, torch.from_numpy(x[:k]), 1.0
    )
    assert all(tensor.isfinite().all() for tensor in vars(typicality).values())


def test_anchors_that_span_little():
    """Anchors in a plane, or with dead coordinates, would make every other vector infinitely strange."""
    random = np.random.RandomState(0)
    x = np.zeros((250, 24))
    x[:, :2] = random.randn(250, 2) + 1
    adapter = IRPAdapter.from_anchors(x[:200], np.tanh(x[:200, :2] @ random.randn(2, 5)), "kernel")
    real = adapter.confidence(x[200:])
    out_of_plane = x[200:].copy()
    out_of_plane[:, 7] = 3.0
    assert np.isfinite(real).all()
    assert np.median(real) > 0.9
    assert auroc(real, adapter.confidence(out_of_plane)) > 0.95


def test_half_precision_is_no_other_encoder():
    """Vectors of one length that were stored in half precision would be taken for another encoder's."""
    x = encodings("unit")
    y = np.tanh(x @ np.random.RandomState(3).randn(32, 16))
    adapter = IRPAdapter.from_anchors(x[:300], y[:300], "kernel", gamma=0.5, ridge=1e-2)
    whole = adapter.confidence(x[300:])
    for dtype in (torch.float16, torch.bfloat16):
        rounded = adapter.confidence(torch.from_numpy(x[300:]).to(dtype).float())
        np.testing.assert_allclose(rounded, whole, atol=0.02)


def test_lengths_are_looked_at_about_both_origins():
    """Unit vectors whose mean was taken away would pass, though no encoder of unit vectors gives them."""
    logs = log_lengths(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([3.0, 0.0]))
    torch.testing.assert_close(logs[0].exp(), torch.tensor([5.0, 4.0]))
    assert logs.isfinite().all()


def test_rows_that_share_an_item_are_held_out_together():
    """With every item three times, each would look familiar by its copies, and later rows strange beside them."""
    x = torch.from_numpy(encodings("unit"))
    once, thrice = x[:120], x[:120].repeat_interleave(3, 0)
    near = thrice + 1e-9 * torch.randn(thrice.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    _, of_once = learn_typicality(Pairs(once, once), 0.0, Pairs(once, once).source_rows, 1.0)
    _, of_copies = learn_typicality(Pairs(near, thrice), 0.0, Pairs(near, thrice).source_rows, 1.0)
    assert abs(float(of_once.mean() - of_copies.mean())) < 0.02


def test_rows_taken_in_another_order_are_judged_the_same():
    """A part of the anchors keeps the numbers of its groups: each row would be judged without another row than itself, look
    strange, and bounds of a report hold for .98 of what is left out where .90 is true."""
    x = torch.from_numpy(encodings("unit"))[:200]
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))[:150]
    taken, own = Pairs(x, x).take(order), Pairs(x[order], x[order])
    for found, wanted in zip(
        learn_typicality(taken, 0.0, taken.source_rows, 1.0),
        learn_typicality(own, 0.0, own.source_rows, 1.0),
        strict=True,
    ):
        found, wanted = (getattr(it, "planes", it) for it in (found, wanted))
        torch.testing.assert_close(found, wanted)
    twice = torch.cat([order, order.flip(0)])
    copies = Pairs(x[twice], x[twice], torch.cat([order, order.flip(0)]))
    _, judged = learn_typicality(copies, 0.0, copies.source_rows, 1.0)
    torch.testing.assert_close(judged[:150], judged[150:].flip(0))


@pytest.mark.parametrize("shape", [(WIDE + 80, WIDE + 20), (WIDE + 20, WIDE + 80)])
def test_single_precision_tells_of_many_wide_rows_what_double_does(shape, monkeypatch):
    """If it fails, what is typical of real encoders is told by rounding; or their fits take longer than they need."""
    random = np.random.RandomState(0)
    rows = unit_rows(torch.from_numpy(random.randn(*shape) * np.arange(1, shape[1] + 1) ** -0.7 + 0.02))
    every = torch.arange(len(rows))
    strange = unit_rows(torch.from_numpy(random.randn(*shape)))
    found = [(Spreads(rows, torch.ones(len(rows), dtype=rows.dtype)), Sides(rows))]
    monkeypatch.setattr("irp_hf.maths.typicality.WIDE", 10_000)
    found.append((Spreads(rows, torch.ones(len(rows), dtype=rows.dtype)), Sides(rows)))
    assert [spreads.root.dtype for spreads, _ in found] == [torch.float32, torch.float64]
    for looked in (rows, strange):
        for rough, exact in zip(*found, strict=True):
            torch.testing.assert_close(rough.without(looked, every), exact.without(looked, every), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(40, 6), (40, 60), (40, 40)])
def test_any_factor_gives_the_spread_of_the_shrunk_covariance(shape):
    """If it fails, spread is no Mahalanobis distance: the directions are no root of `C (C + ρI)⁻¹`."""
    random = np.random.RandomState(0)
    rows = unit_rows(torch.from_numpy(random.randn(*shape)))
    rows[:, 0] = 0  # a direction that no anchor has
    found = Spreads(rows, torch.ones(len(rows), dtype=rows.dtype)).directions
    covariance = rows.T @ rows / (len(rows) - 1)
    ridged = covariance + 0.1 * covariance.trace() / rows.shape[1] * torch.eye(rows.shape[1], dtype=rows.dtype)
    torch.testing.assert_close(found @ found.T, covariance @ torch.linalg.inv(ridged), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("lift", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("at_mean", [False, True])
def test_products_come_from_the_cosines_at_any_lift(lift, at_mean):
    """The typicality of wide rows would be learnt from products of other rows."""
    x = torch.randn(40, 100, generator=torch.Generator().manual_seed(0)).double() + 2
    if at_mean:
        x[3] = (x.sum(0) - x[3]) / 39
    pairs, wide = Pairs(x, x), Pairs(x, x).lifted(lift)
    about_mean, about_origin = _inner_products(pairs, lengths_of(pairs), wide @ wide.T, lift)
    kept = torch.arange(40) != 3
    rows = pairs.source_rows
    torch.testing.assert_close(about_mean[kept][:, kept], (rows @ rows.T)[kept][:, kept], rtol=0, atol=1e-9)
    torch.testing.assert_close(about_origin, unit_rows(x) @ unit_rows(x).T, rtol=0, atol=1e-9)
    assert float(about_mean.diagonal().max()) < 1 + 1e-4
    if at_mean:  # a row without direction
        return
    known, _ = learn_typicality(pairs, lift, wide, 1.0)
    plain, _ = learn_typicality(pairs, lift, wide[torch.arange(40).flip(0)], 1.0)  # whose products are computed
    torch.testing.assert_close(
        known.directions @ known.directions.T, plain.directions @ plain.directions.T, atol=1e-4, rtol=0
    )
