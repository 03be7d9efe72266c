"""The rigid part of a map: a rotation of the source's unit rows onto the target's, which tells items apart that are alike.

A regression gives items that are alike nearly the same translation; a rotation keeps their angles. With the cross moment
`M = XᵀY` of the anchors' unit rows, the nearest one is M's polar factor `M (MᵀM)^(-1/2)` (orthogonal Procrustes; Schönemann
1966). Where both sides hardly go together it would turn at random: it is damped there, as `M (MᵀM + ε²I)^(-1/2)`, with ε a
share of M's mean singular value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from irp_hf.arithmetic import working_dtype
from irp_hf.maths.pairs import others
from irp_hf.maths.projection import cosines_about, inner_products, unit_rows

DAMPING = 0.3  # ε, in mean singular values: less changes nothing, 1 costs neighbours
MANY = 256  # rows, and dimensions, up to which double precision costs nothing


def rotation(source: Tensor, target: Tensor) -> Tensor:
    """The damped rotation `(d_X, d_Y)` of unit rows `source (k, d_X)` onto `target (k, d_Y)`."""
    if _is_wide(source, target):
        products, inner = inner_products(source), inner_products(target)
        return source.T @ _weights(products, inner, min(source.shape[1], target.shape[1])) @ target
    return damped(source.T @ target)


def rotated_left_out(
    source: Tensor, target: Tensor, folds: Sequence[Tensor], products: Callable[[], Tensor] | None = None
) -> Tensor:
    """Rows `(k, d_Y)`, each fold (row numbers) of `source (k, d_X)` rotated as the others of it and of `target (k, d_Y)` tell.

    Both sides are as they came: each fold is seen about the mean of the others. About the mean of all, a row is the others' sum
    but for its sign, and of few rows in many dimensions that tells its target. `products` give those `(k, k)` of the source's
    rows with each other about any mean near theirs, where they are known.
    """
    x, y = (side - side.mean(0) for side in (source, target))
    dtype = working_dtype(torch.float32, source.device) if min(source.shape) > MANY else source.dtype
    rests = [others(fold, len(x)) for fold in folds]
    width = min(x.shape[1], y.shape[1])
    if all(len(rest) < width for rest in rests):
        return _wide_left_out(inner_products(x) if products is None else products(), y, folds, rests, dtype, width)
    x, y = x.to(dtype), y.to(dtype)
    found = torch.empty_like(y)
    for fold, rest in zip(folds, rests, strict=True):
        rows, true = (unit_rows(side - side[rest].mean(0)) for side in (x, y))
        found[fold] = rows[fold] @ damped(rows[rest].T @ true[rest])
    return found.to(source.dtype)


def _wide_left_out(
    products: Tensor,
    y: Tensor,
    folds: Sequence[Tensor],
    rests: Sequence[Tensor],
    dtype: torch.dtype,
    width: int,
) -> Tensor:
    """The same of rows that are wider than all `rests` are many: products of all rows serve all folds."""
    inner = inner_products(y)
    found, true = torch.empty_like(y), y.to(dtype)
    for fold, rest in zip(folds, rests, strict=True):
        source, target = (cosines_about(side, rest).to(dtype) for side in (products, inner))
        weights = _weights(source[rest], target[rest], width)
        found[fold] = (source[fold] @ weights @ unit_rows(true[rest] - true[rest].mean(0))).to(y.dtype)
    return found


def damped(cross: Tensor) -> Tensor:
    """`M (MᵀM + ε²I)^(-1/2)` of `cross (p, q)`, M."""
    wide = cross.shape[1] > cross.shape[0]
    root = _damped_root(cross @ cross.T if wide else cross.T @ cross, min(cross.shape))
    return root @ cross if wide else cross @ root


def _is_wide(source: Tensor, target: Tensor) -> bool:
    """Whether both sides have more dimensions than rows."""
    return min(source.shape[1], target.shape[1]) > len(source)


def _weights(products: Tensor, inner: Tensor, width: int) -> Tensor:
    """W `(k, k)` by which `Xᵀ W Y` is the damped rotation of wide rows X onto wide rows Y, the narrower of which are so wide.

    Their `products` are `XXᵀ (k, k)`, and `inner` are `YYᵀ`. With `YYᵀ = LLᵀ` the rows of `Q = L⁻¹Y` are orthonormal, so that
    `M = XᵀLQ` and `W = L (LᵀXXᵀL + ε²I)^(-1/2) L⁻¹`.
    """
    inner = inner.clone()
    inner.diagonal().add_(len(inner) * torch.finfo(inner.dtype).eps)  # a singular one has a factor then, too
    factor = torch.linalg.cholesky(inner)
    root = _damped_root(factor.T @ (products @ factor), width)
    weights: Tensor = torch.linalg.solve_triangular(factor, factor @ root, upper=False, left=False)
    return weights


def _damped_root(square: Tensor, width: int) -> Tensor:
    """`(S + ε²I)^(-1/2)` of `square (n, n)`, S, whose root has so many singular values, those that are 0 included."""
    values, vectors = torch.linalg.eigh(square)
    values = values.clamp(min=0)
    least = DAMPING * values.sqrt().sum() / width
    shrunk = (values + least.square()).clamp(min=torch.finfo(values.dtype).tiny).rsqrt()
    root: Tensor = (vectors * shrunk) @ vectors.T
    return root
