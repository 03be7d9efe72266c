"""Stability: every number against a slow reference, what the best is good for, and the words and the picture."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import torch
from conftest import Digits
from hypothesis import given, settings
from hypothesis import strategies as st

from irp_hf import AnchoredSpace, AnchorSet, IRPAdapter
from irp_hf.analysis.inputs import hold_out
from irp_hf.analysis.stability import stability
from irp_hf.analysis.stability_result import Stability, StabilityPoint
from irp_hf.errors import AnchorMismatchError, InputError
from irp_hf.evaluation import Measure
from irp_hf.maths.pairs import distinct_pairs

QUIET: dict[str, Any] = {"baselines": (), "progress": False}


def encoders(k: int = 40, d_x: int = 6, d_y: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two views of the same items, off the origin, with no linear map between them."""
    random = np.random.RandomState(seed)
    source = random.randn(k, d_x) + 0.5
    return source.astype(np.float32), (np.tanh(source @ random.randn(d_x, d_y)) + 0.3).astype(np.float32)


def split(source: np.ndarray, target: np.ndarray, share: float = 0.2, seed: int = 0):
    return hold_out(distinct_pairs(torch.from_numpy(source), torch.from_numpy(target)), share, seed)


@pytest.mark.parametrize(("threshold", "count"), [(0.0, 1), (0.0, 3), (0.3, 1), (0.3, 3), (0.6, 2)])
def test_every_point_is_the_papers_equation(threshold: float, count: int):
    """If it fails, the sweep measures another inverse than the paper's, or on other rows."""
    source, target = encoders()
    found = stability(source, target, thresholds=[0.0, 0.3, 0.6], subspaces=[1, 2, 3], seed=4, **QUIET)
    (point,) = (p for p in found.points if (p.pruning_threshold, p.num_subspaces) == (threshold, count))
    anchors, held = split(source, target, seed=4)
    rows, target_rows = anchors.source_rows.numpy(), anchors.target_rows.numpy()
    starts = torch.randperm(len(anchors), generator=torch.Generator().manual_seed(4))[:count].tolist()
    subspaces = [reference.pruning(target_rows, start, threshold) for start in starts]
    unseen = reference.normalize(held.source.numpy(), anchors.source.numpy())
    directions = reference.pruned(unseen, rows, target_rows, subspaces)
    vectors = reference.denormalize(directions, anchors.target.numpy())
    cosines = [reference.cosine(a, b) for a, b in zip(vectors, held.target.numpy(), strict=True)]
    conditions = [np.linalg.cond(target_rows[kept]) for kept in subspaces]
    assert point.cosine.mean == pytest.approx(np.mean(cosines))
    assert point.mean_condition == pytest.approx(np.mean(conditions))
    assert point.largest_condition == pytest.approx(max(conditions))
    assert point.anchors_kept == pytest.approx(np.mean([len(kept) for kept in subspaces]))


def test_the_best_is_what_connect_then_gives(digits: Digits):
    """If it fails, users pass on options that do not bring the quality that was shown."""
    found = stability(digits.source, digits.target, **QUIET)
    anchors, held = split(digits.source, digits.target)
    adapter = IRPAdapter.from_anchors(anchors.source, anchors.target, **found.best.options())
    assert adapter.evaluate(held.source, held.target).cosine.mean == pytest.approx(found.best.cosine.mean, abs=1e-6)
    assert found.best.cosine.mean == max(point.cosine.mean for point in found.points)


def test_references_are_the_adapters_of_the_same_anchors(digits: Digits):
    """If it fails, the paper's inverse is compared with inverses that had other anchors."""
    found = stability(digits.source, digits.target, thresholds=[0.8], subspaces=[1], progress=False)
    anchors, held = split(digits.source, digits.target)
    for method, measure in found.references.items():
        adapter = IRPAdapter.from_anchors(anchors.source, anchors.target, method=method)
        assert adapter.evaluate(held.source, held.target).cosine.mean == pytest.approx(measure.mean, abs=1e-5)
    assert list(found.references) == ["kernel", "whitened", "rigid"]


@settings(max_examples=15, derandomize=True, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    thresholds=st.lists(st.floats(0, 1), min_size=1, max_size=4),
    subspaces=st.lists(st.integers(1, 6), min_size=1, max_size=3),
)
def test_the_grid_is_whole_and_in_order(seed: int, thresholds: list[float], subspaces: list[int]):
    """If it fails, lines of the picture join the wrong points, or the words name the wrong end of the grid."""
    source, target = encoders(seed=seed % 7)
    found = stability(source, target, thresholds=thresholds, subspaces=subspaces, seed=seed, **QUIET)
    grid = [(delta, omega) for delta in sorted(set(thresholds)) for omega in sorted(set(subspaces))]
    assert [(p.pruning_threshold, p.num_subspaces) for p in found.points] == grid
    assert all(1 <= p.mean_condition <= p.largest_condition * (1 + 1e-12) for p in found.points)
    for omega in subspaces:
        kept = [p.anchors_kept for p in found.points if p.num_subspaces == omega]
        assert kept == sorted(kept, reverse=True)
    best, least, fewest = found.best, found.thresholds[0], min(subspaces)
    plain = next(p for p in found.over_subspaces(least) if p.num_subspaces == best.num_subspaces)
    few = next(p for p in found.over_subspaces(best.pruning_threshold) if p.num_subspaces == fewest)
    assert found.pruning_gain.mean == pytest.approx(best.cosine.mean - plain.cosine.mean)
    assert found.subspaces_gain.mean == pytest.approx(best.cosine.mean - few.cosine.mean)


