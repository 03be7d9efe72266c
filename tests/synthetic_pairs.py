"""Small parallel anchors, and rows that are none of them, for the tests of every inverse."""

import numpy as np
import torch

from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import normalize


def pairs(seed: int, k: int, d_x: int, d_y: int) -> tuple[Pairs, torch.Tensor]:
    """k anchors of both sides, the target a bent and noisy map of the source; 10 normalised rows of the source."""
    random = np.random.RandomState(seed)
    source = random.randn(k + 10, d_x) + 1
    target = np.tanh(source @ random.randn(d_x, d_y)) + 0.1 * random.randn(k + 10, d_y)
    found = Pairs(torch.from_numpy(source[:k]), torch.from_numpy(target[:k]))
    return found, normalize(torch.from_numpy(source[k:]), found.source_stats)
