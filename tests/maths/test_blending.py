"""How much of the rigid part a map takes."""

from dataclasses import replace

import pytest
import torch

from irp_hf import IRPAdapter
from irp_hf.errors import FitWarning, InputError
from irp_hf.maths.blending import SHARES, WORTH, cosines_of_sums, lengths, rigid_part, tables_of_sums, turned_left_out
from irp_hf.maths.identification import identified, identified_by
from irp_hf.maths.metrics import cosines, reciprocal_ranks
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import denormalize, normalize, statistics, unit_rows
from irp_hf.maths.request import Given
from irp_hf.maths.selection import select
from irp_hf.models.fitting import without_part


def rotated(k=120, d=24, noise=0.4, seed=0):
    """A source, and the same rotated, with noise: many directions, of which few matter to a mean of cosines."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(k, d, generator=generator, dtype=torch.float64) * torch.logspace(0, -1, d, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64)).Q
    y = x @ turn + noise * torch.randn(k, d, generator=generator, dtype=torch.float64) * x.std(0)
    return x, y


@pytest.mark.parametrize("method", ["kernel", "whitened"])
@pytest.mark.parametrize("lift", [0.0, 2.0])
def test_the_rigid_part_is_added_before_the_scale_is_restored(method, lift):
    """If it fails, an adapter translates by another mixture than the one that was chosen, where lengths count above all."""
    x, y = rotated()
    pairs = Pairs(x, y)
    given = Given(rigid=0.5, lift=lift)
    (choice,) = select(pairs, (method,), given=given)
    assert choice.rigid == 0.5
    rows = normalize(x[:5], pairs.source_stats, lift)
    plain = replace(choice, rigid=0.0).unstretched(pairs)(rows)
    turned = (pairs.source_rows[:5] @ rigid_part(pairs, 0.0)) * lengths(pairs, lift)[:5, None]
    assert torch.allclose(choice.unstretched(pairs)(rows), plain + 0.5 * turned)
    assert torch.allclose(choice.fold(pairs)(rows), choice.stretch(plain + 0.5 * turned))


@pytest.mark.parametrize("lift", [0.0, 0.5])
def test_the_share_is_judged_out_of_fold(lift):
    """If it fails, a rotation that has learnt the anchors by heart looks as if it were right for new vectors."""
    x, y = rotated(k=30, d=60)
    pairs = Pairs(x, y)
    kept = turned_left_out(pairs, lift, 0, "cosine")
    seen = (pairs.source_rows @ rigid_part(pairs, 0.0)) * lengths(pairs, lift)[:, None]
    assert cosines(kept, pairs.target_rows).mean() < cosines(seen, pairs.target_rows).mean() - 0.1


def test_the_score_of_a_rotation_is_that_of_new_vectors():
    """If it fails, a rotation alone looks worse beside other inverses than it is: too few folds rotate by too few anchors."""
    x, y = rotated(k=3400, d=300, noise=1.0)
    adapter = IRPAdapter.from_anchors(x[:400], y[:400], method="rigid")
    assert adapter.config.score == pytest.approx(float(cosines(adapter.translate(x[400:]), y[400:]).mean()), abs=0.02)


def test_cosines_of_sums_are_those_of_the_vectors():
    """If it fails, the cosine pays another price than what is weighed against what a share gains."""
    generator = torch.Generator().manual_seed(0)
    one, other, true = (torch.randn(30, 9, generator=generator, dtype=torch.float64) for _ in range(3))
    one[3], true = 0, true + 2
    stats = statistics(true)
    found = cosines_of_sums(one, other, true, stats)
    for share in SHARES[1:]:
        assert torch.allclose(found(share), cosines(denormalize(one + share * other, stats), true))


def test_tables_of_sums_tell_what_their_vectors_do():
    """If it fails, ρ is chosen by how surely other vectors tell their items."""
    generator = torch.Generator().manual_seed(0)
    one, other, true = (torch.randn(30, 9, generator=generator, dtype=torch.float64) for _ in range(3))
    one[3], true, groups = 0, true + 2, torch.arange(30) // 2
    stats, pools = statistics(true), list(torch.randperm(30, generator=generator).tensor_split(3))
    tables = tables_of_sums(one, other, true, stats, pools)
    for share in SHARES[1:]:
        translated = denormalize(one + share * other, stats)
        for table, pool in zip(tables(share), pools, strict=True):
            assert torch.allclose(table.double(), unit_rows(translated[pool]) @ unit_rows(true[pool]).T, atol=1e-5)
        told = identified_by(tables(share), pools, 30, groups)
        assert torch.allclose(told, identified(translated, true, pools, groups), atol=1e-4)


def test_a_share_that_is_given_is_kept():
    """If it fails, what the user fixed is overruled."""
    x, y = rotated()
    for share in (0.0, 0.3):
        adapter = IRPAdapter.from_anchors(x, y, method="kernel", rigid=share)
        assert (adapter.config.rigid or 0.0) == share
        assert hasattr(adapter, "rotation") == (share > 0)
        assert adapter.config.given == ["rigid"]


def test_the_cosine_pays_little_for_it():
    """If it fails, heads pay for what known items gain."""
    x, y = rotated(k=400)
    pairs = Pairs(x, y)
    (with_it,), (without,) = select(pairs, ("kernel",)), select(pairs, ("kernel",), given=Given(rigid=0.0))
    assert with_it.rigid in SHARES
    assert with_it.score >= without.score - 2 * WORTH * (1 - without.score)


@pytest.mark.parametrize("objective", ["cosine", "retrieval"])
def test_nothing_is_promised_of_noise(objective):
    """If it fails, unrelated encoders look related, and the confidence believes it."""
    x, y = torch.randn(2, 300, 300, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with pytest.warns(FitWarning):
        adapter = IRPAdapter.from_anchors(x[:60], y[:60], objective=objective)
    assert adapter.confidence(x[60:]).mean() < 0.05


def test_a_share_without_a_part_is_told():
    """If it fails, `auto` leaves out what was given, and nothing says so."""
    assert without_part(["rigid"], "pruned") == [
        "rigid= has no part in pruned, which was chosen: give method='kernel' or 'whitened', or leave it out."
    ]
    assert without_part(["rigid"], "kernel") == []


def test_retrieval_finds_known_items_at_least_as_well_as_the_cosine():
    """If it fails, objective='retrieval' does not do what it is for."""
    x, y = rotated(k=1200, noise=1.0)
    pairs = Pairs(x[:300], y[:300])
    found = {
        objective: reciprocal_ranks(select(pairs, ("kernel",), objective)[0].translator(pairs)(x[300:]), y[300:]).mean()
        for objective in ("cosine", "retrieval")
    }
    assert found["retrieval"] >= found["cosine"] - 0.005


@pytest.mark.parametrize("method", ["rigid", "pruned"])
def test_methods_without_a_rigid_part_refuse_one(method):
    """If it fails, an option is taken in silence that does nothing."""
    x, y = rotated(k=40)
    with pytest.raises(InputError, match="rigid"):
        IRPAdapter.from_anchors(x, y, method=method, rigid=0.5)


def test_what_is_saved_translates_alike(tmp_path):
    """If it fails, a rigid part is lost between a fit and the Hub."""
    x, y = rotated()
    for options in ({"method": "kernel", "rigid": 0.5}, {"method": "whitened", "rigid": 0.5}, {"method": "rigid"}):
        adapter = IRPAdapter.from_anchors(x, y, **options)
        adapter.save_pretrained(tmp_path / options["method"])
        again = IRPAdapter.from_pretrained(tmp_path / options["method"])
        assert torch.equal(again.translate(x), adapter.translate(x))
        assert again.config.rigid == options.get("rigid")
        assert torch.equal(*(one.translate(x, return_confidence=True)[0] for one in (again, adapter)))
        assert again.checksum() == adapter.checksum()
