"""What users hand in: arrays, columns, items; read in pieces, and checked on the way."""

from irp_hf.data.arrays import Rows, as_matrix
from irp_hf.data.parquet import ParquetColumn

__all__ = ["ParquetColumn", "Rows", "as_matrix"]