def test_within_one_space_all_anchors_give_the_direction_back():
    """If it fails, the sweep within a space does not use one space for both sides: the norm alone may be lost."""
    source, _ = encoders(k=60)
    anchors, held = (pairs.target.numpy() for pairs in split(source, source))
    at_mean_scale = reference.denormalize(reference.normalize(held, anchors), anchors)
    exact = np.mean([reference.cosine(a, b) for a, b in zip(at_mean_scale, held, strict=True)])
    found = stability(source, thresholds=[0.0, 0.7], **QUIET)
    assert found.within
    assert found.over_subspaces(0.0)[0].cosine.mean == pytest.approx(exact)
    assert found.over_subspaces(0.7)[0].cosine.mean < exact - 0.01
    assert found.best.options() == {"method": "pruned", "num_subspaces": 1, "pruning_threshold": 0.0}
    assert stability(source, source, thresholds=[0.0, 0.7], **QUIET) == found


def test_pruning_cures_the_condition_of_anchors_near_the_width(digits: Digits):
    """If it fails, the first claim of the paper's figure 3 no longer shows where it matters most: with k near d."""
    few = digits.target[:34], digits.source[:34]  # 27 anchors of 64 pixels, many of which are always dark
    found = stability(*few, thresholds=[0.0, 0.8], subspaces=[4], **QUIET)
    plain, pruned = found.points
    assert pruned.largest_condition < plain.mean_condition / 3


def test_a_second_run_is_the_same(digits: Digits):
    """If it fails, a published figure cannot be made again."""
    once, again = (stability(digits.source, digits.target, seed=2, progress=False) for _ in range(2))
    assert once == again
    assert stability(digits.source, digits.target, seed=3, **QUIET).points != once.points


POINTS = tuple(
    StabilityPoint(delta, omega, Measure(mean, mean - 0.01, mean + 0.01), condition + omega, condition + 100, kept)
    for delta, condition, kept in ((0.0, 1218.5, 400), (0.85, 2.25, 44.25))
    for omega, mean in ((1, 0.1 + delta / 5), (16, 0.1 + delta / 2))
)
FOUND = Stability(
    num_anchors=400,
    num_held_out=100,
    source_width=256,
    target_width=384,
    within=False,
    points=POINTS,
    references={"kernel": Measure(0.6, 0.58, 0.62), "whitened": Measure(0.55, 0.53, 0.57)},
    pruning_gain=Measure(0.425, 0.4, 0.45),
    subspaces_gain=Measure(0.255, 0.245, 0.265),
)


def test_it_says_what_to_pass_on():
    """If it fails, the words or the table changed: look at them, then update this text."""
    assert str(FOUND) == (
        "Between two spaces, 256 → 384 wide: the paper's inverse from 400 anchors, and its cosine with the\n"
        "true vectors of 100 pairs that were held out. ± is half the 95 % interval. Anchors kept and\n"
        "condition number are those of the most subspaces.\n\n"
        "  δ     kept  condition  largest       ω = 1      ω = 16\n"
        "  0      400      1,234    1,318  .100 ±.010  .100 ±.010\n"
        "▸ 0.85    44         18      102  .270 ±.010  .525 ±.010\n\n"
        'Best: cosine .525 ±.010. Pass method="pruned", num_subspaces=16, pruning_threshold=0.85 to\n'
        "IRPAdapter.connect.\n\n"
        "At δ = 0 the condition number is 1,234 and the cosine .100 ±.010; at δ = 0.85 they are 18 and .525\n"
        "±.010, +.425 ±.025 pair by pair: pruning pays.\n\n"
        "From 1 to 16 subspaces: +.255 ±.010 pair by pair: more subspaces pay. The best has the most that\n"
        "were tried: try more.\n\n"
        'On the same pairs: kernel .600 ±.020, whitened .550 ±.020; method="kernel" does better here.'
    )


def test_it_claims_no_more_than_the_intervals_allow():
    """If it fails, chance is shown as a finding."""
    unsure = Measure(0.001, -0.002, 0.004)
    close = {"kernel": Measure(0.53, 0.52, 0.54)}
    said = " ".join(
        replace(FOUND, pruning_gain=unsure, subspaces_gain=unsure, references=close, within=True).conclusions()
    )
    assert "+.001 ±.003 pair by pair: pruning makes no sure difference." in said
    assert "more subspaces make no sure difference." in said
    assert "no sure difference to the paper's inverse." in said
    assert "the paper's inverse does better here" in " ".join(
        replace(FOUND, references={"kernel": Measure(0.4, 0.39, 0.41)}).conclusions()
    )
    plain = " ".join(replace(FOUND, points=POINTS[:2], references={}).conclusions())
    assert "no pruning tried here does better." in plain
    assert "More subspaces than 1 bring nothing at that δ." in plain


