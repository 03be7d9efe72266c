"""How often searches find each row of a store: what is found most is worth true vectors first."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from irp_hf.arithmetic import own_arithmetic
from irp_hf.data.progress import progress_bar
from irp_hf.maths.nearest import HIDDEN, Nearest
from irp_hf.maths.projection import unit_rows
from irp_hf.stores.base import BLOCK_ROWS, Matrix, Store, vectors_of

MOST_ASKED = 4096  # rows that ask: ten times as many are found, and a block of similarities takes 128 MB


@own_arithmetic()
def times_found(store: Store, progress: bool | None) -> Matrix:
    """How often each row `(n,)` is among the ten nearest by cosine to others, of which some ask, always the same ones."""
    draws = np.random.RandomState(0)
    asking = np.sort(draws.choice(store.num_rows, min(store.num_rows, MOST_ASKED), replace=False))
    queries, places = _directions(vectors_of(store.take(asking), store.column)), torch.from_numpy(asking)
    nearest, start = Nearest(len(queries), queries.device), 0
    blocks = progress_bar("Searching for what is found most", progress, total=-(-store.num_rows // BLOCK_ROWS))
    with blocks:
        for batch in store.batches():
            rows = _directions(vectors_of(batch, store.column))
            similarity = queries @ rows.T
            here = (places >= start) & (places < start + len(rows))
            similarity[here, places[here] - start] = HIDDEN  # no row finds itself
            nearest.show(similarity, torch.arange(start, start + len(rows), dtype=torch.int64, device="cpu"))
            start += len(rows)
            blocks.update()
    found = nearest.rows[nearest.similarity > HIDDEN]
    return np.bincount(found.numpy(), minlength=store.num_rows)


def _directions(vectors: Matrix) -> Tensor:
    return unit_rows(torch.from_numpy(vectors.astype(np.float32)))
