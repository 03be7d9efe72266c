"""How long translations are about the target's mean, in its mean scale: 1 is as long as its vectors are.

A search compares by cosines about the origin. With the target's mean m, its mean scale s and a direction u, a translation
`m + ℓ s u` has one of `(m·t + ℓ s u·t) / |t|` with a vector t, but for a factor that is the same for all t. What m·t adds tells
no item: all queries find the same rows by it. Where u is right in part only, it counts too much at ℓ = 1. So where known items
are sought, translations are longer as far as that surely tells held-out anchors apart better, sought among all anchors.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from irp_hf.maths.chance import FEW, is_ahead
from irp_hf.maths.identification import identified
from irp_hf.maths.pairs import Pairs
from irp_hf.maths.request import Objective

LENGTHS = (1.0, 2**0.5, 2.0)
SURE = 3.0  # standard errors by which a step must gain
MOST = 2000  # anchors among which they are sought


def chosen_length(vectors: Callable[[float], Tensor], pairs: Pairs, objective: Objective, seed: int) -> float:
    """ℓ for translations out of fold, which are `vectors(ℓ) (k, d_Y)`: 1 unless known items are what counts.

    Of fewer than 20 independent pairs nothing is chosen.
    """
    if objective != "retrieval" or len(pairs.labels.unique()) < FEW:
        return LENGTHS[0]
    rows = pairs.permutation(seed)[:MOST]
    true, labels = pairs.target[rows], pairs.labels[rows]
    all_rows = torch.arange(len(rows), dtype=torch.int64, device=rows.device)

    def told(length: float) -> Tensor:
        return identified(vectors(length)[rows], true, [all_rows], labels if pairs.copies else None)

    chosen, found = LENGTHS[0], told(LENGTHS[0])
    for length in LENGTHS[1:]:
        longer = told(length)
        if not is_ahead(longer, found, labels, SURE):
            break
        chosen, found = length, longer
    return chosen
