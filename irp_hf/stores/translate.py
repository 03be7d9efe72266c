"""Translate a whole store of vectors into a new one: in blocks, resumable, checked before and after, never in place."""

from __future__ import annotations

import datetime
import hashlib
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from typing_extensions import override

from irp_hf.checks import check_count, check_flag
from irp_hf.data.memory import size_of
from irp_hf.data.progress import check_progress, progress_bar
from irp_hf.errors import IRPError, refusal
from irp_hf.evaluation.printed import Printed, Table, number
from irp_hf.models.adapter import IRPAdapter
from irp_hf.models.delivering import CONFIDENCE, Delivery, DType, UnitLength, check_delivery
from irp_hf.stores.address import Address
from irp_hf.stores.base import BLOCK_ROWS, IS_TRUE, Matrix, Plan, Store, Writer, as_lists, vectors_of
from irp_hf.stores.identity import KnownTexts, check_source, not_finite, sample_of
from irp_hf.stores.open import open_writer, opened_store, writer_at
from irp_hf.stores.record import StoreRecord
from irp_hf.stores.staging import row_bytes

TRIED = 3  # blocks that a dry run translates, to tell how long all would take
AGAIN = 2  # blocks of an interrupted run that are translated again, before it goes on
SAME = 1e-2  # how far such a vector may be off, in lengths: half precision on another machine


@dataclass(frozen=True)
class Translated(Printed):
    """What came of translating a store, or with `dry_run` what would."""

    source: str
    destination: str
    num_rows: int
    width: int
    """Of the translated vectors."""
    seconds: float
    """That it took, or would take."""
    num_bytes: int
    """Of the vectors and what is added to them; what stands beside them comes on top."""
    unit_length: bool
    cosine: float
    """What the confidence expects, on the mean of a sample: the cosine with what the target's encoder would give."""
    low: float
    """The cosine that one vector in ten is expected to be below."""
    dry_run: bool = False

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.num_rows / max(self.seconds, 1e-9)

    @override
    def caption(self) -> str:
        verb = "Would translate" if self.dry_run else "Translated"
        return f"{verb} {self.num_rows:,} vectors of {self.source} to {self.destination}."

    @override
    def tables(self) -> list[Table]:
        rows = [
            ["width", f"{self.width}, " + ("of unit length" if self.unit_length else "at the target's mean scale")],
            ["time", f"{_duration(self.seconds)}, {self.rate:,.0f} vectors a second"],
            ["size", size_of(self.num_bytes)],
            ["expected cosine", f"{number(self.cosine)} on the mean, one in ten below {number(self.low)}"],
        ]
        return [[["", ""], *rows]]

    @override
    def conclusions(self) -> list[str]:
        return []


def translate_store(
    source: Any,
    adapter: IRPAdapter | str | os.PathLike[str],
    destination: Any,
    *,
    unit_length: UnitLength = "auto",
    confidence: bool = False,
    dtype: DType | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    check: bool = True,
    progress: bool | None = None,
) -> Translated:
    """Translate the vectors of a store into a new one, with ids, texts and all else that stands beside them, in their order.

    The source is not changed. The destination is a new file, column, vector or collection, and is seen under its name only when
    it is whole and was read again. A call that was interrupted, in whatever way, goes on where it was when it is made again,
    and ends in the same bytes. No more than a block of 8,192 rows is in memory.

    Args:
        source: an address, as `vectors.parquet#embedding` (docs/move.md lists all kinds), or an opened `Store`.
        adapter: from the encoder of the source to the one that is wanted; a folder or an id on the Hub will do.
        destination: an address. What it keeps beside vectors depends on its kind: a matrix keeps none of it.
        unit_length: whether vectors are brought to unit length; "auto" does so where the target's anchors have it, and an
            index by inner product or L2 then finds what one by cosine finds.
        confidence: whether a column `<vectors>_confidence` is added, the expected cosine of each.
        dtype: of the translated vectors, by default that of the source, and float32 of float64.
        limit: translate so many rows from the first on, to look at.
        dry_run: translate some blocks, write nothing, and tell how long all would take, its size, and what to expect.
        check: False goes on where vectors do not look like the source's. Records and known texts are compared all the same.
        progress: show a bar on standard error, or do not; by default on a terminal.

    Raises `InputError` where the source's vectors are not those of the adapter's source, are translated already, or hold NaN,
    where the destination exists, where nothing can be written there, and where the source changes meanwhile.
    """
    check_progress(progress)
    check_delivery(unit_length, confidence, dtype)
    for name, flag in (("dry_run", dry_run), ("check", check)):
        check_flag(name, flag)
    place = Address.of("destination", destination)
    model = adapter if isinstance(adapter, IRPAdapter) else IRPAdapter.from_pretrained(adapter)
    with ExitStack() as stack:
        store = opened_store(source, "source", stack)
        work = _Work.of(store, model, place, Delivery.of(model, unit_length, confidence, dtype), limit, check)
        if dry_run:
            return work.forecast()
        with open_writer(place, work.plan) as writer:
            return work.run(writer, progress)


