"""Two small spaces of the same kind of items: pairs, rows of either side without a partner, and pairs to test on."""

from typing import NamedTuple

import numpy as np

WIDTHS = (20, 24)


class Spaces(NamedTuple):
    """Float32 rows; of each name first the source's, then the target's."""

    pairs: tuple[np.ndarray, np.ndarray]
    background: tuple[np.ndarray, np.ndarray]
    new: tuple[np.ndarray, np.ndarray]


def spaces(seed: int = 0, num_pairs: int = 10, rows: int = 500, noise: float = 0.1, shared: int = 12) -> Spaces:
    """Items are heavy-tailed in a few directions that both spaces show, each turned and stretched in its own way."""
    random = np.random.RandomState(seed)
    maps = [np.linalg.qr(random.randn(width, width))[0][:shared] for width in WIDTHS]
    strengths = np.linspace(2, 0.7, shared)
    offsets = [random.randn(width) for width in WIDTHS]

    def encoded(side: int, items: np.ndarray) -> np.ndarray:
        found = items * strengths @ maps[side] + offsets[side]
        return (found + noise * random.randn(*found.shape)).astype(np.float32)

    def items(count: int) -> np.ndarray:
        centres = np.random.RandomState(1).randn(15, shared) * 1.5
        return centres[random.randint(0, len(centres), count)] + random.laplace(size=(count, shared)) * 0.7

    pairs, new = items(num_pairs), items(300)
    apart = items(rows), items(rows)
    return Spaces(
        (encoded(0, pairs), encoded(1, pairs)),
        (encoded(0, apart[0]), encoded(1, apart[1])),
        (encoded(0, new), encoded(1, new)),
    )


def found_first(translated: np.ndarray, true: np.ndarray) -> float:
    """The share of rows whose own true vector is nearest to their translation, by cosine about the mean."""
    mean = true.mean(0)
    rows = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in (translated - mean, true - mean)]
    return float(((rows[0] @ rows[1].T).argmax(1) == np.arange(len(true))).mean())
