"""The trained translators learn what they are there to learn, the same each time, and disturb nothing."""

import pickle

import pytest
import torch
from baselines.test_closed_form import parallel

from irp_hf.baselines import ridge, trained
from irp_hf.baselines.trained import affine_sgd, residual_mlp
from irp_hf.errors import InputError
from irp_hf.maths.metrics import cosines

FITS = [affine_sgd, residual_mlp]


def test_affine_sgd_is_the_recipe_of_its_authors():
    """It would be another baseline than the one published: 300 full-batch steps of Adam on standardised sides."""
    source, target = parallel(50, 6, 4)
    x, y = (((side - side.mean(0)) / side.std(0, correction=0)).float() for side in (source, target))
    torch.manual_seed(5)
    linear = torch.nn.Linear(6, 4)
    optimizer = torch.optim.Adam(linear.parameters(), lr=1e-3)
    for _ in range(300):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(linear(x), y).backward()
        optimizer.step()
    expected = linear(x).detach().double() * target.std(0, correction=0) + target.mean(0)
    torch.testing.assert_close(affine_sgd(source, target, seed=5)(source), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_residual_network_learns_what_no_affine_map_can():
    """The trained baseline would be a ridge regression under another name, and too easily beaten."""
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(1500, 4, generator=generator).double()
    target = torch.cat([source[:, :2] * source[:, 2:], source[:, :2].abs()], dim=1)
    train, test = slice(0, 1200), slice(1200, None)
    linear, mlp = (fit(source[train], target[train])(source[test]) for fit in (ridge, residual_mlp))
    assert cosines(mlp, target[test]).mean() > cosines(linear, target[test]).mean() + 0.1


def test_where_nothing_is_left_the_network_stays_out_of_the_way():
    """An exactly linear pair would be made worse by noise that the network learnt."""
    source, target = parallel(300, 6, 4, noise=0)
    error = (residual_mlp(source[:250], target[:250])(source[250:]) - target[250:]).abs().max()
    assert error < 0.05 * target.std()


@pytest.mark.parametrize("fit", FITS)
def test_training_never_seeds_the_process(fit, monkeypatch):
    """If it fails, what another thread draws meanwhile begins at our seed, and is drawn again afterwards."""
    states, state = [], torch.get_rng_state()
    loss = trained.mse_loss

    def watched(*args):
        states.append(torch.get_rng_state())
        return loss(*args)

    monkeypatch.setattr(trained, "mse_loss", watched)
    pickle.dumps(fit(*parallel(40, 5, 3)))
    assert len(states) > 5
    assert all(torch.equal(state, seen) for seen in states)


@pytest.mark.parametrize("fit", FITS)
def test_training_is_seeded_and_leaves_the_generator_alone(fit):
    """A second run would give another table, or change what the user draws next."""
    source, target = parallel(40, 5, 3)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first, second, other = (fit(source, target, seed=seed)(source) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("fit", FITS)
def test_it_trains_where_gradients_are_off(fit):
    """Inside `torch.no_grad()`, as a report may be, nothing would be learnt."""
    source, target = parallel(40, 5, 3)
    with torch.no_grad():
        inside = fit(source, target)(source)
    assert torch.equal(inside, fit(source, target)(source))


@pytest.mark.parametrize("fit", FITS)
def test_it_trains_in_inference_mode(fit):
    """Inside `torch.inference_mode()`, as an evaluation may be, training would end in an error of torch."""
    source, target = parallel(40, 5, 3)
    with torch.inference_mode():
        inside = fit(source + 0, target + 0)(source)
    assert torch.equal(inside, fit(source, target)(source))


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("seed", [-1, 2**64, "1", 1.0, True])
def test_a_seed_that_is_none_is_refused(fit, seed, refusal):
    """It would be an error of torch, or another seed than the one given."""
    text = refusal(fit, *parallel(40, 5, 3), seed=seed, error=InputError)
    assert "seed" in text
    assert f"got {seed!r}" in text


@pytest.mark.parametrize("fit", FITS)
def test_translate_has_the_face_of_an_adapter(fit):
    """A trained baseline could not stand where an adapter stands."""
    source, target = parallel(30, 6, 5)
    translated = fit(source, target).translate(source.float())
    assert (translated.dtype, translated.shape, translated.requires_grad) == (torch.float32, (30, 5), False)


@pytest.mark.parametrize("fit", FITS)
def test_few_constant_or_unequal_pairs(fit, refusal):
    """A dead dimension would give NaN, and vectors of different items would be paired in silence."""
    flat = torch.ones(3, 4)
    assert fit(flat, torch.arange(6.0).reshape(3, 2))(flat).isfinite().all()
    assert "(4, 3) and (5, 3)" in refusal(fit, torch.ones(4, 3), torch.ones(5, 3), error=InputError)


def test_copies_of_an_item_are_held_out_together(monkeypatch):
    """What tells when to stop would have been trained on, and the network would learn the noise of the copies by heart."""
    source, target = (side.repeat_interleave(3, dim=0) for side in parallel(40, 6, 4))
    seen = []

    def train(network, x, residual, kept, held, generator):
        seen.append((kept, held))

    monkeypatch.setattr(trained, "_train", train)
    residual_mlp(source, target)
    ((kept, held),) = seen
    assert len(held) == 12
    assert len(kept) + len(held) == 120
    assert not set((kept // 3).tolist()) & set((held // 3).tolist())