@dataclass(frozen=True)
class _Work:
    """A store, an adapter, and what is to be made of them."""

    store: Store
    adapter: IRPAdapter
    destination: Address
    delivery: Delivery
    dtype: np.dtype[Any]
    plan: Plan
    expected: Matrix
    """Confidences `(n,)` of a sample."""
    known: KnownTexts

    @classmethod
    def of(
        cls,
        store: Store,
        adapter: IRPAdapter,
        destination: Address,
        delivery: Delivery,
        limit: int | None,
        looks: bool,
    ) -> _Work:
        """What is checked before anything is written."""
        num_rows = store.num_rows
        if limit is not None:
            num_rows = min(num_rows, check_count("limit", limit, advice="Leave it out for all rows."))
        sample = vectors_of(sample_of(store), store.column)
        check_source(store, sample, adapter, looks)
        unit, confidence, dtype = delivery.unit_length, delivery.confidence, delivery.dtype_for(store.dtype.name)
        made = writer_at(destination)
        column = made.column(destination, store)
        record = StoreRecord(
            adapter=adapter.checksum(),
            source_encoder=adapter.config.source_encoder,
            target_encoder=adapter.config.target_encoder,
            date=datetime.date.today().isoformat(),
            num_rows=num_rows,
            source=_content(sample, store),
            unit_length=unit,
        )
        options = {"unit_length": unit, "confidence": confidence, "dtype": dtype.name, "rows": num_rows}
        run = {"adapter": record.adapter, "source": store.digest(), "column": column, **options}
        schema = _schema(store, column, dtype, adapter.config.target_size, confidence, made.carries_vectors)
        plan = Plan(store, schema, column, record, run)
        expected = np.asarray(adapter.confidence(sample.astype(np.float32)))
        return cls(store, adapter, destination, delivery, dtype, plan, expected, KnownTexts(adapter, store))

    def run(self, writer: Writer, progress: bool | None) -> Translated:
        """Translate what is not kept already, read all of it again, and let it appear."""
        began = time.monotonic()
        record = writer.ended() or self._record_of_all(writer, progress)
        writer.finish(record).close()
        return self._told(time.monotonic() - began)

    def _record_of_all(self, writer: Writer, progress: bool | None) -> StoreRecord:
        """The record of all rows, once they are kept and were read again."""
        num_rows, kept = self.plan.record.num_rows, writer.kept()
        self._try_again(writer, kept)
        sums: dict[int, int] = {}
        with progress_bar("Translating", progress, total=num_rows, initial=kept, unit=" rows", unit_scale=True) as bar:
            blocks = self._all_translated(kept)
            while (block := self._next_of(blocks, writer)) is not None:
                start, made = block
                sums[start] = _sum_of(made, self.plan.column)
                writer.write(start, made)
                bar.update(made.num_rows)
        digest = self._read_again(writer, sums, progress)
        return self.plan.record.with_values(vectors=digest, date=writer.date)

    def _all_translated(self, start: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The blocks from a row on, as they are written; at the end the source must be what it was."""
        for first, batch in self._blocks(start):
            yield first, self._translated(batch, first)
        self._check_unchanged()

    @staticmethod
    def _next_of(blocks: Iterator[tuple[int, pa.RecordBatch]], writer: Writer) -> tuple[int, pa.RecordBatch] | None:
        """The next block; where the source is refused, what was kept is removed: as it is, no other call would end."""
        try:
            return next(blocks, None)
        except IRPError:
            writer.discard()
            raise

    def forecast(self) -> Translated:
        """What a run would take, from some blocks, of which nothing is written."""
        began, done = time.monotonic(), 0
        for block, (start, batch) in enumerate(self._blocks(0)):
            done += self._translated(batch, start).num_rows
            if block + 1 == TRIED:
                break
        each = (time.monotonic() - began) / max(done, 1)
        return self._told(each * self.plan.record.num_rows, dry_run=True)

    def _blocks(self, start: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The source's blocks from a row on, which is the first of a block."""
        last = self.plan.record.num_rows
        for batch in self.store.batches(start, BLOCK_ROWS):
            if start >= last:
                return
            part = batch.slice(0, last - start)
            yield start, part
            start += part.num_rows
        if start < last:
            expected, got = f"{last:,} rows", f"no more after {start:,}"
            raise refusal(str(self.store.address), expected, got, "It was changed meanwhile: translate it again.")

    def _translated(self, batch: pa.RecordBatch, start: int) -> pa.RecordBatch:
        """A block as it is written."""
        vectors = vectors_of(batch, self.store.column)
        if (error := not_finite(vectors, start, str(self.store.address))) is not None:
            raise error
        self.known.check(batch, start)
        y, confidences = self.delivery.make(self.adapter, vectors, self.dtype)
        columns = {name: batch.column(name) for name in batch.schema.names}
        columns[self.plan.column] = as_lists(y)
        if confidences is not None:
            columns[f"{self.plan.column}{CONFIDENCE}"] = pa.array(confidences.astype(np.float32))
        return pa.RecordBatch.from_arrays([columns[name] for name in self.plan.schema.names], schema=self.plan.schema)

    def _try_again(self, writer: Writer, kept: int) -> None:
        """Raise `InputError` where blocks that were kept are not what would be made of the same rows now."""
        if not kept:
            return
        starts = sorted({0, (kept // BLOCK_ROWS // AGAIN) * BLOCK_ROWS})
        for start, batch in _numbered(writer.batches()):
            if start not in starts or start >= kept:
                continue
            _, rows = next(iter(self._blocks(start)))
            made = vectors_of(self._translated(rows, start), self.plan.column).astype(np.float32)
            there = vectors_of(batch, self.plan.column).astype(np.float32)
            off = np.linalg.norm(made - there, axis=1) / np.maximum(np.linalg.norm(made, axis=1), 1e-30)
            if not (off <= SAME).all():
                expected = "rows as this adapter makes them of the source"
                got = f"others in row {start + int(off.argmax())}, of an interrupted run"
                raise refusal(str(self.destination), expected, got, "Remove what that run has kept.")

    def _check_unchanged(self) -> None:
        if (now := self.store.digest()) != self.plan.run["source"]:
            got, advice = "one that was changed meanwhile", "Translate it again, while nobody writes to it."
            raise refusal(
                str(self.store.address),
                f"the same store, {self.plan.run['source'][:12]}",
                f"{got} ({now[:12]})",
                advice,
            )

    def _read_again(self, writer: Writer, sums: dict[int, int], progress: bool | None) -> str:
        """The digest of all vectors as they were kept; raises `InputError` where one is not what was written."""
        digest, count = hashlib.sha256(), 0
        with progress_bar(
            "Reading again", progress, total=self.plan.record.num_rows, unit=" rows", unit_scale=True
        ) as bar:
            for start, batch in _numbered(writer.batches()):
                if start in sums and sums[start] != _sum_of(batch, self.plan.column):
                    got = f"others in the block from row {start}"
                    raise refusal(
                        str(self.destination), "the vectors that were written", got, "Check the disk, and run again."
                    )
                digest.update(np.ascontiguousarray(vectors_of(batch, self.plan.column)).data.cast("B"))
                count += batch.num_rows
                bar.update(batch.num_rows)
        if count != self.plan.record.num_rows:
            expected, got = f"{self.plan.record.num_rows:,} rows", f"{count:,}"
            raise refusal(str(self.destination), expected, got, "Check the disk, and run again.")
        return digest.hexdigest()

    def _told(self, seconds: float, dry_run: bool = False) -> Translated:
        added = {self.plan.column, f"{self.plan.column}{CONFIDENCE}"}
        ours = pa.schema([field for field in self.plan.schema if field.name in added])
        return Translated(
            str(self.store.address),
            str(self.destination),
            self.plan.record.num_rows,
            self.adapter.config.target_size,
            seconds,
            row_bytes(ours) * self.plan.record.num_rows,
            self.delivery.unit_length,
            float(self.expected.mean()),
            float(np.quantile(self.expected, 0.1)),
            dry_run,
        )


def _schema(store: Store, column: str, dtype: np.dtype[Any], width: int, confidence: bool, carries: bool) -> pa.Schema:
    """The source's columns, with translated vectors in place of those of the same name, or after all.

    `carries`: its own vectors are among them, where theirs is another name.
    """
    field = pa.field(column, pa.list_(pa.from_numpy_dtype(dtype), width))
    # What a translation before this one told of a column of that name is not true of the new one.
    left_out = (f"{column}{CONFIDENCE}", f"{column}{IS_TRUE}") if store.has_noted(column) else ()
    carried = [one for one in store.schema if carries or one.name in (column, *_others(store))]
    fields = [field if one.name == column else one for one in carried if one.name not in left_out]
    if field not in fields:
        fields.append(field)
    told = f"{column}{CONFIDENCE}"
    if confidence:
        if told in [one.name for one in fields]:
            advice = "Name another column in the destination."
            raise refusal("confidence", f"a source without a column {told!r}", "one with it", advice)
        fields.append(pa.field(told, pa.float32()))
    return pa.schema(fields)  # without metadata: what describes columns that have another type by now would lie


def _others(store: Store) -> list[str]:
    """The columns of a store but for that of its vectors."""
    return [name for name in store.schema.names if name != store.column]


def _content(sample: Matrix, store: Store) -> str:
    """A digest of a store's vectors: of their number, width and kind, and of a sample."""
    told = f"{store.num_rows} {store.width} {store.dtype}".encode()
    return hashlib.sha256(told + np.ascontiguousarray(sample).tobytes()).hexdigest()


def _sum_of(batch: pa.RecordBatch, column: str) -> int:
    return zlib.crc32(np.ascontiguousarray(vectors_of(batch, column)).data.cast("B"))


def _numbered(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    start = 0
    for batch in batches:
        yield start, batch
        start += batch.num_rows


def _duration(seconds: float) -> str:
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{seconds:.1f} s"
