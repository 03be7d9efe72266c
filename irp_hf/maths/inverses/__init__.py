"""Inverses of the relative projection, one file each, and their registry: adding one is a file and a line here."""

from __future__ import annotations

from irp_hf.maths.inverses.base import Inverse
from irp_hf.maths.inverses.hyperparameters import Hyperparameter, hyperparameters_of
from irp_hf.maths.inverses.kernel import KernelInverse
from irp_hf.maths.inverses.pruned import PrunedInverse
from irp_hf.maths.inverses.rigid import RigidInverse
from irp_hf.maths.inverses.whitened import WhitenedInverse

__all__ = [
    "INVERSES",
    "Hyperparameter",
    "Inverse",
    "KernelInverse",
    "PrunedInverse",
    "RigidInverse",
    "WhitenedInverse",
    "describe",
]

INVERSES: dict[str, type[Inverse]] = {
    "kernel": KernelInverse,
    "whitened": WhitenedInverse,
    "rigid": RigidInverse,
    "pruned": PrunedInverse,
}
"""By the name that `method=` takes."""


def describe(inverse: Inverse, restoration: float, rigid: float = 0.0) -> str:
    """Hyper-parameters as `connect` takes them, `gamma=2, ridge=0.003`; landmarks only if not all, a lift only if any."""
    known = hyperparameters_of(inverse)
    values = {name: getattr(inverse, name) for name in known}
    values["lift"] = values.pop("lift", 0.0) or None
    values["rigid"] = rigid or None
    values["restoration"] = restoration
    whole = {name for name, parameter in known.items() if parameter.whole}
    said = {
        name: f"{value}" if name in whole else f"{value:.3g}" for name, value in values.items() if value is not None
    }
    return ", ".join(f"{name}={value}" for name, value in said.items())
