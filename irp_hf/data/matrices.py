"""Whatever holds vectors, opened as a matrix that is read slice by slice, and results in its kind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irp_hf.data.arrow import arrow_matrix, to_arrow
from irp_hf.data.parquet import ParquetColumn
from irp_hf.data.wrong import is_missing, missing_values, module_of, no_rows, no_vectors, unequal, wrong_dtype
from irp_hf.errors import first_line, kind_of, refusal, shown

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
FLOAT_ARRAYS = frozenset(map(np.dtype, (np.float16, np.float32, np.float64)))  # in this machine's order of bytes
BFLOAT16 = "bfloat16"  # of ml_dtypes: numpy has none of its own
Opened = tuple[Any, Callable[[Tensor], Any]]


def open_matrix(x: Any, name: str) -> Opened:
    """A matrix that gives tensors or arrays for slices, and what turns a result tensor into the kind of `x`.

    Tensors, Arrow columns and polars' give their own kind, a pandas Series one with its index, a list of tensors a tensor;
    everything else an array of numpy. Raises `InputError` that says what `x` is, where it is no vectors, and what to call.
    """
    if isinstance(x, Tensor):
        return _dense(x, name), _as_it_is
    if isinstance(x, np.ndarray):
        return _array(x, name)
    if isinstance(x, ParquetColumn):
        return x, _to_numpy
    if (refused := no_vectors(name, x)) is not None:
        raise refused
    opener = OPENERS.get(module_of(x), _any)
    return opener(x, name)


def tensor_of(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor on the memory of an array, bfloat16 too; raises `TypeError` or `ValueError` where torch has no such."""
    if array.dtype.name == BFLOAT16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _as_it_is(result: Tensor) -> Tensor:
    return result


def _to_numpy(result: Tensor) -> np.ndarray[Any, Any]:
    return result.numpy()


def _dense(x: Tensor, name: str) -> Tensor:
    if x.layout is not torch.strided or x.is_nested or x.is_meta:
        kind = "nested" if x.is_nested else "meta" if x.is_meta else "sparse"
        cure = {"nested": "Give x.to_padded_tensor(0), or one of its parts.", "sparse": "Give x.to_dense()."}
        advice = cure.get(kind, "Load its values first.")
        raise refusal(name, "a dense tensor that holds values", f"a {kind} one", advice)
    if x.dtype not in FLOATS:
        raise wrong_dtype(name, x.dtype)
    return x.detach()


def _array(x: np.ndarray[Any, Any], name: str) -> Opened:
    array = x
    if type(x) is not np.ndarray:
        if np.ma.is_masked(x):
            raise missing_values(name, "masked ones")
        array = np.asarray(x)  # the same memory, of a matrix or a memory map too
    if array.dtype in FLOAT_ARRAYS:
        return array, _to_numpy
    if array.dtype.kind == "O" and array.ndim == 1:
        return _listed(array.tolist(), name)
    if array.dtype.name == BFLOAT16:
        kind = array.dtype
        return array, lambda result: result.view(torch.int16).numpy().view(kind)
    return _floating(array, name), _to_numpy


def _floating(array: np.ndarray[Any, Any], name: str) -> np.ndarray[Any, Any]:
    if array.dtype.kind == "O" and array.ndim == 2:
        _refuse_holes(array.tolist(), name)
    if array.dtype not in FLOAT_ARRAYS and array.dtype.newbyteorder("=") not in FLOAT_ARRAYS:
        raise wrong_dtype(name, array.dtype)
    return array


def _of_pandas(x: Any, name: str) -> Opened:
    import pandas

    if isinstance(x, pandas.DataFrame):
        return _frame(x, [(key, str(kind).lower(), kind) for key, kind in x.dtypes.items()], name)
    if isinstance(x, pandas.Series):
        arrow = hasattr(x.dtype, "pyarrow_dtype")
        matrix = arrow_matrix(x.array.__arrow_array__(), name) if arrow else _listed(x.tolist(), name)[0]

        def wrap(result: Tensor) -> Any:
            values = _to_numpy(result.float() if result.dtype == torch.bfloat16 else result)
            kind = object if values.ndim == 2 else None  # which no vector would tell of none
            return pandas.Series(list(values) if values.ndim == 2 else values, x.index, kind, x.name)

        return matrix, wrap
    return _any(x, name)


def _of_polars(x: Any, name: str) -> Opened:
    polars: Any = sys.modules["polars"]  # whose object it is

    if isinstance(x, polars.DataFrame):
        return _frame(x, [(key, str(kind).lower(), kind) for key, kind in x.schema.items()], name)
    if not isinstance(x, polars.Series):  # an expression, a group: numbers come of it only where it is asked
        raise refusal(
            name, "vectors, a matrix (rows, width)", f"{kind_of(x)} of polars", "Give a column: table['embedding']."
        )
    if x.dtype == polars.Object:
        matrix: Any = _listed(x.to_list(), name)[0]
    else:
        matrix = arrow_matrix(x.to_arrow(), name)
    return matrix, lambda result: polars.Series(x.name, _to_numpy(result))


def _frame(frame: Any, columns: list[tuple[Any, str, Any]], name: str) -> Opened:
    """A table whose columns are the coordinates, all of them floats."""
    for key, kind, dtype in columns:
        if not kind.startswith(("float", "double")):
            vectors = [other for other, kind, _ in columns if kind.startswith(("object", "list", "array"))]
            got, column = f"a column {key!r} of {dtype}", f"table[{vectors[0]!r}]" if vectors else "table['embedding']"
            advice = f"Give the column of vectors, {column} say, or those of floats: table[[...]]."
            raise refusal(name, "a table of floats, one column for each coordinate", got, advice)
    array = frame.to_numpy()
    if array.dtype.kind == "O":  # pandas has a kind of missing values that numpy has not
        array = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    return _floating(array, name), _to_numpy


