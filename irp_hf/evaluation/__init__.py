"""How good translations are on pairs that were held out, what they cost, and the report that tells."""

from irp_hf.evaluation.comparison import Baselines, named_baselines
from irp_hf.evaluation.costs import Cost
from irp_hf.evaluation.held_out import CurvePoint, Evaluation, Reliability, Row, evaluate
from irp_hf.evaluation.intervals import Measure, bootstrap, two_way_bootstrap
from irp_hf.evaluation.printed import number, signed
from irp_hf.evaluation.report import Report

__all__ = [
    "Baselines",
    "Cost",
    "CurvePoint",
    "Evaluation",
    "Measure",
    "Reliability",
    "Report",
    "Row",
    "bootstrap",
    "evaluate",
    "named_baselines",
    "number",
    "signed",
    "two_way_bootstrap",
]
