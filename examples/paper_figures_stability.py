"""Figure 3 of the paper: reconstruction and conditioning over the pruning threshold δ and the number of subspaces ω."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from paper_figures_heads import PACKAGES
from paper_figures_outcome import Outcome
from tqdm import tqdm
from trec import embed, load_trec

from irp_hf.analysis.stability import stability
from irp_hf.analysis.stability_result import Stability, StabilityPoint, cosine_panel, draw_conditions
from irp_hf.evaluation import number
from irp_hf.evaluation.plots import COLORS, MUTED, draw, title
from irp_hf.evaluation.printed import Table, rounded

TARGET = "MiniLM-384"
SOURCES = (TARGET, "static-256", "mpnet-768")
MANY, NEAR = 2000, 400  # anchors; the second is near the target's width, where the plain inverse is at its worst
HELD_OUT = 500
SEED = 0

Found = dict[tuple[str, int], Stability]


def figure_3(picture: Path) -> Outcome:
    """Questions of TREC, within MiniLM and from two others to it, with many anchors and with about as many as dimensions."""
    trec = load_trec()
    found: Found = {}
    for source, count in tqdm([(s, k) for s in SOURCES for k in (MANY, NEAR)], leave=False, desc="Figure 3"):
        rows = slice(count + HELD_OUT)
        sides = [embed(name, trec.texts)[0][: trec.num_train][rows] for name in (source, TARGET)]
        share = HELD_OUT / (count + HELD_OUT)
        found[source, count] = stability(
            sides[0], None if source == TARGET else sides[1], held_out=share, seed=SEED, progress=False
        )
    panels = [
        partial(cosine_panel, found=found[source, MANY], heading=name_of(source), legend=source == SOURCES[-1])
        for source in SOURCES
    ]
    draw([*panels, partial(conditions, found=found)], picture, what="a figure", width=4.4)
    return Outcome(
        claim="Pruning the anchors cures the condition of the inverse, and more anchor subspaces bring reconstructions nearer.",
        verdict=verdict(found),
        table=table(found),
        numbers={f"{name_of(source)}, {count} anchors": asdict(result) for (source, count), result in found.items()},
        packages=PACKAGES,
        seeds=(SEED,),
    )


def name_of(source: str) -> str:
    return f"within {TARGET}" if source == TARGET else f"{source} → {TARGET}"


def verdict(found: Found) -> str:
    """What holds within one space, and between two."""
    between = {key: result for key, result in found.items() if not result.within}
    within = [result for result in found.values() if result.within]
    cured = all(pruned(result).mean_condition < plain(result).mean_condition for result in found.values())
    pays = sum(result.pruning_gain.low > 0 for result in between.values())
    more = sum(result.subspaces_gain.low > 0 for result in between.values())
    gains = [f"{number(plain(r).cosine.mean)} to {number(r.best.cosine.mean)}" for r in between.values()]
    kernel = sum(result.references["kernel"].low > result.best.cosine.high for result in between.values())
    exact = min(plain(result).cosine.mean for result in within)
    least = min(pruned(result).cosine.mean for result in within)
    word = "Agrees between two spaces" if cured and pays == more == len(between) else "Agrees in part"
    falls = " and ".join(condition(found[SOURCES[0], count], count) for count in (NEAR, MANY))
    return (
        f"{word}: the condition number goes {falls}; the best pruning raises the cosine in {pays} of {len(between)} cases "
        f"({', '.join(gains)}) and more subspaces do in {more}, though the kernel inverse does better than the best of them in "
        f"{kernel}; within one space the unpruned inverse has a cosine of {number(exact)} and the most pruned {number(least)}."
    )


def condition(result: Stability, count: int) -> str:
    """How the condition number runs over δ, and how many anchors are left where it is worst."""
    top = worst(result)
    values = [rounded(point.mean_condition) for point in (plain(result), top, pruned(result))]
    return (
        f"from {values[0]} with all {count:,} anchors over {values[1]} with {top.anchors_kept:,.0f} (the width is "
        f"{result.target_width}) to {values[2]} with {pruned(result).anchors_kept:,.0f}"
    )


def plain(result: Stability) -> StabilityPoint:
    """All anchors."""
    return result.points[0]


def worst(result: Stability) -> StabilityPoint:
    """The worst conditioned of the most subspaces."""
    rows = [result.over_subspaces(threshold)[-1] for threshold in result.thresholds]
    return max(rows, key=lambda point: point.mean_condition)


def pruned(result: Stability) -> StabilityPoint:
    """The largest δ and the most subspaces."""
    return result.points[-1]


def table(found: Found) -> Table:
    """One pair of spaces and one number of anchors a row."""
    lines = [
        [
            "spaces", "anchors", "condition, not pruned", "worst δ", "best δ", "cosine, not pruned", "best of the paper's",
            "δ, ω", "of it by pruning", "of it by subspaces", "whitened", "kernel",
        ]
    ]  # fmt: skip
    for (source, count), result in found.items():
        best, start = result.best, plain(result)
        numbers = [rounded(point.mean_condition) for point in (start, worst(result), best)]
        gains = [number(result.pruning_gain.mean), number(result.subspaces_gain.mean)]
        references = [str(result.references[name]) for name in ("whitened", "kernel")]
        where = f"{best.pruning_threshold:g}, {best.num_subspaces}"
        cosines = [str(start.cosine), str(best.cosine)]
        lines.append([name_of(source), f"{count:,}", *numbers, *cosines, where, *gains, *references])
    return lines


def conditions(axes: Axes, found: Found) -> None:
    """Of the target's anchors alone, so the same whatever the source is."""
    title(axes, f"anchors of {TARGET}", "16 subspaces; bar: up to the largest")
    for count, name, marker in ((NEAR, "neighbors", "s"), (MANY, "cosine", "o")):
        draw_conditions(axes, found[SOURCES[0], count], COLORS[name], marker, f"{count:,} anchors")
    axes.legend(frameon=False, fontsize=9.5, labelcolor=MUTED)