def _of_datasets(x: Any, name: str) -> Opened:
    """A column of a data set, of which transforms of a user's own are asked row by row."""
    source = x.source  # the data set, or the column around it
    if not hasattr(source, "format") or source.format["type"] == "custom":
        return _any(x, name)
    column = source.with_format("arrow", columns=[x.column_name])[:][x.column_name]
    return arrow_matrix(column, name), _to_numpy


def _of_pyarrow(x: Any, name: str) -> Opened:
    return arrow_matrix(x, name), to_arrow


OPENERS: dict[str, Callable[[Any, str], Opened]] = {
    "pandas": _of_pandas,
    "polars": _of_polars,
    "pyarrow": _of_pyarrow,
    "datasets": _of_datasets,
}


def _any(x: Any, name: str) -> Opened:
    """A list of rows, or what becomes an array: of jax, xarray, h5py; or a tensor, as what lies on a device does."""
    if isinstance(x, Sequence) and not isinstance(x, memoryview):
        return _listed(list(x), name)
    try:
        array = np.asarray(x)
    except (RuntimeError, TypeError, ValueError) as error:
        if not hasattr(x, "__dlpack__"):
            got = f"{kind_of(x)} ({first_line(error)})"
            raise refusal(name, "vectors, a matrix (rows, width)", got, "Give an array of numpy.") from error
        return _dense(torch.utils.dlpack.from_dlpack(x), name), _as_it_is
    if array.dtype.kind == "O" and not array.ndim:
        raise refusal(name, "vectors, a matrix (rows, width)", kind_of(x), "Give an array of numpy.")
    return _array(array, name)


def _listed(rows: list[Any], name: str) -> Opened:
    """Rows of whatever kind, stacked; an array of numpy comes back, of tensors a tensor."""
    rows = [row.as_py() if hasattr(row, "as_py") else row for row in rows]  # Arrow's own values
    for number, row in enumerate(rows):
        if is_missing(row) or np.ma.is_masked(row):
            which = shown(row) if is_missing(row) else "masked ones"
            raise missing_values(name, f"{which} in row {number}")
    if any(isinstance(row, Tensor) for row in rows):
        return _dense(_tensors(rows, name), name), _as_it_is
    first = rows[0] if rows else None
    if (refused := no_rows(name, first)) is not None:
        raise refused
    try:
        array = np.asarray(rows)
    except (RuntimeError, TypeError, ValueError) as error:
        _refuse_shapes([_shape(row) for row in rows], name, "np.concatenate(x)")
        got = f"{kind_of(first)} ({first_line(error)})"
        raise refusal(name, "rows of numbers", got, "Give an array or a list of floats.") from error
    if array.dtype.kind == "O":
        _refuse_holes(rows, name)
    if array.ndim == 1 and array.dtype.kind == "O":  # the rows' kind is unknown to numpy
        raise refusal(name, "rows of numbers", f"{kind_of(first)} in row 0", "Give an array or a list of floats.")
    return _array(array, name)


def _tensors(rows: list[Any], name: str) -> Tensor:
    """Tensors of one dtype and shape, stacked where they lie."""
    first = next(row for row in rows if isinstance(row, Tensor))
    for number, row in enumerate(rows):
        if not isinstance(row, Tensor) or row.dtype != first.dtype or row.device != first.device:
            its = f"{row.dtype} on {row.device}" if isinstance(row, Tensor) else kind_of(row)
            expected = f"tensors of {first.dtype} on {first.device} alone"
            raise refusal(name, expected, f"{its} in row {number}", "Give all rows alike: row.float().cpu().")
        _dense(row, name)
    _refuse_shapes([tuple(row.shape) for row in rows], name, "torch.cat(x)")
    return torch.stack([row.detach() for row in rows])


def _refuse_shapes(shapes: list[tuple[int, ...] | None], name: str, join: str) -> None:
    """Raise `InputError` for the first of the rows that has another shape than a vector of the first's width."""
    for row, shape in enumerate(shapes):
        if shape is not None and len(shape) == 2:
            got, advice = f"a matrix of shape {shape} in row {row}, a batch", f"Join the batches: {join}."
            raise refusal(name, "one vector for each item", got, advice)
        if shape is not None and len(shape) == 1 and shapes[0] is not None and shape != shapes[0]:
            raise unequal(name, row, shapes[0][0] if shapes[0] else 0, shape[0])
        if shape is not None and shapes[0] is not None and len(shape) != len(shapes[0]):
            got = f"shape {shape} in row {row} after {shapes[0]}"
            raise refusal(name, "one vector for each item", got, "Give rows of one kind.")


def _shape(row: Any) -> tuple[int, ...] | None:
    """None for a row that has holes or lists of unequal length in it."""
    try:
        return tuple(map(int, np.shape(row)))
    except (RuntimeError, TypeError, ValueError):
        return None


def _refuse_holes(rows: list[Any], name: str) -> None:
    """Raise `InputError` for the first row that holds None, or what pandas writes for it."""
    for number, row in enumerate(rows):
        for column, value in enumerate(row if isinstance(row, Sequence | np.ndarray) else ()):
            if is_missing(value):
                raise missing_values(name, f"{shown(value)} in row {number}, column {column}")
