"""A table of ours and baselines, and how much one of ours is ahead of the best baseline, query by query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from irp_hf.evaluation import Measure, bootstrap, number, signed
from irp_hf.evaluation.printed import markdown

Scores = Mapping[str, Tensor]
"""By contestant, of every query, shape (n,)."""


def compared(
    lines: Mapping[tuple[int, str], Scores], ours: str, rivals: Sequence[str], default: str | None = None
) -> str:
    """A line for each number of anchors and name, the means of these, and how often ours is surely ahead and behind.

    The best baseline is that of the line. Where `default` is given, ours is compared with it, too.
    """
    if not lines:
        return ""
    contestants = list(next(iter(lines.values())))
    references = ["the best baseline", *([f"`{default}`"] if default else [])]
    rows = [["anchors", "", *contestants, *(f"`{ours}` less {name}" for name in references)]]
    gaps = []
    for num_anchors in sorted({count for count, _ in lines}):
        means = []
        for (count, name), scores in lines.items():
            if count == num_anchors:
                means.append({who: float(scores[who].mean()) for who in contestants})
                against = [max(rivals, key=means[-1].__getitem__), *([default] if default else [])]
                less = [bootstrap((scores[ours] - scores[who])[None], bounded=False)[0] for who in against]
                gaps.append(less[0])
                rows.append([f"{count:,}", name, *map(number, means[-1].values()), *map(told, less)])
        over_all = [number(sum(mean[who] for mean in means) / len(means)) for who in contestants]
        rows.append([f"{num_anchors:,}", "**mean**", *over_all, *[""] * len(references)])
    ahead, behind = (sum(gap.is_sure() and (gap.mean > 0) == up for gap in gaps) for up in (True, False))
    said = f"Of {len(gaps)} lines `{ours}` is surely ahead of the best baseline in {ahead}, and surely behind it in {behind}."
    return f"{markdown(rows)}\n\n{said}"


def told(difference: Measure) -> str:
    """With its 95 % interval over queries."""
    return f"{signed(difference.mean)} ({signed(difference.low)} to {signed(difference.high)})"


def joined(samples: Sequence[Scores], row: int) -> dict[str, Tensor]:
    """One row of each contestant's scores `(m, n)`, sample after sample."""
    return {name: torch.cat([sample[name][row] for sample in samples]) for name in samples[0]}
