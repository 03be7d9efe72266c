"""Figures 2 and 4 of the paper: heads whose inputs, or one of whose layers' outputs, are rescaled by α."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TypeAlias

from matplotlib.axes import Axes
from paper_figures_heads import ACTIVATIONS, PACKAGES, Task, linear_head, trained_head
from paper_figures_outcome import Outcome
from torch import nn
from tqdm import tqdm
from trec import ENCODERS

from irp_hf.analysis.scale_invariance import ScaleInvariance, scale_invariance
from irp_hf.evaluation import number
from irp_hf.evaluation.plots import COLORS, INK, MUTED, draw, title
from irp_hf.evaluation.printed import Table

SEEDS = (0, 1, 2)
FACTORS = tuple(2 ** (half / 2) for half in range(-12, 13))
SHOWN = (1 / 64, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 64)  # columns of the tables
DEEP, DEEP_ENCODER = 4, "mpnet-768"
INPUTS = "inputs"
KEEPS = 0.9  # of the accuracy at α = 1
SMALLER = 1 / 4  # the least α that the verdict asks for; the largest is that of FACTORS

Runs: TypeAlias = "list[ScaleInvariance]"  # one for each seed
STYLES = (
    {"color": INK, "marker": "o", "linestyle": "-"},
    {"color": COLORS["cosine"], "marker": "s", "linestyle": "-"},
    {"color": MUTED, "marker": "^", "linestyle": "--"},
    {"color": COLORS["neighbors"], "marker": "D", "linestyle": ":"},
    {"color": "#5fa8d3", "marker": "v", "linestyle": "-."},
)


def figure_2(picture: Path) -> Outcome:
    """Heads of one encoder a panel: linear, and with one hidden layer of each activation; their inputs are rescaled."""
    results: dict[str, dict[str, Runs]] = {}
    safe: dict[str, dict[str, tuple[float, float]]] = {}
    with tqdm(total=len(ENCODERS) * (1 + len(ACTIVATIONS) * len(SEEDS)), leave=False, desc="Figure 2") as bar:
        for encoder in ENCODERS:
            task = Task.of(encoder)
            heads = {"linear": [linear_head(task)]}
            bar.update()
            for activation in ACTIVATIONS:
                heads[activation] = [_counted(trained_head(task, activation, 1, seed), bar) for seed in SEEDS]
            results[encoder] = {name: [rescaled(head, task) for head in trained] for name, trained in heads.items()}
            center = task.train.mean(0)
            safe[encoder] = {
                name: scale_invariance(trained[0], task.test, center=center).safe_range()
                for name, trained in heads.items()
            }
    draw_panels(results, picture, "accuracy on new questions; inputs × α")
    return Outcome(
        claim="A head keeps its accuracy over a wide range of α when its inputs are rescaled; with the cosine it does not.",
        verdict=verdict_2(results),
        table=table(results, ("encoder", "head"), safe),
        numbers={"accuracy": plain(results), "99 % of labels stay, about the mean, seed 0": safe},
        packages=PACKAGES,
        seeds=SEEDS,
    )


def figure_4(picture: Path) -> Outcome:
    """Heads with four hidden layers, one activation a panel; the output of one layer is rescaled."""
    task = Task.of(DEEP_ENCODER)
    layers = {INPUTS: None, **{f"layer {layer}": f"hidden{layer}" for layer in range(1, DEEP + 1)}}
    results: dict[str, dict[str, Runs]] = {}
    with tqdm(total=len(ACTIVATIONS) * len(SEEDS), leave=False, desc="Figure 4") as bar:
        for activation in ACTIVATIONS:
            heads = [_counted(trained_head(task, activation, DEEP, seed), bar) for seed in SEEDS]
            results[activation] = {
                said: [rescaled(head, task, layer) for head in heads] for said, layer in layers.items()
            }
    draw_panels(results, picture, f"{DEEP_ENCODER}; output of one layer × α")
    return Outcome(
        claim="Rescaling the output of any one layer leaves accuracy as it is with ReLU and tanh, and not with the cosine.",
        verdict=verdict_4(results),
        table=table(results, ("activation", "what is rescaled")),
        numbers={"encoder": DEEP_ENCODER, "accuracy": plain(results)},
        packages=PACKAGES,
        seeds=SEEDS,
    )


def rescaled(head: nn.Module, task: Task, layer: str | None = None) -> ScaleInvariance:
    """The head on test questions that it was not trained on."""
    return scale_invariance(head, task.test, task.test_labels, factors=FACTORS, layer=layer)


def accuracies(runs: Runs) -> list[float]:
    """Mean accuracy over the seeds, one for each factor."""
    rows = [[point.accuracy.mean for point in run.points if point.accuracy] for run in runs]
    return [sum(column) / len(runs) for column in zip(*rows, strict=True)]


def kept(runs: Runs, least: float, most: float) -> float:
    """The lowest accuracy between two factors, over that at α = 1."""
    by_factor = dict(zip(FACTORS, accuracies(runs), strict=True))
    return min(value for factor, value in by_factor.items() if least <= factor <= most) / by_factor[1.0]


def verdict_2(results: Mapping[str, Mapping[str, Runs]]) -> str:
    """What heads keep when their inputs grow and when they shrink; the cosine apart."""
    named = {f"{head}, {encoder}": runs for encoder, heads in results.items() for head, runs in heads.items()}
    monotone = {name: runs for name, runs in named.items() if not name.startswith("cosine")}
    cosine = {name: runs for name, runs in named.items() if name.startswith("cosine")}
    return verdict(monotone, cosine, "their inputs", "linear, ReLU and tanh heads")


def verdict_4(results: Mapping[str, Mapping[str, Runs]]) -> str:
    """The same for the hidden layers; the cosine's last one apart, for no cosine reads what was rescaled there."""
    last = f"layer {DEEP}"
    hidden = {
        f"{activation}, {layer}": runs
        for activation, layers in results.items()
        for layer, runs in layers.items()
        if layer != INPUTS
    }
    after = hidden.pop(f"cosine, {last}")
    monotone = {name: runs for name, runs in hidden.items() if not name.startswith("cosine")}
    cosine = {name: runs for name, runs in hidden.items() if name.startswith("cosine")}
    said = verdict(monotone, cosine, "one hidden layer's output", "ReLU and tanh heads")
    low, _ = worst({last: after}, SMALLER, FACTORS[-1])
    return f"{said} The cosine's {last}, which only the linear layer reads, keeps {number(low)}."


