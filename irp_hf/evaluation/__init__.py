"""How good translations are on pairs that were held out, what they cost, and the report that says so."""

from irp_hf.evaluation.costs import Cost
from irp_hf.evaluation.held_out import NAMES, CurvePoint, Evaluation, Reliability, Row, evaluate
from irp_hf.evaluation.intervals import Measure, bootstrap, two_way_bootstrap
from irp_hf.evaluation.printed import number, signed
from irp_hf.evaluation.report import Report

__all__ = [
    "NAMES",
    "Cost",
    "CurvePoint",
    "Evaluation",
    "Measure",
    "Reliability",
    "Report",
    "Row",
    "bootstrap",
    "evaluate",
    "number",
    "signed",
    "two_way_bootstrap",
]
