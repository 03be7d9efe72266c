"""Arrow files whose columns say that they reach beyond what is there."""

import io

import numpy as np
import pyarrow as pa
import pytest
from says import says

from irp_hf.data.arrays import as_matrix
from irp_hf.data.listed import in_order

ROWS = 200
TRUE = np.arange(0, 12 * ROWS + 1, 12, dtype=np.int32)


def forged(column, offsets):
    """The column as a file of Arrow gives it in which these offsets stand for the true ones."""
    file = io.BytesIO()
    with pa.ipc.new_file(file, pa.schema({"x": column.type})) as writer:
        writer.write_table(pa.table({"x": column}))
    data = file.getvalue()
    assert data.count(TRUE.tobytes()) == 1
    data = data.replace(TRUE.tobytes(), offsets.astype(np.int32).tobytes())
    return pa.ipc.open_file(pa.py_buffer(data)).read_all()["x"]


@pytest.mark.parametrize("shift", [-1200, -(2**30), 12, 2**30])
def test_offsets_that_point_elsewhere(shift, refusal):
    """Vectors and texts would be made of other memory of the process, or it would end."""
    vectors = pa.array(np.arange(12.0 * ROWS).reshape(ROWS, 12).tolist(), pa.list_(pa.float32()))
    assert as_matrix(forged(vectors, TRUE)).shape == (ROWS, 12)
    wrong = forged(vectors, TRUE.astype(np.int64) + shift)
    for column in (wrong, wrong.chunk(0)):
        assert says(refusal(as_matrix, column, "the vectors"), "the vectors", "damaged")
    texts = pa.array(["a" * 12] * ROWS)
    assert in_order(forged(texts, TRUE))[3] == "a" * 12
    assert says(refusal(in_order, forged(texts, TRUE.astype(np.int64) + shift), "texts"), "texts", "damaged")