def verdict(monotone: dict[str, Runs], cosine: dict[str, Runs], what: str, heads: str) -> str:
    """Agreement is to keep nine tenths of the accuracy, enlarged and shrunk, where the cosine does not."""
    grown, where_grown = worst(monotone, 1, FACTORS[-1])
    shrunk, where_shrunk = worst(monotone, SMALLER, 1)
    lost = max(kept(runs, SMALLER, FACTORS[-1]) for runs in cosine.values())
    agreed = (grown >= KEEPS) + (shrunk >= KEEPS) if lost < KEEPS else 0
    return (
        f"{('Does not agree', 'Agrees in part', 'Agrees')[agreed]}: with {what} enlarged up to {FACTORS[-1]:g} times, "
        f"{heads} keep at least {number(grown)} of their accuracy ({where_grown}); shrunk to {SMALLER:g} of the size, at "
        f"least {number(shrunk)} ({where_shrunk}); with the cosine the steadiest falls to {number(lost)}."
    )


def worst(heads: dict[str, Runs], least: float, most: float) -> tuple[float, str]:
    """What the most sensitive of the heads keeps between two factors, and its name."""
    return min((kept(runs, least, most), name) for name, runs in heads.items())


def table(
    results: Mapping[str, Mapping[str, Runs]],
    names: tuple[str, str],
    safe: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
) -> Table:
    """Mean accuracy over the seeds at some of the factors; `safe` adds where the labels stay, rescaled about the mean."""
    header = [*names, *(f"α = {factor:.3g}" for factor in SHOWN)]
    lines = [[*header, *["99 % of labels stay, about the mean"] * bool(safe)]]
    for group, heads in results.items():
        for name, runs in heads.items():
            by_factor = dict(zip(FACTORS, accuracies(runs), strict=True))
            line = [group, name, *(number(by_factor[factor]) for factor in SHOWN)]
            if safe:
                low, high = safe[group][name]
                line.append(f"{low:.3g} to {high:.3g}")
            lines.append(line)
    return lines


def plain(results: Mapping[str, Mapping[str, Runs]]) -> dict[str, object]:
    """Every accuracy and every share of labels that stay: one list over α for each seed."""
    heads = {
        group: {
            name: [
                {
                    "accuracy": [point.accuracy.mean for point in run.points if point.accuracy],
                    "labels that stay": [point.agreement.mean for point in run.points],
                }
                for run in runs
            ]
            for name, runs in entries.items()
        }
        for group, entries in results.items()
    }
    return {"α": list(FACTORS), **heads}


def draw_panels(results: Mapping[str, Mapping[str, Runs]], picture: Path, subtitle: str) -> None:
    panels = [partial(panel, name=name, heads=heads, subtitle=subtitle) for name, heads in results.items()]
    draw(panels, picture, what="a figure", width=4.7)


def panel(axes: Axes, name: str, heads: Mapping[str, Runs], subtitle: str) -> None:
    """Accuracy over α, one line for each head, in a band of its 95 % interval."""
    title(axes, name, subtitle)
    axes.axvline(1, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    for (said, runs), style in zip(heads.items(), STYLES, strict=False):
        low, high = interval(runs)
        axes.fill_between(FACTORS, low, high, color=style["color"], alpha=0.12, linewidth=0)
        axes.plot(FACTORS, accuracies(runs), label=said, linewidth=1.8, markersize=5, markevery=2, **style)
    axes.set_xscale("log", base=2)
    axes.set_xticks([2.0**power for power in (-6, -4, -2, 0, 2, 4, 6)], ["1/64", "1/16", "1/4", "1", "4", "16", "64"])
    axes.minorticks_off()
    axes.set_ylim(0, 1)
    axes.set_xlabel("scale α (logarithmic)")
    axes.set_ylabel("accuracy")
    axes.legend(frameon=False, fontsize=9.5)


def interval(runs: Runs) -> tuple[list[float], list[float]]:
    """The 95 % interval over questions at every α, its ends averaged over the seeds."""
    ends = [[(point.accuracy.low, point.accuracy.high) for point in run.points if point.accuracy] for run in runs]
    means = [[sum(values) / len(runs) for values in zip(*column, strict=True)] for column in zip(*ends, strict=True)]
    return [low for low, _ in means], [high for _, high in means]


def _counted(head: nn.Module, bar: tqdm) -> nn.Module:
    bar.update()
    return head
