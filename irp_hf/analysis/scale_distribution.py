"""How the scales of embeddings are distributed: is one number, their mean, enough to restore the scale of each?

The paper (arXiv 2406.15057, figure 5) finds scales with one mode, nearly Gaussian and close together, and so gives every
translated vector the target's mean scale. The scale is the norm after centring, as the method takes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from irp_hf.analysis.modes import num_modes
from irp_hf.arithmetic import own_arithmetic
from irp_hf.checks import check_count
from irp_hf.data.arrays import as_matrix
from irp_hf.data.memory import allocating
from irp_hf.errors import refusal
from irp_hf.evaluation.plots import COLORS, INK, draw, title
from irp_hf.evaluation.printed import Printed, Table, number
from irp_hf.maths.projection import statistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


SAME = 1e-3  # deviation over mean: below it, half precision and rounding is all that parts the norms
PULLED = 0.1  # mean over median, less one
ENOUGH = 0.9  # share of rows within a fifth of the mean scale
MOST_BINS = 1000
BEYOND = 0.02  # share of rows at either end that a picture may leave out, so that a few far ones do not flatten it


@dataclass(frozen=True)
class Shape:
    """How a distribution differs from the Gaussian of its mean and deviation, and how many modes it has."""

    skewness: float
    """0 for a Gaussian."""
    excess_kurtosis: float
    """0 for a Gaussian."""
    distance: float
    """Of Kolmogorov and Smirnov: the largest difference of the two cumulated shares, from 0 to 1."""
    num_modes: int
    """Peaks that stand out; see `irp_hf.analysis.modes`."""


@dataclass(frozen=True)
class Norms:
    """The distribution of the norms of many vectors, in their own unit."""

    mean: float
    median: float
    std: float
    shape: Shape | None
    """None where all norms are the same but for rounding."""
    within_tenth: float
    """Share of rows whose norm differs from the mean by at most a tenth of it."""
    within_fifth: float
    """The same for a fifth."""
    factors: tuple[float, float]
    """The mean over the norm, for the central 95 % of rows: the α by which giving them the mean rescales them."""
    counts: tuple[int, ...]
    """Rows in each bin of the histogram."""
    edges: tuple[float, ...]
    """Of the bins, one more than bins."""

    @property
    def variation(self) -> float:
        """Deviation over mean."""
        return self.std / self.mean


@dataclass(frozen=True)
class ScaleDistribution(Printed):
    """The scales of embeddings. It prints as a table; `plot()` draws it."""

    num_rows: int
    width: int
    raw: Norms
    """Of the embeddings as they are."""
    centered: Norms
    """Of what is left when their mean is taken away: the scales that the method restores."""

    def is_enough(self) -> bool:
        """Whether one number restores the scales: one mode, and nine rows of ten within a fifth of the mean scale."""
        shape = self.centered.shape
        return (shape is None or shape.num_modes == 1) and self.centered.within_fifth >= ENOUGH

    def caption(self) -> str:
        """What was measured."""
        return f"Norms of {self.num_rows:,} embeddings, {self.width} wide, as they are and centred by their mean."

    def tables(self) -> list[Table]:
        """One column for raw and one for centred norms."""
        lines = [["", "raw", "centred"]]
        both = (self.raw, self.centered)
        for name in ("mean", "median", "std"):
            lines.append([TITLES.get(name, name), *(f"{getattr(norms, name):.4g}" for norms in both)])
        lines.append(["deviation over mean", *(number(norms.variation) for norms in both)])
        for name, title_of_row in SHAPE_TITLES.items():
            lines.append(
                [title_of_row, *("–" if norms.shape is None else _cell(getattr(norms.shape, name)) for norms in both)]
            )
        for name in ("within_tenth", "within_fifth"):
            lines.append([TITLES[name], *(number(getattr(norms, name)) for norms in both)])
        return [lines]

    def conclusions(self) -> list[str]:
        """Whether one number is enough, and what it costs a head to be given that."""
        norms = self.centered
        enough = "One number is enough" if self.is_enough() else "One number restores these scales only roughly"
        shape = "all scales are the same" if norms.shape is None else _modes(norms.shape.num_modes)
        paragraphs = [
            f"{enough}: {shape}, and {100 * norms.within_tenth:.0f} % of the rows lie within 10 %, "
            f"{100 * norms.within_fifth:.0f} % within 20 % of the mean scale {norms.mean:.4g}. "
            f"For 95 % of the rows, to be given the mean scale is to be multiplied by α from {norms.factors[0]:.2f} to "
            f"{norms.factors[1]:.2f}; scale_invariance(head, x, center=x.mean(0)) tells what your head does there."
        ]
        if abs(norms.mean / norms.median - 1) > PULLED:
            paragraphs.append(
                f"A few rows far from the others pull the mean: half of all scales are below {norms.median:.4g}. "
                "Look at those rows; they may be no fit anchors."
            )
        if self.raw.shape is None:
            paragraphs.append(
                f"The encoder gives all its vectors the norm {self.raw.mean:.4g}, so that their raw norms say nothing. "
                "The method centres first, and it is the centred norms that differ."
            )
        return paragraphs

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw the centred norms and, where they differ, the raw ones; also into the file `path`.

        Raises `MissingDependencyError` without matplotlib.
        """
        panels = [partial(_panel, norms=self.centered, name="Centred norms")]
        if self.raw.shape is not None:
            panels.append(partial(_panel, norms=self.raw, name="Raw norms"))
        return draw(panels, path, what="a distribution of scales")


