"""Translators of `latentis`, by the authors of the method, for comparison: nothing where it is not installed.

pip install -c constraints.txt -r requirements-peers.txt
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

from torch import Tensor

from irp_hf.maths.inverses.base import Translator

PACKAGE = "latentis"


def installed() -> bool:
    """Whether there is anybody to compare with."""
    return importlib.util.find_spec(PACKAGE) is not None


def translators() -> dict[str, Callable[[Tensor, Tensor], Translator]]:
    """Fits by name. Its affine translator is left out: the baseline `affine SGD` is the same recipe, and it is slow."""
    if not installed():
        return {}
    from latentis.transform.translate import aligner, functional

    return {
        "latentis: Procrustes": _fit(aligner.MatrixAligner, "svd", functional.svd_align_state),
        "latentis: least squares": _fit(aligner.MatrixAligner, "lstsq", functional.lstsq_align_state),
        "latentis: orthogonalized": _fit(aligner.MatrixAligner, "ortho", functional.lstsq_ortho_align_state),
    }


def _fit(make: Callable[..., Any], *args: Any) -> Callable[[Tensor, Tensor], Translator]:
    """Both sides standardised and the narrower one padded with zeros, as its `Procrustes` has it."""
    from latentis.transform.base import StandardScaling
    from latentis.transform.dim_matcher import ZeroPadding
    from latentis.transform.translate.aligner import Translator as Peer

    def fit(source: Tensor, target: Tensor) -> Translator:
        peer = Peer(make(*args), None, StandardScaling(), StandardScaling(), ZeroPadding())
        peer.fit(source, target)
        return lambda x: peer.transform(x.to(source))[0]

    return fit
