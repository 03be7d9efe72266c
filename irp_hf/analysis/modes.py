"""How many modes a sample has: the peaks of its density that stand out."""

from __future__ import annotations

import torch
from torch import Tensor

BINS = 4  # a bandwidth
FAR = 10  # deviations from the middle: what lies farther counts as lying there
PROMINENCE = 0.2  # of the highest peak: what a peak must rise above the valleys that part it from others


def num_modes(values: Tensor) -> int:
    """Peaks of the density of `values (n,)`, not all the same, that rise a fifth of the highest above the valleys beside them.

    The density is Gaussian at the bandwidth of B. W. Silverman's rule (Density Estimation, 1986, equation 3.31). A few values
    far from the others make no mode, nor does a long tail.
    """
    values = values.double().sort().values
    quarter, middle, three_quarters = (values[len(values) * part // 4] for part in (1, 2, 3))
    deviation = values.std(correction=0)
    robust = (three_quarters - quarter) / 1.34  # the deviation again, for a Gaussian
    deviation = torch.minimum(deviation, robust) if robust > 0 else deviation
    values = values.clamp(middle - FAR * deviation, middle + FAR * deviation)
    return prominent_peaks(density(values, float(0.9 * deviation * len(values) ** -0.2)))


def density(values: Tensor, bandwidth: float) -> Tensor:
    """The Gaussian density estimate of `values (n,)` at steps of a quarter bandwidth, unscaled; it begins and ends low."""
    low, high = float(values.min()) - 4 * bandwidth, float(values.max()) + 4 * bandwidth
    num_bins = round(BINS * (high - low) / bandwidth)
    counts = torch.histc(values, num_bins, low, high)
    kernel = torch.exp(
        -((torch.arange(-4 * BINS, 4 * BINS + 1, dtype=values.dtype, device=values.device) / BINS) ** 2) / 2
    )
    smooth: Tensor = torch.nn.functional.conv1d(counts[None, None], kernel[None, None], padding="same")
    return smooth[0, 0]


def prominent_peaks(heights: Tensor) -> int:
    """Peaks of `heights (n,)`, which begin and end low, that are parted by valleys deep enough."""
    enough = PROMINENCE * float(heights.max())
    peaks, rising, extreme = 0, True, 0.0
    for height in heights.tolist():
        extreme = max(extreme, height) if rising else min(extreme, height)
        if abs(height - extreme) > enough:  # the way has turned
            peaks, rising, extreme = peaks + rising, not rising, height
    return peaks
