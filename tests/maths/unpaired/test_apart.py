"""The fit between two spaces without a pair: the surest matches stand as pairs, and nothing is computed twice."""

import numpy as np
import pytest
import torch
from unpaired_rows import found_first, spaces

from irp_hf.maths.projection import denormalize, normalize
from irp_hf.maths.request import Given
from irp_hf.maths.unpaired.apart import MOST_PAIRS, Apart
from irp_hf.maths.unpaired.background import Background

FOUND = spaces(0, num_pairs=6, rows=450)


@pytest.mark.slow
def test_matches_become_a_map():
    """If it fails, right matches lead to a map that does not bring rows to their partners."""
    source, target = map(torch.from_numpy, FOUND.background)
    apart = Apart.of(source, target, seed=0)
    found = apart.discovered()
    assert found.is_sure
    matches = apart.matches(found.rotation)
    assert 30 < len(matches.sure) <= min(MOST_PAIRS, len(source) // 2)
    assert (matches.sure.diff() <= 0).all()
    choice, pairs = apart.choice(found.rotation, matches, ("pruned", "kernel"), "cosine", Given(), None)
    assert choice.method == "kernel"  # the first that sums serve
    assert torch.equal(pairs.source, source[matches.source])
    assert torch.equal(pairs.target, target[matches.target])
    x = normalize(torch.from_numpy(FOUND.new[0]).double(), pairs.source_stats)
    made = denormalize(choice.fold(pairs)(x), pairs.target_stats)
    assert found_first(made.numpy(), FOUND.new[1]) > 0.9


def test_what_is_left_is_seen_as_before():
    """If it fails, means are found anew without the rows that stand as pairs, or all rows are normalised a second time."""
    source, target = map(torch.from_numpy, FOUND.background)
    whole = Background.of(source, target)
    left = whole.without(torch.tensor([1, 5]))
    kept = np.delete(np.arange(len(source)), [1, 5])
    assert torch.equal(left.source, source[kept])
    assert torch.equal(left.source_rows, whole.source_rows[kept])
    assert left.target_rows is whole.target_rows
    assert torch.equal(left.source_stats.mean, whole.source_stats.mean)