TITLES = {
    "std": "standard deviation",
    "within_tenth": "share within 10 % of the mean",
    "within_fifth": "share within 20 % of the mean",
}
SHAPE_TITLES = {
    "skewness": "skewness",
    "excess_kurtosis": "excess kurtosis",
    "distance": "distance from a Gaussian",
    "num_modes": "modes",
}


@own_arithmetic()
@allocating("scale_distribution", "Give fewer rows, or free some memory.")
def scale_distribution(embeddings: Any, *, num_bins: int | None = None) -> ScaleDistribution:
    """The distribution of the norms of `embeddings (n, d)`, raw and centred by their mean (paper, figure 5).

    The histograms have `num_bins` bins, or as many as the rule of Freedman and Diaconis finds;
    one where all norms are the same.

    Raises `InputError` for embeddings that are no matrix of finite numbers or hold one vector only, and for `num_bins` that is
    no whole number from 1 to 1,000.
    """
    matrix = as_matrix(embeddings).double()
    if num_bins is not None:
        num_bins = check_count("num_bins", num_bins, 1, MOST_BINS, "Give one, or leave num_bins out.")
    raw = torch.linalg.vector_norm(matrix, dim=1)
    centered = torch.linalg.vector_norm(matrix - statistics(matrix).mean, dim=1)
    if centered.max() <= 1e-6 * raw.max():
        got = f"the same vector in every row, {len(matrix)} in all"
        raise refusal("embeddings", "different vectors", got, "Give the vectors of different items.")
    return ScaleDistribution(len(matrix), matrix.shape[1], _norms(raw, num_bins), _norms(centered, num_bins))


def _norms(norms: Tensor, num_bins: int | None) -> Norms:
    mean, std = float(norms.mean()), float(norms.std(correction=0))
    shape = _shape(norms) if std > SAME * mean else None
    ordered = norms.sort().values
    cut = len(norms) // 40
    low, high = float(ordered[cut]), float(ordered[-1 - cut])
    counts, edges = np.histogram(norms.cpu().numpy(), 1 if shape is None else num_bins or _num_bins(ordered))
    off = (norms / mean - 1).abs()
    return Norms(
        mean=mean,
        median=float(ordered[len(norms) // 2]),
        std=std,
        shape=shape,
        within_tenth=float((off <= 0.1).double().mean()),
        within_fifth=float((off <= 0.2).double().mean()),
        factors=(mean / high, mean / low if low else math.inf),
        counts=tuple(counts.tolist()),
        edges=tuple(edges.tolist()),
    )


def _shape(norms: Tensor) -> Shape:
    z = ((norms - norms.mean()) / norms.std(correction=0)).sort().values
    gauss = torch.special.ndtr(z)
    steps = torch.arange(len(z) + 1, dtype=z.dtype, device=z.device) / len(z)
    distance = torch.maximum((steps[1:] - gauss).max(), (gauss - steps[:-1]).max())
    return Shape(float((z**3).mean()), float((z**4).mean()) - 3, float(distance), num_modes(norms.cpu()))


def _num_bins(ordered: Tensor) -> int:
    """By the rule of Freedman and Diaconis; at least 1 and at most 1,000."""
    n = len(ordered)
    bin_width: float = 2 * float(ordered[3 * n // 4] - ordered[n // 4]) * math.pow(n, -1 / 3)
    most = float(ordered[-1] - ordered[0]) / MOST_BINS
    return math.ceil(float(ordered[-1] - ordered[0]) / max(bin_width, most))


def _modes(count: int) -> str:
    return "the scales have one mode" if count == 1 else f"the scales have {count} modes"


def _cell(value: float) -> str:
    return str(value) if isinstance(value, int) else number(value)


def _panel(axes: Axes, norms: Norms, name: str) -> None:
    """The histogram, and the Gaussian of the same mean and deviation."""
    share = "" if norms.shape is None else f"; distance from a Gaussian {number(norms.shape.distance)}"
    title(axes, name, f"deviation over mean {number(norms.variation)}{share}")
    draw_norms(axes, norms)
    axes.set_xlabel("norm")
    axes.set_ylabel("density of vectors")
    axes.legend(frameon=False, fontsize=9.5)


def draw_norms(axes: Axes, norms: Norms) -> None:
    """Bars, curve and mean alone, without words, for pictures of several encoders."""
    counts, edges = np.array(norms.counts), np.array(norms.edges)
    heights = counts / counts.sum() / np.diff(edges)
    axes.stairs(heights, edges, fill=True, color=COLORS["cosine"], alpha=0.35, label="measured")
    axes.axvline(norms.mean, color=INK, linewidth=1.2, linestyle=(0, (4, 3)), label="mean scale")
    if norms.shape is not None:
        x = np.linspace(min(edges[0], norms.mean - 3 * norms.std), max(edges[-1], norms.mean + 3 * norms.std), 200)
        gauss = np.exp(-(((x - norms.mean) / norms.std) ** 2) / 2) / norms.std / math.sqrt(2 * math.pi)
        axes.plot(x, gauss, color=COLORS["neighbors"], linewidth=2, label="Gaussian")
    first, last = np.searchsorted(counts.cumsum() / counts.sum(), [BEYOND, 1 - BEYOND])
    margin = 0.1 * (edges[last + 1] - edges[first])
    axes.set_xlim(edges[first] - margin, edges[last + 1] + margin)
    axes.locator_params(axis="x", nbins=5)
    axes.set_yticks([])
    axes.grid(axis="y", visible=False)
