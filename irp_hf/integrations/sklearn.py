"""The translation as a transformer of scikit-learn, which is fitted on vectors of the same items by both encoders.

A head that never saw the source's encoder is its last step:

    make_pipeline(IRPTransformer(), FrozenEstimator(head)).fit(X, Y).predict(new)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from irp_hf.data.arrays import Rows, as_matrix
from irp_hf.errors import kind_of, missing, refusal
from irp_hf.maths.metrics import cosines
from irp_hf.maths.request import HeldOut, MethodOrAuto, Objective
from irp_hf.models.adapter import IRPAdapter

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils import Tags
    from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, validate_data
except ImportError as error:
    raise missing("IRPTransformer", "scikit-learn>=1.6", "irp_hf[sklearn]") from error

Matrix = np.ndarray[Any, Any]
FLOATING = (np.float64, np.float32)
FITTED = (
    *("seed", "gamma", "ridge", "balance", "lift", "num_landmarks", "num_subspaces", "pruning_threshold"),
    *("restoration", "rigid", "depth", "folds"),
)
EITHER_WAY = ("seed", "num_landmarks", "folds")
"""What is as right for the way back."""


class IRPTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Vectors of a source encoder `X (n, d_X)` to those of a target encoder `(n, d_Y)`, by `IRPAdapter.from_anchors`.

    `fit(X, Y)` takes row i of both of the same item: `Y` holds no labels, but what the target's encoder made of the items. Then
    `transform` translates. The head of a `Pipeline` is one that was fitted on the target's vectors, and is frozen.

    Args:
        method: "kernel", "whitened", "rigid", "pruned" (the paper), or "auto": the best of all by the objective.
        objective: "cosine", "neighbors", "recall", "retrieval", or "agreement" with the `head`.
        head: for "agreement", whatever `irp_hf.heads.open_head` opens. A fitted estimator goes in as
            `sklearn.frozen.FrozenEstimator(head)`: scikit-learn's own search clones all else unfitted.
        seed: of folds, starts and samples; a fit is the same whenever it is repeated.
        gamma: γ of the kernel. What is None, here and below, is chosen from the rows of the fit.
        ridge: λ of "kernel" and "whitened".
        balance: b of "whitened".
        lift: h, how much the lengths of the source's vectors count.
        num_landmarks: m of the kernel; fewer are faster.
        num_subspaces: ω of "pruned".
        pruning_threshold: δ of "pruned".
        restoration: q, how much of the target's spectrum is restored.
        rigid: ρ, how much a rotation counts beside the inverse.
        depth: how many candidates a second stage re-ranks, with the objective "recall".
        folds: "rows", or "clusters" for inputs unlike those of the fit.

    A column of vectors, as a Parquet file has it, and a tensor of torch of whatever precision are matrices, too.
    `adapter_` is the `IRPAdapter`, with its report, confidence and `push_to_hub`.
    """

    adapter_: IRPAdapter
    n_features_in_: int

    def __init__(
        self,
        method: MethodOrAuto = "auto",
        objective: Objective = "cosine",
        *,
        head: Any = None,
        seed: int = 0,
        gamma: float | None = None,
        ridge: float | None = None,
        balance: float | None = None,
        lift: float | None = None,
        num_landmarks: int | None = None,
        num_subspaces: int | None = None,
        pruning_threshold: float | None = None,
        restoration: float | None = None,
        rigid: float | None = None,
        depth: int | None = None,
        folds: HeldOut = "rows",
    ) -> None:
        self.method, self.objective, self.head, self.seed = method, objective, head, seed
        self.gamma, self.ridge, self.balance, self.lift = gamma, ridge, balance, lift
        self.num_landmarks, self.num_subspaces = num_landmarks, num_subspaces
        self.pruning_threshold, self.restoration, self.rigid = pruning_threshold, restoration, rigid
        self.depth, self.folds = depth, folds

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on parallel rows `X (n, d_X)` and `y (n, d_Y)`, two at least; from some hundred on it is of use.

        Raises `InputError` for labels in place of vectors, and for rows or options that cannot be used; `ValueError`, in
        scikit-learn's words, for what is no matrix of finite numbers.
        """
        source, target = self._pairs(X, y, fits=True)
        options = {name: value for name in FITTED if (value := getattr(self, name)) is not None}
        self.adapter_ = IRPAdapter.from_anchors(source, target, self.method, self.objective, self.head, **options)
        self._names = _column_names(y)
        self._backwards: IRPAdapter | None = None
        return self

    def transform(self, X: Any) -> Any:
        """Vectors of the target `(n, d_Y)` for those of the source `X (n, d_X)`: float32 of float32, else float64."""
        check_is_fitted(self)
        return self.adapter_.translate(_checked(X, "X", lambda X: validate_data(self, X, dtype=FLOATING, reset=False)))

    def inverse_transform(self, X: Any) -> Matrix:
        """Vectors of the source `(n, d_X)` for those of the target `X (n, d_Y)`: a translation back, and no exact inverse.

        The first call fits it, on the same rows, which takes about as long as `fit`; it is kept. Method, seed, folds and number
        of landmarks are this one's, all else is chosen for the way back. Of more than 6,000 rows it is fitted on those that
        the adapter keeps, and a `FitWarning` says so.
        """
        check_is_fitted(self)
        vectors, sizes = _checked(X, "X", lambda X: check_array(X, dtype=FLOATING)), self.adapter_.config
        Rows(vectors, "X", sizes.target_size, ("source", sizes.source_size))
        if self._backwards is None:
            given = {name: value for name in EITHER_WAY if (value := getattr(self, name)) is not None}
            self._backwards = self.adapter_.reverse(self.method, **given)
        found: Matrix = self._backwards.translate(vectors)
        return found

    def score(self, X: Any, y: Any) -> float:
        """Mean cosine of translations of `X (n, d_X)` with the true vectors `y (n, d_Y)`: 1 at best."""
        check_is_fitted(self)
        source, target = self._pairs(X, y, fits=False)
        sizes = self.adapter_.config
        true = Rows(target, "y", sizes.target_size, ("source", sizes.source_size)).whole().double()
        translated = torch.from_numpy(self.adapter_.translate(source)).double()
        return float(cosines(translated, true).mean())

    def get_feature_names_out(self, input_features: Any = None) -> Matrix:
        """Names of the columns of `transform`: those of `y` if it was a frame with some, else `irptransformer0` and so on."""
        check_is_fitted(self)
        names: Matrix = super().get_feature_names_out(input_features)
        return names if self._names is None else np.asarray(self._names, dtype=object)

    @property
    def _n_features_out(self) -> int:
        return int(self.adapter_.config.target_size)

    def _pairs(self, X: Any, y: Any, fits: bool) -> tuple[Matrix, Matrix]:
        """Both sides as matrices of finite numbers, with as many rows."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None. Give what the target's encoder "
                "makes of the same items."
            )
        least = 2 if fits else 1
        source: Matrix = _checked(
            X, "X", lambda X: validate_data(self, X, dtype=FLOATING, reset=fits, ensure_min_samples=least)
        )
        target = _checked(y, "y", lambda y: check_array(y, dtype=None, ensure_2d=False, input_name="y"))
        if target.ndim == 1:
            expected, got = (
                "vectors of the target's encoder, a matrix (rows, width)",
                f"{kind_of(y)} of shape {target.shape}",
            )
            raise refusal(
                "y", expected, got, "Give what it makes of the same items; a head goes behind, fitted and frozen."
            )
        target = check_array(target, dtype=FLOATING, input_name="y")
        check_consistent_length(source, target)
        return source, target

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output, tags.target_tags.single_output = True, False
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _checked(given: Any, name: str, check: Callable[[Any], Any]) -> Any:
    """What scikit-learn's `check` makes of it; of columns that it cannot read irp_hf says why in its own words."""
    if _is_column(given) or (isinstance(given, Tensor) and given.is_floating_point()):
        given = as_matrix(given, name).cpu()
        given = (given.float() if given.dtype == torch.bfloat16 else given).numpy()
    try:
        return check(given)
    except (TypeError, ValueError):
        if hasattr(given, "columns"):
            as_matrix(given, name)
        raise


def _is_column(given: Any) -> bool:
    """Whether it is a column of vectors: something of one dimension, but no list, that holds several numbers in a place."""
    if isinstance(given, list | tuple) or getattr(given, "ndim", 1) != 1 or hasattr(given, "columns"):
        return False
    if not (hasattr(given, "__len__") and hasattr(given, "__iter__")) or isinstance(given, str | bytes | Mapping):
        return False
    first = next((one for one in given if one is not None), None)
    return hasattr(first, "__len__") and not isinstance(first, str | bytes | Mapping)


def _column_names(frame: Any) -> list[str] | None:
    """Those of a frame whose columns have names that are texts."""
    names = list(getattr(frame, "columns", ()))
    return names if names and all(isinstance(name, str) for name in names) else None
