"""Is a head scale invariant? Its inputs, or what one of its layers gives, are rescaled, and its labels compared.

The method of the paper (arXiv 2406.15057, section 3) loses the scale of every vector and restores one number, the target's
mean scale. That is harmless where the head gives the same labels at other scales.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from irp_hf.arithmetic import own_arithmetic
from irp_hf.checks import check_absent, check_list, check_number, quoted
from irp_hf.data.arrays import as_matrix
from irp_hf.data.memory import allocating
from irp_hf.errors import kind_of, refusal, shown
from irp_hf.evaluation.intervals import Measure, bootstrap
from irp_hf.evaluation.plots import BAND, COLORS, MUTED, draw, title
from irp_hf.evaluation.printed import MARK, Printed, Table, number
from irp_hf.heads.labels import open_classifier
from irp_hf.maths.metrics import Labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


DOUBLINGS = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
FACTORS = (*(1 / factor for factor in DOUBLINGS[::-1]), 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4, *DOUBLINGS)
LEAST, MOST = 1e-9, 1e9  # a float32 head can still read the largest vectors that are allowed
STAY = 0.99  # share of labels
CHUNK = 8192  # rows that the head reads at once
NAMED = 12  # layers that an error names
Rescaled = Callable[[Tensor, float], Tensor]  # vectors (n, d) and α to labels (n,)


@dataclass(frozen=True)
class ScalePoint:
    """What a head does at one scale."""

    factor: float
    """α, by which the vectors were multiplied."""
    agreement: Measure
    """Share of rows whose label is the same as at α = 1."""
    accuracy: Measure | None
    """Share of rows whose label is the true one; None where these are not known."""


@dataclass(frozen=True)
class ScaleInvariance(Printed):
    """What a head does at several scales, α = 1 among them. It prints as a table; `plot()` draws it."""

    points: tuple[ScalePoint, ...]
    """By ascending factor."""
    num_rows: int
    layer: str | None
    """The layer whose output was rescaled; None for the head's inputs."""
    centered: bool
    """Whether the inputs were rescaled about a centre that was given, not about the origin."""

    def safe_range(self, share: float = STAY) -> tuple[float, float]:
        """The least and the largest factor between which, at all that were tried, at least `share` of the labels stay.

        The range contains 1. Raises `InputError` unless 0 < share ≤ 1.
        """
        share = check_number(
            "share", share, above=0, most=1, advice="Give the share of labels that must stay, 0.99 say."
        )
        low = high = next(row for row, point in enumerate(self.points) if point.factor == 1)
        while low > 0 and self.points[low - 1].agreement.mean >= share:
            low -= 1
        while high + 1 < len(self.points) and self.points[high + 1].agreement.mean >= share:
            high += 1
        return self.points[low].factor, self.points[high].factor

    def conclusion(self, share: float = STAY) -> str:
        """In words: the range of scales over which at least `share` of the labels stay, and what happens outside."""
        low, high = self.safe_range(share)
        first, last = self.points[0].factor, self.points[-1].factor
        kept = f"at least {100 * share:g} % of the labels stay"
        if (low, high) == (first, last):
            return f"At every scale that was tried, α from {first:.3g} to {last:.3g}, {kept}."
        worst = min(self.points, key=lambda point: point.agreement.mean)
        fall = f"at α = {worst.factor:.3g} only {number(worst.agreement.mean)} of them do"
        if low == high:
            return f"There is no scale but α = 1, of those tried, at which {kept}; {fall}."
        return f"For α from {low:.3g} to {high:.3g} {kept}; {fall}."

    def caption(self) -> str:
        """What was done."""
        return f"{self.num_rows:,} vectors; {self.what()} multiplied by α; ± is half the 95 % interval."

    def tables(self) -> list[Table]:
        """One row for each scale; the head as it is has the mark."""
        known = self.points[0].accuracy is not None
        lines = [["α", "labels that stay", *["accuracy"] * known]]
        for point in self.points:
            mark = MARK if point.factor == 1 else ""
            measures = [point.agreement, *([point.accuracy] if point.accuracy else [])]
            lines.append([f"{mark}{point.factor:.3g}", *map(str, measures)])
        return [lines]

    def conclusions(self) -> list[str]:
        """Over which range the labels stay."""
        return [self.conclusion()]

    def what(self) -> str:
        """What was rescaled, and about which point."""
        if self.layer is not None:
            return f"the output of layer {self.layer!r}"
        return "the inputs' distance from their centre" if self.centered else "the inputs"

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw agreement and, if known, accuracy over the scale; also into the file `path`.

        Raises `MissingDependencyError` without matplotlib.
        """
        return draw([partial(_panel, result=self)], path, what="scale invariance", width=6.4)


@own_arithmetic()
@allocating("scale_invariance", "Give fewer rows, or free some memory.")
def scale_invariance(
    head: Any,
    x: Any,
    labels: Any = None,
    *,
    factors: Sequence[float] = FACTORS,
    layer: str | None = None,
    center: Any = None,
) -> ScaleInvariance:
    """Rescale what a head reads by each of `factors` and see how many of its labels stay (paper, figures 2 and 4).

    `head` is whatever `irp_hf.heads.open_head` opens: an `nn.Module` or a function that returns logits `(n, c)`, a fitted
    scikit-learn classifier, a folder or an id of a classification model. `x (n, d)` are vectors as it reads them, an array of
    any kind. `labels (n,)`, if given, are the true classes, as the classifier names them or as numbers of its logits; a fitted
    classifier of scikit-learn names them by its `classes_`, a classifier of transformers by its `id2label`. With `layer`,
    the name of a submodule as `head.named_modules()` has it, the output of that layer is multiplied instead of `x`. With
    `center (d,)`, `x` is rescaled about that point and not about the origin: a translation restores the scale about the mean of
    the target's anchors, so give that mean to learn what a wrong scale would do to it. Every number is the mean over rows, with
    a 95 % bootstrap interval over them.

    Raises `InputError` for `x` or `center` that is not finite or of another shape, a factor that is not between 1e-9 and 1e9, a
    layer that the head does not have, labels that are not one each or no class of the head's, and a head that fails.
    """
    matrix = as_matrix(x).double()
    tried = _checked(factors)
    opened = open_classifier(head)
    middle = None if center is None else _point(center, matrix, layer)
    rescaled = (
        _rescaled_inputs(opened.predict, middle) if layer is None else _rescaled_layer(opened.predict, head, layer)
    )
    true = None if labels is None else opened.number_labels(labels, matrix)
    given = torch.stack([torch.cat([rescaled(chunk, factor) for chunk in matrix.split(CHUNK)]) for factor in tried])
    rows = [given == given[tried.index(1.0)], *([] if true is None else [given == true])]
    measures = bootstrap(torch.cat(rows).double())
    measures[tried.index(1.0)] = Measure(1.0, 1.0, 1.0)  # with itself
    accuracies = measures[len(tried) :] if true is not None else [None] * len(tried)
    points = tuple(ScalePoint(*point) for point in zip(tried, measures, accuracies, strict=False))
    return ScaleInvariance(points, len(matrix), layer, center is not None)


def _checked(factors: Sequence[float]) -> list[float]:
    """In ascending order, with 1 among them."""
    advice = f"Give factors from {LEAST:g} to {MOST:g}."
    return sorted(
        {1.0, *(check_number("factors", one, LEAST, MOST, advice=advice) for one in check_list("factors", factors))}
    )


def _first(names: Sequence[Any]) -> str:
    """The first of them, and a sign where there are more."""
    return quoted(names[:NAMED]) + (", …" if len(names) > NAMED else "")


def _point(center: Any, x: Tensor, layer: str | None) -> Tensor:
    if layer is not None:
        check_absent("center", center, f"it belongs to the inputs and layer={layer!r} is rescaled")
    point = center if isinstance(center, Tensor) else np.asarray(center)
    if point.shape != x.shape[1:]:
        expected = f"one number for each column of x, shape {tuple(x.shape[1:])}"
        raise refusal("center", expected, f"shape {tuple(point.shape)}", "Give the mean of the anchors.")
    return as_matrix(point[None], "coordinates of center")[0].to(x)


def _rescaled_inputs(predict: Labels, center: Tensor | None) -> Rescaled:
    if center is None:
        return lambda x, factor: predict(factor * x)
    return lambda x, factor: predict(center + factor * (x - center))


def _rescaled_layer(predict: Labels, head: Any, name: str) -> Rescaled:
    layers = {n: module for n, module in head.named_modules() if n} if isinstance(head, nn.Module) else {}
    if not isinstance(name, str) or name not in layers:
        expected = f"one of {_first(list(layers))}" if layers else "None, since the head has no named layers"
        raise refusal("layer", expected, shown(name), "Choose one, or leave layer out to rescale the inputs.")

    def labels(x: Tensor, factor: float) -> Tensor:
        with _multiplied(layers[name], name, factor):
            return predict(x)

    return labels


@contextlib.contextmanager
def _multiplied(layer: nn.Module, name: str, factor: float) -> Iterator[None]:
    """Within it, the layer gives `factor` times what it gives otherwise."""
    calls = 0

    def multiply(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        nonlocal calls
        calls += 1
        if isinstance(output, Tensor):
            return factor * output
        first, *others = output if isinstance(output, tuple) and output else (None,)
        if isinstance(first, Tensor):  # hidden states; the others explain them
            return (factor * first, *others)
        raise refusal(f"The output of layer {name!r}", "a tensor", kind_of(output), "Choose another layer.")

    hook = layer.register_forward_hook(multiply)
    try:
        yield
    finally:
        hook.remove()
    if not calls:
        raise refusal(f"layer {name!r}", "a layer that the head calls", "no call of it", "Choose another layer.")


def _panel(axes: Axes, result: ScaleInvariance) -> None:
    """Agreement and accuracy over α; the range where labels stay is shaded."""
    title(axes, "Does the scale matter?", f"{result.what()} multiplied by α; {result.num_rows:,} vectors")
    axes.axvspan(*result.safe_range(), color=BAND, zorder=0, label=f"{100 * STAY:g} % of the labels stay")
    axes.axvline(1, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
    factors = [point.factor for point in result.points]
    for name, color, marker in (("agreement", COLORS["cosine"], "o"), ("accuracy", COLORS["neighbors"], "s")):
        measures = [getattr(point, name) for point in result.points]
        if None in measures:
            continue
        axes.fill_between(
            factors, [m.low for m in measures], [m.high for m in measures], color=color, alpha=0.14, linewidth=0
        )
        label = "labels that stay" if name == "agreement" else name
        axes.plot(
            factors, [m.mean for m in measures], f"{marker}-", color=color, markersize=5, linewidth=2, label=label
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("scale α (logarithmic)")
    axes.set_ylabel("share of vectors")
    axes.legend(frameon=False, fontsize=9.5)