def test_it_shows_in_markdown_and_in_notebooks():
    """If it fails, a card or a notebook would show a repr."""
    assert "| ▸ 0.85 | 44 | 18 | 102 | .270 ±.010 | .525 ±.010 |" in FOUND.to_markdown()
    assert '<tr class="irp-chosen"><th scope="row">▸ 0.85</th>' in FOUND._repr_html_()


def test_the_picture_shows_every_point(tmp_path: Path):
    """If it fails, lines or marks belong to other numbers than the table's."""
    figure = FOUND.plot(tmp_path / "stability.png")
    cosine, condition, kept = figure.axes
    lines = {line.get_label(): line.get_ydata() for line in cosine.get_lines()}
    assert list(lines["not pruned"]) == pytest.approx([0.1, 0.1])
    assert list(lines["δ = 0.85"]) == pytest.approx([0.27, 0.525])
    assert lines["kernel"][0] == 0.6
    assert list(condition.get_lines()[0].get_ydata()) == [1234.5, 18.25]
    assert list(kept.get_lines()[0].get_ydata()) == [400, 44.25]
    assert not kept.texts[1:], "words in the panel would stand on its line"
    assert "the target's width" in kept.texts[0].get_text()
    assert (tmp_path / "stability.png").stat().st_size > 20_000


def test_spaces_of_other_anchors_are_refused_as_connect_refuses_them(refusal):
    """If it fails, unrelated rows are compared in silence, or two texts say the same thing differently."""
    source, target = encoders()
    one, other = (
        AnchoredSpace.from_embeddings(rows, AnchorSet([f"{name} {row}" for row in range(len(rows))]))
        for name, rows in (("a", source), ("b", target))
    )
    theirs = refusal(IRPAdapter.connect, one, other, error=AnchorMismatchError)
    assert refusal(stability, one, other, error=AnchorMismatchError) == theirs
    text = refusal(stability, source, target[:-1], error=AnchorMismatchError)
    assert all(word in text for word in ("source", "40", "target", "39"))


def test_spaces_and_arrays_give_the_same(spaces: tuple[AnchoredSpace, AnchoredSpace], digits: Digits, tmp_path: Path):
    """If it fails, a published space would be measured otherwise than the embeddings it was made of."""
    options: dict[str, Any] = {"thresholds": [0.8], "subspaces": [2], **QUIET}
    spaces[1].save_pretrained(tmp_path / "space")
    found = stability(spaces[0], tmp_path / "space", **options)
    assert found == stability(digits.source, digits.target, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"held_out": 1.5}, ["held_out", "above 0", "below 1", "got 1.5"]),
        ({"thresholds": []}, ["thresholds", "at least 1", "got 0"]),
        ({"subspaces": 4}, ["subspaces", "got 4"]),
        ({"thresholds": [0.5, 2]}, ["pruning_threshold", "at most 1", "got 2"]),
        ({"subspaces": [0]}, ["num_subspaces", "from 1 to 10000", "got 0"]),
        ({"subspaces": [2.5]}, ["num_subspaces", "a whole number", "got 2.5"]),
        ({"baselines": "kernel"}, ["baselines", "got 'kernel'"]),
        ({"against": "kernel"}, ["baselines", "got 'kernel'"]),
        ({"baselines": ["procrustes"]}, ["baselines", "'kernel', 'whitened', 'rigid', 'pruned'", "got 'procrustes'"]),
        ({"baselines": ["kernel"], "against": ["whitened"]}, ["against", "baselines", "got ['whitened']"]),
        ({"seed": -1}, ["seed", "got -1"]),
    ],
)
def test_what_cannot_be_swept_is_refused_in_words(options: dict[str, Any], words: list[str], refusal):
    """If it fails, the user reads a traceback from deep inside, or nothing."""
    text = refusal(stability, *encoders(), error=InputError, **options)
    assert all(word in text for word in words)


def test_against_is_another_name_of_baselines():
    """If it fails, programs that were written for the older name end, or compare with other inverses."""
    options: dict[str, Any] = {"thresholds": [0.3], "subspaces": [1], "progress": False}
    named = stability(*encoders(k=20), baselines=["whitened"], **options)
    assert list(named.references) == ["whitened"]
    assert stability(*encoders(k=20), against=["whitened"], **options) == named


def test_too_few_pairs_are_refused(refusal):
    """If it fails, an interval over one or two pairs would be shown."""
    text = refusal(stability, *encoders(k=9), error=InputError)
    assert "at least 10" in text
    assert "got 9" in text


def test_numpy_seeds_and_none_are_understood():
    """If it fails, a seed from an array, or none as `connect` takes it, ends in a traceback."""
    options: dict[str, Any] = {"thresholds": [0.3], "subspaces": [1], "baselines": [], "progress": False}
    points = [stability(*encoders(k=20), seed=seed, **options).points for seed in (np.int64(0), None, 0)]
    assert points[0] == points[1] == points[2]
