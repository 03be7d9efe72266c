"""How well a translation tells its own item: a probability over a pool, at the sharpness that suits all."""

import math

import numpy as np
import pytest
import torch

from irp_hf.maths.identification import SHARPNESSES, identified, identified_among
from irp_hf.maths.metrics import reciprocal_ranks


def rows(n=30, d=8, noise=0.3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    true = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return true + noise * torch.randn(n, d, generator=generator, dtype=torch.float64), true


def explicit(translated, true, pools, groups, sharpness):
    told = np.ones(len(true))
    for pool in pools:
        for row in pool if len(pool) > 1 else []:
            cosines = {
                other: float(
                    np.dot(translated[row], true[other]) / np.linalg.norm(translated[row]) / np.linalg.norm(true[other])
                )
                for other in pool
                if other == row or groups[other] != groups[row]
            }
            total = sum(math.exp(sharpness * (cosine - cosines[row])) for cosine in cosines.values())
            told[row] = 1 - math.log(total) / math.log(len(pool))
    return told


@pytest.mark.parametrize("grouped", [False, True])
def test_it_is_the_log_probability_at_the_best_sharpness(grouped):
    """If it fails, objective='retrieval' chooses by something else than what is documented."""
    translated, true = rows()
    pools = [torch.arange(12), torch.arange(12, 29), torch.tensor([29])]
    groups = torch.arange(30) // 2 if grouped else None
    found = identified(translated, true, pools, groups)
    names = range(30) if groups is None else groups.tolist()
    tried = [
        explicit(translated.numpy(), true.numpy(), [pool.tolist() for pool in pools], names, sharpness)
        for sharpness in SHARPNESSES
    ]
    best = max(tried, key=lambda told: told.mean())
    assert found.mean() == pytest.approx(best.mean(), abs=2e-3)
    assert found[29] == 1


def test_it_tells_more_where_all_are_first_already():
    """If it fails, the objective saturates as the reciprocal rank does, and then picks nonsense."""
    pool = [torch.arange(30)]
    worse, better = rows(noise=0.35), rows(noise=0.3)
    assert reciprocal_ranks(*worse).mean() == reciprocal_ranks(*better).mean() == 1
    assert identified(*worse, pool).mean() < identified(*better, pool).mean() - 1e-4


def test_what_tells_nothing_is_zero():
    """If it fails, a useless map looks as if it told items apart, or makes numbers that no report can hold."""
    _, true = rows(200)
    noise = torch.randn(200, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    assert float(identified(noise, true, [torch.arange(200)]).mean()) == pytest.approx(0, abs=0.02)
    assert float(identified(-true, true, [torch.arange(200)]).mean()) >= -0.05


def test_among_others_it_is_as_in_a_pool_of_one_true_row():
    """A background would be judged by another measure than a fit is."""
    random = np.random.RandomState(0)
    true, rows = torch.from_numpy(random.randn(1, 8)), torch.from_numpy(random.randn(40, 8))
    translated = true + 0.3 * torch.from_numpy(random.randn(1, 8))
    told = identified_among(translated, true, rows)
    own = torch.nn.functional.cosine_similarity(translated, torch.cat([true, rows]))
    at_each = [float(1 + (own * sharp).log_softmax(0)[0] / math.log(41)) for sharp in SHARPNESSES]
    assert told.tolist() == pytest.approx([max(at_each)], abs=1e-4)
    assert float(identified_among(rows[:1], true, rows)) < float(told)
