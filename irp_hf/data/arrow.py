"""Arrow columns of lists as matrices, without a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from irp_hf.data.wrong import missing_values, unequal, wrong_dtype
from irp_hf.errors import first_line, kind_of, refusal

if TYPE_CHECKING:
    import pyarrow


class Stacked:
    """Matrices on top of each other, `(n, d)` in all, that are joined only where they are read."""

    def __init__(self, matrices: list[np.ndarray[Any, Any]]) -> None:
        self.matrices = matrices
        self.ends = np.cumsum([len(matrix) for matrix in matrices])
        self.shape = (int(self.ends[-1]), matrices[0].shape[1])

    def __getitem__(self, rows: slice) -> np.ndarray[Any, Any]:
        start, stop, _ = rows.indices(self.shape[0])
        first, last = np.searchsorted(self.ends, [start, stop - 1], side="right")
        parts = []
        for index in range(first, last + 1):
            begin = int(self.ends[index]) - len(self.matrices[index])
            parts.append(self.matrices[index][max(start - begin, 0) : stop - begin])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def take(self, numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The rows of these numbers `(n,)`, which rise."""
        parts = np.split(numbers, np.searchsorted(numbers, self.ends[:-1]))
        starts = self.ends - [len(matrix) for matrix in self.matrices]
        return np.concatenate([m[part - start] for m, part, start in zip(self.matrices, parts, starts, strict=True)])


def arrow_matrix(column: Any, name: str, first: int = 0, width: int | None = None) -> np.ndarray[Any, Any] | Stacked:
    """An Arrow column of lists as a matrix, without a copy of it; raises `InputError` for what is none.

    Where it is a part of a longer one, its first row has the number `first` there, and the rows before have this `width`.
    """
    import pyarrow as pa

    if not isinstance(column, (pa.Array, pa.ChunkedArray)):
        names = [field.name for field in getattr(column, "schema", ()) if _is_list(field.type)]
        advice = f"Give the column: table[{(names or ['embedding'])[0]!r}]."
        raise refusal(name, "a column of lists", f"{kind_of(column)} of pyarrow", advice)
    check_whole(column, name)
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    matrices: list[np.ndarray[Any, Any]] = []
    row = first
    for chunk in chunks:
        if len(chunk):
            matrices.append(_arrow_chunk(chunk, name, row, matrices[0].shape[1] if matrices else width))
        row += len(chunk)
    if not matrices:
        return _no_rows(column.type, name)
    return matrices[0] if len(matrices) == 1 else Stacked(matrices)


def _no_rows(kind: Any, name: str) -> np.ndarray[Any, Any]:
    """The matrix of a column of this type that has no rows; of lists of any length its width is 0."""
    import pyarrow as pa

    if pa.types.is_null(kind):  # of a column that was never filled nothing tells what it would hold
        return np.empty((0, 0))
    storage = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    return _arrow_chunk(pa.array([], storage), name, 0, width=getattr(storage, "list_size", 0))


def check_whole(column: Any, name: str) -> None:
    """Raise `InputError` where parts of an Arrow column lie about each other: what is beyond them is other memory."""
    import pyarrow as pa

    try:
        column.validate(full=True)
    except pa.ArrowException as error:
        got, advice = f"a damaged one ({first_line(error)})", "Read its file anew, or make it anew."
        raise refusal(name, "a whole Arrow column", got, advice) from error


def to_arrow(result: Tensor) -> pyarrow.Array:
    """Numbers `(n,)`, or vectors `(n, d)` as lists of a fixed size."""
    import pyarrow as pa

    array = result.numpy()
    if array.ndim == 1:
        return pa.array(array)
    return pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array.shape[1])


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(types.is_fixed_size_list(kind) or types.is_list(kind) or types.is_large_list(kind))


def _arrow_chunk(chunk: Any, name: str, first: int, width: int | None) -> np.ndarray[Any, Any]:
    """One chunk, whose first row is `first`; `width` is that of the rows before."""
    import pyarrow as pa

    if isinstance(chunk, pa.ExtensionArray):
        chunk = chunk.storage
    kind = chunk.type
    if pa.types.is_floating(kind):
        advice = "Give the column that holds a list for each item."
        raise refusal(name, "a column of lists", f"a flat column of {kind}", advice)
    if not _is_list(kind):
        raise wrong_dtype(name, kind)
    values = chunk.flatten()  # heeds the slice's offset, drops rows that are null
    if chunk.null_count or values.null_count:
        raise missing_values(name, f"null, as in row {first + _first_null(chunk)}")
    fixed = pa.types.is_fixed_size_list(kind)
    lengths = [kind.list_size] if fixed else chunk.value_lengths().to_numpy()
    width = int(lengths[0]) if width is None else width
    if len(uneven := np.flatnonzero(np.asarray(lengths) != width)):
        raise unequal(name, first + int(uneven[0]), width, int(lengths[uneven[0]]))
    if not pa.types.is_floating(values.type):
        raise wrong_dtype(name, values.type)
    matrix: np.ndarray[Any, Any] = values.to_numpy(zero_copy_only=False).reshape(len(chunk), width)
    return matrix


def _first_null(chunk: Any) -> int:
    """The row of a chunk that is null, or whose list holds one."""
    if chunk.null_count:
        return int(np.flatnonzero(chunk.is_null())[0])
    return next(row for row, values in enumerate(chunk) if values.values.null_count)
