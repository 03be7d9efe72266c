"""The rigid part of a map: a rotation of the source's unit rows onto the target's, which tells items apart that are alike.

A regression gives items that are alike nearly the same translation; a rotation keeps their angles. With the cross moment
`M = XᵀY` of the anchors' unit rows, the nearest one is M's polar factor `M (MᵀM)^(-1/2)` (orthogonal Procrustes; Schönemann
1966). Where both sides hardly go together it would turn at random: it is damped there, as `M (MᵀM + ε²I)^(-1/2)`, with ε a
share of M's mean singular value.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.pairs import others
from irp_hf.maths.projection import unit_rows

DAMPING = 0.3  # ε, in mean singular values: less changes nothing, 1 costs neighbours
MANY = 256  # rows, and dimensions, up to which double precision costs nothing


def rotation(source: Tensor, target: Tensor) -> Tensor:
    """The damped rotation `(d_X, d_Y)` of unit rows `source (k, d_X)` onto `target (k, d_Y)`."""
    (rows, left), (true, right) = _narrow(source), _narrow(target)
    found = damped(rows.T @ true, min(source.shape[1], target.shape[1]))
    found = found if left is None else left @ found
    return found if right is None else found @ right.T


def rotated_left_out(source: Tensor, target: Tensor, folds: Sequence[Tensor]) -> Tensor:
    """Rows `(k, d_Y)`, each fold (row numbers) of `source (k, d_X)` rotated as the others of it and of `target (k, d_Y)` tell.

    Both sides are as they came: each fold is seen about the mean of the others. About the mean of all, a row is the others' sum
    but for its sign, and of few rows in many dimensions that tells its target.
    """
    sides = [side - side.mean(0) for side in (source, target)]
    dtype = working_dtype(torch.float32, source.device) if min(source.shape) > MANY else source.dtype
    (x, _), (y, right) = (_narrow(side.to(dtype)) for side in sides)
    width, found = min(source.shape[1], target.shape[1]), torch.empty_like(y)
    for fold in folds:
        rest = others(fold, len(x))
        rows, true = (unit_rows(side - side[rest].mean(0)) for side in (x, y))
        found[fold] = rows[fold] @ damped(rows[rest].T @ true[rest], width)
    return (found if right is None else found @ right.T).to(source.dtype)


def damped(cross: Tensor, width: int) -> Tensor:
    """`M (MᵀM + ε²I)^(-1/2)` of `cross (p, q)`, M, whose sides have so many dimensions, or fewer that matter."""
    wide = cross.shape[1] > cross.shape[0]
    values, vectors = torch.linalg.eigh(cross @ cross.T if wide else cross.T @ cross)
    values = values.clamp(min=0)
    least = DAMPING * values.sqrt().sum() / width
    shrunk = (values + least.square()).clamp(min=torch.finfo(values.dtype).tiny).rsqrt()
    root = (vectors * shrunk) @ vectors.T
    found: Tensor = root @ cross if wide else cross @ root
    return found


def _narrow(rows: Tensor) -> tuple[Tensor, Tensor | None]:
    """`rows (k, d)`; of fewer rows than dimensions their coordinates `(k, k)` in an orthonormal basis `(d, k)`, and this."""
    if rows.shape[1] <= len(rows):
        return rows, None
    basis, coordinates = torch.linalg.qr(rows.T)
    return coordinates.T, basis
