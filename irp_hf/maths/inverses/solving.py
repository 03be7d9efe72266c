"""`(K + λI)⁻¹` by a Cholesky factor where that is exact, by eigenvalues where it is not."""

from __future__ import annotations

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype

EXACT = 1e5  # times a row's rounding: a ridge above so much for each row leaves a factor that is exact to five digits
ROUGH = 0.05  # of what rounding, were it of one sign, changes in a left-out prediction: it changes a thousandth of that
FEW = 256  # rows: for fewer, single precision saves nothing


def is_exact(ridge: float, rows: Tensor) -> bool:
    """Whether a Cholesky factor with this ridge is exact enough for so many `rows (k, ...)`."""
    return ridge >= EXACT * len(rows) * torch.finfo(rows.dtype).eps


def solved_with_ridge(similar: Tensor, ridge: float, target: Tensor) -> Tensor:
    """`(K + λI)⁻¹ y` of `similar (k, k)`, K, and `target (k, d)`, y."""
    factor = _factor(similar, ridge) if is_exact(ridge, similar) else None
    if factor is not None:
        return torch.cholesky_solve(target, factor)
    shrunk, vectors = _shrunk(similar, ridge)
    solved: Tensor = shrunk @ (vectors.T @ target)
    return solved


def inverse_with_ridge(similar: Tensor, ridge: float) -> Tensor:
    """`(K + λI)⁻¹ (k, k)` of `similar (k, k)`, K: by a Cholesky factor where that is exact, by eigenvalues where it is not."""
    factor = _factor(similar, ridge) if is_exact(ridge, similar) else None
    if factor is not None:
        return torch.cholesky_inverse(factor)
    shrunk, vectors = _shrunk(similar, ridge)
    inverse: Tensor = shrunk @ vectors.T
    return inverse


def rough_inverse(similar: Tensor, ridge: float) -> Tensor:
    """The same in single precision where that is enough to compare ridges, or else in double; its dtype says which.

    Rounding is as large as K is, k, and `(K + λI)⁻¹` makes it larger: least where K has no small eigenvalues, whatever λ.
    """
    dtype = working_dtype(torch.float32, similar.device)
    rounding = len(similar) * torch.finfo(dtype).eps
    if len(similar) > FEW and dtype != similar.dtype and ridge >= rounding / 10:
        factor = _factor(similar.to(dtype), ridge)
        inverse = None if factor is None else torch.cholesky_inverse(factor)
        if inverse is not None and rounding * float(inverse.diagonal().mean()) <= ROUGH:
            return inverse
    return inverse_with_ridge(similar, ridge)


def last_left_out(similar: Tensor, ridge: float, target: Tensor, count: int) -> Tensor | None:
    """The last `count` rows of `target (k, d)`, each as all other rows predict it by `similar (k, k)`, K, in its precision.

    None where that is not exact enough to compare ridges.
    """
    found = last_solved(similar, ridge, target, count)
    if found is None:
        return None
    inverse, residual = found
    predicted: Tensor = target[-count:] - residual / inverse.diagonal()[:, None]
    return predicted


def last_solved(similar: Tensor, ridge: float, target: Tensor, count: int) -> tuple[Tensor, Tensor] | None:
    """`(K + λI)⁻¹` among the last `count` rows of `similar (k, k)`, K, and these rows of `(K + λI)⁻¹ y`, `target (k, d)`.

    The former is the inverse of what the last block of its factor makes, so that no other part is inverted. None where that is
    not exact enough to compare ridges.
    """
    rounding = len(similar) * torch.finfo(similar.dtype).eps
    factor = _factor(similar, ridge) if ridge >= rounding / 10 else None
    if factor is None:
        return None
    first = len(similar) - count
    inverse = torch.cholesky_inverse(factor[first:, first:])
    if rounding * float(inverse.diagonal().mean()) > ROUGH:
        return None
    # From the right, as rows lie in memory, it takes half as long as from the left.
    half = torch.linalg.solve_triangular(factor[:first, :first].T, target[:first].T, upper=True, left=False)
    return inverse, inverse @ torch.addmm(target[first:], factor[first:, :first], half.T, alpha=-1)


def _shrunk(similar: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Eigenvectors `V (k, k)` of `similar (k, k)`, over its eigenvalues with the ridge and as they are."""
    values, vectors = torch.linalg.eigh(similar)
    return vectors / (values.clamp(min=0) + ridge), vectors


def _factor(similar: Tensor, ridge: float) -> Tensor | None:
    shifted = similar.clone()
    shifted.diagonal().add_(ridge)
    factor, failed = torch.linalg.cholesky_ex(shifted)
    return None if failed else factor
