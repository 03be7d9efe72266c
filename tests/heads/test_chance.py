"""Chance of one's own: the same for a seed, and nobody else's random state is touched."""

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from irp_hf.heads import HeadCut
from irp_hf.heads.chance import OwnChance

X = torch.full((64,), 0.5)
DRAWS: dict[str, Callable[[], Tensor]] = {
    "rand": lambda: torch.rand(64),
    "randn": lambda: torch.randn(64, device="cpu"),
    "randint": lambda: torch.randint(1000, (64,)),
    "randperm": lambda: torch.randperm(64),
    "rand_like": lambda: torch.rand_like(X),
    "randn_like": lambda: torch.randn_like(X, dtype=torch.float64),
    "normal": lambda: torch.normal(X, 1.0),
    "normal of a size": lambda: torch.normal(0.0, 1.0, (64,)),
    "bernoulli": lambda: torch.bernoulli(X),
    "multinomial": lambda: torch.multinomial(X, 20),
    "uniform_": lambda: torch.empty(64).uniform_(),
    "normal_": lambda: torch.empty(64).normal_(),
    "bernoulli_": lambda: torch.empty(64).bernoulli_(0.5),
    "exponential_": lambda: torch.empty(64).exponential_(),
    "random_": lambda: torch.empty(64).random_(),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_a_seed_gives_the_same_and_the_process_keeps_its_state(draw: Callable[[], Tensor]) -> None:
    """If it fails, an architecture that hashes at random is cut wrongly, or a user's own random numbers repeat."""
    state = torch.get_rng_state()
    with OwnChance(3):
        first, second = draw(), draw()
    with OwnChance(3):
        again = draw()
    with OwnChance(4):
        other = draw()
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    if "like" in repr(draw):
        assert first.dtype == draw().dtype


def test_like_draws_keep_shape_and_dtype() -> None:
    with OwnChance(0):
        assert torch.rand_like(X.double().view(8, 8)).shape == (8, 8)
        assert torch.rand_like(X.double()).dtype == torch.float64
        assert torch.randn_like(X, dtype=torch.float16).dtype == torch.float16


def test_a_generator_that_is_given_is_used() -> None:
    with OwnChance(0):
        ours = torch.rand(5, generator=torch.Generator().manual_seed(9))
    assert torch.equal(ours, torch.rand(5, generator=torch.Generator().manual_seed(9)))


def test_another_thread_draws_as_ever() -> None:
    state, drawn = torch.get_rng_state(), []
    with OwnChance(0):
        thread = threading.Thread(target=lambda: drawn.append(torch.rand(5)))
        thread.start()
        thread.join()
    torch.set_rng_state(state)
    assert torch.equal(drawn[0], torch.rand(5))


class Watching(nn.Module):
    """A classifier that notes the process's random state at each forward, and hashes its input at random."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.states = nn.Linear(6, 5), nn.Linear(5, 3), list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        self.states.append(torch.get_rng_state())
        return self.head(torch.tanh(self.body(x) @ torch.randn(5, 5)))


def test_a_cut_never_seeds_the_process() -> None:
    """If it fails, numbers that another thread draws while a model is cut begin at seed 0, again and again."""
    state = torch.get_rng_state()
    model = Watching().eval()
    state = torch.get_rng_state()
    HeadCut(model, x=torch.randn(4, 6, generator=torch.Generator().manual_seed(0)))
    assert len(model.states) > 4
    assert all(torch.equal(state, seen) for seen in model.states)
    assert torch.equal(torch.get_rng_state(), state)
