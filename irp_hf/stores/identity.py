"""Whether stored vectors are those of an adapter's source: told before anything is written, and by known texts on the way."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from irp_hf.data.arrays import Rows
from irp_hf.data.canary import Canary
from irp_hf.encoding.recorded import COMPARED
from irp_hf.errors import InputError, refusal, shown
from irp_hf.maths.metrics import cosines
from irp_hf.maths.projection import unit_rows
from irp_hf.models.adapter import IRPAdapter
from irp_hf.records import Difference, EncoderRecord
from irp_hf.stores.base import Matrix, Store, vectors_of
from irp_hf.stores.record import StoreRecord

RUNS, OF_A_RUN = 32, 16  # a sample is so many runs of rows, evenly spread: a table is read at few places
DIRECTIONS = 32  # leading ones of the anchors, that tell two spaces of one width apart
STRANGE = 0.05  # of a typicality, 0 to 1: the median of the sample is that of another encoder's vectors
KNOWN = 0.98  # cosine of a stored vector with that of the same text among the anchors: half precision keeps .9999
TRUST = "Where they are the right ones all the same, pass check=False."


def sampled_rows(num_rows: int) -> Matrix:
    """The numbers of rows that are spread evenly over so many, rising; all of a few."""
    if num_rows <= RUNS * OF_A_RUN:
        return np.arange(num_rows)
    starts = np.linspace(0, num_rows - OF_A_RUN, RUNS).astype(np.int64)
    return np.unique(starts[:, None] + np.arange(OF_A_RUN))


def sample_of(store: Store) -> pa.RecordBatch:
    """Rows of a store that are spread evenly over it; all of a small one. Raises `InputError` for one that is not finite."""
    rows = sampled_rows(store.num_rows)
    found = store.take(rows)
    vectors = vectors_of(found, store.column)
    bad = np.flatnonzero(~np.isfinite(vectors).all(1))
    if len(bad):  # by the number that it has in the store
        row = int(bad[0])
        raise not_finite(vectors[row:], int(rows[row]), str(store.address)) or AssertionError
    return found


def check_source(store: Store, sample: Matrix, adapter: IRPAdapter, looks: bool) -> None:
    """Raise `InputError` where the vectors of a store, of which these are a `sample (n, d)`, are not of the adapter's source.

    With `looks` also where they look like those of another encoder, or of the target.
    """
    name = str(store.address)
    width, wide = adapter.config.source_size, adapter.config.target_size
    check_record(store.record(), store.encoder(), adapter, name)
    rows = Rows(sample, name, width, ("target", wide), advice="Name the column of the source's vectors.").whole()
    if not looks:
        return
    x = rows.float().cpu()
    source, target = (anchors.detach().float().cpu() for anchors in (adapter.source_anchors, adapter.target_anchors))
    own = _shared(x, source)
    if width == wide and _shared(x, target) > own:
        got = "ones that spread as the target's do"
        advice = f"Swap the spaces, if the adapter leads the other way; or they are translated already. {TRUST}"
        raise refusal(name, "vectors that spread as the source's anchors do", got, advice)
    if (typical := _typicality(adapter, x)) is not None and typical < STRANGE:
        got = f"ones that another encoder may have made (median typicality {typical:.2f})"
        raise refusal(name, "vectors like the source's anchors", got, f"Fit on vectors of this store. {TRUST}")


def check_record(record: StoreRecord | None, encoder: EncoderRecord | None, adapter: IRPAdapter, name: str) -> None:
    """Raise `InputError` where a store says that its vectors are in another space than the adapter's source.

    `encoder` made them, or would have made what they were translated to, as the store says.
    """
    if record is not None and record.adapter == adapter.checksum():
        advice = "It is done; to translate again, begin with the store that this one was made of."
        raise refusal(name, "vectors that are still to be translated", "ones that this adapter has translated", advice)
    different = [] if encoder is None else _apart(encoder, adapter.config.source_record)
    if different:
        first = different[0]
        got = f"ones in a space with {first.name} = {shown(first.one)}, as the store says"
        advice = "Connect that encoder to the target, or begin with the store that this one was made of."
        raise refusal(name, f"vectors of the source, {first.name} = {shown(first.other)}", got, advice)


def _apart(one: EncoderRecord, other: EncoderRecord) -> list[Difference]:
    """What makes vectors of the one others than those of the other: of the same weights, a name tells nothing."""
    known = one.knows("weights_sha256") and other.knows("weights_sha256")
    names = ["weights_sha256"] if known else ["id", "revision"]
    return one.differences(other, [*names, *(name for name in COMPARED if name != "revision")])


class KnownTexts:
    """Texts of the anchors that an adapter keeps, with their vectors: where a store has them too, it must have these."""

    def __init__(self, adapter: IRPAdapter, store: Store) -> None:
        self._name = str(store.address)
        canary = Canary.from_dict(adapter.config.source_canary, "source_canary")
        self._vectors: dict[str, Tensor] = dict(_vectors(canary, adapter)) if canary is not None else {}
        strings = (pa.types.is_string, pa.types.is_large_string)
        columns = [field.name for field in store.schema if any(is_text(field.type) for is_text in strings)]
        self._columns = columns if self._vectors else []
        self._texts = pa.array(list(self._vectors), pa.string())
        self._column = store.column

    def check(self, batch: pa.RecordBatch, first: int) -> None:
        """Raise `InputError` where a row of a batch that begins at `first` has a known text, and another vector."""
        for column in self._columns:
            texts = batch.column(column)
            rows = np.flatnonzero(pc.is_in(texts, self._texts.cast(texts.type)).to_numpy(zero_copy_only=False))
            for row in rows:
                self._compare(
                    texts[int(row)].as_py(), vectors_of(batch.slice(int(row), 1), self._column), first + int(row)
                )

    def _compare(self, text: str, vector: Matrix, row: int) -> None:
        cosine = float(cosines(torch.from_numpy(vector.astype(np.float32)), self._vectors[text]))
        if not cosine >= KNOWN:
            expected = f"the source's vector of {shown(text)}, which is one of its anchors, in row {row}"
            advice = f"These are of another encoder, or rows and texts do not belong together. {TRUST}"
            raise refusal(self._name, expected, f"one with a cosine of {cosine:.3f} to it", advice)


def not_finite(vectors: Matrix, first: int, name: str) -> InputError | None:
    """The error for the first row of `vectors (n, d)`, which begin at `first`, that holds NaN, infinity or is all zero."""
    bad = np.flatnonzero(~np.isfinite(vectors).all(1))
    if len(bad):
        advice = "Drop that row, or encode it again."
        return refusal(f"Row {first + int(bad[0])} of {name}", "finite numbers", "NaN or infinity", advice)
    return None


def _vectors(canary: Canary, adapter: IRPAdapter) -> Iterator[tuple[str, Tensor]]:
    kept = adapter.source_anchors[canary.rows] if canary.vectors is None else torch.from_numpy(canary.vectors)
    for item, vector in zip(canary.items, kept.detach().float().cpu(), strict=True):
        if isinstance(item, str):
            yield item, vector[None]


def _shared(x: Tensor, anchors: Tensor) -> float:
    """How much of `x (n, d)`, as unit rows, lies in the leading directions of `anchors (k, d)`."""
    rows = unit_rows(anchors.double())
    count = min(DIRECTIONS, rows.shape[1] // 2, len(rows))
    leading = torch.linalg.svd(rows, full_matrices=False).Vh[: max(count, 1)]
    return float((unit_rows(x.double()) @ leading.T).square().sum(1).mean())


def _typicality(adapter: IRPAdapter, x: Tensor) -> float | None:
    """The median typicality of `x (n, d)`; None of an adapter that was saved without knowing it."""
    with adapter.computing():
        found = adapter._translation(torch.float64).typicality(x.to(adapter.device, torch.float64))
        return None if found is None else float(found.median())
