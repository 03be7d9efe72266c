"""Which pairs look wrong beside unpaired rows: a held-out source leads no nearer to its own target than to anybody's.

A right target stands out among the cosines that unpaired rows of the target have with what its source is translated to; a
wrong one is a row like those. In their standard deviations, wrong targets lie about 0 with a deviation of 1, and right ones
about some m. With the same deviation there (linear discriminant analysis; Fisher 1936), m and the share of wrong ones are found
by expectation and maximisation (Dempster, Laird and Rubin 1977).
"""

from __future__ import annotations

import torch
from torch import Tensor

from irp_hf.maths.projection import unit_rows

WRONG, RIGHT = 1.0, 9.0  # pairs that are reckoned with beside those that are there: one in ten is wrong
LEAST = 0.5  # m at the start: how few or how many pairs are right is not known yet
STEPS = 100


def standing_out(directions: Tensor, true: Tensor, rows: Tensor) -> Tensor:
    """How far `true (k, d)` stand out among unpaired `rows (m, d)`, by their cosines with held-out `directions (k, d)`.

    Shape (k,), in standard deviations of the cosines of the rows; all are unit rows about one mean, or made so.
    """
    directions = unit_rows(directions)
    cosines = directions.to(rows) @ rows.T
    own = torch.linalg.vecdot(directions, unit_rows(true).to(directions))
    tiny = torch.finfo(cosines.dtype).tiny
    found: Tensor = (own - cosines.mean(1)) / cosines.std(1).clamp(min=tiny)
    return found


def probably_wrong(standing: Tensor) -> Tensor:
    """The probability `(k,)` that each pair is wrong, by how far its target stands out, `(k,)`."""
    ranked = standing.double().sort().values
    right = ranked[len(ranked) // 2 :].mean().clamp(min=LEAST)
    share = WRONG / (WRONG + RIGHT)
    wrong = torch.zeros_like(ranked)
    for _ in range(STEPS):
        odds = torch.log(torch.as_tensor(share / (1 - share), dtype=torch.float64, device=ranked.device))
        wrong = torch.sigmoid(odds + right * (right / 2 - standing.double()))
        share = (float(wrong.sum()) + WRONG) / (len(wrong) + WRONG + RIGHT)
        right = ((1 - wrong) * standing).sum() / (1 - wrong).sum()
    return wrong
