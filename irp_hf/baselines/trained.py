"""Direct translators that are trained by gradient descent, to compare with. They standardise both sides first."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from irp_hf.arithmetic import own_arithmetic
from irp_hf.baselines.closed_form import Baseline, Centred, DirectMap, deviation, parallel, ridge
from irp_hf.maths.groups import first_groups, group_rows
from irp_hf.maths.request import check_given

STEPS, LEARNING_RATE = 300, 1e-3  # of the affine translator, as its authors have them
HIDDEN, DROPOUT = 512, 0.1
BATCH, EPOCHS, PATIENCE = 256, 100, 8
PLAIN: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}  # whatever the defaults of the process
HELD_OUT = 10  # one pair of so many tells when to stop


@own_arithmetic()  # tensors of inference mode could not be trained
def affine_sgd(source: Tensor, target: Tensor, seed: int = 0) -> DirectMap:
    """An affine map by 300 full-batch steps of Adam on the squared error (arXiv 2311.00664, `affine`).

    `source (k, d_X)`, `target (k, d_Y)`. Raises `InputError` for sides of unequal length and for a seed that is none.
    """
    seed = check_given("auto", seed=seed).seed
    sides = _Standardized(source, target)
    with torch.enable_grad():
        layer = _layer(sides.source.shape[1], sides.target.shape[1], torch.Generator("cpu").manual_seed(seed))
        linear = layer.to(sides.source.device)
        optimizer = torch.optim.Adam(linear.parameters(), LEARNING_RATE)
        for _ in range(STEPS):
            optimizer.zero_grad()
            mse_loss(linear(sides.source), sides.target).backward()
            optimizer.step()
    weight, bias = linear.weight.detach().double().T, linear.bias.detach().double()
    weight = weight / sides.source_deviation[:, None] * sides.target_deviation
    return DirectMap(weight, sides.source_mean, sides.target_mean + bias * sides.target_deviation)


class ResidualMLP(nn.Module, Baseline):
    """Ridge regression plus a network of one hidden layer, `(n, d_X) -> (n, d_Y)`."""

    def __init__(self, sides: _Standardized, linear: DirectMap, chance: torch.Generator) -> None:
        super().__init__()
        self.linear = linear
        self.source_size, width = sides.source.shape[1], sides.target.shape[1]
        self.source_mean, self.source_deviation = sides.source_mean.float(), sides.source_deviation.float()
        self.target_deviation = sides.target_deviation.float()
        last = _layer(HIDDEN, width, chance)
        nn.init.zeros_(last.weight)  # it begins as the ridge regression
        nn.init.zeros_(last.bias)
        first = _layer(self.source_size, HIDDEN, chance)
        self.network = nn.Sequential(first, nn.GELU(), _Dropout(DROPOUT, chance), last).to(sides.source.device)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors `(n, d_Y)` of the target space for raw `x (n, d_X)`."""
        residual: Tensor = self.network((x.float() - self.source_mean) / self.source_deviation)
        direct: Tensor = self.linear(x)
        return direct + (residual * self.target_deviation).to(direct)


@own_arithmetic()
def residual_mlp(source: Tensor, target: Tensor, seed: int = 0) -> ResidualMLP:
    """Train a network on what ridge regression leaves; a tenth of the pairs, held out with their copies, tells when to stop.

    `source (k, d_X)`, `target (k, d_Y)`. The ridge regression below it is fitted on the same nine tenths, and so is honest
    on the tenth; the result has it of all pairs. Raises `InputError` for sides of unequal length and for a seed that is none.
    """
    seed = check_given("auto", seed=seed).seed
    source, target = parallel(source, target)
    sides = _Standardized(source, target)
    generator = torch.Generator("cpu").manual_seed(seed)
    order = torch.randperm(len(source), generator=generator, dtype=torch.int64, device="cpu")
    is_held, count = torch.zeros_like(order, dtype=torch.bool), len(order) // HELD_OUT
    if count:
        is_held = first_groups(group_rows(source, target).labels.to(order.device)[order], count)
    held, kept = order[is_held], order[~is_held]
    linear = ridge(source[kept], target[kept])
    residual = ((target - linear(source)) / sides.target_deviation).float()
    with torch.enable_grad():
        mlp = ResidualMLP(sides, ridge(source, target), torch.Generator("cpu").manual_seed(seed))
        _train(mlp.network, sides.source, residual, kept, held, generator)
    mlp.network[2] = nn.Identity()  # only training drops, and the generator is not kept
    return mlp.eval().requires_grad_(False)


class _Dropout(nn.Module):
    """torch's own draws from the random state of the process, which other threads share."""

    def __init__(self, share: float, chance: torch.Generator) -> None:
        super().__init__()
        self.share, self.chance = share, chance

    def forward(self, x: Tensor) -> Tensor:
        """Some of `x` are zero, and the others larger by as much."""
        if not self.training:
            return x
        kept = torch.empty_like(x, device="cpu").bernoulli_(1 - self.share, generator=self.chance)
        return x * kept.div_(1 - self.share).to(x.device)


def _layer(width: int, outputs: int, chance: torch.Generator) -> nn.Linear:
    """A linear layer on the CPU as torch begins one, of chance that is not the process's."""
    layer = nn.utils.skip_init(nn.Linear, width, outputs, **PLAIN)
    nn.init.kaiming_uniform_(layer.weight, a=5**0.5, generator=chance)
    nn.init.uniform_(layer.bias, -(width**-0.5), width**-0.5, generator=chance)
    return layer  # type: ignore[no-any-return]


def _train(
    network: nn.Module, x: Tensor, residual: Tensor, kept: Tensor, held: Tensor, generator: torch.Generator
) -> None:
    """Adam on the squared error, until the held-out rows have not gained for some epochs; the best state stays."""
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE)
    best, state, waited = float("inf"), copy.deepcopy(network.state_dict()), 0
    for _ in range(EPOCHS):
        network.eval()
        with torch.no_grad():
            error = float(mse_loss(network(x[held]), residual[held])) if len(held) else 0.0
        if error < best:
            best, state, waited = error, copy.deepcopy(network.state_dict()), 0
        elif (waited := waited + 1) == PATIENCE:
            break
        network.train()
        order = torch.randperm(len(kept), generator=generator, dtype=torch.int64, device="cpu")
        for rows in kept[order].split(BATCH):
            optimizer.zero_grad()
            mse_loss(network(x[rows]), residual[rows]).backward()
            optimizer.step()
    network.load_state_dict(state)


class _Standardized:
    """Both sides in float32, centred and of unit variance per dimension; a constant dimension stays zero."""

    def __init__(self, source: Tensor, target: Tensor) -> None:
        sides = Centred(source, target)
        self.source_mean, self.target_mean = sides.source_mean, sides.target_mean
        self.source_deviation, self.target_deviation = deviation(sides.source), deviation(sides.target)
        self.source = (sides.source / self.source_deviation).float()
        self.target = (sides.target / self.target_deviation).float()
