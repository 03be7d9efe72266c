"""The paper's probes, on your own models and data: each gives numbers, a table, a picture and what follows.

Each probe is a function in a file of its own name, which it is imported from:
`from irp_hf.analysis.stability import stability`. What the functions return is handed on here.
"""

from irp_hf.analysis.anchor_budget import AnchorBudget, BudgetPoint
from irp_hf.analysis.compatibility import Compatibility, Connection
from irp_hf.analysis.scale_distribution import Norms, ScaleDistribution, Shape
from irp_hf.analysis.scale_invariance import ScaleInvariance, ScalePoint
from irp_hf.analysis.stability_result import Stability, StabilityPoint

__all__ = [
    "AnchorBudget",
    "BudgetPoint",
    "Compatibility",
    "Connection",
    "Norms",
    "ScaleDistribution",
    "ScaleInvariance",
    "ScalePoint",
    "Shape",
    "Stability",
    "StabilityPoint",
]
