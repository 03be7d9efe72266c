"""Work over a data set on any number of processes and machines, by Accelerate; resumable."""

from irp_hf.parallel.dataset import encode_dataset
from irp_hf.parallel.sharded import run_sharded

__all__ = ["encode_dataset", "run_sharded"]
