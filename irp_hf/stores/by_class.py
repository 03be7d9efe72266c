"""What a search finds of a query's own class, where a store knows the classes of its rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from irp_hf.checks import quoted
from irp_hf.errors import refusal, shown
from irp_hf.evaluation.intervals import Measure, bootstrap
from irp_hf.maths.metrics import classes_found
from irp_hf.stores.base import Store

LEAST = 50  # items with a class: fewer tell next to nothing


@dataclass(frozen=True)
class Classes:
    """The share of the ten nearest that are of the query's own class, by what is searched."""

    store: Measure
    """This store, with the encoder's own queries."""
    anew: Measure
    """True vectors, with the same."""
    before: Measure | None = None
    """The store of before with its own encoder; None where it was not given."""


def check_class_column(store: Store, label: str) -> str:
    """The name of a store's column of classes; raises `InputError` where it has none of this name."""
    kinds = (pa.types.is_integer, pa.types.is_boolean, pa.types.is_string, pa.types.is_large_string)
    usable = [field.name for field in store.schema if any(is_kind(_values(field.type)) for is_kind in kinds)]
    if label not in usable:
        expected = (
            f"one of its columns of numbers or words, {quoted(usable)}," if usable else "a store with such a column"
        )
        raise refusal(str(store.address), expected, shown(label), "Name the column of classes, or leave label= out.")
    return label


def _values(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def found_by_class(column: pa.Array, true: Tensor, stored: Tensor, before: Tensor | None) -> Classes:
    """What is found of each item's class; items without one are of a class of their own, and left out as queries."""
    known = torch.from_numpy(np.asarray(column.is_valid()))
    numbers = {value: number for number, value in enumerate(dict.fromkeys(column.to_pylist()))}
    classes = torch.tensor([numbers[value] for value in column.to_pylist()], dtype=torch.int64, device="cpu")
    if int(known.sum()) < LEAST:
        raise refusal("label", f"at least {LEAST} items with a class", f"{int(known.sum())}", "Name another column.")
    sides = [(true, stored), (true, true), *([] if before is None else [(before, before)])]
    found = bootstrap(torch.stack([classes_found(queries, index, classes)[known] for queries, index in sides]))
    return Classes(*found)
