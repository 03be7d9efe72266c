"""What the similarities of some rows alone tell of held-out folds, against explicit refits."""

import numpy as np
import pytest
import reference
import torch
from synthetic_pairs import pairs

from irp_hf.maths.inverses.in_rows import left_out_by
from irp_hf.maths.inverses.kernel import KernelInverse
from irp_hf.maths.inverses.pruned import PrunedInverse
from irp_hf.maths.inverses.whitened import WhitenedInverse

SOME = torch.tensor([3, 0, 7, 12, 9, 20, 21, 5, 11, 17, 2, 14])
WAYS = [
    list(torch.arange(12).tensor_split(3)),
    [torch.arange(4), torch.tensor([11, 4, 6, 5]), torch.tensor([7, 8, 9, 10])],
]


@pytest.mark.parametrize("lift", [0.0, 0.5])
@pytest.mark.parametrize("known", [True, False])
def test_a_kernel_leaves_the_folds_of_each_way_out(known, lift):
    """If it fails, what is told of variants of few items compares one way to hold rows out with itself."""
    anchors, _ = pairs(2, 24, 8, 5)
    if known:
        anchors.with_cosines()
    source, target = anchors.lifted(lift)[SOME].numpy(), anchors.target_rows[SOME].numpy()
    found = left_out_by(KernelInverse(2.0, 0.1, lift=lift), anchors, SOME, anchors.target_rows[SOME], WAYS)
    for one, folds in zip(found, WAYS, strict=True):
        lists = [fold.tolist() for fold in folds]
        expected = reference.kernel_left_out(source, target, 2.0, 0.1, lists)
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("shape", [(24, 8, 5), (24, 40, 5)])
@pytest.mark.parametrize("lift", [0.0, 0.5])
def test_ridge_regression_does_too(shape, lift):
    """If it fails, an inverse that is chosen is held to be another one where it is compared, or its fit takes far longer."""
    anchors, _ = pairs(2, *shape)
    rows, target = anchors.lifted(lift)[SOME], anchors.target_rows[SOME]
    inverse = WhitenedInverse(1.0, 0.1, lift)
    for one, folds in zip(left_out_by(inverse, anchors, SOME, target, WAYS), WAYS, strict=True):
        for fold in folds:
            train = torch.tensor([row for row in range(12) if row not in fold.tolist()])
            expected = inverse.fold(rows[train], target[train])(rows[fold])
            torch.testing.assert_close(one[fold], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "inverse", [PrunedInverse(), WhitenedInverse(0.5, 0.1), WhitenedInverse(1.0, 0.0), KernelInverse(num_landmarks=4)]
)
def test_of_others_it_says_nothing(inverse):
    """If it fails, what another inverse would give is taken for what this one gives."""
    anchors, _ = pairs(2, 24, 8, 5)
    assert left_out_by(inverse, anchors, SOME, anchors.target_rows[SOME], WAYS) is None
