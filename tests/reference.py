"""The paper's equations (arXiv 2406.15057) and the table of inverses, row by row in float64: slow,
obvious, and ours alone.

Nothing here imports irp_hf. Leave-one-out and leave-fold-out are explicit refits.
"""

import numpy as np


def unit(vector: np.ndarray) -> np.ndarray:
    norm = np.sqrt(sum(value * value for value in vector))
    return vector / norm if norm > 0 else vector * 0.0


def unit_rows(x: np.ndarray) -> np.ndarray:
    return np.array([unit(row) for row in x]).reshape(x.shape)


def mean_and_scale(anchors: np.ndarray) -> tuple[np.ndarray, float]:
    mean = sum(anchors) / len(anchors)
    return mean, sum(np.sqrt(np.sum((anchor - mean) ** 2)) for anchor in anchors) / len(anchors)


def normalize(x: np.ndarray, anchors: np.ndarray, lift: float = 0.0) -> np.ndarray:
    mean, scale = mean_and_scale(anchors)
    rows = [np.append(row - mean, lift * scale) if lift else row - mean for row in x]
    return unit_rows(np.array(rows))


def denormalize(directions: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    mean, scale = mean_and_scale(anchors)
    return np.array([scale * unit(row) + mean for row in directions])


def similarity(a: np.ndarray, b: np.ndarray, gamma: float | None = None) -> float:
    cosine = sum(p * q for p, q in zip(a, b, strict=True))
    return cosine if gamma is None else np.exp(gamma * (cosine - 1))


def relative(rows: np.ndarray, anchors: np.ndarray, gamma: float | None = None) -> np.ndarray:
    return np.array([[similarity(row, anchor, gamma) for anchor in anchors] for row in rows])


def pruning(rows: np.ndarray, start: int, threshold: float) -> list[int]:
    """Greedy farthest-point sampling from `start`, until the farthest remaining row is nearer than the
    threshold."""
    taken = [start]
    while len(taken) < len(rows):
        distances = {
            row: min(1 - abs(similarity(rows[row], rows[other])) for other in taken)
            for row in range(len(rows))
            if row not in taken
        }
        farthest = max(distances, key=distances.__getitem__)
        if max(distances[farthest], 0) < threshold:
            break
        taken.append(farthest)
    return taken


def pinv(matrix: np.ndarray) -> np.ndarray:
    return np.linalg.pinv(matrix, rcond=max(matrix.shape) * np.finfo(float).eps)


def pruned(rows: np.ndarray, source: np.ndarray, target: np.ndarray, subspaces: list[list[int]]) -> np.ndarray:
    """Mean over the subspaces of the reconstructions from the cosines with the anchors kept there."""
    reconstructions = []
    for kept in subspaces:
        reconstructions.append(relative(rows, source[kept]) @ pinv(target[kept].T))
    return sum(reconstructions) / len(reconstructions)


def power(anchors: np.ndarray, exponent: float, ridge: float) -> np.ndarray:
    """`C^exponent`, `C = A.T A / k + ridge tr / d I`; without a ridge, on the span of the anchors alone."""
    k, d = anchors.shape
    moment = sum(np.outer(anchor, anchor) for anchor in anchors) / k
    lifted = moment + ridge * np.trace(moment) / d * np.eye(d)
    result = np.zeros((d, d))
    values, vectors = np.linalg.eigh(lifted)
    for value, vector in zip(values, vectors.T, strict=True):
        if value > 1e-11 * max(values):
            result += value**exponent * np.outer(vector, vector)
        elif (
            exponent >= 0
        ):  # a power that needs no inverse leaves these directions out or as they are: nothing is there
            result += np.outer(vector, vector) if exponent == 0 else 0
    return result


def whitened(rows: np.ndarray, source: np.ndarray, target: np.ndarray, balance: float, ridge: float) -> np.ndarray:
    coordinates = relative(rows @ power(source, -balance, ridge), source)
    return coordinates @ (target @ power(target, -(1 - balance), ridge) / len(target))


def kernel(
    rows: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    gamma: float,
    ridge: float,
    landmarks: np.ndarray | None = None,
) -> np.ndarray:
    """Ridge regression in the kernel's own space, `min |y - K_km c|² + λ c.T K_mm c`; the constant 1 is
    the intercept.

    With all anchors as landmarks that is `c = (K + λI)⁻¹ y`.
    """
    if landmarks is None:
        coefficients = np.linalg.solve(relative(source, source, gamma) + 1 + ridge * np.eye(len(source)), target)
        return (relative(rows, source, gamma) + 1) @ coefficients
    k_mm = relative(landmarks, landmarks, gamma) + 1
    k_km = relative(source, landmarks, gamma) + 1
    coefficients = np.linalg.solve(k_km.T @ k_km + ridge * k_mm, k_km.T @ target)
    return (relative(rows, landmarks, gamma) + 1) @ coefficients


def kernel_left_out(
    source: np.ndarray,
    target: np.ndarray,
    gamma: float,
    ridge: float,
    folds: list[list[int]],
    landmarks: np.ndarray | None = None,
) -> np.ndarray:
    """Each fold predicted by a regression that is fitted again on all other rows."""
    predicted = np.zeros_like(target)
    for fold in folds:
        others = [row for row in range(len(source)) if row not in fold]
        predicted[fold] = kernel(source[fold], source[others], target[others], gamma, ridge, landmarks)
    return predicted


def restoration(translated: np.ndarray, target: np.ndarray, q: float) -> np.ndarray:
    """Stretch each principal direction j of the target by `(w_j / v_j)^(q/2)`."""
    values, directions = np.linalg.eigh(target.T @ target / len(target))
    matrix = np.zeros((target.shape[1], target.shape[1]))
    for direction in directions.T:
        wanted = np.mean([(row @ direction) ** 2 for row in target])
        given = np.mean([(row @ direction) ** 2 for row in translated])
        stretch = (wanted / given) ** (q / 2) if wanted > 1e-12 * values.max() else 1.0
        matrix += stretch * np.outer(direction, direction)
    return matrix


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(unit(a) @ unit(b))


def neighbors(query: np.ndarray, corpus: np.ndarray, without: int, count: int) -> set[int]:
    others = [row for row in range(len(corpus)) if row != without]
    return set(sorted(others, key=lambda row: -cosine(query, corpus[row]))[:count])


def neighbors_kept(translated: np.ndarray, true: np.ndarray, count: int, depth: int | None = None) -> np.ndarray:
    """The share of the `count` nearest by the true vector that are among the first `depth` by the translated one."""
    shares = []
    for row in range(len(true)):
        own = neighbors(true[row], true, row, count)
        shares.append(len(own & neighbors(translated[row], true, row, depth or count)) / count)
    return np.array(shares)


def reciprocal_ranks(translated: np.ndarray, true: np.ndarray) -> np.ndarray:
    ranks = []
    for row in range(len(true)):
        own = cosine(translated[row], true[row])
        better = [other for other in range(len(true)) if other != row and cosine(translated[row], true[other]) > own]
        ranks.append(1 / (1 + len(better)))
    return np.array(ranks)
