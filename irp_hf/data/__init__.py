"""What users hand in: arrays, columns, items; read in pieces, and checked on the way."""

from irp_hf.data.arrays import Rows, as_matrix

__all__ = ["Rows", "as_matrix"]
