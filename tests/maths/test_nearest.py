"""The nearest of rows that come in blocks are those of all rows."""

import pytest
import torch

from irp_hf.maths.nearest import Nearest


def test_the_nearest_of_blocks_are_the_nearest_of_all():
    """What stands at the end of a large index would never be found."""
    similarity = torch.rand(7, 100, generator=torch.Generator().manual_seed(1))
    nearest = Nearest(7, similarity.device)
    for part in torch.arange(100).split(3):
        nearest.show(similarity[:, part], part)
    assert torch.equal(nearest.rows, similarity.topk(10).indices)
    other = Nearest(7, similarity.device)
    other.show(similarity.flip(1), torch.arange(100))
    kept = [len({*a.tolist()} & {*b.tolist()}) / 10 for a, b in zip(other.rows, nearest.rows, strict=True)]
    assert other.share_of(nearest, 10).tolist() == pytest.approx(kept)
    assert nearest.share_of(nearest, 3).tolist() == [1.0] * 7
