"""Figure 5 of the paper: how the scales of real embeddings are distributed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import fashion
import torch
from matplotlib.axes import Axes
from paper_figures_heads import PACKAGES, Task, linear_head
from paper_figures_outcome import Outcome
from torch import Tensor
from tqdm import tqdm
from trec import ENCODERS

from irp_hf.analysis.scale_distribution import Norms, ScaleDistribution, draw_norms, scale_distribution
from irp_hf.evaluation import number
from irp_hf.evaluation.plots import draw, title
from irp_hf.evaluation.printed import Table
from irp_hf.maths.projection import denormalize, normalize, statistics

PICTURE_MODELS = ("ResNet-50", "EfficientNet-lite0")
FAR = 0.01  # share of rows, those with the largest scales, left out of the second count
NEAR_GAUSSIAN = 0.1  # the distance of Kolmogorov and Smirnov from a Gaussian
SMALL = 0.25  # deviation over mean


def figure_5(picture: Path) -> Outcome:
    """Centred norms of questions by three encoders and of pictures by two, each with the Gaussian of its mean and deviation."""
    pictures = fashion.load_fashion()
    found: dict[str, ScaleDistribution] = {}
    trimmed: dict[str, ScaleDistribution] = {}
    heads: dict[str, tuple[float, float]] = {}
    for name in tqdm((*ENCODERS, *PICTURE_MODELS), leave=False, desc="Figure 5"):
        task = Task.of(name) if name in ENCODERS else clothes(name, pictures)
        vectors = torch.cat([task.train, task.test])
        found[name] = scale_distribution(vectors)
        trimmed[name] = scale_distribution(without_far(vectors))
        heads[name] = accuracies(task)
    panels = [partial(panel, name=name, norms=result.centered) for name, result in found.items()]
    draw(panels, picture, what="a figure", width=3.3)
    return Outcome(
        claim="Scales have one mode, are nearly Gaussian and vary little, so that their mean is enough to restore them.",
        verdict=verdict(found, trimmed, heads),
        table=table(found, trimmed, heads),
        numbers={
            name: {
                "all rows": plain(result),
                f"without the farthest {100 * FAR:g} %": plain(trimmed[name]),
                "accuracy of a linear head, own scales and mean scale": heads[name],
            }
            for name, result in found.items()
        },
        packages=(*PACKAGES, *(fashion.MODELS[name].package for name in PICTURE_MODELS)),
    )


def clothes(name: str, pictures: fashion.Fashion) -> Task:
    """Fashion-MNIST as that model sees it."""
    vectors, _ = fashion.embed(name, pictures)
    labels = torch.from_numpy(pictures.labels)
    train, test = slice(fashion.NUM_TRAIN), slice(fashion.NUM_TRAIN, None)
    return Task(vectors[train], labels[train], vectors[test], labels[test])


def accuracies(task: Task) -> tuple[float, float]:
    """Of a linear head on new vectors as they are, and when each is given the mean scale of the training vectors."""
    head, stats = linear_head(task), statistics(task.train)
    restored = denormalize(normalize(task.test, stats), stats)
    with torch.no_grad():
        right = [(head(vectors).argmax(1) == task.test_labels).double() for vectors in (task.test, restored)]
    return float(right[0].mean()), float(right[1].mean())


def without_far(vectors: Tensor) -> Tensor:
    """The rows `(m, d)` whose distance from the mean is not among the largest."""
    norms = torch.linalg.vector_norm(vectors - vectors.mean(0), dim=1)
    return vectors[norms <= norms.quantile(1 - FAR)]


def verdict(
    found: dict[str, ScaleDistribution],
    trimmed: dict[str, ScaleDistribution],
    heads: dict[str, tuple[float, float]],
) -> str:
    """What holds for how many encoders."""
    count = len(found)
    one = sum(modes(result) == 1 for result in found.values())
    near = [name for name, result in found.items() if distance(result) < NEAR_GAUSSIAN]
    small = [name for name, result in found.items() if result.centered.variation < SMALL]
    then = [name for name, result in trimmed.items() if distance(result) < NEAR_GAUSSIAN]
    kept, worst = min((mean / own, name) for name, (own, mean) in heads.items())
    agreed = (one == count) + (len(near) == count) + (len(small) == count)
    word = "Agrees" if agreed == 3 else "Agrees in part" if agreed else "Does not agree"
    return (
        f"{word}: {one} of {count} encoders have one mode; {len(near)} lie within {number(NEAR_GAUSSIAN)} of a Gaussian "
        f"({len(then)} without the farthest {100 * FAR:g} % of rows); the deviation is below {number(SMALL)} of the mean for "
        f"{len(small)} ({', '.join(small)}). Given the mean scale, linear heads keep at least {number(kept)} of their accuracy "
        f"({worst})."
    )


def modes(result: ScaleDistribution) -> int:
    return result.centered.shape.num_modes if result.centered.shape else 1


def distance(result: ScaleDistribution) -> float:
    return result.centered.shape.distance if result.centered.shape else 0.0


def table(
    found: dict[str, ScaleDistribution],
    trimmed: dict[str, ScaleDistribution],
    heads: dict[str, tuple[float, float]],
) -> Table:
    """Centred norms, one encoder a row."""
    lines = [
        [
            "encoder", "mean scale", "deviation over mean", "skewness", "excess kurtosis", "distance from a Gaussian",
            "without the farthest", "modes", "within 10 %", "within 20 %", "α for 95 % of rows", "one number is enough",
            "accuracy of a linear head", "all at the mean scale",
        ]
    ]  # fmt: skip
    for name, result in found.items():
        norms, shape = result.centered, result.centered.shape
        shapes = [shape.skewness, shape.excess_kurtosis, shape.distance] if shape else [0.0, 0.0, 0.0]
        numbers = [norms.variation, *shapes, distance(trimmed[name])]
        shares = [norms.within_tenth, norms.within_fifth]
        low, high = norms.factors
        lines.append(
            [
                name, f"{norms.mean:.3g}", *map(number, numbers), str(modes(result)), *map(number, shares),
                f"{low:.2f} to {high:.2f}", "yes" if result.is_enough() else "roughly",
                *map(number, heads[name]),
            ]
        )  # fmt: skip
    return lines


def plain(result: ScaleDistribution) -> dict[str, object]:
    """Everything but the histograms."""
    return {
        "rows": result.num_rows,
        "width": result.width,
        "raw": numbers_of(result.raw),
        "centred": numbers_of(result.centered),
    }


def numbers_of(norms: Norms) -> dict[str, object]:
    shape = norms.shape
    return {
        "mean": norms.mean,
        "median": norms.median,
        "standard deviation": norms.std,
        "deviation over mean": norms.variation,
        "skewness": shape and shape.skewness,
        "excess kurtosis": shape and shape.excess_kurtosis,
        "distance from a Gaussian": shape and shape.distance,
        "modes": shape and shape.num_modes,
        "within 10 % of the mean": norms.within_tenth,
        "within 20 % of the mean": norms.within_fifth,
        "α for 95 % of rows": norms.factors,
    }


def panel(axes: Axes, name: str, norms: Norms) -> None:
    title(axes, name, f"deviation/mean {number(norms.variation)}")
    draw_norms(axes, norms)
    axes.set_xlabel("norm of centred vectors")
    if name == next(iter(ENCODERS)):
        axes.set_ylabel("density of vectors")
        axes.legend(frameon=False, fontsize=9.5)
