"""Unpaired rows behind pairs: copies and anchors among them are left out, and all rows tell the means."""

import torch
from unpaired_rows import spaces

from irp_hf.maths.pairs import Pairs
from irp_hf.maths.projection import statistics
from irp_hf.maths.unpaired.background import Background, distinct_from


def test_copies_and_anchors_are_left_out():
    """If it fails, a pair that is held out is known to the fit, or one row in many copies is all that is near."""
    found = spaces(0, num_pairs=10, rows=60)
    anchors, rows = torch.from_numpy(found.pairs[0]), torch.from_numpy(found.background[0])
    other_batch = anchors * (1 + 1e-4 * torch.randn(anchors.shape, generator=torch.Generator().manual_seed(0)))
    mixed = torch.cat([rows[:20], anchors, rows[:5], rows[20:], other_batch, rows[40:41].half().float()])
    kept = distinct_from(mixed, anchors)
    assert torch.equal(mixed[kept], torch.cat([rows[:20], rows[20:]]))
    assert torch.equal(distinct_from(rows, anchors), torch.arange(60))
    assert len(distinct_from(anchors, anchors)) == 0


def test_rows_and_pairs_tell_the_means_together():
    """If it fails, ten pairs are centred by themselves, about a mean that is nearly noise."""
    found = spaces(0, num_pairs=10, rows=200)
    pairs = Pairs(*map(torch.from_numpy, found.pairs))
    background = Background.of(*map(torch.from_numpy, found.background), pairs)
    before = background.behind(pairs)
    stats, unpaired = (before.source_stats, before.target_stats), (background.source, background.target)
    for own, rows, anchors in zip(stats, unpaired, (pairs.source, pairs.target), strict=True):
        wanted = statistics(torch.cat([rows.double(), anchors]))
        assert torch.allclose(own.mean, wanted.mean)
        assert torch.allclose(own.scale, wanted.scale)
    assert torch.equal(before.labels, pairs.labels)
    assert torch.equal(before.target, pairs.target)
