"""Other people's models: where they lie, what they may weigh, and single tensors of theirs."""

from irp_hf.checkpoints.budget import Budget, budget_of
from irp_hf.checkpoints.limits import CONFIG, LARGEST_CONFIG, WEIGHTS, check_processor, check_sizes
from irp_hf.checkpoints.modules import check_modules
from irp_hf.checkpoints.repository import Repository, find, loading, remote_class
from irp_hf.checkpoints.tensors import stored_tensors

__all__ = [
    "CONFIG",
    "LARGEST_CONFIG",
    "WEIGHTS",
    "Budget",
    "Repository",
    "budget_of",
    "check_modules",
    "check_processor",
    "check_sizes",
    "find",
    "loading",
    "remote_class",
    "stored_tensors",
]
