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
from irp_hf.stores.base import Matrix, Store

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


def check_class_column(store: Store, label: str) -> None:
    """Raise `InputError` where a store has no column of classes of this name."""
    kinds = (pa.types.is_integer, pa.types.is_boolean, pa.types.is_string, pa.types.is_large_string)
    usable = [field.name for field in store.schema if any(is_kind(_values(field.type)) for is_kind in kinds)]
    if label not in usable:
        of_classes = "of whole numbers, flags or words"
        expected = (
            f"one of its columns {of_classes}, {quoted(usable)}" if usable else f"a store with a column {of_classes}"
        )
        raise refusal(str(store.address), expected, shown(label), "Name the column of classes, or leave label= out.")


def _values(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def classes_of(column: pa.Array) -> Matrix:
    """The number of each item's class `(n,)`, -1 where it has none; raises `InputError` where classes can tell nothing."""
    values = column.to_pylist()
    numbers = {
        value: number for number, value in enumerate(dict.fromkeys(value for value in values if value is not None))
    }
    classes = np.array([-1 if value is None else numbers[value] for value in values], dtype=np.int64)
    known = classes[classes >= 0]
    if len(known) < LEAST:
        raise refusal("label", f"at least {LEAST} items with a class", f"{len(known)}", "Name another column.")
    if not 1 < len(numbers) < len(known):
        got = "one class of all" if len(numbers) == 1 else "as many classes as items"
        raise refusal("label", "a column of some classes, each of several items", got, "Name another column.")
    return classes


def found_by_class(classes: Matrix, true: Tensor, stored: Tensor, before: Tensor | None) -> Classes:
    """What is found of the class `(n,)` of each item; items without one ask nothing, and are of no other's class."""
    numbers, known = torch.from_numpy(classes), torch.from_numpy(classes >= 0)
    sides = [(true, stored), (true, true), *([] if before is None else [(before, before)])]
    found = bootstrap(torch.stack([classes_found(queries, index, numbers)[known] for queries, index in sides]))
    return Classes(*found)
