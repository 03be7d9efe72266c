"""Samples of many pairs, and plans of them, for the tests of fits by sums."""

import numpy as np
import torch

from irp_hf.maths.many.plan import Plan, Request, make_plan
from irp_hf.maths.request import Given


def sample(count: int = 1000, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """So many pairs, 12 and 9 wide: the target is a bent and noisy map of the source, the same for all seeds."""
    source = np.random.RandomState(seed).randn(count, 12) + 1
    target = np.tanh(source @ np.random.RandomState(5).randn(12, 9)) + 0.1 * np.random.RandomState(seed + 1).randn(
        count, 9
    )
    return torch.from_numpy(source), torch.from_numpy(target)


def plan_of(
    source: torch.Tensor, target: torch.Tensor, judges=100, landmarks=50, methods=("kernel", "whitened"), **given
) -> tuple[Plan, torch.Tensor]:
    """The plan of a sample, and which of its rows judge."""
    return make_plan(source, target, Request(methods, "cosine", Given(**given)), judges, landmarks)
