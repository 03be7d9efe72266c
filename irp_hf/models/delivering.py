"""How translated vectors are handed over where they are stored: their length, their dtype, and what is told of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from typing_extensions import Self

from irp_hf.checks import check_choice, check_flag
from irp_hf.errors import refusal
from irp_hf.maths.projection import has_unit_length
from irp_hf.models.adapter import IRPAdapter

DTYPES = ("float16", "float32")
DType = Literal["float16", "float32"]
UnitLength = bool | Literal["auto"]
CONFIDENCE = "_confidence"
"""What the name of the column ends with that tells of each row what to expect: `embedding_confidence`."""
KEY = "irp_hf"  # under which a store of one column of vectors keeps the record of them
Matrix = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Delivery:
    """What is asked for of translated vectors."""

    unit_length: bool
    confidence: bool
    dtype: DType | None
    """By default that of the source's vectors, where it is one of these, and else float32."""

    @classmethod
    def of(cls, adapter: IRPAdapter, unit_length: UnitLength, confidence: bool, dtype: DType | None) -> Self:
        """What these options mean for this adapter: "auto" is the unit length if the target's anchors have it."""
        if unit_length == "auto":
            with adapter.computing():
                unit_length = has_unit_length(adapter.target_anchors)
        return cls(unit_length, confidence, dtype)

    def dtype_for(self, source: str) -> np.dtype[Any]:
        """In which dtype vectors come out that are of this one."""
        return np.dtype(self.dtype or (source if source in DTYPES else "float32"))

    def make(self, adapter: IRPAdapter, x: Matrix, dtype: np.dtype[Any]) -> tuple[Matrix, Matrix | None]:
        """Translations `(n, d_Y)` of this dtype of vectors `x (n, d_X)`, and where they are asked for confidences `(n,)`.

        They are computed in float32. Raises `InputError` for values that the dtype cannot hold, and as `translate` does.
        """
        x, confidences = x.astype(np.float32, copy=False), None
        if self.confidence:
            y, confidences = adapter.translate(x, return_confidence=True)
        else:
            y = adapter.translate(x)
        if self.unit_length:
            y = at_unit_length(y)
        largest = float(np.abs(y).max(initial=0))
        if largest > float(np.finfo(dtype).max):
            expected, advice = f"vectors that {dtype} can hold", 'Pass dtype="float32", or unit_length=True.'
            raise refusal("dtype", expected, f"values of up to {largest:.3g}", advice)
        return y.astype(dtype, copy=False), confidences


def key_of(column: str) -> str:
    """Under which a table keeps the record of one of its columns: others may hold vectors, too."""
    return f"{KEY}.{column}"


def check_delivery(unit_length: UnitLength, confidence: bool, dtype: str | None) -> None:
    """Raise `InputError` for options that there are not."""
    check_flag("confidence", confidence)
    if unit_length != "auto":
        check_flag("unit_length", unit_length, 'Give "auto", True or False.')
    if dtype is not None:
        check_choice("dtype", dtype, DTYPES)


def at_unit_length(vectors: Matrix) -> Matrix:
    """Vectors `(n, d)`, float32, brought to unit length where they lie; a zero stays one."""
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return vectors
