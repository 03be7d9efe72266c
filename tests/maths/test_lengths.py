"""Translations longer than the target's vectors, where known items are sought."""

from dataclasses import replace

import pytest
import torch

from irp_hf import IRPAdapter
from irp_hf.maths.lengths import LENGTHS, chosen_length
from irp_hf.maths.metrics import cosines, reciprocal_ranks
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import denormalize
from irp_hf.maths.selection import select


def noisy(k: int, seed: int = 0, noise: float = 1.2) -> tuple[torch.Tensor, torch.Tensor]:
    """Both sides of items that a rotation relates in part; the target's vectors lie beside a mean as long as they are."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(k, 24, generator=generator, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(24, 24, generator=generator, dtype=torch.float64)).Q
    return x, x @ turn + noise * torch.randn(k, 24, generator=generator, dtype=torch.float64) + 1.5


def test_longer_translations_find_known_items_better():
    """If it fails, the mean that all translations share decides what a search finds."""
    x, y = noisy(3000)
    (choice,) = select(Pairs(x[:400], y[:400]), ("kernel",), "retrieval")
    assert choice.length > 1
    pairs = Pairs(x[:400], y[:400])
    found = [
        float(reciprocal_ranks(one.translator(pairs)(x[400:]), y[400:]).mean())
        for one in (choice, replace(choice, length=1.0))
    ]
    assert found[0] > found[1]


@pytest.mark.parametrize("objective", ["cosine", "neighbors", "recall"])
def test_other_objectives_keep_the_length_of_the_vectors(objective):
    """If it fails, heads read what lies outside of all that they have learnt."""
    x, y = noisy(200)
    assert all(choice.length == 1 for choice in select(Pairs(x, y), ("kernel", "rigid"), objective))


def test_a_perfect_translation_is_as_long_as_the_vectors():
    """If it fails, what is known exactly is moved away."""
    x, _ = noisy(200)
    pairs = Pairs(x, x + 1)
    stats = pairs.target_stats
    directions = pairs.target_rows
    assert chosen_length(lambda length: denormalize(directions, stats, length), pairs, "retrieval", 0) == LENGTHS[0]


def test_few_pairs_choose_nothing():
    """If it fails, a handful of pairs decides by chance."""
    x, y = noisy(19)
    pairs = Pairs(x, y)

    def vectors(length: float) -> torch.Tensor:
        pytest.fail(f"{length} was tried")

    assert chosen_length(vectors, pairs, "retrieval", 0) == 1


def test_an_adapter_is_as_long_as_was_chosen_and_expects_what_comes_true(tmp_path):
    """If it fails, the file, the report and the confidence tell of other vectors than the adapter gives."""
    x, y = noisy(3000)
    anchors, rest = slice(400), slice(400, None)
    adapter = IRPAdapter.from_anchors(x[anchors].float(), y[anchors].float(), method="kernel", objective="retrieval")
    pairs = Pairs(x[anchors].float(), y[anchors].float())
    (choice,) = select(pairs, ("kernel",), "retrieval")
    translated = adapter.translate(x[rest].float())
    assert torch.allclose(translated.double(), choice.translator(pairs)(x[rest].float().double()), atol=1e-3)
    lengths = (translated - y[anchors].float().mean(0)).norm(dim=1) / pairs.target_stats.scale
    assert torch.allclose(lengths, torch.full_like(lengths, choice.length), atol=1e-3)

    adapter.save_pretrained(tmp_path)
    again = IRPAdapter.from_pretrained(tmp_path)
    assert torch.equal(again.translate(x[rest].float()), translated)
    true = cosines(translated.double(), y[rest])
    assert abs(float(adapter.confidence(x[rest].float()).mean() - true.mean())) < 0.02
    assert adapter.config.score == pytest.approx(choice.score)
