"""mini-vec2vec (arXiv 2510.02348) by the package of that name (requirements-peers.txt): nothing where it is not installed.

The package knows no pairs. Where there are some, its matrix begins as their Procrustes rotation, in place of the one by matched
clusters, and its two refinements follow as they are. Both sides come in the leading principal directions of `rosetta.Space`.
"""

from __future__ import annotations

import importlib.util
import warnings

import torch
from rosetta import Space
from scipy.linalg import orthogonal_procrustes
from torch import Tensor
from torch.nn.functional import pad

PACKAGE = "mini_vec2vec"


def installed() -> bool:
    """Whether there is anybody to compare with."""
    return importlib.util.find_spec(PACKAGE) is not None


def mini_vec2vec(x: Space, y: Space, seed: int) -> Tensor:
    """W, shape (r, q): the corner of the package's, which knows the narrower side padded with zeros."""
    from mini_vec2vec import MiniVec2Vec

    model, sides = MiniVec2Vec(), (x.side.low.numpy(), y.side.low.numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says each time that it pads
        if len(x.pairs):
            width = max(x.pairs.shape[1], y.pairs.shape[1])
            padded = (pad(rows, (0, width - rows.shape[1])).double().numpy() for rows in (x.pairs, y.pairs))
            model.W, _ = orthogonal_procrustes(*padded)
            model.refinement_1(*sides, random_seed=seed, verbose=False).refinement_2(*sides, random_seed=seed)
        else:
            model.fit(*sides, random_seed=seed, verbose=False)
    return torch.from_numpy(model.W[: x.pairs.shape[1], : y.pairs.shape[1]]).float()
